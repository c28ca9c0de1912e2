//! A packet's way through the base chains of a hook: all that can become of it.

use std::collections::{HashMap, HashSet};
use std::ops::{BitOr, BitOrAssign};

use serde_json::Value;

use super::packet::{Matches, Packet, State};
use super::{Fate, iptables, nft};
use crate::ruleset::{Body, Chain, Rule, Ruleset, Table};

/// What can become of a packet: a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ends(u8);

impl Ends {
    pub(super) const NONE: Self = Self(0);
    pub(super) const ACCEPT: Self = Self(1);
    pub(super) const DROP: Self = Self(2);
    /// It is led elsewhere, where it is not followed.
    pub(super) const ELSEWHERE: Self = Self(4);
    /// The chain comes to its end, or to a `return`.
    pub(super) const RETURN: Self = Self(8);
    pub(super) const ANY: Self = Self(15);

    fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl BitOr for Ends {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Ends {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// What a rule does with a packet, one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step<'r> {
    /// The rest counts if this is so.
    If(Matches),
    Verdict(Verdict<'r>),
    /// The first of these that matches; if none does, the rule goes on.
    Map(Vec<(Matches, Verdict<'r>)>),
    /// Something is done that may do all of this, or nothing.
    Perhaps(Ends),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict<'r> {
    End(Ends),
    Jump(&'r str),
    Goto(&'r str),
}

/// What becomes of a packet on its way in (to a program) or out (from one).
pub(super) fn passage(ruleset: &Ruleset, packet: &Packet<'_>, is_incoming: bool) -> Fate {
    if rewrites(ruleset) {
        return Fate::Unknown;
    }
    let hooks: &[&str] =
        if is_incoming { &["ingress", "prerouting", "input"] } else { &["output", "postrouting", "egress"] };
    let is_untracked = looks_away(ruleset);
    let (mut is_certain, mut is_dropped, mut is_led_away) = (true, false, false);
    for (table, chain) in ruleset.chains() {
        let Some(hook) = &chain.hook else { continue };
        let is_of_packet = match table.family.as_str() {
            "ip" => packet.is_v4(),
            "ip6" => !packet.is_v4(),
            "arp" => false,
            _ => true,
        };
        let is_dormant = table.flags.iter().any(|flag| flag == "dormant");
        // Only the first packet of a connection is asked what it shall be translated into.
        let is_skipped = hook.kind == "nat" && packet.state != State::New;
        if !is_of_packet || is_dormant || is_skipped || !hooks.contains(&hook.name.as_str()) {
            continue;
        }
        if table.family == "bridge" {
            // Whether the interface is a bridge is not known.
            is_certain = false;
            continue;
        }
        let mut seen = *packet;
        if let Some(devices) = &hook.device {
            match packet.interface() {
                None => is_certain = false,
                Some(name) if !devices.split(", ").any(|device| device == name) => continue,
                Some(_) => {}
            }
        }
        if is_untracked || matches!(hook.name.as_str(), "ingress" | "egress") || hook.priority <= -200 {
            // `NF_IP_PRI_CONNTRACK` is -200: before it the packet belongs to no connection yet.
            seen.state = State::Untold;
        }
        let mut walk =
            Walk { table, filled: nft::filled(table), packet: &seen, is_incoming, known: HashMap::new() };
        let ends = walk.base(chain);
        // Led elsewhere, it is another packet for what comes after.
        is_led_away |= ends.has(Ends::ELSEWHERE);
        is_dropped |= ends == Ends::DROP && (hook.device.is_none() || packet.interface().is_some());
        is_certain &= ends == Ends::ACCEPT;
    }
    match (is_dropped && !is_led_away, is_certain) {
        (true, _) => Fate::Dropped,
        (false, true) => Fate::Accepted,
        (false, false) => Fate::Unknown,
    }
}

struct Walk<'r> {
    table: &'r Table,
    /// Its sets that rules fill.
    filled: HashSet<&'r str>,
    packet: &'r Packet<'r>,
    is_incoming: bool,
    /// What chains come to; `None` for one that is being walked.
    known: HashMap<&'r str, Option<Ends>>,
}

impl<'r> Walk<'r> {
    fn base(&mut self, chain: &'r Chain) -> Ends {
        let ends = self.rules(&chain.rules);
        let policy = match chain.policy.as_deref() {
            None | Some("accept") => Ends::ACCEPT,
            Some("drop") => Ends::DROP,
            Some(_) => Ends::ANY.without(Ends::RETURN),
        };
        if ends.has(Ends::RETURN) { ends.without(Ends::RETURN) | policy } else { ends }
    }

    fn chain(&mut self, name: &'r str) -> Ends {
        match self.known.get(name) {
            Some(Some(ends)) => return *ends,
            // The kernel refuses a circle.
            Some(None) => return Ends::ANY,
            None => {}
        }
        let Some(chain) = self.table.chain(name) else { return Ends::ANY };
        self.known.insert(name, None);
        let ends = self.rules(&chain.rules);
        self.known.insert(name, Some(ends));
        ends
    }

    fn rules(&mut self, rules: &'r [Rule]) -> Ends {
        let mut possible = Ends::NONE;
        for rule in rules {
            let steps = match &rule.body {
                Body::Words(words) => iptables::steps(words, self.table, self.packet, self.is_incoming),
                Body::Expressions(all) => {
                    nft::steps(all, (self.table, &self.filled), self.packet, self.is_incoming)
                }
                Body::Source(_) => vec![Step::Perhaps(Ends::ANY)],
            };
            if self.rule(&steps, &mut possible) {
                return possible;
            }
        }
        possible | Ends::RETURN
    }

    /// True if no packet comes past the rule.
    fn rule(&mut self, steps: &[Step<'r>], possible: &mut Ends) -> bool {
        let mut is_sure = true;
        for step in steps {
            match step {
                Step::If(Matches::Yes) => {}
                Step::If(Matches::No) => return false,
                Step::If(Matches::Perhaps) => is_sure = false,
                Step::Perhaps(ends) => {
                    *possible |= *ends;
                    is_sure = false;
                }
                Step::Verdict(verdict) => return self.verdict(*verdict, possible) && is_sure,
                Step::Map(entries) => {
                    for (matches, verdict) in entries {
                        match matches {
                            Matches::No => {}
                            Matches::Yes => return self.verdict(*verdict, possible) && is_sure,
                            Matches::Perhaps => {
                                self.verdict(*verdict, possible);
                            }
                        }
                    }
                }
            }
        }
        false
    }

    /// True if a packet with this verdict does not come to the next rule.
    fn verdict(&mut self, verdict: Verdict<'r>, possible: &mut Ends) -> bool {
        match verdict {
            Verdict::End(ends) => {
                *possible |= ends;
                true
            }
            Verdict::Goto(name) => {
                *possible |= self.chain(name);
                true
            }
            Verdict::Jump(name) => {
                let ends = self.chain(name);
                *possible |= ends.without(Ends::RETURN);
                !ends.has(Ends::RETURN)
            }
        }
    }
}

/// Does any rule write into packets? Then addresses further on are not what they were.
fn rewrites(ruleset: &Ruleset) -> bool {
    let is_payload = |expression: &Value| {
        expression
            .get("mangle")
            .and_then(|mangle| mangle.get("key"))
            .is_some_and(|key| key.get("payload").is_some())
    };
    ruleset.chains().flat_map(|(_, chain)| &chain.rules).any(|rule| match &rule.body {
        Body::Expressions(all) => all.iter().any(is_payload),
        Body::Words(words) => words.iter().any(|word| matches!(word.as_str(), "NETMAP" | "SNPT" | "DNPT")),
        Body::Source(_) => false,
    })
}

/// Does any rule hide packets from connection tracking, or divide it?
fn looks_away(ruleset: &Ruleset) -> bool {
    let is_away = |expression: &Value| {
        let zone = expression.get("mangle").and_then(|mangle| mangle.get("key")?.get("ct")?.get("key"));
        expression.get("notrack").is_some() || zone.is_some_and(|key| key == "zone")
    };
    ruleset.chains().flat_map(|(_, chain)| &chain.rules).any(|rule| match &rule.body {
        Body::Expressions(all) => all.iter().any(is_away),
        Body::Words(words) => words.iter().any(|word| {
            matches!(word.as_str(), "NOTRACK" | "--notrack" | "--zone" | "--zone-orig" | "--zone-reply")
        }),
        Body::Source(_) => false,
    })
}
