//! A gateway whose clients get their ports by `unmasq plan`, and what is asked about it.
//!
//! ```text
//!  client0 192.168.101.2, .3 ──lan0─┐         ┌─ servers 198.51.100.7, …
//!  client1 192.168.102.2, .3 ──lan1─┤ gateway ├─
//!                                   └──wan────┘
//!                               203.0.113.1, 203.0.113.2
//! ```

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use unmasq_flow::Timestamp;
use unmasq_lab::command::guarded;
use unmasq_lab::{Lab, Network, Node, Plan, Running};

use crate::support::{PROGRAM, clients, eventually, text};

/// What is asked of a plan by most tests.
pub(crate) const USUAL: [&str; 5] =
    ["--network", "192.168.101.0/29", "192.168.102.0/29", "--public", "203.0.113.1-203.0.113.2"];

/// What the program said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) code: i32,
}

impl Said {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Who has what by `unmasq plan show`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) client: Ipv4Addr,
    pub(crate) public: Ipv4Addr,
    pub(crate) ports: (u16, u16),
}

impl Block {
    pub(crate) fn has(&self, address: Ipv4Addr, port: u16) -> bool {
        self.public == address && (self.ports.0..=self.ports.1).contains(&port)
    }
}

/// The gateway of a network, with a history of plans of its own.
pub(crate) struct Gateway {
    pub(crate) lab: Lab,
    pub(crate) network: Network,
    pub(crate) history: PathBuf,
    config: PathBuf,
}

impl Gateway {
    /// Two networks of two clients each, two public addresses, and no rules.
    pub(crate) fn build() -> Self {
        let lab = Lab::new().expect("a lab");
        let network = Network::build(&lab, Plan { rules: Vec::new(), ..Plan::default() }).expect("a network");
        network.gateway.ip(&["address add 203.0.113.2/24 dev wan"]).expect("a second address");
        for (n, client) in network.clients.iter().enumerate() {
            client.ip(&[format!("address add 192.168.{}.3/24 dev wan", 101 + n)]).expect("a second client");
        }
        let (history, config) = (lab.scratch().join("plan"), lab.scratch().join("unmasq.toml"));
        std::fs::write(&config, "").expect("a file");
        Self { lab, network, history, config }
    }

    /// The addresses of the clients, each with its node.
    pub(crate) fn clients(&self) -> Vec<(&Node, Ipv4Addr)> {
        let of =
            |n: usize, host: u8| (&self.network.clients[n], Ipv4Addr::new(192, 168, 101 + n as u8, host));
        vec![of(0, 2), of(0, 3), of(1, 2), of(1, 3)]
    }

    pub(crate) fn node(&self) -> &Node {
        &self.network.gateway
    }

    /// A command of `unmasq plan` on the gateway.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = guarded("ip");
        command.args(["netns", "exec", self.node().name(), PROGRAM, "plan"]).args(words);
        command.args(["--history", text(&self.history), "--config", text(&self.config)]);
        command
    }

    /// Runs `unmasq plan` on the gateway.
    pub(crate) fn plan(&self, words: &[&str]) -> Said {
        run(&mut self.command(words))
    }

    /// Applies the usual plan with further flags, which succeeds.
    pub(crate) fn apply(&self, flags: &[&str]) -> Value {
        self.apply_of(&[&USUAL[..], flags].concat())
    }

    /// Applies a plan, which succeeds.
    pub(crate) fn apply_of(&self, words: &[&str]) -> Value {
        let said = self.plan(&[&["apply", "--json"], words].concat());
        assert_eq!(said.code, 0, "{words:?}: {said:?}");
        said.json()
    }

    /// Who would have what.
    pub(crate) fn show(&self, words: &[&str]) -> Vec<Block> {
        let said = self.plan(&[&["show", "--json"], words].concat());
        let report = said.json();
        let word = |value: &Value| value.as_str().and_then(|text| text.parse().ok()).expect("an address");
        let number = |value: &Value| value.as_u64().and_then(|n| u16::try_from(n).ok()).expect("a port");
        let blocks = report["allocations"].as_array().expect("allocations").iter();
        blocks
            .map(|a| Block {
                client: word(&a["client"]),
                public: word(&a["public"]),
                ports: (number(&a["first_port"]), number(&a["last_port"])),
            })
            .collect()
    }

    pub(crate) fn history(&self) -> Value {
        self.plan(&["history", "--json"]).json()
    }

    /// Waits until nobody writes the history any more, nor a program that a killed writer had started.
    pub(crate) fn await_unlocked(&self) {
        let lock = std::fs::File::open(self.history.join("lock")).expect("the lock of the history");
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).expect("it is to be had");
    }

    /// Nothing is wrong with what the history holds.
    pub(crate) fn audit(&self) {
        let said = self.plan(&["history", "--audit"]);
        assert_eq!(said.code, 0, "{said:?}");
    }

    /// `unmasq plan verify --json`: the exit status and the reasons.
    pub(crate) fn verify(&self) -> (i32, Vec<String>) {
        let said = self.plan(&["verify", "--json"]);
        let report = said.json();
        let reasons = report["differences"].as_array().expect("a list").iter();
        let reasons = reasons.map(|d| d["reason"].as_str().expect("a word").to_owned()).collect();
        assert_eq!(said.code == 0, report["good"] == true, "{said:?}");
        (said.code, reasons)
    }

    /// `unmasq plan watch`, which looks once a second; its messages go to a file.
    pub(crate) fn watch(&self) -> Watch {
        self.watch_by(&mut self.command(&["watch"]))
    }

    /// The same by a command of one's own for it.
    pub(crate) fn watch_by(&self, command: &mut Command) -> Watch {
        let log = self.lab.scratch().join("watch.log");
        std::fs::write(&self.config, "[plan]\ncheck_every = \"1s\"\n").expect("a file");
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&log).expect("a file");
        let running = Running::start(command.stderr(file)).expect("it starts");
        Watch { running, log }
    }

    /// `unmasq trace` by this history, far away from the gateway and its kernel, of a time with a second on both sides:
    /// the clients and the exit status. Waits until the time is past.
    pub(crate) fn trace(&self, masked: SocketAddr, at: Timestamp, flags: &[&str]) -> (Vec<String>, i32) {
        let (answer, code) = self.answer(&masked.to_string(), at, flags);
        (clients(&answer), code)
    }

    /// The whole answer.
    pub(crate) fn answer(&self, masked: &str, at: Timestamp, flags: &[&str]) -> (Value, i32) {
        // The kernel that is asked about the present is that of another host here.
        eventually("it is past", || (Timestamp::now() > at + Duration::from_millis(1100)).then_some(()));
        let at = at.to_string();
        let mut command = Command::new(PROGRAM);
        command.args(["trace", "--json", masked, "--at", &at, "--window", "0s"]).args(flags);
        let said = run(command.args(["--plan", text(&self.history)]));
        (said.json(), said.code)
    }

    /// `unmasq trace` on the gateway of the present, where its kernel can be asked too: its own alone, not those of other labs.
    pub(crate) fn trace_here(&self, masked: SocketAddr, flags: &[&str]) -> (Value, i32) {
        const ALONE: &str = "mount -t tmpfs none /run/netns && exec \"$@\"";
        let (masked, mut command) = (masked.to_string(), guarded("ip"));
        command.args(["netns", "exec", self.node().name(), "unshare", "--mount", "sh", "-c", ALONE, "sh"]);
        command.args([PROGRAM, "trace", "--json", &masked, "--plan", text(&self.history)]);
        let said = run(command.args(flags));
        (said.json(), said.code)
    }

    /// Entries of the connection table with this text in them.
    pub(crate) fn entries(&self, with: &str) -> Vec<String> {
        let table = self.node().exec(&["conntrack", "-L"]).expect("conntrack runs");
        table.lines().filter(|line| line.contains(with)).map(str::to_owned).collect()
    }
}

/// An nft that stands still, until it is let go, before it loads rules (`-f`) or when it has listed them (`-j`).
pub(crate) struct HeldNft {
    folder: PathBuf,
}

impl HeldNft {
    /// `word`: at which.
    pub(crate) fn new(gateway: &Gateway, word: &str) -> Self {
        let folder = gateway.lab.scratch().join("held");
        std::fs::create_dir(&folder).expect("a folder");
        std::fs::write(folder.join("hold"), "").expect("a file");
        // The real one is in the rest of PATH.
        let script = format!(
            "#!/bin/sh\nPATH=${{PATH#*:}}\n[ \"$1\" = -f ] || nft \"$@\"\nstatus=$?\n\
             if [ \"$1\" = {word} ]; then\n  : >'{0}/held'\n  while [ -e '{0}/hold' ]; do sleep 0.05; done\nfi\n\
             [ \"$1\" != -f ] || exec nft \"$@\"\nexit $status\n",
            text(&folder)
        );
        let nft = folder.join("nft");
        std::fs::write(&nft, script).expect("a script");
        std::fs::set_permissions(&nft, std::fs::Permissions::from_mode(0o755)).expect("its mode");
        Self { folder }
    }

    /// A command that finds this one.
    pub(crate) fn used_by(&self, mut command: Command) -> Command {
        let path = std::env::var("PATH").expect("PATH is set");
        command.env("PATH", format!("{}:{path}", text(&self.folder)));
        command
    }

    /// Waits until it stands still.
    pub(crate) fn await_held(&self) {
        eventually("nft stands still", || self.folder.join("held").exists().then_some(()));
    }

    /// Lets it go.
    pub(crate) fn release(&self) {
        std::fs::remove_file(self.folder.join("hold")).expect("it was held");
    }
}

/// A guard of the plan.
pub(crate) struct Watch {
    running: Running,
    log: PathBuf,
}

impl Watch {
    /// Waits until it has said this, and gives all that it said, in whole lines.
    pub(crate) fn says(&self, what: &str) -> String {
        eventually(&format!("the guard says {what:?}"), || {
            let mut said = std::fs::read_to_string(&self.log).ok()?;
            // It may be writing one.
            said.truncate(said.rfind('\n')? + 1);
            said.contains(what).then_some(said)
        })
    }

    /// SIGKILL.
    pub(crate) fn kill(self) {
        self.running.signal(rustix::process::Signal::KILL).expect("it takes the signal");
    }
}

pub(crate) fn run(command: &mut Command) -> Said {
    let output = command.stdin(Stdio::null()).output().expect("the program runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said { out: text(&output.stdout), err: text(&output.stderr), code: output.status.code().unwrap_or(-1) }
}

pub(crate) fn any(address: Ipv4Addr) -> SocketAddr {
    (address, 0).into()
}

/// An IPv4 endpoint.
pub(crate) fn v4(endpoint: SocketAddr) -> (Ipv4Addr, u16) {
    match endpoint {
        SocketAddr::V4(v4) => (*v4.ip(), v4.port()),
        SocketAddr::V6(v6) => panic!("{v6} is no IPv4 endpoint"),
    }
}
