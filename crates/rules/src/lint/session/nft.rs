//! Rules of nftables, as far as they can be told for a packet.

use std::collections::HashSet;
use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;

use super::packet::{Matches, Packet, State, is_interface};
use super::walk::{Ends, Step, Verdict};
use crate::ruleset::{Body, Set, Table};

/// Statements after which the rule goes on, and which change nothing that is looked at here. What writes into packets, and
/// what hides them from connection tracking, was looked for before.
const PASSING: [&str; 13] = [
    "counter",
    "log",
    "mangle",
    "notrack",
    "ct helper",
    "ct timeout",
    "ct expectation",
    "flow",
    "dup",
    "secmark",
    "last",
    "continue",
    "comment",
];

/// What a rule does with the packet.
pub(super) fn steps<'r>(
    expressions: &'r [Value],
    (table, filled): (&'r Table, &HashSet<&str>),
    packet: &Packet<'_>,
    is_incoming: bool,
) -> Vec<Step<'r>> {
    let view = View { table, filled, packet, is_incoming };
    expressions.iter().map(|expression| view.step(expression)).collect()
}

struct View<'r, 'p> {
    table: &'r Table,
    filled: &'p HashSet<&'p str>,
    packet: &'p Packet<'p>,
    is_incoming: bool,
}

/// What a packet has where a rule looks.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Field<'p> {
    Address(IpAddr),
    Number(u64),
    Word(&'static str),
    Interface(&'p str),
    State,
    /// The packet has no such thing, so that the rule does not match, whatever it compares with.
    Missing,
    Unknown,
}

impl<'r> View<'r, '_> {
    fn step(&self, expression: &'r Value) -> Step<'r> {
        let Some((word, about)) = expression.as_object().and_then(|object| object.iter().next()) else {
            return Step::Perhaps(Ends::ANY);
        };
        if let Some(verdict) = verdict(word, about) {
            return Step::Verdict(verdict);
        }
        match word.as_str() {
            "match" => Step::If(self.matches(about)),
            "vmap" => self.vmap(about),
            // They let a packet through or not, depending on what was before.
            "limit" | "quota" | "ct count" | "set" | "meter" => Step::If(Matches::Perhaps),
            "snat" | "masquerade" => Step::Verdict(Verdict::End(Ends::ACCEPT)),
            "dnat" | "redirect" => Step::Verdict(Verdict::End(Ends::ELSEWHERE)),
            "reject" => Step::Verdict(Verdict::End(Ends::DROP)),
            "tproxy" => Step::Perhaps(Ends::ELSEWHERE),
            word if PASSING.contains(&word) => Step::If(Matches::Yes),
            _ => Step::Perhaps(Ends::ANY),
        }
    }

    fn matches(&self, about: &Value) -> Matches {
        let (left, right) = (&about["left"], &about["right"]);
        if let Some(parts) = left.get("&").and_then(Value::as_array) {
            return self.masked(parts, about);
        }
        let op = about["op"].as_str().unwrap_or_default();
        let fields: Vec<Field<'_>> = match left.get("concat").and_then(Value::as_array) {
            Some(parts) => parts.iter().map(|part| self.field(part)).collect(),
            None => vec![self.field(left)],
        };
        if fields.contains(&Field::Missing) {
            return Matches::No;
        }
        match op {
            "==" | "in" | "" => self.holds(&fields, right),
            "!=" => !self.holds(&fields, right),
            _ => match (&fields[..], right.as_u64()) {
                ([Field::Number(number)], Some(limit)) => match op {
                    "<" => (*number < limit).into(),
                    ">" => (*number > limit).into(),
                    "<=" => (*number <= limit).into(),
                    ">=" => (*number >= limit).into(),
                    _ => Matches::Perhaps,
                },
                _ => Matches::Perhaps,
            },
        }
    }

    /// `tcp flags & mask == set`.
    fn masked(&self, parts: &[Value], about: &Value) -> Matches {
        let is_flags = parts
            .first()
            .is_some_and(|left| left["payload"]["protocol"] == "tcp" && left["payload"]["field"] == "flags");
        let (Some(mask), true) = (parts.get(1).and_then(words), is_flags) else { return Matches::Perhaps };
        let Some(set) = words(&about["right"]) else { return Matches::Perhaps };
        let has = self.packet.has_flags(&mask, &set);
        match about["op"].as_str() {
            Some("==") => has,
            Some("!=") => !has,
            _ => Matches::Perhaps,
        }
    }

    fn vmap(&self, about: &'r Value) -> Step<'r> {
        let fields: Vec<Field<'_>> = match about["key"].get("concat").and_then(Value::as_array) {
            Some(parts) => parts.iter().map(|part| self.field(part)).collect(),
            None => vec![self.field(&about["key"])],
        };
        if fields.contains(&Field::Missing) {
            return Step::If(Matches::No);
        }
        let pairs: Option<Vec<(&Value, &Value)>> = match &about["data"] {
            Value::String(name) => {
                self.named(name).filter(|(_, is_changing)| !is_changing).map(|(set, _)| {
                    set.elements
                        .iter()
                        .filter_map(|element| Some((&element.key, element.value.as_ref()?)))
                        .collect()
                })
            }
            data => data["set"].as_array().map(|entries| {
                let pair = |entry: &'r Value| Some((entry.get(0)?, entry.get(1)?));
                entries.iter().filter_map(pair).collect()
            }),
        };
        let Some(mut pairs) = pairs else { return Step::Perhaps(Ends::ANY) };
        // What holds for all others comes last.
        pairs.sort_by_key(|(key, _)| *key == "*");
        let entry = |(key, value): (&'r Value, &'r Value)| {
            let matches = if key == "*" { Matches::Yes } else { self.holds(&fields, key) };
            let (word, about) = value.as_object()?.iter().next()?;
            // `continue` lets the rule go on.
            Some((matches, verdict(word, about)?))
        };
        let count = pairs.len();
        let entries: Vec<_> = pairs.into_iter().filter_map(entry).collect();
        if entries.len() == count { Step::Map(entries) } else { Step::Perhaps(Ends::ANY) }
    }

    /// Is the value, of one part or several, among those on the right?
    fn holds(&self, fields: &[Field<'_>], right: &Value) -> Matches {
        if let Some(name) = right.as_str().filter(|name| name.starts_with('@')) {
            let Some((set, is_changing)) = self.named(name) else { return Matches::Perhaps };
            let found = Matches::any(set.elements.iter().map(|element| self.holds(fields, &element.key)));
            return if is_changing { Matches::Perhaps } else { found };
        }
        if let Some(many) = right.get("set").or(Some(right)).and_then(Value::as_array) {
            return Matches::any(many.iter().map(|one| self.holds(fields, one)));
        }
        if let Some(about) = right.get("elem") {
            return self.holds(fields, &about["val"]);
        }
        match (fields, right.get("concat").and_then(Value::as_array)) {
            ([field], None) => self.is(field, right),
            (fields, Some(parts)) if fields.len() == parts.len() => {
                Matches::all(fields.iter().zip(parts).map(|(field, part)| self.is(field, part)))
            }
            _ => Matches::Perhaps,
        }
    }

    fn is(&self, field: &Field<'_>, right: &Value) -> Matches {
        if let Some(ends) = right.get("range").and_then(Value::as_array) {
            let [from, to] = &ends[..] else { return Matches::Perhaps };
            return match field {
                Field::Number(number) => match (from.as_u64(), to.as_u64()) {
                    (Some(from), Some(to)) => (from..=to).contains(number).into(),
                    _ => Matches::Perhaps,
                },
                Field::Address(ip) => match (address(from), address(to)) {
                    (Some(from), Some(to)) => (from <= *ip && *ip <= to).into(),
                    _ => Matches::Perhaps,
                },
                _ => Matches::Perhaps,
            };
        }
        if let Some(prefix) = right.get("prefix") {
            let bits = prefix["len"].as_u64().and_then(|bits| u8::try_from(bits).ok());
            let net = address(&prefix["addr"]).zip(bits).and_then(|(ip, bits)| IpNet::new(ip, bits).ok());
            return match (field, net) {
                (Field::Address(ip), Some(net)) => net.contains(ip).into(),
                _ => Matches::Perhaps,
            };
        }
        match (field, right) {
            (Field::Number(number), Value::Number(right)) => {
                right.as_u64().map_or(Matches::Perhaps, |right| (*number == right).into())
            }
            (Field::Address(ip), right) => {
                address(right).map_or(Matches::Perhaps, |right| (*ip == right).into())
            }
            (Field::Word(word), Value::String(right)) => (*word == right).into(),
            (Field::Interface(name), Value::String(pattern)) => is_interface(name, pattern, '*'),
            (Field::State, Value::String(word)) => self.packet.has_state(word),
            _ => Matches::Perhaps,
        }
    }

    fn field(&self, left: &Value) -> Field<'_> {
        let Some((kind, about)) = left.as_object().and_then(|object| object.iter().next()) else {
            return Field::Unknown;
        };
        let text = |key: &str| about[key].as_str().unwrap_or_default();
        let is_v4 = self.packet.is_v4();
        match (kind.as_str(), text("protocol"), text("field"), text("key")) {
            ("meta", _, _, "iifname" | "iif") => self.interface(self.is_incoming),
            ("meta", _, _, "oifname" | "oif") => self.interface(!self.is_incoming),
            ("meta", _, _, "nfproto") => Field::Word(if is_v4 { "ipv4" } else { "ipv6" }),
            ("meta", _, _, "protocol") => Field::Word(if is_v4 { "ip" } else { "ip6" }),
            ("meta", _, _, "l4proto")
            | ("payload", "ip", "protocol", _)
            | ("payload", "ip6", "nexthdr", _) => Field::Word("tcp"),
            ("ct", _, _, "state") => Field::State,
            ("ct", _, _, "direction") if self.packet.state != State::Untold => {
                Field::Word(if self.packet.is_of_client { "original" } else { "reply" })
            }
            ("payload", "ip", ..) if !is_v4 => Field::Missing,
            ("payload", "ip6", ..) if is_v4 => Field::Missing,
            ("payload", "ip" | "ip6", "saddr", _) => Field::Address(self.packet.source()),
            ("payload", "ip" | "ip6", "daddr", _) => Field::Address(self.packet.destination()),
            ("payload", "tcp" | "th", "sport", _) => number(self.packet.source_port()),
            ("payload", "tcp" | "th", "dport", _) => number(self.packet.destination_port()),
            (
                "payload",
                "udp" | "udplite" | "sctp" | "dccp" | "icmp" | "icmpv6" | "esp" | "ah" | "comp" | "arp",
                ..,
            ) => Field::Missing,
            ("fib", ..)
                if self.is_incoming
                    && about["result"] == "type"
                    && words(&about["flags"]).as_deref() == Some(&["daddr"]) =>
            {
                Field::Word("local")
            }
            _ => Field::Unknown,
        }
    }

    fn interface(&self, is_its_side: bool) -> Field<'_> {
        self.packet.interface().filter(|_| is_its_side).map_or(Field::Unknown, Field::Interface)
    }

    /// The set of that name, `@` in front, and whether its elements come and go.
    fn named(&self, name: &str) -> Option<(&'r Set, bool)> {
        let set = self.table.set(name.strip_prefix('@')?)?;
        Some((set, set.is_changing || self.filled.contains(name)))
    }
}

/// The sets, `@` in front, that rules of the table put elements in.
pub(super) fn filled(table: &Table) -> HashSet<&str> {
    fn name(expression: &Value) -> Option<&str> {
        let statement = expression.get("set").or_else(|| expression.get("map"))?;
        statement.get("set").or_else(|| statement.get("map"))?.as_str()
    }
    let bodies = table.chains.iter().flat_map(|chain| &chain.rules).map(|rule| &rule.body);
    let expressions = bodies.flat_map(|body| match body {
        Body::Expressions(all) => &all[..],
        Body::Words(_) | Body::Source(_) => &[],
    });
    expressions.filter_map(name).collect()
}

fn verdict<'r>(word: &str, about: &'r Value) -> Option<Verdict<'r>> {
    match word {
        "accept" => Some(Verdict::End(Ends::ACCEPT)),
        "drop" => Some(Verdict::End(Ends::DROP)),
        "return" => Some(Verdict::End(Ends::RETURN)),
        "jump" => about["target"].as_str().map(Verdict::Jump),
        "goto" => about["target"].as_str().map(Verdict::Goto),
        _ => None,
    }
}

fn number(port: Option<u16>) -> Field<'static> {
    port.map_or(Field::Unknown, |port| Field::Number(port.into()))
}

fn address(value: &Value) -> Option<IpAddr> {
    value.as_str()?.parse().ok()
}

/// One word, or a list of them.
fn words(value: &Value) -> Option<Vec<&str>> {
    match value {
        Value::String(word) => Some(vec![word]),
        Value::Array(many) => many.iter().map(Value::as_str).collect(),
        Value::Object(object) => words(object.get("|")?),
        _ => None,
    }
}
