//! Differences as lines, in the manner of a unified diff.

use std::fmt;

use super::{Change, Difference};

/// What a line tells of, for its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineKind {
    /// Where the lines below belong.
    Header,
    /// New.
    Added,
    /// Gone.
    Removed,
    /// The same elsewhere.
    Moved,
}

/// A line; shown with its sign in front.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What it tells of.
    pub kind: LineKind,
    /// Without the sign.
    pub text: String,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            LineKind::Header => write!(f, "@@ {} @@", self.text),
            LineKind::Added => write!(f, "+{}", self.text),
            LineKind::Removed => write!(f, "-{}", self.text),
            LineKind::Moved => write!(f, "~{}", self.text),
        }
    }
}

/// The lines, with a header where the chain or set changes.
pub fn print(differences: &[Difference]) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut last_header = String::new();
    for difference in differences {
        let header = format!("table {} {}{}", difference.family, difference.table, inner(&difference.change));
        if header != last_header {
            lines.push(Line { kind: LineKind::Header, text: header.clone() });
            last_header = header;
        }
        let mut put = |kind, text: String| lines.push(Line { kind, text });
        let (added, removed) = (LineKind::Added, LineKind::Removed);
        match &difference.change {
            Change::TableAdded => put(added, format!("table {} {}", difference.family, difference.table)),
            Change::TableRemoved => put(removed, format!("table {} {}", difference.family, difference.table)),
            Change::TableFlags { from, to } => {
                for (kind, flags) in [(removed, from), (added, to)] {
                    if !flags.is_empty() {
                        put(kind, format!("flags {}", flags.join(",")));
                    }
                }
            }
            Change::ChainAdded { chain, hook, policy } => {
                put(added, format!("chain {chain}"));
                put_some(&mut put, added, hook.clone());
                put_some(&mut put, added, policy.as_ref().map(|policy| format!("policy {policy}")));
            }
            Change::ChainRemoved { chain } => put(removed, format!("chain {chain}")),
            Change::Hook { from, to, .. } => {
                put_some(&mut put, removed, from.clone());
                put_some(&mut put, added, to.clone());
            }
            Change::Policy { from, to, .. } => {
                put_some(&mut put, removed, from.as_ref().map(|policy| format!("policy {policy}")));
                put_some(&mut put, added, to.as_ref().map(|policy| format!("policy {policy}")));
            }
            Change::RuleAdded { rule, .. } => put(added, rule.clone()),
            Change::RuleRemoved { rule, .. } => put(removed, rule.clone()),
            Change::RuleMoved { rule, from, to, .. } => {
                put(LineKind::Moved, format!("{rule}  (moved: {from} to {to})"));
            }
            Change::ThingAdded { kind, name, shape } => put(added, thing(kind, name, shape)),
            Change::ThingRemoved { kind, name } => put(removed, format!("{kind} {name}")),
            Change::ThingChanged { from, to, .. } => {
                put(removed, from.clone());
                put(added, to.clone());
            }
            Change::ElementAdded { element, .. } => put(added, element.clone()),
            Change::ElementRemoved { element, .. } => put(removed, element.clone()),
        }
    }
    lines
}

fn put_some(put: &mut impl FnMut(LineKind, String), kind: LineKind, text: Option<String>) {
    if let Some(text) = text {
        put(kind, text);
    }
}

fn thing(kind: &str, name: &str, shape: &str) -> String {
    if shape.is_empty() { format!("{kind} {name}") } else { format!("{kind} {name} {{ {shape} }}") }
}

/// The chain or the set that a change is in.
fn inner(change: &Change) -> String {
    match change {
        Change::TableAdded | Change::TableRemoved | Change::TableFlags { .. } => String::new(),
        Change::ChainAdded { chain, .. }
        | Change::ChainRemoved { chain }
        | Change::Hook { chain, .. }
        | Change::Policy { chain, .. }
        | Change::RuleAdded { chain, .. }
        | Change::RuleRemoved { chain, .. }
        | Change::RuleMoved { chain, .. } => format!(", chain {chain}"),
        Change::ThingAdded { kind, name, .. }
        | Change::ThingRemoved { kind, name }
        | Change::ThingChanged { kind, name, .. } => format!(", {kind} {name}"),
        Change::ElementAdded { kind, set, .. } | Change::ElementRemoved { kind, set, .. } => {
            format!(", {kind} {set}")
        }
    }
}
