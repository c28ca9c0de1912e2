//! Our table of nftables.

use std::collections::BTreeSet;

use anyhow::Context;
use serde_json::Value;
use unmasq_flow::Protocol;
use unmasq_netfilter::maps::{Mapping, Maps};
use unmasq_netfilter::netns::Namespace;
use unmasq_netfilter::sets::SetId;
use unmasq_plan::rules::{CHAIN, Iptables, MAP, Nft, PRIORITY, TABLE, nft_change};
use unmasq_plan::{Allocation, Block, Plan, PortRange, ProtocolSet, apart};

use super::Difference;
use unmasq_rules::program::run;

/// More changed elements than this are loaded as a whole table: by then it is as quick.
const MOST_CHANGED: usize = 8192;

/// What is in our table; nothing if there is none.
#[derive(Debug, Default)]
pub(crate) struct Table {
    /// The elements of the map, if there is one.
    mappings: Option<Vec<Mapping>>,
    /// The base chain and its rules, if there is one.
    shape: Option<Shape>,
    /// Does nft list our chain of iptables beside it? Not asked if there is no table of ours.
    pub(super) has_iptables: Option<bool>,
}

/// What decides what a chain does.
#[derive(Debug, PartialEq, Eq)]
struct Shape {
    hook: String,
    rules: Vec<RuleShape>,
}

/// What decides what a rule does.
#[derive(Debug, PartialEq, Eq)]
struct RuleShape {
    out_interface: Option<String>,
    protocols: BTreeSet<String>,
    /// `@clients`, or the overflow's address.
    to: String,
    /// Of the overflow: from how many flows to one server on.
    over: Option<u64>,
    /// Statements that none of our rules has.
    strange: usize,
}

pub(super) fn printer<'a>(plan: &'a Plan, out_interface: Option<&'a str>) -> Nft<'a> {
    Nft { plan, out_interface }
}

impl Table {
    /// Reads it.
    pub(super) fn read() -> anyhow::Result<Self> {
        let id: SetId = format!("ip {TABLE} {MAP}").parse().context("the name of the plan's map")?;
        let mappings = Maps::open(&Namespace::current())?.list(&id)?;
        if mappings.is_none() {
            return Ok(Self::default());
        }
        // Terse: without the elements, which are read faster than nft prints them. To list our table alone, nft 1.0.6 fetches
        // them all the same and takes twenty times as long.
        let listing = run("nft", &["-j", "-t", "list", "ruleset", "ip"], "")?;
        let listing: Value = serde_json::from_str(&listing).context("nft -j printed no JSON")?;
        // It can have gone between the two.
        let mappings = mappings.filter(|_| has_table(&listing));
        Ok(Self { mappings, shape: shape(&listing), has_iptables: Some(has_iptables(&listing)) })
    }

    /// Is it there?
    pub(super) fn is_there() -> anyhow::Result<bool> {
        let id: SetId = format!("ip {TABLE} {MAP}").parse().context("the name of the plan's map")?;
        Ok(Maps::open(&Namespace::current())?.list(&id)?.is_some())
    }

    /// Takes the table away, if it is there.
    pub(super) fn remove() -> anyhow::Result<()> {
        if !Self::is_there()? {
            return Ok(());
        }
        run("nft", &["-f", "-"], &format!("delete table ip {TABLE}\n"))?;
        Ok(())
    }

    pub(super) fn difference(&self, plan: &Plan, out_interface: Option<&str>) -> Option<Difference> {
        let Some(mappings) = &self.mappings else {
            return Some(Difference::missing(format!("there is no table ip {TABLE}")));
        };
        match &self.shape {
            None => return Some(Difference::missing(format!("the table ip {TABLE} has no chain {CHAIN}"))),
            Some(shape) if *shape != expected(plan, out_interface) => {
                return Some(Difference::changed(format!("the rules of ip {TABLE} {CHAIN} were changed")));
            }
            Some(_) => {}
        }
        let (gone, strange) = Self::elements(mappings, plan);
        (!gone.is_empty() || !strange.is_empty()).then(|| {
            let first = strange.first().or(gone.first()).map(|a| a.client.to_string()).unwrap_or_default();
            Difference::changed(format!(
                "the map ip {TABLE} {MAP} lacks {} elements of the plan and has {} others (client {first} for one)",
                gone.len(),
                strange.len()
            ))
        })
    }

    /// Elements that the plan has and the map has not; and the other way round.
    fn elements(mappings: &[Mapping], plan: &Plan) -> (Vec<Allocation>, Vec<Allocation>) {
        let protocols = plan.protocols();
        let loaded = mappings.iter().map(|mapping| Allocation {
            client: mapping.client,
            block: Block {
                address: mapping.to,
                ports: mapping
                    .ports
                    .as_ref()
                    .and_then(|ports| PortRange::new(*ports.start(), *ports.end()))
                    .unwrap_or(PortRange::ALL),
            },
            // Several addresses for one client are of no plan.
            protocols: if mapping.to == mapping.to_last { protocols } else { ProtocolSet::NONE },
        });
        apart(plan.allocations.clone(), loaded.collect())
    }

    /// What differs: some elements, or the whole table.
    pub(super) fn change(&self, plan: &Plan, out_interface: Option<&str>) -> String {
        let is_shaped = self.shape.as_ref().is_some_and(|shape| *shape == expected(plan, out_interface));
        if let Some(mappings) = self.mappings.as_ref().filter(|_| is_shaped) {
            let (added, removed) = Self::elements(mappings, plan);
            if added.len() + removed.len() <= MOST_CHANGED {
                return nft_change(&removed, &added);
            }
        }
        printer(plan, out_interface).file("")
    }
}

/// The shape of the chain that a plan is loaded with.
fn expected(plan: &Plan, out_interface: Option<&str>) -> Shape {
    let protocols = plan.protocols();
    let mut rules = Vec::new();
    let groups: [&[Protocol]; 4] = [
        &[Protocol::TCP],
        &[Protocol::UDP],
        &[Protocol::SCTP, Protocol::DCCP, Protocol::UDPLITE],
        &[Protocol::ICMP],
    ];
    for group in groups {
        if !group.iter().any(|protocol| protocols.has(*protocol)) {
            continue;
        }
        let rule = |to: String, over: Option<u64>| RuleShape {
            out_interface: out_interface.map(str::to_owned),
            protocols: group.iter().map(ToString::to_string).collect(),
            to,
            over,
            strange: 0,
        };
        if let Some(overflow) = plan.overflow.filter(|_| matches!(group, [Protocol::TCP | Protocol::UDP])) {
            rules.push(rule(
                overflow.to_string(),
                plan.allocations.iter().map(|a| u64::from(a.block.ports.count())).min(),
            ));
        }
        rules.push(rule(format!("@{MAP}"), None));
    }
    Shape { hook: format!("nat postrouting {PRIORITY} accept"), rules }
}

/// Is our table in a listing?
fn has_table(listing: &Value) -> bool {
    let objects = listing["nftables"].as_array().map_or(&[][..], Vec::as_slice);
    objects.iter().any(|object| object["table"]["name"] == TABLE)
}

/// The shape of our chain in a listing of our table (libnftables-json(5)).
fn shape(listing: &Value) -> Option<Shape> {
    let objects = listing["nftables"].as_array()?;
    let is_ours = |object: &&Value, key: &str| object["table"] == TABLE && object[key] == CHAIN;
    let chain = objects.iter().filter_map(|o| o.get("chain")).find(|chain| is_ours(chain, "name"))?;
    let text = |key: &str| chain[key].as_str().unwrap_or_default();
    let hook = format!("{} {} {} {}", text("type"), text("hook"), chain["prio"], text("policy"));
    let rules = objects.iter().filter_map(|o| o.get("rule")).filter(|rule| is_ours(rule, "chain"));
    Some(Shape { hook, rules: rules.map(rule_shape).collect() })
}

/// Is our chain of iptables-nft in the listing?
fn has_iptables(listing: &Value) -> bool {
    let objects = listing["nftables"].as_array().map_or(&[][..], Vec::as_slice);
    let mut chains = objects.iter().filter_map(|object| object.get("chain"));
    chains.any(|chain| chain["table"] == "nat" && chain["name"] == Iptables::CHAIN)
}

fn rule_shape(rule: &Value) -> RuleShape {
    let mut shape = RuleShape {
        out_interface: None,
        protocols: BTreeSet::new(),
        to: String::new(),
        over: None,
        strange: 0,
    };
    for statement in rule["expr"].as_array().map_or(&[][..], Vec::as_slice) {
        if let Some(test) = statement.get("match") {
            let (left, right) = (&test["left"], &test["right"]);
            match (left["meta"]["key"].as_str(), left["payload"]["field"].as_str()) {
                _ if test["op"] != "==" => shape.strange += 1,
                (Some("oifname"), _) => shape.out_interface = right.as_str().map(str::to_owned),
                (Some("l4proto"), _) => shape.protocols.extend(words(right)),
                // The overflow asks whether the client is one of the plan's.
                (None, Some("saddr")) if *right == format!("@{MAP}") => {}
                _ => shape.strange += 1,
            }
        } else if let Some(count) = statement.get("set") {
            // Nft leaves out "meta l4proto tcp" where "tcp dport" says the same.
            let fields = count["elem"]["concat"].as_array().map_or(&[][..], Vec::as_slice);
            let protocol = fields.iter().rev().find_map(|field| field["payload"]["protocol"].as_str());
            let statements = count["stmt"].as_array().map_or(&[][..], Vec::as_slice);
            shape.over = statements.iter().find_map(|statement| statement["ct count"]["val"].as_u64());
            shape.protocols.extend(protocol.map(str::to_owned));
        } else if let Some(snat) = statement.get("snat") {
            shape.to = match (snat["addr"].as_str(), snat["addr"]["map"]["data"].as_str()) {
                (_, Some(map)) => map.to_owned(),
                (Some(address), None) => {
                    let range = &snat["port"]["range"];
                    format!("{address}:{}-{}", range[0], range[1])
                }
                (None, None) => String::new(),
            };
        } else if statement.get("counter").is_none() && statement.get("log").is_none() {
            shape.strange += 1;
        }
    }
    shape
}

/// `"tcp"`, or `{"set": ["sctp", "dccp"]}`.
fn words(value: &Value) -> Vec<String> {
    match (value.as_str(), value["set"].as_array()) {
        (Some(word), _) => vec![word.to_owned()],
        (None, Some(list)) => list.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        (None, None) => Vec::new(),
    }
}
