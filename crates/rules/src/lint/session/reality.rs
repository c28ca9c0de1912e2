//! The static answer against the kernel: random rulesets, a real connection. It may not know, but it must never be wrong.

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use unmasq_lab::random::Random;
use unmasq_lab::{Lab, Node, client};

use super::*;
use crate::Form;
use crate::program::run;

/// Rulesets of each form. The lab takes two of these waits for each that drops.
const RULESETS: usize = 40;

/// That nothing comes can only be waited for. A longer wait would find no more: what is dropped here comes never.
const SILENCE: Duration = Duration::from_millis(120);

const NFT: [&str; 34] = [
    "tcp dport 22",
    "tcp dport { 22, 80 }",
    "tcp dport != 22",
    "tcp dport 1-1023",
    "tcp sport 22",
    "tcp sport >= 1024",
    "ip saddr 10.9.0.0/24",
    "ip saddr != 10.9.0.2",
    "ip saddr { 10.9.0.2, 10.9.1.0/24 }",
    "ip daddr 10.9.0.1-10.9.0.9",
    "ip saddr @known",
    "ip daddr @known",
    "ct state established,related",
    "ct state new",
    "ct state != established",
    "ct state invalid",
    "ct direction reply",
    "iifname \"gate0\"",
    "iifname != \"lo\"",
    "iifname \"ga*\"",
    "oifname \"gate0\"",
    "iif lo",
    "meta l4proto tcp",
    "meta l4proto { udp, icmp }",
    "meta nfproto ipv6",
    "udp dport 53",
    "ip6 saddr ::1",
    "tcp flags & (fin|syn|rst|ack) == syn",
    "tcp flags & (syn|ack) != syn",
    "ip ttl > 3",
    "meta mark 7",
    "fib daddr type local",
    "ip saddr . tcp dport { 10.9.0.2 . 22 }",
    "limit rate 100000/second",
];

const NFT_VERDICTS: [&str; 12] = [
    "accept",
    "accept",
    "drop",
    "drop",
    "counter",
    "return",
    "jump sub",
    "goto sub",
    "ct state vmap { established : accept, new : jump sub, invalid : drop }",
    "tcp dport vmap { 22 : jump sub, 80 : drop }",
    "iifname vmap { \"gate0\" : jump sub, \"lo\" : accept }",
    "meta mark set 7",
];

const IPTABLES: [&str; 22] = [
    "-p tcp",
    "-p udp",
    "! -p tcp",
    "-p tcp --dport 22",
    "-p tcp ! --dport 22",
    "-p tcp --sport 22",
    "-p tcp --dport 1:1023",
    "-p tcp -m multiport --dports 22,80",
    "-s 10.9.0.0/24",
    "! -s 10.9.0.2",
    "-d 10.9.0.1",
    "-s 10.9.0.0/255.255.255.0",
    "-m state --state ESTABLISHED,RELATED",
    "-m state --state NEW",
    "-m conntrack ! --ctstate ESTABLISHED",
    "-m conntrack --ctstate INVALID",
    "-p tcp --syn",
    "-p tcp ! --syn",
    "-p tcp --tcp-flags SYN,ACK SYN",
    "-m mark --mark 7",
    "-m iprange --src-range 10.9.0.1-10.9.0.3",
    "-m limit --limit 1000/second",
];

const IPTABLES_VERDICTS: [&str; 9] =
    ["ACCEPT", "ACCEPT", "DROP", "DROP", "RETURN", "sub", "sub", "MARK --set-mark 7", "NFLOG"];

struct Picker(Random);

impl Picker {
    fn one<'a>(&mut self, among: &[&'a str]) -> &'a str {
        among[self.0.below(among.len() as u64) as usize]
    }

    fn rules(&mut self, matches: &[&str], mut line: impl FnMut(&str, &mut Self) -> String) -> String {
        let mut text = String::new();
        for _ in 0..self.0.below(5) {
            let asked = if self.0.below(8) == 0 { "" } else { self.one(matches) };
            text.push_str(&line(asked, self));
        }
        text
    }

    fn nft(&mut self) -> String {
        let mut text =
            "table inet judged {\nset known {\n type ipv4_addr\n elements = { 10.9.0.1, 10.9.0.2 }\n}\n"
                .to_owned();
        let no_jumps = |verdict: &&str| !verdict.contains("sub");
        let plain: Vec<&str> = NFT_VERDICTS.iter().copied().filter(no_jumps).collect();
        let sub = self.rules(&NFT, |asked, picker| format!(" {asked} {}\n", picker.one(&plain)));
        let _ = writeln!(text, "chain sub {{\n{sub}}}");
        for (hook, priority) in [("input", "0"), ("output", "0"), ("prerouting", "-150"), ("input", "10")] {
            let policy = if self.0.below(3) == 0 { "drop" } else { "accept" };
            let policy = if priority == "0" { policy } else { "accept" };
            let rules = self.rules(&NFT, |asked, picker| format!(" {asked} {}\n", picker.one(&NFT_VERDICTS)));
            let name = format!("{hook}{}", priority.replace('-', "m"));
            let _ = writeln!(
                text,
                "chain {name} {{\n type filter hook {hook} priority {priority}; policy {policy};\n{rules}}}"
            );
        }
        text + "}\n"
    }

    fn iptables(&mut self) -> String {
        let policy = |picker: &mut Self| if picker.0.below(3) == 0 { "DROP" } else { "ACCEPT" };
        let (input, output) = (policy(self), policy(self));
        let mut text = format!("*filter\n:INPUT {input} [0:0]\n:OUTPUT {output} [0:0]\n:sub - [0:0]\n");
        for chain in ["INPUT", "OUTPUT", "sub"] {
            let verdicts: Vec<&str> = IPTABLES_VERDICTS
                .iter()
                .copied()
                .filter(|verdict| chain != "sub" || *verdict != "sub")
                .collect();
            text += &self.rules(&IPTABLES, |asked, picker| {
                let device = match (chain, picker.0.below(4)) {
                    ("INPUT", 0) => "-i gate0 ",
                    ("INPUT", 1) => "! -i lo ",
                    ("OUTPUT", 0) => "-o ga+ ",
                    _ => "",
                };
                format!("-A {chain} {device}{asked} -j {}\n", picker.one(&verdicts))
            });
        }
        text + "COMMIT\n"
    }
}

/// Does the server answer over this connection?
fn answers(stream: &mut TcpStream, expected: Fate) -> bool {
    let patience = if expected == Fate::Accepted { Duration::from_secs(20) } else { SILENCE };
    stream.set_read_timeout(Some(patience)).unwrap();
    stream.write_all(b"x").is_ok() && stream.read_exact(&mut [0]).is_ok()
}

fn opens(client: &Node, to: SocketAddr, expected: Fate) -> bool {
    let patience = if expected == Fate::Accepted { Duration::from_secs(20) } else { SILENCE };
    let stream = client.run(|| TcpStream::connect_timeout(&to, patience)).unwrap();
    stream.is_ok_and(|mut stream| answers(&mut stream, expected))
}

fn echo(listener: &TcpListener) {
    for stream in listener.incoming().map_while(Result::ok) {
        thread::spawn(move || {
            let mut stream = stream;
            let mut byte = [0];
            while stream.read_exact(&mut byte).and_then(|()| stream.write_all(&byte)).is_ok() {}
        });
    }
}

fn judge(form: Form, mut made: impl FnMut(&mut Picker) -> String, seed: u64) {
    let lab = Lab::new().unwrap();
    let (gate, far) = (lab.node("gate").unwrap(), lab.node("far").unwrap());
    gate.link("gate0", &["10.9.0.1/24"], (&far, "far0", &["10.9.0.2/24"])).unwrap();
    let to: SocketAddr = "10.9.0.1:22".parse().unwrap();
    let listener = gate.run(|| TcpListener::bind(to)).unwrap().unwrap();
    thread::spawn(move || echo(&listener));
    // Connections are tracked only where a rule asks for it.
    gate.nft(
        "table inet tracked {\n chain c {\n type filter hook prerouting priority 300;\n ct state new counter\n }\n}\n",
    )
    .unwrap();
    let mut picker = Picker(Random::new(seed));
    let (mut known, mut dropped) = (0, 0);
    for number in 0..RULESETS {
        // Not all that is thrown together is a rule: `udp dport 53 tcp dport vmap …` is refused.
        let (text, ruleset) = loop {
            let text = made(&mut picker);
            if let Ok(ruleset) = Ruleset::normalise(form, &text) {
                break (text, ruleset);
            }
        };
        gate.exec(&["nft", "delete", "table", "inet", "judged"]).ok();
        gate.run(|| {
            run("iptables-restore", &[], "*filter\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n")
        })
        .unwrap()
        .unwrap();
        let from = SocketAddr::from(([10, 9, 0, 2], 30_000 + number as u16));
        let mut stream = client::tcp(&far, from, to).unwrap();
        assert!(answers(&mut stream, Fate::Accepted), "before the rules");
        let session = Session { client: from, server: to, interface: Some("gate0".to_owned()) };
        let prospects = session.under(&ruleset);
        let loaded = gate.run(|| match form {
            Form::Nft => run("nft", &["-f", "-"], &text),
            _ => run("iptables-restore", &[], &text),
        });
        loaded.unwrap().unwrap();
        let told = format!("seed {seed}, ruleset {number}: {prospects:?}\n{text}");
        let expected = |fate| match fate {
            Fate::Accepted => Some(true),
            Fate::Dropped => Some(false),
            Fate::Unknown => None,
        };
        if let Some(expected) = expected(prospects.established) {
            assert_eq!(answers(&mut stream, prospects.established), expected, "the session, {told}");
            known += 1;
            dropped += usize::from(!expected);
        }
        if let Some(expected) = expected(prospects.new) {
            assert_eq!(opens(&far, to, prospects.new), expected, "a new one, {told}");
        }
    }
    println!("{form:?}: {known} of {RULESETS} known, {dropped} dropped");
    assert!(
        known > RULESETS / 3 && dropped > 2 && dropped < known,
        "{known} known, {dropped} dropped: nothing was tested"
    );
}

#[test]
fn no_answer_about_nft_is_wrong() {
    judge(Form::Nft, Picker::nft, 5);
}

#[test]
fn no_answer_about_iptables_is_wrong() {
    judge(Form::Iptables, Picker::iptables, 6);
}
