//! Rules that lock their author out, over a real SSH connection.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use unmasq_lab::Running;
use unmasq_lab::command::{guarded, output};

use crate::gateway::await_port;
use crate::rules_machine::{Language, Machine, OWN};
use crate::support::{PATIENCE, PROGRAM, eventually, text};

/// An SSH server on the machine, for root with a key.
struct Server<'a> {
    machine: &'a Machine,
    folder: PathBuf,
    _running: Running,
}

impl Server<'_> {
    fn start(machine: &Machine) -> Server<'_> {
        let folder = machine.folder.join("sshd");
        fs::create_dir(&folder).expect("it works");
        for name in ["host", "client"] {
            let key = folder.join(name);
            output(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f", text(&key)]), "")
                .expect("it works");
        }
        let at = |name: &str| text(&folder.join(name)).to_owned();
        let lines = format!(
            "Port 22\nListenAddress {OWN}\nHostKey {}\nAuthorizedKeysFile {}\nPermitRootLogin yes\nStrictModes no\nUsePAM no\n\
             PasswordAuthentication no\nPidFile none\nUseDNS no\n",
            at("host"),
            at("client.pub")
        );
        fs::write(folder.join("config"), lines).expect("it works");
        let mut command = guarded("ip");
        command.args([
            "netns",
            "exec",
            machine.node.name(),
            "sh",
            "-c",
            "mkdir -p /run/sshd && exec \"$@\"",
            "sh",
        ]);
        command.args(["/usr/sbin/sshd", "-D", "-e", "-f", &at("config")]).stderr(Stdio::null());
        let running = Running::start(&mut command).expect("sshd starts (scripts/setup test installs it)");
        await_port(&machine.neighbour, (OWN.parse::<std::net::Ipv4Addr>().expect("it works"), 22).into());
        Server { machine, folder, _running: running }
    }

    /// A command on the machine, over a connection of its own from the neighbour.
    fn ssh(&self, flags: &[&str], line: &str) -> Command {
        let mut command = guarded("ip");
        command.args(["netns", "exec", self.machine.neighbour.name(), "ssh", "-F", "none", "-l", "root"]);
        command.args(["-i", text(&self.folder.join("client"))]).args(flags);
        for option in [
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "ConnectTimeout=60",
            "LogLevel=ERROR",
        ] {
            command.args(["-o", option]);
        }
        command.args([OWN, line]).stdin(Stdio::null());
        command
    }

    /// `unmasq rules …` as a line for a shell over there.
    fn rules(&self, words: &str) -> String {
        format!(
            "cd {} && {PROGRAM} rules {words} {}",
            text(&self.machine.folder),
            self.machine.place().join(" ")
        )
    }
}

/// Rules that drop SSH, what is established included.
fn cutting(language: Language) -> String {
    language
        .ruleset(&[])
        .replace("\t\ttcp dport 22 accept\n", "")
        .replace("-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\n", "")
}

#[test]
fn a_session_that_the_new_rules_cut_comes_back() {
    for language in Language::BOTH {
        let machine = Machine::build();
        machine.write(language.file(), &language.ruleset(&[]));
        machine.succeeds(&["commit", language.file()]);
        let before = machine.loaded();
        machine.write(&format!("{}.new", language.file()), &cutting(language));
        let server = Server::start(&machine);
        // Committed it is not by mistake.
        let refused =
            server.ssh(&[], &server.rules(&format!("commit {}", language.file()))).output().unwrap();
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(2), "{said}");
        assert!(said.contains("[cuts-session]") && said.contains("say --yes"), "{said}");
        let line = server.rules(&format!("test --for 10m {}.new", language.file()));
        let mut test = server.ssh(&[], &format!("{line}; echo it is back"));
        let out = machine.folder.join("out");
        let mut test = Running::start(test.stdout(fs::File::create(&out).unwrap())).unwrap();
        eventually("the rules are loaded", || machine.status()["test_millis_left"].is_u64().then_some(()));
        let refused = server.ssh(&["-o", "ConnectTimeout=1"], "true").output().unwrap();
        assert!(!refused.status.success(), "nobody can connect now");
        machine.succeeds(&["confirm", "--no"]);
        // The session, frozen meanwhile, goes on and tells.
        test.wait(PATIENCE).unwrap();
        let said = fs::read_to_string(&out).unwrap();
        assert!(said.contains("as asked from another session") && said.contains("it is back"), "{said}");
        assert_eq!(machine.loaded(), before);
        output(&mut server.ssh(&[], "true"), "").unwrap();
    }
}

#[test]
fn a_connection_that_breaks_brings_the_rules_before_back() {
    let machine = Machine::build();
    machine.write("main.nft", &Language::Nft.ruleset(&[]));
    machine.succeeds(&["commit", "main.nft"]);
    let before = machine.loaded();
    machine.write("main.nft.new", &Language::Nft.ruleset(&[80]));
    let server = Server::start(&machine);
    // With a terminal, which hangs up when its connection ends.
    let mut test = server.ssh(&["-tt"], &server.rules("test --for 10m main.nft.new"));
    let mut test = Running::start(test.stdout(Stdio::null()).stderr(Stdio::null())).unwrap();
    eventually("the rules are loaded", || machine.status()["test_millis_left"].is_u64().then_some(()));
    assert_ne!(machine.loaded(), before);
    test.signal(rustix::process::Signal::KILL).unwrap();
    test.wait(PATIENCE).unwrap();
    eventually("the rules before are back", || (machine.loaded() == before).then_some(()));
}

#[test]
fn a_new_connection_confirms_and_an_old_one_cannot() {
    let machine = Machine::build();
    machine.write("main.nft", &Language::Nft.ruleset(&[]));
    machine.succeeds(&["commit", "main.nft"]);
    machine.write("main.nft.new", &Language::Nft.ruleset(&[80]));
    let server = Server::start(&machine);
    // One that is there before the rules, and waits until they are loaded.
    let go = machine.folder.join("go");
    let line = format!("while [ ! -e {} ]; do sleep 0.05; done; {}", text(&go), server.rules("confirm"));
    let old = machine.folder.join("old");
    let mut old_one = server.ssh(&[], &format!("echo here; {line} 2>&1; echo exit $?"));
    let mut old_one = Running::start(old_one.stdout(fs::File::create(&old).unwrap())).unwrap();
    eventually("it is connected", || fs::read_to_string(&old).unwrap().contains("here").then_some(()));
    let mut test = server.ssh(&[], &server.rules("test --for 10m main.nft.new"));
    let out = machine.folder.join("out");
    let mut test = Running::start(test.stdout(fs::File::create(&out).unwrap())).unwrap();
    eventually("the rules are loaded", || machine.status()["test_millis_left"].is_u64().then_some(()));
    fs::write(&go, "").unwrap();
    old_one.wait(PATIENCE).unwrap();
    let said = fs::read_to_string(&old).unwrap();
    assert!(said.contains("older than the rules under test") && said.contains("exit 3"), "{said}");
    // Start times of processes are counted in hundredths of a second, rounded down: one that begins now is older than the rules,
    // unless they have been loaded for as long.
    std::thread::sleep(std::time::Duration::from_millis(30));
    let confirmed = server.ssh(&[], &server.rules("confirm")).output().unwrap();
    assert!(confirmed.status.success(), "{confirmed:?}");
    test.wait(PATIENCE).unwrap();
    assert!(fs::read_to_string(&out).unwrap().contains("Confirmed"));
    assert!(machine.reaches(80));
}
