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
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use unmasq_lab::command::guarded;
use unmasq_lab::{Lab, Node, Running};

use crate::plan_gateway::{Said, run};
use crate::support::{PROGRAM, eventually, text};

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

    /// Runs it in a session of its own, as a new login would.
    pub(crate) fn in_new_session(&self, words: &[&str]) -> Said {
        let mut command = guarded("setsid");
        command
            .args(["--wait", "ip", "netns", "exec", self.node.name(), PROGRAM, "rules"])
            .args(words)
            .args(self.place());
        run(command.current_dir(&self.folder))
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
        let address = SocketAddr::new(OWN.parse().expect("an address"), port);
        let connected =
            self.neighbour.run(|| std::net::TcpStream::connect_timeout(&address, Duration::from_millis(300)));
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

    /// Sends packets that must be dropped, all the while. Gives how many were sent, and how many came through.
    pub(crate) fn while_flooded<T>(&self, work: impl FnOnce() -> T) -> (T, u64, u64) {
        const PORT: u16 = 9;
        let receiver = self.node.run(|| UdpSocket::bind((OWN, PORT))).expect("it enters").expect("a socket");
        receiver.set_nonblocking(true).expect("a setting");
        let sender =
            self.neighbour.run(|| UdpSocket::bind(("192.0.2.2", 0))).expect("it enters").expect("a socket");
        sender.connect((OWN, PORT)).expect("an address");
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            let flood = scope.spawn(|| {
                let mut sent = 0_u64;
                while !is_over.load(Ordering::Relaxed) {
                    // A full queue or a refusal is no matter; the next one follows.
                    sent += u64::from(sender.send(b"through?").is_ok());
                }
                sent
            });
            // Also if the work panics, or the flood would never end.
            let done = catch_unwind(AssertUnwindSafe(work));
            is_over.store(true, Ordering::Relaxed);
            let sent = flood.join().expect("it floods");
            let mut came_through = 0;
            let mut buffer = [0; 16];
            while receiver.recv(&mut buffer).is_ok() {
                came_through += 1;
            }
            (done.unwrap_or_else(|panic| resume_unwind(panic)), sent, came_through)
        })
    }
}

/// The processes that a process has started.
pub(crate) fn children(pid: u32) -> Vec<Pid> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect()
}

/// SIGKILL for a process and those that it has started.
pub(crate) fn kill_all(running: &Running) {
    let keepers = children(running.id());
    // What is gone already needs no signal.
    let _ = running.signal(Signal::KILL);
    for keeper in keepers {
        let _ = kill_process(keeper, Signal::KILL);
    }
}
