//! A rule taken apart: what it asks of a packet, and whether it ends the chain for those that match.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::ruleset::{Body, Rule, Table, quoted};

/// How a chain ends for a packet that matches a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End<'r> {
    Accept,
    Drop,
    /// Back to where the chain was called.
    Return,
    /// To another chain, from which it does not come back.
    Goto,
    /// Queued, translated, taken by a proxy.
    Other,
    /// To another chain, from which it may come back.
    Jump(&'r str),
}

/// What is known of a rule.
#[derive(Clone, Debug)]
pub(super) struct Anatomy<'r> {
    /// What it asks of a packet. Two with the same text ask the same.
    pub(super) matches: BTreeSet<String>,
    /// Does every packet that has what it asks for match, each time? Not with a limit, a quota, a set that fills.
    pub(super) is_plain: bool,
    pub(super) end: Option<End<'r>>,
}

impl<'r> Anatomy<'r> {
    /// `None` for a rule that the kernel has not read.
    pub(super) fn of(rule: &'r Rule, table: &Table) -> Option<Self> {
        match &rule.body {
            Body::Words(words) => Some(of_words(words, table)),
            Body::Expressions(all) => Some(of_expressions(all)),
            Body::Source(_) => None,
        }
    }
}

/// Options of iptables that ask for what is in the packet itself, or what does not change while a chain is walked.
const PLAIN: [&str; 32] = [
    "-p",
    "-s",
    "-d",
    "-i",
    "-o",
    "--sport",
    "--dport",
    "--source-port",
    "--destination-port",
    "--sports",
    "--dports",
    "--source-ports",
    "--destination-ports",
    "--ports",
    "--port",
    "--state",
    "--ctstate",
    "--ctdir",
    "--icmp-type",
    "--icmpv6-type",
    "--tcp-flags",
    "--syn",
    "--src-range",
    "--dst-range",
    "--src-type",
    "--dst-type",
    "--pkt-type",
    "--mac-source",
    "--ctorigdst",
    "--ctorigsrc",
    "--ctorigdstport",
    "--ctstatus",
];

const PLAIN_MODULES: [&str; 13] = [
    "tcp",
    "udp",
    "icmp",
    "icmp6",
    "ipv6-icmp",
    "comment",
    "state",
    "conntrack",
    "multiport",
    "iprange",
    "addrtype",
    "pkttype",
    "mac",
];

fn of_words<'r>(words: &'r [String], table: &Table) -> Anatomy<'r> {
    let mut found = Anatomy { matches: BTreeSet::new(), is_plain: true, end: None };
    let mut is_behind_target = false;
    let mut sign = "";
    let mut words = words.iter().map(String::as_str).peekable();
    while let Some(word) = words.next() {
        match word {
            "!" => {
                sign = "! ";
                continue;
            }
            "-m" => found.is_plain &= words.next().is_some_and(|name| PLAIN_MODULES.contains(&name)),
            "--comment" | "--log-prefix" | "--nflog-prefix" => {
                words.next();
            }
            "-j" | "-g" => {
                is_behind_target = true;
                found.end = words.next().and_then(|name| end_of(name, word == "-g", table));
            }
            _ => {
                let mut text = format!("{sign}{word}");
                while let Some(argument) = words.next_if(|next| *next != "!" && !next.starts_with('-')) {
                    text.push(' ');
                    text.push_str(&quoted(argument));
                }
                if !is_behind_target || PLAIN.contains(&word) {
                    found.is_plain &= PLAIN.contains(&word);
                    found.matches.insert(text);
                }
            }
        }
        sign = "";
    }
    found
}

fn end_of<'r>(name: &'r str, is_goto: bool, table: &Table) -> Option<End<'r>> {
    if table.chain(name).is_some() {
        return Some(if is_goto { End::Goto } else { End::Jump(name) });
    }
    match name {
        "ACCEPT" => Some(End::Accept),
        "DROP" | "REJECT" => Some(End::Drop),
        "RETURN" => Some(End::Return),
        "QUEUE" | "NFQUEUE" | "DNAT" | "SNAT" | "MASQUERADE" | "REDIRECT" | "TPROXY" => Some(End::Other),
        _ => None,
    }
}

fn of_expressions(all: &[Value]) -> Anatomy<'_> {
    let mut found = Anatomy { matches: BTreeSet::new(), is_plain: true, end: None };
    for expression in all {
        let Some((word, about)) = expression.as_object().and_then(|object| object.iter().next()) else {
            continue;
        };
        let target = || about["target"].as_str();
        match word.as_str() {
            "match" => {
                found.is_plain &= is_plain_match(about);
                found.matches.insert(expression.to_string());
            }
            // What a rule writes it writes to all that match.
            "counter" | "log" | "comment" | "notrack" | "mangle" => {}
            "accept" => found.end = Some(End::Accept),
            "drop" | "reject" => found.end = Some(End::Drop),
            "return" => found.end = Some(End::Return),
            "goto" => found.end = target().map(|_| End::Goto),
            "jump" => found.end = target().map(End::Jump),
            "queue" | "snat" | "dnat" | "masquerade" | "redirect" => found.end = Some(End::Other),
            _ => {
                found.is_plain = false;
                found.matches.insert(expression.to_string());
            }
        }
    }
    found
}

fn is_plain_match(about: &Value) -> bool {
    fn is_plain_field(left: &Value) -> bool {
        let Some((kind, about)) = left.as_object().and_then(|object| object.iter().next()) else {
            return false;
        };
        match kind.as_str() {
            "payload" | "fib" => true,
            "meta" => matches!(
                about["key"].as_str(),
                Some("iif" | "oif" | "iifname" | "oifname" | "nfproto" | "protocol" | "l4proto" | "pkttype")
            ),
            "ct" => matches!(about["key"].as_str(), Some("state" | "direction" | "status")),
            "concat" => about.as_array().is_some_and(|parts| parts.iter().all(is_plain_field)),
            "&" => about.get(0).is_some_and(is_plain_field),
            _ => false,
        }
    }
    // What a named set holds may change between two rules, and by the hour.
    let is_named_set = about["right"].as_str().is_some_and(|right| right.starts_with('@'));
    is_plain_field(&about["left"]) && !is_named_set
}
