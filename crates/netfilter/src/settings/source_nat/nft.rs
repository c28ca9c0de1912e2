//! The chains of `nft -j list ruleset` (libnftables-json(5)).

use std::collections::{HashMap, HashSet};

use ipnet::Ipv4Net;
use serde_json::Value;
use unmasq_flow::Protocol;

use super::chain::{Chain, ChainId, Rule};
use super::iptables::TARGETS;
use super::restriction::{Restriction, networks};

/// The texts of rules, by chain and handle.
pub(super) type Texts = HashMap<(ChainId, u64), String>;

/// Asks for the elements of a named set or map: `set` or `map`; family, table and name.
pub(super) type Elements<'e> = dyn FnMut(&str, [&str; 3]) -> Option<Value> + 'e;

/// Is there a base chain of source translation at all?
pub(super) fn translates(objects: &[Value]) -> bool {
    objects.iter().any(|object| base_priority(&object["chain"]).is_some())
}

/// Has iptables-nft a hand in it?
pub(super) fn is_of_iptables(objects: &[Value]) -> bool {
    let has_xt = |rule: &Value| statements(rule).iter().any(|statement| statement.get("xt").is_some());
    objects
        .iter()
        .filter_map(|object| object.get("rule"))
        .any(|rule| rule["family"] == "ip" && rule["table"] == "nat" && has_xt(rule))
}

/// The base chains of source translation, and what they may jump to.
pub(super) fn chains(objects: &[Value], texts: &Texts, elements: &mut Elements<'_>) -> Vec<Chain> {
    let mut by_chain: HashMap<ChainId, Vec<&Value>> = HashMap::new();
    for rule in objects.iter().filter_map(|object| object.get("rule")) {
        by_chain.entry(id(rule, "chain")).or_default().push(rule);
    }
    let bases = objects.iter().filter_map(|object| object.get("chain"));
    let mut pending: Vec<(ChainId, Option<i32>)> =
        bases.filter_map(|chain| Some((id(chain, "name"), Some(base_priority(chain)?)))).collect();
    pending.reverse();
    let mut seen: HashSet<ChainId> = pending.iter().map(|(id, _)| id.clone()).collect();
    let mut chains = Vec::new();
    while let Some((id, priority)) = pending.pop() {
        let listed = by_chain.get(&id).map_or(&[][..], Vec::as_slice);
        let mut rules = Vec::new();
        for (place, rule) in listed.iter().enumerate() {
            let handle = rule["handle"].as_u64().unwrap_or(0);
            let text = texts.get(&(id.clone(), handle)).cloned();
            let text = text.unwrap_or_else(|| format!("handle {handle}"));
            let mut reader = Reader { id: &id, elements: &mut *elements };
            rules.extend(reader.rule(place, text, statements(rule)));
        }
        for (name, _) in rules.iter().flat_map(|rule: &Rule| &rule.jumps) {
            let target = ChainId { name: name.clone(), ..id.clone() };
            if seen.insert(target.clone()) {
                pending.push((target, None));
            }
        }
        chains.push(Chain { id, priority, rules, length: listed.len() });
    }
    chains
}

/// Reads the texts out of `nft -a -s -t list ruleset`, where each ends with its handle.
pub(super) fn texts(listing: &str) -> Texts {
    let mut texts = Texts::new();
    let (mut family, mut table, mut chain) = ("", "", "");
    let mut text = String::new();
    for line in listing.lines() {
        let (content, handle) = match line.rsplit_once(" # handle ") {
            Some((content, handle)) => (content, handle.trim().parse().ok()),
            None => (line, None),
        };
        let depth = content.len() - content.trim_start_matches('\t').len();
        let content = content.trim();
        let words: Vec<&str> = content.split(' ').collect();
        match (depth, &words[..]) {
            (0, ["table", f, t, ..]) => (family, table, chain) = (f, t, ""),
            (1, ["chain", name, ..]) => chain = name,
            (1, _) => chain = "",
            // What a base chain is hooked to, and what is said of a chain.
            (2, ["type" | "comment", ..]) if handle.is_none() => {}
            (2.., _) if !chain.is_empty() => {
                // A long rule may take several lines.
                if !text.is_empty() {
                    text.push(' ');
                }
                text.push_str(content);
                if let Some(handle) = handle {
                    let [family, table, name] = [family, table, chain].map(str::to_owned);
                    let id = ChainId { family, table, name };
                    texts.insert((id, handle), std::mem::take(&mut text));
                }
            }
            _ => text.clear(),
        }
    }
    texts
}

/// Reads one chain's rules.
struct Reader<'r, 'e> {
    id: &'r ChainId,
    elements: &'r mut Elements<'e>,
}

impl Reader<'_, '_> {
    /// `None` for a rule that neither translates nor jumps, and for one that is about no IPv4 packet.
    fn rule(&mut self, place: usize, text: String, statements: &[Value]) -> Option<Rule> {
        let mut rule =
            Rule { place, text, only: Restriction::default(), translates: false, jumps: Vec::new() };
        for statement in statements {
            rule.translates |= translates_source(statement);
            for kind in ["jump", "goto"] {
                if let Some(target) = statement[kind]["target"].as_str() {
                    rule.jumps.push((target.to_owned(), Restriction::default()));
                }
            }
        }
        let maps = || statements.iter().filter_map(|statement| statement.get("vmap"));
        // Before sets are asked for: most rules of a chain may be about something else.
        if !rule.translates && rule.jumps.is_empty() && maps().next().is_none() {
            return None;
        }
        for condition in statements.iter().filter_map(|statement| statement.get("match")) {
            if is_never_ipv4(condition) {
                return None;
            }
            if let Some(restriction) = self.restriction(condition) {
                rule.only = rule.only.and(&restriction)?;
            }
        }
        for map in maps() {
            self.verdicts(map, &mut rule.jumps);
        }
        (rule.translates || !rule.jumps.is_empty()).then_some(rule)
    }

    /// What a match restricts the rule to, if it is one that is understood.
    fn restriction(&mut self, condition: &Value) -> Option<Restriction> {
        let (left, right) = (&condition["left"], &condition["right"]);
        if let Some(protocol) = left["payload"]["protocol"].as_str().and_then(|name| name.parse().ok()) {
            // To look into a header of TCP is to demand TCP.
            return Some(Restriction::of(vec![protocol]));
        }
        if !matches!(condition["op"].as_str(), Some("==" | "in")) {
            return None;
        }
        self.equals(left, right)
    }

    fn equals(&mut self, left: &Value, right: &Value) -> Option<Restriction> {
        let payload = (left["payload"]["protocol"].as_str(), left["payload"]["field"].as_str());
        match (payload, left["meta"]["key"].as_str()) {
            ((Some("ip"), Some("saddr")), _) => {
                let networks: Option<Vec<Vec<Ipv4Net>>> =
                    self.values(right)?.iter().map(networks_of).collect();
                Some(Restriction::from(networks?.concat()))
            }
            ((Some("ip"), Some("protocol")), _) | (_, Some("l4proto")) => {
                let protocols: Option<Vec<Protocol>> = self.values(right)?.iter().map(protocol_of).collect();
                protocols.map(Restriction::of)
            }
            (_, Some("oifname" | "oif")) => {
                let name = |value: &Value| value.as_str().map(str::to_owned);
                let names: Option<Vec<String>> = self.values(right)?.iter().map(name).collect();
                names.map(Restriction::out_of)
            }
            _ => None,
        }
    }

    /// The one value, or those of a set; what is in a named set may be asked for. `None` if that is not known, or
    /// nothing yet.
    fn values(&mut self, right: &Value) -> Option<Vec<Value>> {
        let list = match (right.as_str().and_then(|text| text.strip_prefix('@')), right.get("set")) {
            (Some(name), _) => self.named("set", name)?,
            (None, Some(set)) => set.clone(),
            (None, None) => return Some(vec![right.clone()]),
        };
        let Value::Array(list) = list else { return Some(vec![list]) };
        // An element with a time or a comment is wrapped.
        let list: Vec<Value> =
            list.into_iter().map(|one| one["elem"].get("val").cloned().unwrap_or(one)).collect();
        (!list.is_empty()).then_some(list)
    }

    /// The jumps of a verdict map.
    fn verdicts(&mut self, map: &Value, jumps: &mut Vec<(String, Restriction)>) {
        let data = match map["data"].as_str().and_then(|text| text.strip_prefix('@')) {
            Some(name) => self.named("map", name),
            None => map["data"].get("set").cloned(),
        };
        for pair in data.as_ref().and_then(Value::as_array).map_or(&[][..], Vec::as_slice) {
            let key = pair[0]["elem"].get("val").unwrap_or(&pair[0]);
            let target = ["jump", "goto"].into_iter().find_map(|kind| pair[1][kind]["target"].as_str());
            if let Some(target) = target {
                // `*` is for all that have no entry.
                let restriction = if key == "*" { None } else { self.equals(&map["key"], key) };
                jumps.push((target.to_owned(), restriction.unwrap_or_default()));
            }
        }
    }

    fn named(&mut self, kind: &str, name: &str) -> Option<Value> {
        (self.elements)(kind, [&self.id.family, &self.id.table, name])
    }
}

fn translates_source(statement: &Value) -> bool {
    let is_snat = statement.get("snat").is_some_and(|snat| snat["family"] != "ip6");
    let is_target = statement["xt"]["name"].as_str().is_some_and(|name| TARGETS.contains(&name));
    is_snat || is_target || statement.get("masquerade").is_some()
}

/// Does the match leave out all IPv4 packets?
fn is_never_ipv4(condition: &Value) -> bool {
    let (left, right) = (&condition["left"], &condition["right"]);
    let is_equal = matches!(condition["op"].as_str(), Some("==" | "in"));
    match (left["payload"]["protocol"].as_str(), left["meta"]["key"].as_str()) {
        (Some("ip6" | "icmpv6"), _) => true,
        (_, Some("nfproto")) => right == if is_equal { "ipv6" } else { "ipv4" },
        (_, Some("protocol")) => right == if is_equal { "ip6" } else { "ip" },
        _ => false,
    }
}

fn networks_of(value: &Value) -> Option<Vec<Ipv4Net>> {
    if let Some(address) = value.as_str() {
        return Some(vec![Ipv4Net::from(address.parse::<std::net::Ipv4Addr>().ok()?)]);
    }
    if let Some(prefix) = value.get("prefix") {
        let bits = u8::try_from(prefix["len"].as_u64()?).ok()?;
        return Ipv4Net::new(prefix["addr"].as_str()?.parse().ok()?, bits).ok().map(|net| vec![net]);
    }
    let end = |nth: usize| value["range"][nth].as_str()?.parse().ok();
    Some(networks(end(0)?, end(1)?)).filter(|networks| !networks.is_empty())
}

fn protocol_of(value: &Value) -> Option<Protocol> {
    match value {
        Value::String(name) => name.parse().ok(),
        number => u8::try_from(number.as_u64()?).ok().map(Protocol),
    }
}

fn base_priority(chain: &Value) -> Option<i32> {
    let is_meant = chain["type"] == "nat"
        && chain["hook"] == "postrouting"
        && matches!(chain["family"].as_str(), Some("ip" | "inet"));
    chain["prio"].as_i64().and_then(|priority| i32::try_from(priority).ok()).filter(|_| is_meant)
}

fn id(object: &Value, name: &str) -> ChainId {
    let [family, table, name] =
        ["family", "table", name].map(|key| object[key].as_str().unwrap_or_default().to_owned());
    ChainId { family, table, name }
}

fn statements(rule: &Value) -> &[Value] {
    rule["expr"].as_array().map_or(&[][..], Vec::as_slice)
}
