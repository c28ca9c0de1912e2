//! The table `nat` as `iptables-save` writes it.

use std::net::Ipv4Addr;

use super::chain::{Chain, ChainId, Rule};
use super::restriction::{Restriction, networks};
use crate::settings::iptables::{SavedRule, rules};

/// Targets that translate the source, in a chain of postrouting.
pub(super) const TARGETS: [&str; 3] = ["MASQUERADE", "SNAT", "NETMAP"];

/// The priority of the framework's own postrouting (`NF_IP_PRI_NAT_SRC`).
const PRIORITY: i32 = 100;

/// The chains that have rules. Lines of unknown form are left out.
pub(super) fn chains(saved: &str) -> Vec<Chain> {
    let mut chains: Vec<Chain> = Vec::new();
    for SavedRule { table, chain: name, line, words } in rules(saved) {
        if table != "nat" {
            continue;
        }
        let place = chains.iter().position(|chain| chain.id.name == name).unwrap_or(chains.len());
        if place == chains.len() {
            let id = ChainId { family: "ip".to_owned(), table: table.to_owned(), name: name.to_owned() };
            let priority = (name == "POSTROUTING").then_some(PRIORITY);
            chains.push(Chain { id, priority, rules: Vec::new(), length: 0 });
        }
        let Some(chain) = chains.get_mut(place) else { continue };
        chain.rules.extend(rule(chain.length, line, &words));
        chain.length += 1;
    }
    chains
}

/// Takes iptables' word for the rules of its own table, where it has as many as nft has: it knows its matches better.
pub(super) fn refine(chains: &mut [Chain], saved: &str) {
    let saved = self::chains(saved);
    for chain in chains {
        let same = saved.iter().find(|one| one.id == chain.id && one.length == chain.length);
        if let Some(same) = same {
            chain.rules.clone_from(&same.rules);
        }
    }
}

/// `None` for a rule that can be about nothing, and for one without a target.
fn rule(place: usize, line: &str, words: &[&str]) -> Option<Rule> {
    let mut only = Restriction::default();
    let mut target = None;
    let mut is_negated = false;
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        let negated = std::mem::take(&mut is_negated);
        let restriction = match *word {
            "!" => {
                is_negated = true;
                continue;
            }
            "-j" | "-g" => {
                target = target.or(rest.next().copied());
                continue;
            }
            // What one says of it is no option.
            "--comment" => {
                rest.next();
                continue;
            }
            "-s" => rest.next()?.parse().map(|net| Restriction::from(vec![net])).ok(),
            "--src-range" => range(rest.next()?).map(Restriction::from),
            "-o" => {
                let name = rest.next()?;
                // A trailing + is iptables' word for nft's *.
                let name = name.strip_suffix('+').map_or((*name).to_owned(), |prefix| format!("{prefix}*"));
                Some(Restriction::out_of(vec![name]))
            }
            "-p" => rest.next()?.parse().map(|protocol| Restriction::of(vec![protocol])).ok(),
            _ => None,
        };
        if let Some(restriction) = restriction.filter(|_| !negated) {
            only = only.and(&restriction)?;
        }
    }
    let target = target?;
    let translates = TARGETS.contains(&target);
    // Other targets are the names of chains, or of no chain.
    let jumps = if translates { Vec::new() } else { vec![(target.to_owned(), Restriction::default())] };
    Some(Rule { place, text: format!("-A {line}"), only, translates, jumps })
}

/// `192.0.2.1-192.0.2.9`, or one address.
fn range(text: &str) -> Option<Vec<ipnet::Ipv4Net>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse::<Ipv4Addr>().ok()?, last.parse().ok()?);
    Some(networks(first, last)).filter(|networks| !networks.is_empty())
}
