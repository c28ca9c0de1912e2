//! `unmasq rules test`: whatever happens, the rules before come back; unless a new connection confirms.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::process::{Signal, kill_process};
use serde_json::Value;
use unmasq_lab::Running;
use unmasq_lab::command::guarded;

use crate::plan_gateway::run;
use crate::rules_machine::{Flood, Language, Machine, children, kill_all};
use crate::support::{PATIENCE, PROGRAM, eventually};

/// A machine with a committed ruleset, and a new one that lets port 80 in as well.
fn prepared(language: Language) -> (Machine, String, String) {
    let machine = Machine::build();
    machine.write(language.file(), &language.ruleset(&[]));
    machine.succeeds(&["commit", language.file()]);
    let before = machine.loaded();
    let new = format!("{}.new", language.file());
    machine.write(&new, &language.ruleset(&[80]));
    (machine, new, before)
}

#[test]
fn the_rules_before_come_back_when_nobody_confirms() {
    for language in Language::BOTH {
        let (machine, new, before) = prepared(language);
        assert!(machine.keeps_out(80));
        let said = machine.rules(&["test", "--for", "1s", &new]);
        assert_eq!(said.code, 1, "{said:?}");
        assert!(said.out.contains("nobody confirmed in time"), "{said:?}");
        assert_eq!(machine.loaded(), before);
        assert!(machine.keeps_out(80));
        let last = machine.status()["last_test"]["what"].to_string();
        assert!(last.contains("the rules before are back"), "{last}");
    }
}

#[test]
fn a_command_that_is_killed_or_loses_its_terminal_brings_the_rules_before_back() {
    for language in Language::BOTH {
        let (machine, new, before) = prepared(language);
        for signal in [Signal::KILL, Signal::HUP, Signal::TERM] {
            let mut test = machine.begin_test(&new);
            assert_ne!(machine.loaded(), before);
            assert!(machine.reaches(80));
            test.signal(signal).unwrap();
            test.wait(PATIENCE).unwrap();
            eventually("the rules before are back", || (machine.loaded() == before).then_some(()));
            eventually("the keeper is gone", || machine.status()["test_millis_left"].is_null().then_some(()));
        }
    }
}

#[test]
fn a_keeper_that_is_killed_is_replaced_by_the_command_and_both_by_the_next() {
    for language in Language::BOTH {
        let (machine, new, before) = prepared(language);
        let mut test = machine.begin_test(&new);
        for keeper in children(test.id()) {
            kill_process(keeper, Signal::KILL).unwrap();
        }
        assert_eq!(test.wait(PATIENCE).unwrap().code(), Some(1));
        assert_eq!(machine.loaded(), before);
        let mut test = machine.begin_test(&new);
        kill_all(&test);
        test.wait(PATIENCE).unwrap();
        assert_ne!(machine.loaded(), before, "nobody is left to do it");
        let said = machine.load_when_free();
        assert!(said.err.contains("had been cut short; the rules before it are back"), "{said:?}");
        assert_eq!(machine.loaded(), before);
    }
}

#[test]
fn a_test_that_cannot_be_noted_is_none() {
    for language in Language::BOTH {
        let (machine, new, before) = prepared(language);
        // The first note, before the load, fits on the disk; the second does not.
        let ports: Vec<u16> = (1000..3000).collect();
        machine.write(&new, &language.ruleset(&ports));
        let test = machine.command(&["test", "--for", "10m", &new]);
        let mut command = guarded("unshare");
        command.args(["--mount", "sh", "-c", "mount -t tmpfs -o size=150k tmpfs \"$0\" && exec \"$@\""]);
        command.arg(machine.run_folder()).arg(test.get_program()).args(test.get_args());
        let said = run(command.current_dir(&machine.folder).stdin(Stdio::null()));
        assert!(said.code == 2 && said.err.contains("test.json: No space left"), "{said:?}");
        assert_eq!(machine.loaded(), before);
    }
}

#[test]
fn rules_that_cannot_be_put_back_are_told_of_until_they_can() {
    let machine = Machine::build();
    let ipset = |words: &[&str]| machine.node.exec(&[&["ipset"], words].concat()).unwrap();
    let ruleset = |rule: &str| format!("*filter\n:INPUT ACCEPT [0:0]\n-A INPUT {rule} -j DROP\nCOMMIT\n");
    ipset(&["create", "banned", "hash:ip"]);
    machine.write("iptables.conf", &ruleset("-m set --match-set banned src"));
    machine.succeeds(&["commit", "iptables.conf"]);
    let before = machine.loaded();
    machine.write("iptables.conf.new", &ruleset("-s 192.0.2.77/32"));
    let mut test = machine.begin_test("iptables.conf.new");
    ipset(&["destroy", "banned"]);
    machine.succeeds(&["confirm", "--no"]);
    assert_eq!(test.wait(PATIENCE).unwrap().code(), Some(4));
    let status = machine.succeeds(&["status"]).out;
    assert!(status.contains("its rules are still in force: unmasq rules mend"), "{status}");
    assert!(status.contains("those before cannot be put back") && status.contains("banned"), "{status}");
    assert_eq!(machine.status()["test_cut_short"], true);
    assert_eq!(machine.rules(&["mend"]).code, 4);
    ipset(&["create", "banned", "hash:ip"]);
    machine.succeeds(&["mend"]);
    assert_eq!(machine.loaded(), before);
    assert_eq!(machine.status()["test_cut_short"], false);
}

#[test]
fn what_watches_over_a_test_brings_the_rules_back_when_command_and_keeper_are_killed() {
    let unit = include_str!("../../../../packaging/unmasq-rules-mend.service");
    let start = unit.lines().find_map(|line| line.strip_prefix("ExecStart=unmasq rules ")).unwrap();
    let path = include_str!("../../../../packaging/unmasq-rules-mend.path");
    for language in Language::BOTH {
        let (machine, new, before) = prepared(language);
        machine.succeeds(&["mend"]);
        let mut test = machine.begin_test(&new);
        // What systemd looks for is there while the test is.
        let watched =
            path.lines().find_map(|line| line.strip_prefix("PathExists=/run/unmasq/rules/")).unwrap();
        assert!(machine.run_folder().join(watched).exists());
        let mut command = machine.command(&start.split(' ').collect::<Vec<_>>());
        let mut watching = Running::start(command.stdout(Stdio::null()).stderr(Stdio::null())).unwrap();
        let busy = machine.rules(&["mend"]);
        assert!(busy.code == 2 && busy.err.contains("another `unmasq rules` is at work"), "{busy:?}");
        assert!(machine.reaches(80), "it leaves a test alone that is under way");
        kill_all(&test);
        test.wait(PATIENCE).unwrap();
        assert!(watching.wait(PATIENCE).unwrap().success());
        assert_eq!(machine.loaded(), before);
        assert!(!machine.run_folder().join(watched).exists(), "it is not started again");
        let last = machine.status()["last_test"]["what"].to_string();
        assert!(last.contains("the rules before are back: it had been cut short"), "{last}");
    }
}

#[test]
fn a_test_that_is_killed_at_any_moment_leaves_the_rules_before() {
    for language in Language::BOTH {
        let (machine, new, before) = prepared(language);
        for round in 0..16_u64 {
            let mut command = machine.command(&["test", "--for", "10m", &new]);
            let mut test = Running::start(command.stdout(Stdio::null())).unwrap();
            // Spread over what it takes to load; the figure only decides which moments are hit.
            std::thread::sleep(Duration::from_millis(10 + round * 9));
            if round % 2 == 0 {
                kill_all(&test);
            } else {
                test.signal(Signal::KILL).unwrap();
            }
            test.wait(PATIENCE).unwrap();
            machine.load_when_free();
            assert_eq!(machine.loaded(), before, "round {round}");
            assert_eq!(machine.read(language.file()), language.ruleset(&[]));
        }
    }
}

/// A command can be put aside between its connection and its question.
#[test]
fn one_who_is_slow_to_ask_is_answered() {
    let (machine, new, before) = prepared(Language::Nft);
    let mut test = machine.begin_test(&new);
    let mut asking = UnixStream::connect(machine.run_folder().join("test.sock")).unwrap();
    std::thread::sleep(Duration::from_secs(1));
    asking.write_all(b"\"Return\"\n").unwrap();
    let mut answer = String::new();
    asking.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("Done"), "{answer:?}");
    assert_eq!(test.wait(PATIENCE).unwrap().code(), Some(1));
    assert_eq!(machine.loaded(), before);
}

#[test]
fn a_test_whose_command_is_gone_before_its_turn_is_none() {
    let (machine, new, before) = prepared(Language::Nft);
    // Somebody else is at work.
    let lock = std::fs::File::options().append(true).open(machine.run_folder().join("lock")).unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    let mut command = machine.command(&["test", "--for", "10m", &new]);
    let mut test = Running::start(command.stdout(Stdio::null())).unwrap();
    // Before it there are programs that try the ruleset.
    let keeper = eventually("the keeper is there", || {
        children(test.id()).into_iter().find(|child| {
            let line = std::fs::read(format!("/proc/{child}/cmdline")).unwrap_or_default();
            line.ends_with(b"\0keeper\0")
        })
    });
    // Until it has been told what to do; were it not, it would do nothing either.
    std::thread::sleep(Duration::from_millis(300));
    test.signal(Signal::KILL).unwrap();
    test.wait(PATIENCE).unwrap();
    drop(lock);
    eventually("the keeper has ended", || {
        let stat = std::fs::read_to_string(format!("/proc/{keeper}/stat")).unwrap_or_default();
        (stat.is_empty() || stat.contains(") Z ")).then_some(())
    });
    assert_eq!(machine.status()["last_test"], Value::Null, "there was none");
    assert_eq!(machine.loaded(), before);
}

#[test]
fn only_another_session_can_confirm_and_any_can_refuse() {
    let (machine, new, before) = prepared(Language::Nft);
    let mut test = machine.begin_test(&new);
    let refused = machine.rules(&["confirm"]);
    assert_eq!(refused.code, 3, "{refused:?}");
    assert!(refused.err.contains("open a new connection"), "{refused:?}");
    let busy = machine.rules(&["commit", "main.nft"]);
    assert_eq!(busy.code, 2, "{busy:?}");
    assert!(busy.err.contains("another `unmasq rules` is at work"), "{busy:?}");
    assert_eq!(machine.in_new_session(&["confirm"]).code, 0);
    assert_eq!(test.wait(PATIENCE).unwrap().code(), Some(0));
    assert_ne!(machine.loaded(), before);
    // What was confirmed can be committed.
    machine.succeeds(&["commit", "main.nft"]);
    let before = machine.loaded();
    machine.write(&new, &Language::Nft.ruleset(&[443]));
    let mut test = machine.begin_test(&new);
    assert_eq!(machine.rules(&["confirm", "--no"]).code, 0);
    assert_eq!(test.wait(PATIENCE).unwrap().code(), Some(1));
    assert_eq!(machine.loaded(), before);
    assert_eq!(machine.rules(&["confirm"]).code, 1, "there is no test any more");
}

#[test]
fn at_a_terminal_one_answers_yes_or_no_or_interrupts() {
    let (machine, new, before) = prepared(Language::Nft);
    for (typed, status, says) in [("n\n", 1, "as asked"), ("\u{3}", 1, "as asked"), ("y\n", 0, "Confirmed")] {
        // `exec`: a shell that stayed between would get Ctrl-C too, and dash would answer 130 for it.
        let line = format!("exec {PROGRAM} rules test --for 10m {new} {}", machine.place().join(" "));
        let mut command = machine.node.command("script");
        // script(1) starts $SHELL, which a service or a CI run does not have, or has another one.
        command.env("SHELL", "/bin/sh");
        let out = machine.folder.join("out");
        command.args(["-qec", &line, "/dev/null"]).current_dir(&machine.folder).stdin(Stdio::piped());
        let mut test = Running::start(command.stdout(std::fs::File::create(&out).unwrap())).unwrap();
        let said = || String::from_utf8_lossy(&std::fs::read(&out).unwrap()).into_owned();
        eventually("it asks", || said().contains("[y/N]").then_some(()));
        let mut stdin = test.child().stdin.take().unwrap();
        stdin.write_all(typed.as_bytes()).unwrap();
        assert_eq!(test.wait(PATIENCE).unwrap().code(), Some(status), "{typed:?}: {}", said());
        assert!(said().contains(says), "{typed:?}: {}", said());
        assert_eq!(machine.loaded() == before, status == 1, "{typed:?}");
    }
}

#[test]
fn of_several_rulesets_all_are_tested_or_none() {
    let machine = Machine::build();
    for language in Language::BOTH {
        machine.write(language.file(), &language.ruleset(&[80]));
    }
    let empty = machine.loaded();
    let said = machine.rules(&["test", "--for", "1s", "main.nft", "iptables.conf"]);
    assert_eq!(said.code, 1, "{said:?}");
    // iptables leaves an empty table that was not there; it lets everything pass.
    assert!(machine.reaches(9999), "{}", machine.loaded());
    machine.node.exec(&["nft", "flush", "ruleset"]).unwrap();
    machine.write("broken.nft", "table ip x {\n chain y {\n  jump nowhere\n }\n}\n");
    let said = machine.rules(&["test", "--for", "1s", "main.nft", "broken.nft"]);
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.err.contains("broken.nft"), "{said:?}");
    assert_eq!(machine.loaded(), empty);
}

#[test]
fn two_rulesets_that_would_undo_each_other_are_refused_together() {
    let machine = Machine::build();
    machine.write("main.nft", &Language::Nft.ruleset(&[80]));
    machine.write("main.nft.new", &Language::Nft.ruleset(&[81]));
    machine.write("other.nft", &Language::Nft.ruleset(&[82]));
    let empty = machine.loaded();
    for (words, why) in [
        (&["test", "main.nft", "main.nft.new"][..], "are both the ruleset main.nft"),
        (&["test", "main.nft", "other.nft"], "both make the table inet guard"),
        (&["commit", "main.nft", "main.nft"], "are both the ruleset main.nft"),
        (&["commit", "main.nft", "other.nft"], "both make the table inet guard"),
    ] {
        let said = machine.rules(words);
        assert!(said.code == 2 && said.err.contains(why), "{words:?}: {said:?}");
        assert_eq!(machine.loaded(), empty);
        assert!(!machine.history().exists());
    }
}

/// A jail of a real fail2ban, whose bans are rules in our table or a table of its own.
const JAIL: &str = "[DEFAULT]\nbackend = polling\nusedns = no\n\
    [rules]\nenabled = true\nfilter = sshd\nlogpath = LOG\nport = 22\nbanaction = iptables-multiport\n\
    [table]\nenabled = true\nfilter = sshd\nlogpath = LOG\nport = 22\nbanaction = nftables-multiport\n";

struct Fail2ban<'a>(&'a Machine);

impl Fail2ban<'_> {
    fn start(machine: &Machine) -> Fail2ban<'_> {
        let folder = machine.folder.join("fail2ban");
        let copied = std::process::Command::new("cp")
            .args(["-r", "/etc/fail2ban"])
            .arg(&folder)
            .status()
            .expect("it works");
        assert!(copied.success());
        let log = machine.write("auth.log", "");
        std::fs::write(folder.join("jail.local"), JAIL.replace("LOG", log.to_str().expect("it works")))
            .expect("it works");
        let local = format!(
            "[DEFAULT]\ndbfile = None\nlogtarget = {}\n",
            folder.join("log").to_str().expect("it works")
        );
        std::fs::write(folder.join("fail2ban.local"), local).expect("it works");
        // Debian's own jail for sshd, whose log is not here.
        let _ = std::fs::remove_file(folder.join("jail.d/defaults-debian.conf"));
        let fail2ban = Fail2ban(machine);
        fail2ban.client(&["start"]);
        fail2ban
    }

    fn client(&self, words: &[&str]) {
        let folder = self.0.folder.join("fail2ban");
        let at = |name: &str| folder.join(name).to_str().expect("it works").to_owned();
        let (conf, socket, pid) = (folder.to_str().expect("it works"), at("sock"), at("pid"));
        // It waits for its server for half a minute otherwise.
        let place = ["fail2ban-client", "-c", conf, "-s", &socket, "-p", &pid, "--timeout", "120"];
        self.0.node.exec(&[&place[..], words].concat()).expect("it works");
    }

    fn bans(&self, jail: &str, address: &str) {
        self.client(&["set", jail, "banip", address]);
    }

    fn lets_go(&self, jail: &str, address: &str) {
        self.client(&["set", jail, "unbanip", address]);
    }
}

impl Drop for Fail2ban<'_> {
    fn drop(&mut self) {
        self.client(&["stop"]);
    }
}

#[test]
fn bans_that_fail2ban_and_others_make_and_end_meanwhile_outlive_load_and_return() {
    let machine = Machine::build();
    for language in Language::BOTH {
        machine.write(language.file(), &language.ruleset(&[]));
        machine.succeeds(&["commit", language.file()]);
        machine.write(&format!("{}.new", language.file()), &language.ruleset(&[80]));
    }
    let fail2ban = Fail2ban::start(&machine);
    for jail in ["rules", "table"] {
        fail2ban.bans(jail, "198.51.100.1");
        fail2ban.bans(jail, "198.51.100.2");
    }
    // By unmasq itself, as anyone would.
    let element = |word: &str, address: &str| {
        let timeout: &[&str] = if word == "add" { &["--timeout", "1h"] } else { &[] };
        let words = [&[PROGRAM, "rules", "set", word, "inet:guard", "banned", address], timeout].concat();
        machine.node.exec(&words).unwrap();
    };
    element("add", "198.51.100.1");
    element("add", "198.51.100.2");
    // How often an address is banned: by fail2ban in our table, by fail2ban in its own, by others in our set.
    let banned = |address: &str| {
        let rules = machine.node.exec(&["iptables-save", "-t", "filter"]).unwrap();
        let own = machine.node.exec(&["nft", "list", "table", "inet", "f2b-table"]).unwrap();
        let set = machine.node.exec(&["nft", "list", "set", "inet", "guard", "banned"]).unwrap();
        assert!(rules.contains("-j f2b-rules"), "{rules}");
        [rules.contains(&format!("-s {address}/32 -j REJECT")), own.contains(address), set.contains(address)]
    };
    for address in ["198.51.100.1", "198.51.100.2"] {
        eventually("it is banned", || (banned(address) == [true; 3]).then_some(()));
    }
    let change = |confirmed: bool, stays: &str, goes: &str, comes: &str| {
        let mut test = {
            let mut command = machine.command(&["test", "--for", "10m", "main.nft.new", "iptables.conf.new"]);
            let running = Running::start(command.stdout(Stdio::null())).unwrap();
            eventually("they are loaded", || machine.status()["test_millis_left"].is_u64().then_some(()));
            running
        };
        assert_eq!(banned(stays), [true; 3], "after the load");
        for jail in ["rules", "table"] {
            fail2ban.bans(jail, comes);
            fail2ban.lets_go(jail, goes);
        }
        element("add", comes);
        element("remove", goes);
        eventually("it is banned", || (banned(comes) == [true; 3]).then_some(()));
        eventually("it is let go", || (banned(goes) == [false; 3]).then_some(()));
        if confirmed {
            assert_eq!(machine.in_new_session(&["confirm"]).code, 0);
        } else {
            assert_eq!(machine.in_new_session(&["confirm", "--no"]).code, 0);
        }
        test.wait(PATIENCE).unwrap();
        for (address, expected) in [(stays, true), (comes, true), (goes, false)] {
            assert_eq!(banned(address), [expected; 3], "{address}, confirmed: {confirmed}");
        }
    };
    change(false, "198.51.100.1", "198.51.100.2", "198.51.100.3");
    assert!(machine.keeps_out(80));
    change(true, "198.51.100.3", "198.51.100.1", "198.51.100.4");
    assert!(machine.reaches(80));
    machine.succeeds(&["commit", "main.nft", "iptables.conf"]);
    assert_eq!((banned("198.51.100.3"), banned("198.51.100.4")), ([true; 3], [true; 3]));
    machine.succeeds(&["rollback", "1", "-r", "iptables.conf"]);
    machine.succeeds(&["rollback", "1", "-r", "main.nft"]);
    assert_eq!((banned("198.51.100.3"), banned("198.51.100.4")), ([true; 3], [true; 3]));
    assert_eq!(banned("198.51.100.1"), [false; 3]);
    drop(fail2ban);
}

#[test]
fn what_must_be_dropped_is_dropped_at_every_instant() {
    for language in Language::BOTH {
        let (machine, new, _) = prepared(language);
        let work = |flood: &Flood| {
            flood.goes_on(1_000);
            for _ in 0..3 {
                let said = machine.rules(&["test", "--for", "200ms", &new]);
                assert_eq!(said.code, 1, "{said:?}");
            }
            let mut test = machine.begin_test(&new);
            kill_all(&test);
            test.wait(PATIENCE).unwrap();
            machine.load_when_free();
            for ports in [&[443_u16, 80][..], &[]] {
                machine.write(&new, &language.ruleset(ports));
                machine.succeeds(&["commit", language.file(), "--yes"]);
            }
            for revision in ["1", "2"] {
                machine.succeeds(&["rollback", revision, "--yes"]);
            }
            flood.goes_on(10_000);
        };
        let ((), came_through) = machine.while_flooded(work);
        assert_eq!(came_through, 0, "{language:?}");
        // The same packets come through where nothing drops them.
        machine.restart();
        machine.while_flooded(Flood::comes_through);
    }
}
