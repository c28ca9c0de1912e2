//! Which set is meant, and what it is like.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, anyhow, bail};
use serde_json::Value;
use unmasq_netfilter::ipset::{self, Ipsets, SetType};
use unmasq_netfilter::netns::Namespace;
use unmasq_rules::program;

use super::element::{Part, Wanted, address, key, pair};

const FAMILIES: [&str; 6] = ["ip", "ip6", "inet", "arp", "bridge", "netdev"];

/// What stands for a table on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Table {
    Ipset,
    Nft { family: Option<&'static str>, name: String },
}

impl FromStr for Table {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "ipset" {
            return Ok(Self::Ipset);
        }
        let known = |word: &str| FAMILIES.into_iter().find(|family| *family == word);
        let (family, name) = match text.split_once([':', ' ']) {
            Some((family, name)) => match known(family) {
                Some(family) => (Some(family), name),
                None => return Err(format!("{family:?} is no family; it is one of {}", FAMILIES.join(", "))),
            },
            None if known(text).is_some() => {
                return Err(format!("the name of the table is missing; write {text}:NAME"));
            }
            None => (None, text),
        };
        if name.is_empty() || name.contains(|c: char| !c.is_ascii_alphanumeric() && !"_.-/".contains(c)) {
            return Err("write FAMILY:NAME, such as inet:filter".to_owned());
        }
        Ok(Self::Nft { family, name: name.to_owned() })
    }
}

/// A set or map of nftables.
#[derive(Clone, Debug)]
pub(super) struct NftSet {
    pub(super) family: String,
    pub(super) table: String,
    pub(super) name: String,
    /// `set` or `map`.
    pub(super) kind: &'static str,
    /// The parts of a key.
    pub(super) key: Vec<Part>,
    /// What a map gives.
    pub(super) gives: Option<Gives>,
    pub(super) is_interval: bool,
    pub(super) has_timeout: bool,
    /// The table's chains, to which a verdict may lead.
    pub(super) chains: Vec<String>,
}

/// What a map gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Gives {
    Verdict,
    Parts(Vec<Part>),
}

/// The set that is meant.
#[derive(Debug)]
pub(super) enum Found {
    Nft(NftSet),
    Ipset { name: ipset::Name, info: ipset::SetInfo },
}

impl Found {
    pub(super) fn find(table: &Table, set: &str) -> anyhow::Result<Self> {
        match table {
            Table::Ipset => {
                let name: ipset::Name = set.parse()?;
                let mut sets = Ipsets::open(&Namespace::current())?;
                let info = sets.info(&name)?.with_context(|| format!("there is no ipset {set:?}"))?;
                if info.kind == SetType::Other {
                    bail!("the ipset {set} is of the type {}; use ipset(8) for it", info.type_name);
                }
                Ok(Self::Ipset { name, info })
            }
            Table::Nft { family, name } => NftSet::find(*family, name, set).map(Self::Nft),
        }
    }

    pub(super) fn has_timeout(&self) -> bool {
        match self {
            Self::Nft(set) => set.has_timeout,
            Self::Ipset { info, .. } => info.has_timeout,
        }
    }

    /// Checks an element against the type.
    pub(super) fn check(&self, text: &str, is_addition: bool) -> Result<Wanted, String> {
        match self {
            Self::Nft(set) => set.check(text, is_addition),
            Self::Ipset { info, .. } => {
                let mut parts = vec![if info.is_v6 { Part::Ipv6 } else { Part::Ipv4 }];
                if info.kind == SetType::HashIpPort {
                    parts.push(Part::Port);
                }
                let key = key(text, &parts, info.kind == SetType::HashNet)?;
                let member = address(&key, &parts).filter(|member| info.fits(member));
                let member = member.ok_or_else(|| format!("it takes what {} takes", info.type_name))?;
                Ok(Wanted { key: member.to_string(), nft: String::new(), member: Some(member), value: None })
            }
        }
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nft(set) => write!(f, "{} {} {}", set.family, set.table, set.name),
            Self::Ipset { name, .. } => write!(f, "ipset {name}"),
        }
    }
}

impl NftSet {
    fn find(family: Option<&str>, table: &str, set: &str) -> anyhow::Result<Self> {
        // Terse: without elements, of which there may be many.
        let listing = program::run("nft", &["-j", "-t", "list", "ruleset"], "")?;
        let listing: Value = serde_json::from_str(&listing).context("nft's JSON cannot be read")?;
        let things = listing["nftables"].as_array().map_or(&[][..], Vec::as_slice);
        let tables: Vec<&str> = things
            .iter()
            .filter_map(|thing| thing.get("table"))
            .filter(|about| about["name"] == table)
            .filter_map(|about| about["family"].as_str())
            .filter(|known| family.is_none_or(|family| family == *known))
            .collect();
        let family = match tables[..] {
            [one] => one,
            [] => {
                let family = family.map_or(String::new(), |family| format!("{family} "));
                bail!("there is no table {family}{table}; `nft list tables` names those that there are");
            }
            _ => bail!("there is a table {table} in {}; write {}:{table}", tables.join(" and "), tables[0]),
        };
        let is_of_table = |about: &&Value| about["family"] == family && about["table"] == table;
        let of = |kind: &str| -> Vec<&Value> {
            things.iter().filter_map(|thing| thing.get(kind)).filter(is_of_table).collect()
        };
        let named = |kind: &'static str| {
            of(kind).into_iter().find(|about| about["name"] == set).map(|about| (kind, about))
        };
        let (kind, about) = named("set").or_else(|| named("map")).ok_or_else(|| {
            let names: Vec<&str> =
                [of("set"), of("map")].concat().iter().filter_map(|about| about["name"].as_str()).collect();
            let there = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            anyhow!("there is no set or map {set:?} in the table {family} {table}; there is: {there}")
        })?;
        let has = |flag: &str| words(&about["flags"]).contains(&flag);
        if has("constant") {
            bail!("{family} {table} {set} is constant: it was made with `flags constant`");
        }
        let parts = |value: &Value| words(value).into_iter().map(Part::of).collect::<Vec<_>>();
        let gives = match &about["map"] {
            Value::Null => None,
            Value::String(word) if word == "verdict" => Some(Gives::Verdict),
            value => Some(Gives::Parts(parts(value))),
        };
        let chains = of("chain").into_iter().filter_map(|about| about["name"].as_str()).map(str::to_owned);
        Ok(Self {
            family: family.to_owned(),
            table: table.to_owned(),
            name: set.to_owned(),
            kind,
            key: parts(&about["type"]),
            gives,
            is_interval: has("interval"),
            has_timeout: has("timeout"),
            chains: chains.collect(),
        })
    }

    /// A set whose elements are addresses, or addresses with a port: it is changed in one transaction, without nft.
    pub(super) fn is_of_addresses(&self) -> bool {
        let is_of_them =
            matches!(self.key[..], [Part::Ipv4 | Part::Ipv6] | [Part::Ipv4 | Part::Ipv6, Part::Port]);
        self.kind == "set" && is_of_them
    }

    fn check(&self, text: &str, is_addition: bool) -> Result<Wanted, String> {
        let (text, value) = match &self.gives {
            None => (text, None),
            Some(gives) => {
                let (key, value) = pair(text, &self.key);
                match value {
                    Some(value) => (key, Some(gives.check(value, &self.chains)?)),
                    None if is_addition => {
                        return Err(format!("it is a map, so write KEY:VALUE, such as {}", gives.example()));
                    }
                    None => (key, None),
                }
            }
        };
        let parsed = key(text, &self.key, self.is_interval)?;
        let member = if self.is_of_addresses() {
            Some(address(&parsed, &self.key).ok_or_else(|| format!("{text:?} is no range"))?)
        } else {
            None
        };
        let shown: Vec<String> = parsed.iter().map(|part| part.shown.clone()).collect();
        let nft: Vec<String> = parsed.iter().map(|part| part.nft.clone()).collect();
        Ok(Wanted { key: shown.join(" . "), nft: nft.join(" . "), member, value })
    }
}

impl Gives {
    fn check(&self, text: &str, chains: &[String]) -> Result<String, String> {
        match self {
            Self::Verdict => match text.split_whitespace().collect::<Vec<_>>()[..] {
                [word @ ("accept" | "drop" | "continue" | "return")] => Ok(word.to_owned()),
                [word @ ("jump" | "goto"), chain] if chains.iter().any(|known| known == chain) => {
                    Ok(format!("{word} {chain}"))
                }
                ["jump" | "goto", chain] => Err(format!("there is no chain {chain:?} in its table")),
                _ => {
                    Err(format!("{text:?} is none of accept, drop, continue, return, jump CHAIN, goto CHAIN"))
                }
            },
            // What a map gives may be a range, as for `snat to`.
            Self::Parts(parts) => {
                let parsed = key(text, parts, true)?;
                Ok(parsed.into_iter().map(|part| part.nft).collect::<Vec<_>>().join(" . "))
            }
        }
    }

    fn example(&self) -> &'static str {
        match self {
            Self::Verdict => "'eth0:jump LOintra'",
            Self::Parts(_) => "192.0.2.1:10.0.0.1",
        }
    }
}

/// nft prints a list of one as the one.
fn words(value: &Value) -> Vec<&str> {
    match value {
        Value::String(one) => vec![one],
        Value::Array(many) => many.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_written_with_its_family_or_without() {
        let nft = |family, name: &str| Ok(Table::Nft { family, name: name.to_owned() });
        assert_eq!("inet:filter".parse(), nft(Some("inet"), "filter"));
        assert_eq!("inet filter".parse(), nft(Some("inet"), "filter"));
        assert_eq!("filter".parse(), nft(None, "filter"));
        assert_eq!("ipset".parse(), Ok(Table::Ipset));
        for text in ["inet", "int:filter", "inet:", "", "inet:a b", "inet:x;y"] {
            assert!(text.parse::<Table>().is_err(), "{text:?}");
        }
    }

    fn jump_map() -> NftSet {
        NftSet {
            family: "inet".to_owned(),
            table: "filter".to_owned(),
            name: "jump_map".to_owned(),
            kind: "map",
            key: vec![Part::Interface],
            gives: Some(Gives::Verdict),
            is_interval: false,
            has_timeout: false,
            chains: vec!["LOintra".to_owned()],
        }
    }

    #[test]
    fn a_map_of_verdicts_leads_to_chains_that_are_there() {
        let check = |text: &str| jump_map().check(text, true);
        let wanted = check("eth0:jump LOintra").unwrap();
        assert_eq!((wanted.key.as_str(), wanted.nft.as_str()), ("eth0", "\"eth0\""));
        assert_eq!(wanted.value.as_deref(), Some("jump LOintra"));
        assert_eq!(check("eth0 : drop").unwrap().value.as_deref(), Some("drop"));
        assert!(check("eth0:jump LOdmz").unwrap_err().contains("no chain \"LOdmz\""));
        assert!(check("eth0:jump").unwrap_err().contains("none of"));
        assert!(check("eth0").unwrap_err().contains("KEY:VALUE"));
        assert!(check("an-interface-with-a-name:drop").is_err());
        assert_eq!(jump_map().check("eth0", false).unwrap().value, None);
    }
}
