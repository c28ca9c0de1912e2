//! Rules that no packet comes to.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::anatomy::{Anatomy, End};
use super::{Place, Warning};
use crate::ruleset::{Rule, Table};

/// A rule behind one that has ended the chain for all the packets that it asks for.
pub(super) fn unreachable(place: Place<'_>) -> Vec<Warning> {
    let mut warnings = Vec::new();
    // Rules that end the chain, by the first of what they ask for: it must be among what a later one asks for, too.
    let mut enders: HashMap<String, Vec<(BTreeSet<String>, &Rule)>> = HashMap::new();
    let rules = &place.chain.rules;
    for (index, rule) in rules.iter().enumerate() {
        let Some(anatomy) = Anatomy::of(rule, place.table) else { continue };
        let before = anatomy.matches.iter().filter_map(|one| enders.get(one)).flatten();
        if let Some((_, ender)) = before.into_iter().find(|(matches, _)| matches.is_subset(&anatomy.matches))
        {
            let message = format!("`{}` is never reached: all its packets end at {}", cut(rule), told(ender));
            warnings.push(place.warning(
                "unreachable-rule",
                rule.line,
                message,
                "move it in front, or remove it",
            ));
            continue;
        }
        if !anatomy.is_plain || !ends(anatomy.end, place.table) {
            continue;
        }
        if let Some(first) = anatomy.matches.first() {
            enders.entry(first.clone()).or_default().push((anatomy.matches.clone(), rule));
            continue;
        }
        if let Some((next, rest)) = rules[index + 1..].split_first() {
            let more = match rest.len() {
                0 => String::new(),
                1 => ", nor is the one behind it".to_owned(),
                count => format!(", nor are the {count} behind it"),
            };
            let message =
                format!("`{}` is never reached{more}: every packet ends at {}", cut(next), told(rule));
            warnings.push(place.warning(
                "unreachable-rule",
                next.line,
                message,
                "move it in front, or remove it",
            ));
        }
        break;
    }
    warnings
}

/// Does no packet that matches come to the next rule?
fn ends(end: Option<End<'_>>, table: &Table) -> bool {
    match end {
        Some(End::Accept | End::Drop | End::Return | End::Goto | End::Other) => true,
        Some(End::Jump(name)) => never_returns(name, table, &mut HashSet::new()),
        None => false,
    }
}

/// Does no packet come back from a chain? Only a chain without any `return` is looked at.
fn never_returns<'r>(name: &'r str, table: &'r Table, seen: &mut HashSet<&'r str>) -> bool {
    let Some(chain) = table.chain(name).filter(|_| seen.insert(name)) else { return false };
    let mut is_closed = false;
    for rule in &chain.rules {
        let Some(anatomy) = Anatomy::of(rule, table) else { return false };
        match anatomy.end {
            // A goto ends in a chain from which packets may go back to the caller.
            Some(End::Return | End::Goto) => return false,
            Some(End::Jump(inner)) => {
                is_closed |=
                    anatomy.is_plain && anatomy.matches.is_empty() && never_returns(inner, table, seen);
            }
            Some(End::Accept | End::Drop | End::Other) => {
                is_closed |= anatomy.is_plain && anatomy.matches.is_empty();
            }
            None => {}
        }
        if is_closed {
            return true;
        }
    }
    false
}

fn told(rule: &Rule) -> String {
    match rule.line {
        Some(line) => format!("line {line}, `{}`", cut(rule)),
        None => format!("`{}`", cut(rule)),
    }
}

/// The rule, so long that one recognises it.
pub(super) fn cut(rule: &Rule) -> String {
    const LONGEST: usize = 100;
    match rule.text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &rule.text[..end]),
        None => rule.text.clone(),
    }
}
