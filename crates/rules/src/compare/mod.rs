//! What is different between two rulesets, by what they mean: counters, handles and lines do not count.
//!
//! ```
//! use unmasq_rules::{Form, compare::{differences, print}, ruleset::Ruleset};
//!
//! let read = |text: &str| Ruleset::of_iptables(Form::Iptables, text);
//! let old = read("*filter\n:INPUT ACCEPT [9:720]\n-A INPUT -i lo -j ACCEPT\nCOMMIT\n")?;
//! let new = read("*filter\n:INPUT DROP [0:0]\n-A INPUT -i lo -j ACCEPT\n-A INPUT -s 192.0.2.1 -j ACCEPT\nCOMMIT\n")?;
//! let lines: Vec<String> = print(&differences(&old, &new)).iter().map(ToString::to_string).collect();
//! assert_eq!(lines, [
//!     "@@ table ip filter, chain INPUT @@",
//!     "-policy accept",
//!     "+policy drop",
//!     "+-s 192.0.2.1 -j ACCEPT",
//! ]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod blame;
mod print;
mod sequence;

use std::collections::BTreeSet;

use serde::Serialize;

pub use self::blame::{Blamed, blame};
pub use self::print::{Line, LineKind, print};
use self::sequence::{Step, compared};
use crate::ruleset::{Chain, Element, Object, Rule, Ruleset, Set, Table};

/// One thing that is different.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The table's family.
    pub family: String,
    /// The table's name.
    pub table: String,
    /// What is different in it.
    #[serde(flatten)]
    pub change: Change,
}

/// What is different. Places of rules count from 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "change", rename_all = "kebab-case")]
pub enum Change {
    /// The table is new; its contents follow, each as new.
    TableAdded,
    /// The table is gone; its contents follow, each as gone.
    TableRemoved,
    /// The table's flags are others.
    TableFlags {
        /// What they were.
        from: Vec<String>,
        /// What they are.
        to: Vec<String>,
    },
    /// A chain is new; its rules follow.
    ChainAdded {
        /// Its name.
        chain: String,
        /// Where it is called, as nft writes it.
        hook: Option<String>,
        /// Its policy.
        policy: Option<String>,
    },
    /// A chain is gone; its rules follow.
    ChainRemoved {
        /// Its name.
        chain: String,
    },
    /// A chain is called elsewhere.
    Hook {
        /// Its name.
        chain: String,
        /// Where it was called; `None` if only rules jumped to it.
        from: Option<String>,
        /// Where it is called.
        to: Option<String>,
    },
    /// A chain's policy is another.
    Policy {
        /// Its name.
        chain: String,
        /// What it was.
        from: Option<String>,
        /// What it is.
        to: Option<String>,
    },
    /// A rule is new.
    RuleAdded {
        /// The chain.
        chain: String,
        /// Its place in the new chain.
        at: usize,
        /// The rule.
        rule: String,
    },
    /// A rule is gone.
    RuleRemoved {
        /// The chain.
        chain: String,
        /// Its place in the old chain.
        at: usize,
        /// The rule.
        rule: String,
    },
    /// A rule stands elsewhere in its chain, in relation to those that stay.
    RuleMoved {
        /// The chain.
        chain: String,
        /// Its place in the old chain.
        from: usize,
        /// Its place in the new one.
        to: usize,
        /// The rule.
        rule: String,
    },
    /// A set, a map or another thing with a name is new.
    ThingAdded {
        /// nft's word for it: `set`, `map`, `counter`.
        kind: String,
        /// Its name.
        name: String,
        /// What it is like.
        shape: String,
    },
    /// It is gone.
    ThingRemoved {
        /// nft's word for it.
        kind: String,
        /// Its name.
        name: String,
    },
    /// It is of another type, or has other flags or limits.
    ThingChanged {
        /// nft's word for it.
        kind: String,
        /// Its name.
        name: String,
        /// What it was like.
        from: String,
        /// What it is like.
        to: String,
    },
    /// A set or map has an element more.
    ElementAdded {
        /// nft's word for the set: `set` or `map`.
        kind: String,
        /// The set.
        set: String,
        /// The element.
        element: String,
    },
    /// A set or map has an element less.
    ElementRemoved {
        /// nft's word for the set: `set` or `map`.
        kind: String,
        /// The set.
        set: String,
        /// The element.
        element: String,
    },
}

/// All that is different: in the order of the new ruleset, then what is gone with its table.
pub fn differences(old: &Ruleset, new: &Ruleset) -> Vec<Difference> {
    let mut found = Vec::new();
    for table in &new.tables {
        let before = old.table(&table.family, &table.name);
        let mut changes = Vec::new();
        if let Some(before) = before {
            of_table(before, table, &mut changes);
        } else {
            changes.push(Change::TableAdded);
            of_table(&Table::new(&table.family, &table.name), table, &mut changes);
        }
        found.extend(changes.into_iter().map(|change| placed(table, change)));
    }
    for table in old.tables.iter().filter(|table| new.table(&table.family, &table.name).is_none()) {
        let mut changes = vec![Change::TableRemoved];
        of_table(table, &Table::new(&table.family, &table.name), &mut changes);
        found.extend(changes.into_iter().map(|change| placed(table, change)));
    }
    found
}

fn placed(table: &Table, change: Change) -> Difference {
    Difference { family: table.family.clone(), table: table.name.clone(), change }
}

/// How much of a ruleset is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removed {
    /// Rules that are in the old ruleset and not in the new one. A rule that moved within its chain is not gone.
    pub rules: usize,
    /// Rules of the old one.
    pub of: usize,
}

impl Removed {
    /// From 0, none, to 1, all; 0 if there were none.
    pub fn share(self) -> f64 {
        if self.of == 0 { 0.0 } else { self.rules as f64 / self.of as f64 }
    }
}

/// How many of the old rules are gone.
pub fn removed_share(old: &Ruleset, new: &Ruleset) -> Removed {
    let is_gone = |difference: &Difference| matches!(difference.change, Change::RuleRemoved { .. });
    let rules = differences(old, new).iter().filter(|difference| is_gone(difference)).count();
    Removed { rules, of: old.rule_count() }
}

/// Is anything of the old ruleset's rules, chains and sets gone or another? Elements and what is new do not count.
pub fn lacks(old: &Ruleset, new: &Ruleset) -> bool {
    differences(old, new).iter().any(|difference| match &difference.change {
        Change::TableRemoved
        | Change::TableFlags { .. }
        | Change::ChainRemoved { .. }
        | Change::Hook { .. }
        | Change::Policy { .. }
        | Change::RuleRemoved { .. }
        | Change::RuleMoved { .. }
        | Change::ThingRemoved { .. }
        | Change::ThingChanged { .. } => true,
        Change::TableAdded
        | Change::ChainAdded { .. }
        | Change::RuleAdded { .. }
        | Change::ThingAdded { .. }
        | Change::ElementAdded { .. }
        | Change::ElementRemoved { .. } => false,
    })
}

fn of_table(old: &Table, new: &Table, changes: &mut Vec<Change>) {
    if old.flags != new.flags {
        changes.push(Change::TableFlags { from: old.flags.clone(), to: new.flags.clone() });
    }
    of_things(old, new, changes);
    for chain in &new.chains {
        if let Some(before) = old.chain(&chain.name) {
            of_heading(before, chain, changes);
            of_rules(before, chain, changes);
            continue;
        }
        changes.push(Change::ChainAdded {
            chain: chain.name.clone(),
            hook: chain.hook.as_ref().map(ToString::to_string),
            policy: chain.policy.clone(),
        });
        of_rules(&Chain::new(&chain.name, None), chain, changes);
    }
    for chain in old.chains.iter().filter(|chain| new.chain(&chain.name).is_none()) {
        changes.push(Change::ChainRemoved { chain: chain.name.clone() });
        of_rules(chain, &Chain::new(&chain.name, None), changes);
    }
}

fn of_heading(old: &Chain, new: &Chain, changes: &mut Vec<Change>) {
    let chain = || new.name.clone();
    if old.hook != new.hook {
        let text = |chain: &Chain| chain.hook.as_ref().map(ToString::to_string);
        changes.push(Change::Hook { chain: chain(), from: text(old), to: text(new) });
    }
    if old.policy != new.policy {
        changes.push(Change::Policy { chain: chain(), from: old.policy.clone(), to: new.policy.clone() });
    }
}

fn of_rules(old: &Chain, new: &Chain, changes: &mut Vec<Change>) {
    let chain = || new.name.clone();
    for step in compared(&texts(&old.rules), &texts(&new.rules)) {
        changes.push(match step {
            Step::Same { .. } => continue,
            Step::Added { to } => {
                Change::RuleAdded { chain: chain(), at: to + 1, rule: new.rules[to].text.clone() }
            }
            Step::Removed { from } => {
                Change::RuleRemoved { chain: chain(), at: from + 1, rule: old.rules[from].text.clone() }
            }
            Step::Moved { from, to } => Change::RuleMoved {
                chain: chain(),
                from: from + 1,
                to: to + 1,
                rule: new.rules[to].text.clone(),
            },
        });
    }
}

fn texts(rules: &[Rule]) -> Vec<&str> {
    rules.iter().map(|rule| rule.text.as_str()).collect()
}

/// Sets, maps, counters: what they have in common.
#[derive(Clone, Copy)]
struct Thing<'t> {
    kind: &'t str,
    name: &'t str,
    shape: &'t str,
    elements: &'t [Element],
}

impl<'t> Thing<'t> {
    fn of_set(set: &'t Set) -> Self {
        Self { kind: &set.kind, name: &set.name, shape: &set.shape, elements: &set.elements }
    }

    fn of_object(object: &'t Object) -> Self {
        Self { kind: &object.kind, name: &object.name, shape: &object.shape, elements: &[] }
    }

    fn all(table: &'t Table) -> Vec<Self> {
        table.sets.iter().map(Self::of_set).chain(table.objects.iter().map(Self::of_object)).collect()
    }
}

fn of_things(old: &Table, new: &Table, changes: &mut Vec<Change>) {
    let (before, after) = (Thing::all(old), Thing::all(new));
    let is_same = |a: &Thing<'_>, b: &Thing<'_>| (a.kind, a.name) == (b.kind, b.name);
    for thing in &after {
        let (kind, name, to) = (thing.kind.to_owned(), thing.name.to_owned(), thing.shape.to_owned());
        let former = before.iter().find(|former| is_same(former, thing));
        match former {
            None => changes.push(Change::ThingAdded { kind, name, shape: to }),
            Some(former) if former.shape != to => {
                changes.push(Change::ThingChanged { kind, name, from: former.shape.to_owned(), to });
            }
            Some(_) => {}
        }
        of_elements(thing, former.map_or(&[], |former| former.elements), thing.elements, changes);
    }
    for thing in before.iter().filter(|former| !after.iter().any(|thing| is_same(former, thing))) {
        changes.push(Change::ThingRemoved { kind: thing.kind.to_owned(), name: thing.name.to_owned() });
        of_elements(thing, thing.elements, &[], changes);
    }
}

fn of_elements(thing: &Thing<'_>, old: &[Element], new: &[Element], changes: &mut Vec<Change>) {
    let texts = |elements: &'_ [Element]| -> BTreeSet<String> {
        elements.iter().map(|element| element.text.clone()).collect()
    };
    let (old, new) = (texts(old), texts(new));
    let owned = |element: &String| (thing.kind.to_owned(), thing.name.to_owned(), element.clone());
    changes.extend(old.difference(&new).map(|element| {
        let (kind, set, element) = owned(element);
        Change::ElementRemoved { kind, set, element }
    }));
    changes.extend(new.difference(&old).map(|element| {
        let (kind, set, element) = owned(element);
        Change::ElementAdded { kind, set, element }
    }));
}

#[cfg(test)]
mod tests;
