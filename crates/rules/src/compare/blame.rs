//! Which revision brought a rule in.

use std::collections::HashMap;

use super::sequence::{Step, compared};
use super::texts;
use crate::ruleset::{Rule, Ruleset};

/// A rule of the last revision, and where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blamed<'r> {
    /// The table's family.
    pub family: &'r str,
    /// The table's name.
    pub table: &'r str,
    /// The chain.
    pub chain: &'r str,
    /// The rule.
    pub rule: &'r Rule,
    /// The index of the revision since which it has been there without a break, moved within its chain or not.
    pub revision: usize,
}

/// Family, table, chain.
type Place<'r> = (&'r str, &'r str, &'r str);

/// For each rule of the last of these revisions, in its order, the one that brought it in. They are in the order of time.
pub fn blame(revisions: &[Ruleset]) -> Vec<Blamed<'_>> {
    let Some(last) = revisions.last() else { return Vec::new() };
    // Of each chain, the origins of its rules in the revision before.
    let mut known: HashMap<Place<'_>, (&[Rule], Vec<usize>)> = HashMap::new();
    for (revision, ruleset) in revisions.iter().enumerate() {
        let mut now = HashMap::new();
        for (table, chain) in ruleset.chains() {
            let key = (table.family.as_str(), table.name.as_str(), chain.name.as_str());
            let mut origins = vec![revision; chain.rules.len()];
            if let Some((rules, former)) = known.get(&key) {
                for step in compared(&texts(rules), &texts(&chain.rules)) {
                    if let Step::Same { from, to } | Step::Moved { from, to } = step {
                        origins[to] = former[from];
                    }
                }
            }
            now.insert(key, (&chain.rules[..], origins));
        }
        known = now;
    }
    let mut blamed = Vec::with_capacity(last.rule_count());
    for (table, chain) in last.chains() {
        let (family, name) = (table.family.as_str(), table.name.as_str());
        let origins = known.get(&(family, name, chain.name.as_str())).map_or(&[][..], |(_, origins)| origins);
        blamed.extend(chain.rules.iter().zip(origins).map(|(rule, revision)| Blamed {
            family,
            table: name,
            chain: &chain.name,
            rule,
            revision: *revision,
        }));
    }
    blamed
}
