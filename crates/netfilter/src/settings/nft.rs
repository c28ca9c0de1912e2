//! The output of `nft -j list ruleset` (libnftables-json(5)).

use serde_json::Value;

use super::iptables::NAT_TARGETS;
use super::rules::{Flowtable, Framework, NatPlace, Untracked};
use super::{Reading, SettingError};

/// Statements that translate.
const NAT_STATEMENTS: [&str; 4] = ["masquerade", "snat", "dnat", "redirect"];

/// What a listing says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Listing {
    pub(super) nat: Vec<NatPlace>,
    pub(super) untracked: Vec<Untracked>,
    pub(super) flowtables: Vec<Flowtable>,
    pub(super) has_opaque_ct: Families,
}

/// A statement about each family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Families {
    pub(super) ip: bool,
    pub(super) ip6: bool,
}

/// The objects of a listing, such as `{"rule": …}`.
pub(super) fn objects(text: &str) -> Reading<Vec<Value>> {
    let refused = |expected| SettingError::value("nft -j list ruleset", text, expected);
    let mut document: Value = serde_json::from_str(text).map_err(|_| refused("JSON"))?;
    match document.get_mut("nftables").map(Value::take) {
        Some(Value::Array(objects)) => Ok(objects),
        _ => Err(refused("a list named nftables")),
    }
}

/// Reads it. Objects of unknown kinds are left out: later versions of nft add some.
pub(super) fn parse(text: &str) -> Reading<Listing> {
    let objects = objects(text)?;
    let mut listing = Listing::default();
    // A rule that fills a flow table may be listed on either side of it.
    for table in objects.iter().filter_map(|object| object.get("flowtable")) {
        listing.flowtable(table);
    }
    for rule in objects.iter().filter_map(|object| object.get("rule")) {
        listing.rule(rule);
    }
    for table in &mut listing.flowtables {
        table.removal.push(format!("nft delete flowtable {} {} {}", table.family, table.table, table.name));
    }
    Ok(listing)
}

impl Listing {
    fn rule(&mut self, rule: &Value) {
        let text = |key: &str| rule[key].as_str().unwrap_or_default().to_owned();
        let (family, table, chain) = (text("family"), text("table"), text("chain"));
        let statements = rule["expr"].as_array().map_or(&[][..], Vec::as_slice);
        let has = |names: &[&str]| statements.iter().any(|s| names.iter().any(|name| s.get(name).is_some()));
        // A rule of iptables-nft whose target nft has no words for.
        let has_target = |names: &[&str]| {
            statements.iter().any(|s| s["xt"]["name"].as_str().is_some_and(|target| names.contains(&target)))
        };
        if has(&NAT_STATEMENTS) || has_target(&NAT_TARGETS) {
            let is_same = |p: &&mut NatPlace| p.family == family && p.table == table && p.chain == chain;
            match self.nat.iter_mut().find(is_same) {
                Some(place) => place.rules += 1,
                None => self.nat.push(NatPlace {
                    framework: Framework::Nft,
                    family: family.clone(),
                    table: table.clone(),
                    chain: chain.clone(),
                    rules: 1,
                }),
            }
        }
        let removal = format!("nft delete rule {family} {table} {chain} handle {}", rule["handle"]);
        let fills = |name: &str| {
            statements
                .iter()
                .any(|s| s["flow"]["flowtable"].as_str().is_some_and(|f| f.trim_start_matches('@') == name))
        };
        for filled in &mut self.flowtables {
            if filled.family == family && filled.table == table && fills(&filled.name) {
                filled.removal.push(removal.clone());
            }
        }
        if has(&["notrack"]) || has_target(&["NOTRACK"]) {
            self.untracked.push(Untracked { place: format!("{family} {table} {chain}"), removal });
        } else if has_target(&["CT"]) {
            self.has_opaque_ct.ip |= family == "ip";
            self.has_opaque_ct.ip6 |= family == "ip6";
        }
    }

    fn flowtable(&mut self, table: &Value) {
        let text = |key: &str| table[key].as_str().unwrap_or_default().to_owned();
        // One interface is a text, several are a list, none is left out.
        let devices = match &table["dev"] {
            Value::String(one) => vec![one.clone()],
            Value::Array(many) => many.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            _ => Vec::new(),
        };
        self.flowtables.push(Flowtable {
            family: text("family"),
            table: text("table"),
            name: text("name"),
            devices,
            removal: Vec::new(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `nft -j -t list ruleset` of nft 1.0.6 with rules of nft and of iptables-nft.
    const RULESET: &str = include_str!("../../tests/data/settings/nft-ruleset.json");
    /// As libnftables-json(5) and nft's own tests have it; the kernel of the test machine has no flow tables.
    const FLOWTABLES: &str = include_str!("../../tests/data/settings/nft-flowtables.json");

    #[test]
    fn a_recorded_rule_set_is_read() {
        let listing = parse(RULESET).unwrap();
        let nat: Vec<_> = listing
            .nat
            .iter()
            .map(|p| (p.family.as_str(), p.table.as_str(), p.chain.as_str(), p.rules))
            .collect();
        assert_eq!(nat, [("ip", "nat", "POSTROUTING", 1), ("ip", "n", "po", 2)]);
        assert_eq!(
            listing.untracked,
            [Untracked {
                place: "inet t c".to_owned(),
                removal: "nft delete rule inet t c handle 2".to_owned(),
            }]
        );
        assert_eq!(listing.has_opaque_ct, Families { ip: true, ip6: false });
        assert!(listing.flowtables.is_empty());
    }

    #[test]
    fn flow_tables_are_read_with_one_and_several_interfaces() {
        let tables = parse(FLOWTABLES).unwrap().flowtables;
        let read: Vec<_> = tables.iter().map(|t| (t.name.as_str(), t.devices.len())).collect();
        assert_eq!(read, [("fast", 2), ("slow", 1), ("idle", 0)]);
        assert_eq!(
            tables[0].removal,
            ["nft delete rule inet filter forward handle 7", "nft delete flowtable inet filter fast"]
        );
        assert_eq!(tables[1].removal, ["nft delete flowtable ip filter slow"]);
    }

    #[test]
    fn what_is_no_listing_is_refused() {
        for text in ["", "{}", "[]", "{\"nftables\": 5}", "{\"nftables\": [{}, 5"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert_eq!(
            parse("{\"nftables\": [5, {\"rule\": {}}, {\"rule\": {\"expr\": [null]}}]}").unwrap(),
            Listing::default()
        );
    }
}
