//! Rules of iptables, as far as they can be told for a packet.

use std::net::IpAddr;

use ipnet::IpNet;

use super::packet::{Matches, Packet, is_interface};
use super::walk::{Ends, Step, Verdict};
use crate::ruleset::Table;

/// Targets after which the next rule is asked, and which change nothing that is looked at here.
const PASSING: [&str; 24] = [
    "AUDIT",
    "CHECKSUM",
    "CLASSIFY",
    "CONNMARK",
    "CONNSECMARK",
    "CT",
    "DSCP",
    "HL",
    "HMARK",
    "IDLETIMER",
    "LED",
    "LOG",
    "MARK",
    "NFLOG",
    "NOTRACK",
    "RATEEST",
    "SECMARK",
    "SET",
    "TCPMSS",
    "TCPOPTSTRIP",
    "TEE",
    "TOS",
    "TRACE",
    "TTL",
];

/// Modules that ask for nothing by themselves.
const NEUTRAL: [&str; 9] =
    ["tcp", "udp", "comment", "state", "conntrack", "multiport", "addrtype", "iprange", "pkttype"];

/// What a rule does with the packet.
pub(super) fn steps<'r>(
    words: &'r [String],
    table: &'r Table,
    packet: &Packet<'_>,
    is_incoming: bool,
) -> Vec<Step<'r>> {
    let mut conditions = Vec::new();
    let mut verdict = None;
    let mut is_negated = false;
    let mut is_behind_target = false;
    let mut words = words.iter().map(String::as_str).peekable();
    while let Some(word) = words.next() {
        if word == "!" {
            is_negated = true;
            continue;
        }
        let mut argument = || words.next_if(|next| *next != "!").unwrap_or_default();
        let matches = match word {
            "-p" => protocol(argument()),
            "-s" => network(packet.source(), argument()),
            "-d" => network(packet.destination(), argument()),
            "-i" => interface(packet, is_incoming, argument()),
            "-o" => interface(packet, !is_incoming, argument()),
            "--sport" | "--source-port" | "--sports" | "--source-ports" => {
                ports(packet.source_port(), argument())
            }
            "--dport" | "--destination-port" | "--dports" | "--destination-ports" => {
                ports(packet.destination_port(), argument())
            }
            "--ports" | "--port" => {
                let list = argument();
                let (from, to) = (packet.source_port(), packet.destination_port());
                Matches::any([ports(from, list), ports(to, list)])
            }
            "--state" | "--ctstate" => {
                Matches::any(argument().split(',').map(|word| packet.has_state(&word.to_ascii_lowercase())))
            }
            "--syn" => packet.has_flags(&["fin", "syn", "rst", "ack"], &["syn"]),
            "--tcp-flags" => {
                let (mask, set) = (argument().to_ascii_lowercase(), argument().to_ascii_lowercase());
                packet.has_flags(&flags(&mask), &flags(&set))
            }
            "--src-range" => range(packet.source(), argument()),
            "--dst-range" => range(packet.destination(), argument()),
            "--dst-type" if is_incoming => argument().split(',').any(|kind| kind == "LOCAL").into(),
            // A packet of a connection is to one machine.
            "--pkt-type" if is_incoming => match argument() {
                "broadcast" | "multicast" => Matches::No,
                _ => Matches::Perhaps,
            },
            "--comment" | "--log-prefix" | "--nflog-prefix" => {
                argument();
                Matches::Yes
            }
            "-m" => match argument() {
                name if NEUTRAL.contains(&name) => Matches::Yes,
                _ => Matches::Perhaps,
            },
            "-j" | "-g" => {
                is_behind_target = true;
                verdict = target(argument(), word == "-g", table);
                Matches::Yes
            }
            _ => {
                while words.next_if(|next| *next != "!" && !next.starts_with('-')).is_some() {}
                if is_behind_target { Matches::Yes } else { Matches::Perhaps }
            }
        };
        conditions.push(Step::If(if std::mem::take(&mut is_negated) { !matches } else { matches }));
    }
    conditions.extend(verdict);
    conditions
}

fn target<'r>(name: &'r str, is_goto: bool, table: &'r Table) -> Option<Step<'r>> {
    let end = |ends| Some(Step::Verdict(Verdict::End(ends)));
    match name {
        _ if table.chain(name).is_some() => {
            Some(Step::Verdict(if is_goto { Verdict::Goto(name) } else { Verdict::Jump(name) }))
        }
        "ACCEPT" | "SNAT" | "MASQUERADE" => end(Ends::ACCEPT),
        "DROP" | "REJECT" => end(Ends::DROP),
        "RETURN" => end(Ends::RETURN),
        "DNAT" | "REDIRECT" => end(Ends::ELSEWHERE),
        _ if PASSING.contains(&name) => None,
        _ => Some(Step::Perhaps(Ends::ANY)),
    }
}

fn protocol(word: &str) -> Matches {
    match word.to_ascii_lowercase().as_str() {
        "tcp" | "6" | "all" | "0" => Matches::Yes,
        "" => Matches::Perhaps,
        _ => Matches::No,
    }
}

/// An address with or without a mask, in bits or as an address; several with commas.
fn network(ip: IpAddr, list: &str) -> Matches {
    let one = |word: &str| {
        let (address, mask) = word.split_once('/').unwrap_or((word, ""));
        let Ok(address) = address.parse::<IpAddr>() else { return Matches::Perhaps };
        let net = match mask {
            "" => Some(IpNet::from(address)),
            _ => match (mask.parse::<u8>(), mask.parse::<IpAddr>()) {
                (Ok(bits), _) => IpNet::new(address, bits).ok(),
                (_, Ok(mask)) => IpNet::with_netmask(address, mask).ok(),
                _ => None,
            },
        };
        net.map_or(Matches::Perhaps, |net| net.contains(&ip).into())
    };
    Matches::any(list.split(',').map(one))
}

fn range(ip: IpAddr, word: &str) -> Matches {
    let ends = word.split_once('-').and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
    ends.map_or(Matches::Perhaps, |(from, to): (IpAddr, IpAddr)| (from <= ip && ip <= to).into())
}

fn ports(port: Option<u16>, list: &str) -> Matches {
    let Some(port) = port else { return Matches::Perhaps };
    let one = |word: &str| {
        let (from, to) = word.split_once(':').unwrap_or((word, word));
        let number =
            |word: &str, default| if word.is_empty() { Some(default) } else { word.parse::<u16>().ok() };
        match (number(from, 0), number(to, u16::MAX)) {
            (Some(from), Some(to)) if !list.is_empty() => (from..=to).contains(&port).into(),
            _ => Matches::Perhaps,
        }
    };
    Matches::any(list.split(',').map(one))
}

fn interface(packet: &Packet<'_>, is_its_side: bool, pattern: &str) -> Matches {
    match packet.interface().filter(|_| is_its_side) {
        Some(name) => is_interface(name, pattern, '+'),
        None => Matches::Perhaps,
    }
}

fn flags(list: &str) -> Vec<&str> {
    const ALL: [&str; 6] = ["fin", "syn", "rst", "psh", "ack", "urg"];
    match list {
        "all" => ALL.to_vec(),
        "none" | "" => Vec::new(),
        _ => list.split(',').collect(),
    }
}
