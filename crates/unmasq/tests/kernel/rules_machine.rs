//! A machine whose rules are changed, and a neighbour that feels them.
//!
//! ```text
//!  neighbour 192.0.2.2 ──wan── 192.0.2.1 machine
//! ```

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use unmasq_lab::command::guarded;
use unmasq_lab::{Lab, Node, Running};

use crate::plan_gateway::{Said, run};
use crate::support::{PATIENCE, PROGRAM, eventually, text};

/// The machine's own address.
pub(crate) const OWN: &str = "192.0.2.1";

pub(crate) struct Machine {
    pub(crate) node: Node,
    pub(crate) neighbour: Node,
    pub(crate) folder: PathBuf,
}

/// The language of rules in a test that holds for several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    Iptables,
    Nft,
}

impl Language {
    pub(crate) const BOTH: [Self; 2] = [Self::Nft, Self::Iptables];

    /// The name of a ruleset.
    pub(crate) fn file(self) -> &'static str {
        match self {
            Self::Iptables => "iptables.conf",
            Self::Nft => "main.nft",
        }
    }

    /// Drops what comes in but for SSH and these TCP ports.
    pub(crate) fn ruleset(self, ports: &[u16]) -> String {
        match self {
            Self::Nft => {
                let rules = lines(ports, "\t\ttcp dport ", " accept\n");
                format!(
                    "table inet guard {{\n\tset banned {{\n\t\ttype ipv4_addr\n\t\tflags timeout\n\t}}\n\n\tchain input {{\n\
                     \t\ttype filter hook input priority filter; policy drop;\n\t\tip saddr @banned drop\n\t\tiif \"lo\" accept\n\
                     \t\ttcp dport 22 accept\n{rules}\t}}\n}}\n"
                )
            }
            Self::Iptables => {
                let rules = lines(ports, "-A INPUT -p tcp -m tcp --dport ", " -j ACCEPT\n");
                format!(
                    "*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n-A INPUT -i lo -j ACCEPT\n\
                     -A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\n{rules}COMMIT\n"
                )
            }
        }
    }
}

fn lines(ports: &[u16], before: &str, after: &str) -> String {
    ports.iter().flat_map(|port| [before.to_owned(), port.to_string(), after.to_owned()]).collect()
}

impl Machine {
    pub(crate) fn build() -> Self {
        let lab = Lab::new().expect("a lab");
        let (node, neighbour) =
            (lab.node("machine").expect("a node"), lab.node("neighbour").expect("a node"));
        neighbour.link("wan", &["192.0.2.2/24"], (&node, "wan", &["192.0.2.1/24"])).expect("a link");
        let folder = lab.scratch().join("rules");
        fs::create_dir(&folder).expect("a folder");
        fs::write(folder.join("unmasq.toml"), "").expect("a file");
        Self { node, neighbour, folder }
    }

    /// Writes a file.
    pub(crate) fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.join(name);
        fs::write(&path, content).expect("a file");
        path
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.join(name)).expect("a file")
    }

    pub(crate) fn history(&self) -> PathBuf {
        self.folder.join("history")
    }

    pub(crate) fn run_folder(&self) -> PathBuf {
        self.folder.join("run")
    }

    /// Words that say where things are kept.
    pub(crate) fn place(&self) -> Vec<String> {
        let paths = [
            ("--history", self.history()),
            ("--run", self.run_folder()),
            ("--config", self.folder.join("unmasq.toml")),
        ];
        paths.iter().flat_map(|(flag, path)| [(*flag).to_owned(), text(path).to_owned()]).collect()
    }

    /// `unmasq rules` on the machine, in its folder.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = guarded("ip");
        command.args(["netns", "exec", self.node.name(), PROGRAM, "rules"]).args(words).args(self.place());
        command.current_dir(&self.folder).stdin(Stdio::null());
        command
    }

    /// Runs `unmasq rules` on the machine.
    pub(crate) fn rules(&self, words: &[&str]) -> Said {
        run(&mut self.command(words))
    }

    /// Runs it, and it succeeds.
    pub(crate) fn succeeds(&self, words: &[&str]) -> Said {
        let said = self.rules(words);
        assert_eq!(said.code, 0, "{words:?}: {said:?}");
        said
    }

    /// Runs it in a session of its own, as a new login would: without this one's ancestors, among which is an SSH connection
    /// where the tests are run over one.
    pub(crate) fn in_new_session(&self, words: &[&str]) -> Said {
        let answer = self.folder.join("new-session");
        let _ = fs::remove_file(&answer);
        let mut command = guarded("setsid");
        command.args([
            "--fork",
            "sh",
            "-c",
            "\"$@\" >\"$0.out\" 2>\"$0.err\"; echo $? >\"$0\"",
            text(&answer),
        ]);
        command
            .args(["ip", "netns", "exec", self.node.name(), PROGRAM, "rules"])
            .args(words)
            .args(self.place());
        command.current_dir(&self.folder).env_remove("SSH_CONNECTION").stdin(Stdio::null());
        assert!(command.status().expect("setsid runs").success());
        let code = eventually("it has ended", || fs::read_to_string(&answer).ok()?.trim().parse().ok());
        let said = |what: &str| self.read(&format!("new-session.{what}"));
        Said { out: said("out"), err: said("err"), code }
    }

    /// Loads what is committed, when nobody is at work any more: a keeper that has lost its command, and programs that were started
    /// by one that is dead, come to their end first.
    pub(crate) fn load_when_free(&self) -> Said {
        eventually("nobody is at work", || {
            let said = self.rules(&["load"]);
            if said.code == 2 && said.err.contains("another `unmasq rules` is at work") {
                return None;
            }
            assert_eq!(said.code, 0, "{said:?}");
            Some(said)
        })
    }

    /// Starts a test that lasts until it is answered, and waits until its rules are loaded.
    pub(crate) fn begin_test(&self, file: &str) -> Running {
        let mut command = self.command(&["test", "--for", "10m", file]);
        let running = Running::start(command.stdout(Stdio::null())).expect("it starts");
        eventually("the rules are loaded", || self.status()["test_millis_left"].is_u64().then_some(()));
        running
    }

    pub(crate) fn status(&self) -> Value {
        self.succeeds(&["status", "--json"]).json()
    }

    /// The rules that are loaded, without counters, times and handles.
    pub(crate) fn loaded(&self) -> String {
        let nft = self.node.exec(&["nft", "-s", "list", "ruleset"]).expect("nft lists");
        let saved = self.node.exec(&["iptables-save"]).expect("iptables lists");
        let is_rule = |line: &&str| !line.starts_with('#') && !line.contains("elements =");
        let lines = nft.lines().chain(saved.lines()).filter(is_rule);
        lines.map(|line| line.split(" [").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
    }

    /// Can the neighbour connect to this TCP port? Refused counts: the packet came through.
    pub(crate) fn reaches(&self, port: u16) -> bool {
        self.reaches_within(port, PATIENCE)
    }

    /// Does nothing come of the neighbour's connection to this TCP port?
    pub(crate) fn keeps_out(&self, port: u16) -> bool {
        // What is dropped is never answered: a busy machine can only make this say so where it is not.
        !self.reaches_within(port, Duration::from_millis(300))
    }

    fn reaches_within(&self, port: u16, patience: Duration) -> bool {
        let address = SocketAddr::new(OWN.parse().expect("an address"), port);
        let connected = self.neighbour.run(|| std::net::TcpStream::connect_timeout(&address, patience));
        match connected.expect("it enters") {
            Ok(_) => true,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionRefused,
        }
    }

    /// Everything off, as after a restart.
    pub(crate) fn restart(&self) {
        self.node.exec(&["nft", "flush", "ruleset"]).expect("nft flushes");
        let _ = fs::remove_dir_all(self.run_folder());
    }

    /// Sends packets that must be dropped, all the while; gives how many came through.
    pub(crate) fn while_flooded<T>(&self, work: impl FnOnce(&Flood) -> T) -> (T, u64) {
        const PORT: u16 = 9;
        let receiver = self.node.run(|| UdpSocket::bind((OWN, PORT))).expect("it enters").expect("a socket");
        receiver.set_nonblocking(true).expect("a setting");
        let flood = Flood { receiver, sent: AtomicU64::new(0) };
        let sender =
            self.neighbour.run(|| UdpSocket::bind(("192.0.2.2", 0))).expect("it enters").expect("a socket");
        sender.connect((OWN, PORT)).expect("an address");
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            let sending = scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    // A full queue or a refusal is no matter; the next one follows.
                    flood.sent.fetch_add(u64::from(sender.send(b"through?").is_ok()), Ordering::Relaxed);
                }
            });
            // Also if the work panics, or the flood would never end.
            let done = catch_unwind(AssertUnwindSafe(|| work(&flood)));
            is_over.store(true, Ordering::Relaxed);
            sending.join().expect("it floods");
            let mut came_through = 0;
            let mut buffer = [0; 16];
            while flood.receiver.recv(&mut buffer).is_ok() {
                came_through += 1;
            }
            (done.unwrap_or_else(|panic| resume_unwind(panic)), came_through)
        })
    }
}

/// Packets under way.
pub(crate) struct Flood {
    receiver: UdpSocket,
    sent: AtomicU64,
}

impl Flood {
    /// Waits until so many more have been sent.
    pub(crate) fn goes_on(&self, packets: u64) {
        let before = self.sent.load(Ordering::Relaxed);
        eventually("the flood goes on", || {
            (self.sent.load(Ordering::Relaxed) - before >= packets).then_some(())
        });
    }

    /// Waits until one has come through.
    pub(crate) fn comes_through(&self) {
        eventually("a packet comes through", || self.receiver.peek(&mut [0; 16]).ok());
    }
}

/// The processes that a process has started.
pub(crate) fn children(pid: u32) -> Vec<Pid> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect()
}

/// SIGKILL for a process and those that it has started, as at one moment: none of them does anything about another's end.
pub(crate) fn kill_all(running: &Running) {
    let command = i32::try_from(running.id()).ok().and_then(Pid::from_raw).expect("a process");
    freeze(command);
    let keepers = children(running.id());
    for keeper in &keepers {
        freeze(*keeper);
    }
    for process in keepers.into_iter().chain([command]) {
        // What is gone already needs no signal.
        let _ = kill_process(process, Signal::KILL);
    }
}

/// Stops a process, and waits until it stands still or has ended.
fn freeze(process: Pid) {
    if kill_process(process, Signal::STOP).is_err() {
        return;
    }
    eventually("the process stands still", || {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
        state.is_none_or(|state| matches!(state, 'T' | 'Z' | 'X')).then_some(())
    });
}
