//! `unmasq rules commit` and what follows: never half done, kept, back after a restart.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use unmasq_lab::Running;
use unmasq_lab::command::{guarded, output};

use crate::rules_machine::{Language, Machine, kill_all};
use crate::support::{PATIENCE, text};

/// The machine's rules, file and history say the same.
fn assert_whole(machine: &Machine, language: Language, loaded: &[(String, String)]) {
    let file = machine.read(language.file());
    let in_force = machine.succeeds(&["show"]).out;
    assert_eq!(file, in_force, "the file is the revision in force");
    let expected =
        &loaded.iter().find(|(text, _)| *text == in_force).expect("one of those that were committed").1;
    assert_eq!(&machine.loaded(), expected, "the kernel has it");
    assert!(!machine.history().join(language.file()).join("commit").exists());
    machine.succeeds(&["history", "--audit"]);
}

#[test]
fn a_commit_that_is_killed_at_any_moment_is_never_half_done() {
    for language in Language::BOTH {
        let machine = Machine::build();
        let (file, new) = (language.file(), format!("{}.new", language.file()));
        // What the kernel lists for each of the two.
        let mut loaded = Vec::new();
        for ports in [&[80_u16][..], &[443, 8080]] {
            machine.write(&new, &language.ruleset(ports));
            machine.succeeds(&["commit", file]);
            loaded.push((language.ruleset(ports), machine.loaded()));
        }
        let mut cut_short = 0;
        for round in 0..24_u64 {
            let (next, _) = &loaded[usize::try_from(round % 2).unwrap()];
            machine.write(&new, next);
            let mut command = machine.command(&["commit", file]);
            let mut running = Running::start(command.stdout(Stdio::null()).stderr(Stdio::null())).unwrap();
            // Spread over what a commit takes; the figure only decides which moments are hit.
            std::thread::sleep(Duration::from_millis(20 + round * 9));
            kill_all(&running);
            running.wait(PATIENCE).unwrap();
            let said = machine.load_when_free();
            cut_short += u32::from(said.err.contains("cut short") || said.err.contains("had been loaded"));
            assert_whole(&machine, language, &loaded);
            // The one that was not committed can be.
            let _ = fs::remove_file(machine.folder.join(&new));
        }
        println!("{cut_short} of 24 were cut short");
    }
}

/// What the unit does at boot.
fn boot(machine: &Machine) {
    let unit = include_str!("../../../../packaging/unmasq-rules.service");
    let start = unit
        .lines()
        .find_map(|line| line.strip_prefix("ExecStart=unmasq rules "))
        .expect("it starts something");
    machine.succeeds(&start.split(' ').collect::<Vec<_>>());
}

#[test]
fn after_a_restart_what_was_committed_is_loaded_and_what_was_only_tested_is_not() {
    for language in Language::BOTH {
        let machine = Machine::build();
        let new = format!("{}.new", language.file());
        machine.write(&new, &language.ruleset(&[80]));
        machine.succeeds(&["commit", language.file(), "-m", "the shop"]);
        let committed = machine.loaded();
        machine.write(&new, &language.ruleset(&[443]));
        // Under test while the power goes; then one that was confirmed.
        let mut test = machine.begin_test(&new);
        kill_all(&test);
        test.wait(PATIENCE).unwrap();
        machine.restart();
        boot(&machine);
        assert_eq!(machine.loaded(), committed);
        let mut test = machine.begin_test(&new);
        assert_eq!(machine.in_new_session(&["confirm"]).code, 0);
        test.wait(PATIENCE).unwrap();
        machine.restart();
        boot(&machine);
        assert_eq!(machine.loaded(), committed);
    }
}

#[test]
fn at_boot_the_newest_revision_that_loads_is_taken() {
    let machine = Machine::build();
    machine.write("main.nft", &Language::Nft.ruleset(&[80]));
    machine.succeeds(&["commit", "main.nft"]);
    machine.write("main.nft", &Language::Nft.ruleset(&[443]));
    machine.succeeds(&["commit", "main.nft"]);
    machine.write("iptables.conf", &Language::Iptables.ruleset(&[80]));
    machine.succeeds(&["commit", "iptables.conf"]);
    machine.restart();
    machine.write(
        "history/main.nft/000002.rules",
        "table inet guard {\n\tchain x {\n\t\tjump nowhere\n\t}\n}\n",
    );
    let said = machine.rules(&["load"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(
        said.err.contains("revision 2 of main.nft") && said.err.contains("not the one that was committed"),
        "{said:?}"
    );
    assert!(said.out.contains("main.nft: revision 1 is loaded"), "{said:?}");
    assert!(said.out.contains("iptables.conf: revision 1 is loaded"), "{said:?}");
    let table = machine.node.exec(&["nft", "list", "table", "inet", "guard"]).unwrap();
    assert!(table.contains("dport 80") && !table.contains("dport 443"), "{table}");
    assert_eq!(machine.rules(&["history", "--audit"]).code, 5);
}

#[test]
fn a_damaged_revision_keeps_no_other_from_being_loaded_and_followed() {
    let machine = Machine::build();
    for port in [80, 443, 8080] {
        machine.write("main.nft", &Language::Nft.ruleset(&[port]));
        machine.succeeds(&["commit", "main.nft"]);
    }
    let committed = machine.loaded();
    let described = |number: u32| machine.history().join(format!("main.nft/{number:06}.json"));
    fs::write(described(1), "not what was written").unwrap();
    machine.restart();
    let said = machine.succeeds(&["load"]);
    assert!(said.out.contains("main.nft: revision 3 is loaded"), "{said:?}");
    assert_eq!(machine.loaded(), committed);
    fs::write(described(3), "").unwrap();
    machine.restart();
    let said = machine.rules(&["load"]);
    assert!(said.code == 1 && said.out.contains("main.nft: revision 2 is loaded"), "{said:?}");
    assert!(machine.reaches(443) && machine.keeps_out(8080));
    assert_eq!(machine.rules(&["history", "--audit"]).code, 5);
    // What the message says mends it.
    machine.write("main.nft", &Language::Nft.ruleset(&[22, 80]));
    let said = machine.rules(&["commit", "main.nft", "--yes"]);
    assert!(
        said.code == 2 && said.err.contains("write the number of the one before into `head`"),
        "{said:?}"
    );
    fs::write(machine.history().join("main.nft/head"), "2\n").unwrap();
    let said = machine.succeeds(&["commit", "main.nft", "--yes"]);
    assert!(said.out.contains("revision 3 is in force"), "{said:?}");
}

#[test]
fn what_is_committed_and_not_in_the_kernel_is_not_said_to_be() {
    for language in Language::BOTH {
        let machine = Machine::build();
        let (file, new) = (language.file(), format!("{}.new", language.file()));
        machine.write(file, &language.ruleset(&[80]));
        machine.succeeds(&["commit", file]);
        let committed = machine.loaded();
        assert!(machine.succeeds(&["commit", file]).out.contains("nothing is done"));
        assert!(machine.succeeds(&["rollback", "1"]).out.contains("nothing is done"));
        // Other rules are in its place until the machine restarts.
        machine.write(&new, &language.ruleset(&[80, 443]));
        let mut test = machine.begin_test(&new);
        assert_eq!(machine.in_new_session(&["confirm"]).code, 0);
        test.wait(PATIENCE).unwrap();
        fs::remove_file(machine.folder.join(&new)).unwrap();
        assert_ne!(machine.loaded(), committed);
        assert!(machine.succeeds(&["commit", file]).out.contains("revision 2 is in force"));
        assert_eq!(machine.loaded(), committed);
        // Somebody has flushed everything.
        machine.node.exec(&["nft", "flush", "ruleset"]).unwrap();
        assert!(machine.succeeds(&["rollback", "2"]).out.contains("revision 3 is in force"));
        assert_eq!(machine.loaded(), committed);
        machine.succeeds(&["history", "--audit"]);
    }
}

#[test]
fn every_commit_is_in_git_with_its_author_although_nobody_is_logged_in() {
    let machine = Machine::build();
    let git = machine.folder.join("git");
    machine.write(
        "unmasq.toml",
        &format!("[rules]\nauthor = \"Ada <ada@example.net>\"\ngit = \"{}\"\n", text(&git)),
    );
    let commit = |ports: &[u16], message: &str, flags: &[&str]| {
        machine.write("main.nft.new", &Language::Nft.ruleset(ports));
        // As in a service: no terminal, no HOME, no USER.
        let mut command = guarded("env");
        command.args([
            "-i",
            "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
            "setsid",
            "--wait",
            "ip",
            "netns",
            "exec",
            machine.node.name(),
        ]);
        command
            .args([crate::support::PROGRAM, "rules", "commit", "main.nft", "-m", message])
            .args(flags)
            .args(machine.place());
        output(command.current_dir(&machine.folder), "").unwrap();
    };
    commit(&[80], "the shop", &[]);
    commit(&[80, 443], "the shop, with TLS", &["--author", "Grace <grace@example.net>"]);
    machine.succeeds(&["rollback", "1"]);
    let in_git = |words: &[&str]| {
        let mut command = Command::new("git");
        // The test's user need not be the one that made it.
        command.args(["-c", "safe.directory=*", "-C", text(&git)]).args(words);
        output(&mut command, "").unwrap()
    };
    in_git(&["fsck", "--strict"]);
    let log = in_git(&["log", "--format=%an <%ae>|%cn|%s"]);
    assert_eq!(
        log.lines().collect::<Vec<_>>(),
        [
            "Ada <ada@example.net>|Ada|rollback to revision 1",
            "Grace <grace@example.net>|Grace|the shop, with TLS",
            "Ada <ada@example.net>|Ada|the shop"
        ]
    );
    assert_eq!(in_git(&["show", "HEAD:main.nft"]), Language::Nft.ruleset(&[80]));
    assert_eq!(in_git(&["status", "--porcelain"]), "");
    // What git did not take once, it has at the next commit.
    fs::rename(git.join(".git/HEAD"), git.join(".git/HEAD.away")).unwrap();
    machine.write("main.nft.new", &Language::Nft.ruleset(&[8080]));
    let said = machine.succeeds(&["commit", "main.nft"]);
    assert!(said.err.contains("cannot keep it in the git repository"), "{said:?}");
    fs::rename(git.join(".git/HEAD.away"), git.join(".git/HEAD")).unwrap();
    machine.write("main.nft.new", &Language::Nft.ruleset(&[8081]));
    machine.succeeds(&["commit", "main.nft"]);
    assert_eq!(in_git(&["log", "--format=%s"]).lines().count(), 5);
}

#[test]
fn a_commit_whose_file_cannot_be_written_is_in_force_and_told_and_stops_nothing_else() {
    let machine = Machine::build();
    let elsewhere = machine.folder.join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("main.nft.new"), Language::Nft.ruleset(&[80])).unwrap();
    // The file's place is taken by a folder, which not even root can write to.
    fs::create_dir(elsewhere.join("main.nft")).unwrap();
    let said = machine.rules(&["commit", "elsewhere/main.nft"]);
    assert_eq!(said.code, 4, "{said:?}");
    assert!(said.err.contains("it is in force, but its commit is not complete"), "{said:?}");
    assert!(machine.reaches(80));
    machine.write("iptables.conf", &Language::Iptables.ruleset(&[80]));
    let said = machine.succeeds(&["commit", "iptables.conf"]);
    assert!(said.err.contains("the commit of main.nft cannot be completed"), "{said:?}");
    fs::remove_dir(elsewhere.join("main.nft")).unwrap();
    let said = machine.succeeds(&["load"]);
    assert!(said.err.contains("its commit is complete now"), "{said:?}");
    assert_eq!(fs::read_to_string(elsewhere.join("main.nft")).unwrap(), Language::Nft.ruleset(&[80]));
}

#[test]
fn what_was_written_into_the_file_and_not_committed_is_not_lost_unasked() {
    let machine = Machine::build();
    for port in [80, 81] {
        machine.write("main.nft", &Language::Nft.ruleset(&[port]));
        machine.succeeds(&["commit", "main.nft"]);
    }
    // A new one that was forgotten, and an edit of the file itself.
    machine.write("main.nft.new", &Language::Nft.ruleset(&[82]));
    machine.write("main.nft", &Language::Nft.ruleset(&[83]));
    for words in [&["commit", "main.nft"][..], &["rollback", "1"]] {
        let said = machine.rules(words);
        assert!(said.code == 2 && said.err.contains("was edited since revision 2"), "{words:?}: {said:?}");
        assert_eq!(machine.read("main.nft"), Language::Nft.ruleset(&[83]));
    }
    machine.succeeds(&["commit", "main.nft", "--yes"]);
    assert_eq!(machine.read("main.nft"), Language::Nft.ruleset(&[82]));
    machine.succeeds(&["rollback", "1"]);
}

#[test]
fn a_refused_ruleset_changes_nothing_and_most_rules_do_not_go_unasked() {
    let machine = Machine::build();
    machine.write("main.nft", &Language::Nft.ruleset(&[80, 81, 82, 83]));
    machine.succeeds(&["commit", "main.nft", "-m", "first"]);
    let before = machine.loaded();
    for (text, reason) in [
        (
            "table inet guard {\n\tchain input {\n\t\tjump nowhere\n\t}\n}\n",
            "does not load into an empty kernel",
        ),
        ("flush ruleset\ntable inet guard {\n}\n", "removes every table"),
        ("include \"/etc/other.nft\"\n", "must hold all of its rules"),
        ("", "no table in it"),
    ] {
        machine.write("main.nft.new", text);
        let said = machine.rules(&["commit", "main.nft"]);
        assert_eq!(said.code, 2, "{said:?}");
        assert!(said.err.contains(reason), "{said:?}");
    }
    machine.write("other.nft", &Language::Nft.ruleset(&[80]));
    for words in [&["commit", "other.nft"][..], &["test", "--for", "1s", "other.nft"]] {
        let said = machine.rules(words);
        assert!(
            said.code == 2 && said.err.contains("belongs to the committed ruleset main.nft, too"),
            "{said:?}"
        );
    }
    // What was never committed is no ruleset that one would have to name.
    machine.write("w.nft", "table inet w {\n\tchain x {\n\t\tiif \"not-there\" accept\n\t}\n}\n");
    assert_eq!(machine.rules(&["commit", "w.nft"]).code, 2);
    assert!(machine.succeeds(&["history"]).out.contains("main.nft (nft)"));
    machine.succeeds(&["blame"]);
    machine.write("main.nft.new", &Language::Nft.ruleset(&[80, 81, 82]));
    for author in ["", "Ada\nparent 0", "Ada\u{1b}[31m"] {
        let said = machine.rules(&["commit", "main.nft", "--author", author]);
        assert!(said.code == 2 && said.err.contains("cannot be an author"), "{said:?}");
    }
    machine.write("main.nft.new", &Language::Nft.ruleset(&[]));
    let said = machine.rules(&["commit", "main.nft"]);
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.err.contains("4 of the 7 rules of revision 1 would go; say --yes"), "{said:?}");
    assert_eq!(machine.loaded(), before);
    assert_eq!(machine.read("main.nft"), Language::Nft.ruleset(&[80, 81, 82, 83]));
    machine.succeeds(&["commit", "main.nft", "--yes", "-m", "all gone"]);
    assert!(!machine.folder.join("main.nft.new").exists());
    let said = machine.succeeds(&["commit", "main.nft"]);
    assert!(said.out.contains("nothing is done"), "{said:?}");
    // Also where there is nothing to do, JSON is JSON.
    let said = machine.succeeds(&["rollback", "2", "--json"]).json();
    assert_eq!(said["committed"].as_array().unwrap().len(), 0, "{said}");
    assert_eq!(machine.succeeds(&["history", "--audit", "--json"]).json()["audited"][0], "main.nft");
    // Who brought what, and what is different.
    let blamed = machine.succeeds(&["blame", "--json"]).json();
    assert!(blamed["rules"].as_array().unwrap().iter().all(|rule| rule["revision"] == 1), "{blamed}");
    let diff = machine.rules(&["diff", "1", "2"]);
    assert_eq!((diff.code, diff.out.matches("\n-").count()), (1, 4), "{diff:?}");
    assert_eq!(machine.rules(&["diff", "--kernel"]).code, 0);
    machine
        .node
        .exec(&["nft", "add", "rule", "inet", "guard", "input", "tcp", "dport", "99", "accept"])
        .unwrap();
    let diff = machine.rules(&["diff", "--kernel"]);
    assert!(diff.code == 1 && diff.out.contains("+tcp dport 99 accept"), "{diff:?}");
}
