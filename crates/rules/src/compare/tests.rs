use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;
use crate::Form;

fn read(text: &str) -> Ruleset {
    Ruleset::of_iptables(Form::Iptables, text).unwrap()
}

fn lines(old: &Ruleset, new: &Ruleset) -> String {
    print(&differences(old, new)).iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn rules_chains_tables_and_policies_are_told() {
    let old = read(
        "*filter\n:INPUT ACCEPT [5:6]\n:FORWARD DROP [0:0]\n:old - [0:0]\n-A INPUT -i a -j ACCEPT\n\
         -A INPUT -i b -j ACCEPT\n-A INPUT -i c -j ACCEPT\n-A old -j DROP\nCOMMIT\n*nat\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n",
    );
    let new = read(
        "*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [9:9]\n:new - [0:0]\n-A INPUT -i c -j ACCEPT\n\
         -A INPUT -i a -j ACCEPT\n-A INPUT -i d -j ACCEPT\n-A new -j RETURN\nCOMMIT\n*raw\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n",
    );
    insta::assert_snapshot!(lines(&old, &new));
    assert_eq!(removed_share(&old, &new), Removed { rules: 2, of: 4 });
    assert!((removed_share(&old, &new).share() - 0.5).abs() < f64::EPSILON);
}

#[test]
fn sets_maps_and_their_elements_are_told() {
    let json = include_str!("../../tests/data/listing.json");
    let old = Ruleset::of_nft_json(json).unwrap();
    let changed = json
        .replace("\"packets\": 4", "\"packets\": 99")
        .replace("\"expires\": 3599", "\"expires\": 12")
        .replace("192.168.1.9", "192.168.1.10")
        .replacen("\"LOintra\"", "\"LOdmz\"", 1)
        .replace("\"size\": 1000", "\"size\": 2000");
    assert_ne!(changed, json);
    let new = Ruleset::of_nft_json(&changed).unwrap();
    insta::assert_snapshot!(lines(&old, &new));
    let emptied = Ruleset::empty(Form::Nft);
    assert_eq!(removed_share(&old, &emptied).rules, old.rule_count());
    assert!(removed_share(&emptied, &old).share() < f64::EPSILON, "of nothing, nothing is gone");
}

#[test]
fn a_difference_is_data_too() {
    let old = read("*filter\nCOMMIT\n");
    let new = read("*filter\n-A INPUT -j DROP\nCOMMIT\n");
    let json = serde_json::to_value(differences(&old, &new)).unwrap();
    assert_eq!(json[0]["change"], "chain-added");
    assert_eq!(json[0]["hook"], "type filter hook input priority 0");
    assert_eq!(json[1]["change"], "rule-added");
    assert_eq!((&json[1]["family"], &json[1]["at"]), (&"ip".into(), &1.into()));
}

/// A ruleset of two chains with these rules.
fn made(chains: &[Vec<u8>]) -> Ruleset {
    let mut text = "*filter\n".to_owned();
    for (name, rules) in ["INPUT", "own"].iter().zip(chains) {
        let _ = writeln!(text, ":{name} - [0:0]");
        text.extend(rules.iter().map(|rule| format!("-A {name} -i eth{rule} -j DROP\n")));
    }
    text.push_str("COMMIT\n");
    read(&text)
}

fn chains() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(prop::collection::vec(0..6_u8, 0..10), 2)
}

proptest! {
    #[test]
    fn there_is_no_difference_exactly_between_equals(old in chains(), new in chains()) {
        prop_assert_eq!(differences(&made(&old), &made(&new)).is_empty(), old == new);
        prop_assert!(differences(&made(&old), &made(&old)).is_empty());
    }

    /// What a chain becomes when the differences are carried out: all that went or moved is taken away, then what came is put
    /// at its place.
    #[test]
    fn the_differences_carried_out_make_the_new_chain(old in chains(), new in chains()) {
        let mut rules: Vec<Option<u8>> = old[0].iter().copied().map(Some).collect();
        let mut put = Vec::new();
        for difference in differences(&made(&old), &made(&new)) {
            let number = |rule: &str| rule[6..7].parse::<u8>().unwrap();
            match difference.change {
                Change::RuleAdded { chain, at, rule } if chain == "INPUT" => put.push((at, number(&rule))),
                Change::RuleRemoved { chain, at, .. } if chain == "INPUT" => rules[at - 1] = None,
                Change::RuleMoved { chain, from, to, rule } if chain == "INPUT" => {
                    rules[from - 1] = None;
                    put.push((to, number(&rule)));
                }
                _ => {}
            }
        }
        let mut rules: Vec<u8> = rules.into_iter().flatten().collect();
        put.sort_unstable();
        for (at, rule) in put {
            rules.insert(at - 1, rule);
        }
        prop_assert_eq!(&rules, &new[0]);
    }

    /// Against a tracker that follows each rule by itself. Texts are different in each chain, where only one answer is right.
    #[test]
    fn blame_follows_rules_through_moves(edits in prop::collection::vec((0..12_u8, 0..12_usize), 1..30)) {
        let mut rules: Vec<(u8, usize)> = Vec::new();
        let mut revisions = vec![made(&[Vec::new(), Vec::new()])];
        for (revision, (rule, at)) in edits.into_iter().enumerate() {
            // A rule that is there goes, or moves if the place is even; one that is not there comes.
            let former = rules.iter().position(|(known, _)| *known == rule).map(|index| rules.remove(index));
            let place = at.min(rules.len());
            match former {
                None => rules.insert(place, (rule, revision + 1)),
                Some(former) if at % 2 == 0 => rules.insert(place, former),
                Some(_) => {}
            }
            revisions.push(made(&[rules.iter().map(|(rule, _)| *rule).collect(), Vec::new()]));
        }
        let blamed = blame(&revisions);
        let found: Vec<usize> = blamed.iter().map(|blamed| blamed.revision).collect();
        prop_assert_eq!(found, rules.iter().map(|(_, since)| *since).collect::<Vec<_>>());
        prop_assert!(blamed.iter().all(|blamed| blamed.chain == "INPUT" && blamed.family == "ip"));
    }
}

#[test]
fn of_no_revisions_nobody_is_to_blame() {
    assert_eq!(blame(&[]), []);
}
