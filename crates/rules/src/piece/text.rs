//! What all pieces print alike.

use std::fmt::Write;

use super::About;
use crate::Form;
use crate::value::{Network, by_family, one_or_set};

/// A chain of nft.
pub(super) struct Chain {
    pub(super) name: &'static str,
    /// Type, hook and priority.
    pub(super) hook: String,
    pub(super) rules: Vec<String>,
}

/// The comment at the head.
pub(super) fn head(about: &About, notes: &[String], form: Form) -> String {
    let About { name, sentence, needs, look } = about;
    let mut text = format!("# {name}: {sentence}.\n# It needs {needs}.\n# To see that it works: {look}.\n");
    for note in notes {
        let _ = writeln!(text, "# {note}");
    }
    let program = form.word();
    match form {
        Form::Nft => text.push_str("# Loaded again, it replaces what it has brought, and nothing else.\n"),
        Form::Iptables | Form::Ip6tables => {
            let _ = writeln!(
                text,
                "# {program}-restore --noflush adds it to what is there; once, or its jump is there twice. Without --noflush it takes \
                 the place of the tables that it names."
            );
        }
    }
    text
}

/// A table of our own, replaced whole in one transaction.
pub(super) fn table(name: &str, chains: &[Chain]) -> String {
    // "table" first, so that "delete" finds one also the first time.
    let mut text = format!("table inet {name}\ndelete table inet {name}\n\ntable inet {name} {{\n");
    for (n, chain) in chains.iter().enumerate() {
        let gap = if n > 0 { "\n" } else { "" };
        let _ = writeln!(text, "{gap}\tchain {} {{\n\t\ttype {}", chain.name, chain.hook);
        for rule in &chain.rules {
            let _ = writeln!(text, "\t\t{rule}");
        }
        text.push_str("\t}\n");
    }
    text.push_str("}\n");
    text
}

/// A chain of iptables.
pub(super) struct Target {
    pub(super) name: &'static str,
    /// The kernel's chains that jump to it.
    pub(super) from: Vec<&'static str>,
    pub(super) rules: Vec<String>,
}

/// A table of iptables with chains of ours. No policy is said: it is not ours.
pub(super) fn restore(table: &str, chains: &[Target]) -> String {
    let mut text = format!("*{table}\n");
    for chain in chains {
        let _ = writeln!(text, ":{} - [0:0]", chain.name);
    }
    for Target { name, from, rules } in chains {
        for from in from {
            let _ = writeln!(text, "-A {from} -j {name}");
        }
        for rule in rules {
            let _ = writeln!(text, "-A {name} {rule}");
        }
    }
    text.push_str("COMMIT\n");
    text
}

/// Which end of a packet is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Source,
    Destination,
}

/// A match of nft on that end for each family that there are networks of, with a space behind it; one that matches all if
/// there are none.
pub(super) fn ends(end: End, networks: &[Network]) -> Vec<String> {
    if networks.is_empty() {
        return vec![String::new()];
    }
    let word = match end {
        End::Source => "saddr",
        End::Destination => "daddr",
    };
    let (v4, v6) = by_family(networks);
    let mut matches = Vec::new();
    if !v4.is_empty() {
        matches.push(format!("ip {word} {} ", one_or_set(&v4)));
    }
    if !v6.is_empty() {
        matches.push(format!("ip6 {word} {} ", one_or_set(&v6)));
    }
    matches
}

/// The same for the rules of one family of iptables, each network its own.
pub(super) fn ends_of(end: End, networks: &[Network], is_v6: bool) -> Vec<String> {
    if networks.is_empty() {
        return vec![String::new()];
    }
    let flag = match end {
        End::Source => "-s",
        End::Destination => "-d",
    };
    let (v4, v6) = by_family(networks);
    let nets: Vec<String> = if is_v6 {
        v6.iter().map(ToString::to_string).collect()
    } else {
        v4.iter().map(ToString::to_string).collect()
    };
    nets.iter().map(|net| format!("{flag} {net} ")).collect()
}

/// [`ends`] of sources.
pub(super) fn sources(networks: &[Network]) -> Vec<String> {
    ends(End::Source, networks)
}

/// [`ends_of`] of sources.
pub(super) fn sources_of(networks: &[Network], is_v6: bool) -> Vec<String> {
    ends_of(End::Source, networks, is_v6)
}
