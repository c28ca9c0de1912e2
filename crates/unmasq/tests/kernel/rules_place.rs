//! A gateway between two clients and servers, with nothing loaded, and what is loaded into it by `unmasq rules`.
//!
//! ```text
//!  client0 192.168.101.2, fd00:65::2 ──lan0─┐         ┌─ servers 198.51.100.7, 2001:db8:5::7
//!  client1 192.168.102.2, fd00:66::2 ──lan1─┤ gateway ├─          198.51.100.8, …
//!                                           └──wan────┘
//! ```

use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};
use unmasq_lab::command::output;
use unmasq_lab::{Lab, Network, Node, Plan, client};

use crate::support::{PROGRAM, eventually};

/// A language of rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    Nft,
    Iptables,
}

pub(crate) const BOTH: [Language; 2] = [Language::Nft, Language::Iptables];

/// The gateway and those around it.
pub(crate) struct Place {
    /// Keeps the namespaces.
    _lab: Lab,
    pub(crate) network: Network,
}

impl Place {
    pub(crate) fn build() -> Self {
        let lab = Lab::new().expect("a lab");
        let network = Network::build(&lab, Plan { rules: Vec::new(), ..Plan::default() }).expect("a network");
        // Packets that are not from an address of the link itself need its own one to ask for a neighbour, which the kernel has
        // ready a second or two after the link is up.
        let back = [
            "route add 192.168.0.0/16 via 203.0.113.1",
            "-6 route add fd00::/16 via 2001:db8::1",
            "-6 address add fe80::2/64 dev gw nodad",
        ];
        network.servers.ip(&back).expect("routes");
        let of_the_link =
            ["wan", "lan0", "lan1"].map(|name| format!("-6 address add fe80::1/64 dev {name} nodad"));
        network.gateway.ip(&of_the_link).expect("addresses");
        Self { _lab: lab, network }
    }

    pub(crate) fn gateway(&self) -> &Node {
        &self.network.gateway
    }

    /// Client 0 or 1, and what it calls the gateway by IPv4 and by IPv6.
    pub(crate) fn client(&self, n: u8) -> (&Node, [IpAddr; 2]) {
        let own = [format!("192.168.{}.1", 101 + n), format!("fd00:{:x}::1", 101 + n)];
        (&self.network.clients[usize::from(n)], own.map(|address| address.parse().expect("an address")))
    }

    /// A port of the first server, by IPv4 and by IPv6.
    pub(crate) fn server(&self, port: u16) -> [SocketAddr; 2] {
        [self.network.server(0, port), self.network.server_v6(0, port)]
    }

    /// Prints and loads for both families, once or in place of what was there.
    pub(crate) fn load(&self, language: Language, words: &[&str], input: &str) {
        match language {
            Language::Nft => self.load_as("nft", words, input),
            Language::Iptables => {
                self.load_as("iptables", words, input);
                self.load_as("ip6tables", words, input);
            }
        }
    }

    /// Prints and loads in one form.
    pub(crate) fn load_as(&self, form: &str, words: &[&str], input: &str) {
        let text = printed(&[words, &["--format", form]].concat(), input);
        let mut command = match form {
            "nft" => {
                let mut nft = self.gateway().command("nft");
                nft.args(["-f", "-"]);
                nft
            }
            _ => self.gateway().command(&format!("{form}-restore")),
        };
        output(&mut command, &text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    }

    /// The packets that the rule has counted of which the line has all of these words, in whatever is loaded.
    pub(crate) fn count(&self, chain: &str, words: &[&str]) -> u64 {
        let of_nft = |text: &str| {
            let chain = format!("chain {chain} {{");
            let lines = text.lines().skip_while(|line| line.trim() != chain).skip(1);
            let rules = lines.take_while(|line| line.trim() != "}");
            let counted = rules.filter(|line| words.iter().all(|word| line.contains(word)));
            counted
                .filter_map(|line| line.split_once("packets ")?.1.split(' ').next()?.parse::<u64>().ok())
                .sum()
        };
        let of_iptables = |text: &str| {
            let head = format!("-A {chain} ");
            let rules = text.lines().filter(|line| line.contains(&head));
            let counted = rules.filter(|line| words.iter().all(|word| line.contains(word)));
            counted
                .filter_map(|line| line.strip_prefix('[')?.split(':').next()?.parse::<u64>().ok())
                .sum::<u64>()
        };
        let tables = self.gateway().exec(&["nft", "list", "ruleset"]).expect("nft lists");
        let saved = ["iptables-save", "ip6tables-save"]
            .map(|save| of_iptables(&self.gateway().exec(&[save, "-c"]).expect("it saves")));
        // What iptables has loaded, nft lists with counters too: in other words, which are not those of either form alone.
        let own: u64 = of_nft(&tables);
        own.max(saved[0] + saved[1])
    }

    /// A connection that a rule takes away: opened, counted by the rule within the time, and never answered.
    pub(crate) fn is_taken(&self, from: &Node, to: SocketAddr, chain: &str, words: &[&str]) {
        let before = self.count(chain, words);
        let socket = begin(from, to);
        eventually(&format!("{chain} takes a connection to {to}"), || {
            (self.count(chain, words) > before).then_some(())
        });
        assert!(!is_connected(&socket), "{to} answered");
    }
}

/// What `unmasq rules` prints.
pub(crate) fn printed(words: &[&str], input: &str) -> String {
    let mut command = Command::new(PROGRAM);
    command.arg("rules").args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program runs");
    let written = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
    let said = child.wait_with_output().expect("it ends");
    assert!(said.status.success(), "{words:?}: {}", String::from_utf8_lossy(&said.stderr));
    // What it has no use for it does not read.
    drop(written);
    String::from_utf8(said.stdout).expect("text")
}

/// Begins to connect, and waits for nothing.
pub(crate) fn begin(from: &Node, to: SocketAddr) -> OwnedFd {
    let open = || {
        let family = if to.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
        let socket =
            socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
        match connect(&socket, &to) {
            Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
            Err(error) => Err(error),
        }
    };
    from.run(open).expect("a thread").unwrap_or_else(|error| panic!("connecting to {to}: {error}"))
}

fn is_connected(socket: &OwnedFd) -> bool {
    rustix::net::getpeername(socket).is_ok()
}

/// Connects and gets an echo.
pub(crate) fn talk(from: &Node, to: SocketAddr) {
    let any: SocketAddr = if to.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" }.parse().expect("an endpoint");
    client::talk(&client::tcp(from, any, to).expect("a connection")).expect("an echo");
}
