//! The filters, to the letter of Pyruse's. Hot: `benches/machine.rs` guards it.

use std::cmp::Ordering;
use std::net::IpAddr;

use unmasq_entry::{Entry, Slot, Value};

use super::failure::{Failure, Naming};
use super::{Scratch, World};
use crate::program::Program;
use crate::program::step::{Filter, Search};

/// Does the entry pass? Groups of a regular expression are saved into it.
pub(super) fn passes(
    filter: &Filter,
    program: &Program,
    entry: &mut Entry,
    scratch: &mut Scratch,
    world: &mut impl World,
) -> Result<bool, Failure> {
    let naming = Naming(&program.fields);
    match filter {
        Filter::EqualsText { field, text } => Ok(entry.text(*field) == Some(text)),
        Filter::Equals { field, literal } => Ok(entry.get(*field).is_some_and(|value| literal.equals(value))),
        Filter::AtMost { field, literal } => {
            let Some(value) = entry.get(*field) else { return Ok(false) };
            Ok(matches!(literal.order(value)?, Some(Ordering::Less | Ordering::Equal)))
        }
        Filter::AtLeast { field, literal } => {
            let Some(value) = entry.get(*field) else { return Ok(false) };
            Ok(matches!(literal.order(value)?, Some(Ordering::Greater | Ordering::Equal)))
        }
        Filter::In { field, values } => Ok(values.hold(entry.get(*field).unwrap_or(Value::Null))),
        Filter::PartOf { field, text } => Ok(text.contains(need_text(naming, entry, *field)?)),
        Filter::InNetworks { field, networks } => match entry.get(*field) {
            None => Ok(false),
            Some(Value::Text(text)) => match text.parse::<IpAddr>() {
                Ok(address) => Ok(networks.contain(address)),
                // Pyruse reads the value only if it has networks of the family that a colon decides.
                Err(_) if networks.has_none_of(!text.contains(':')) => Ok(false),
                Err(_) => Err(naming.unfit(*field, Value::Text(text), "an IP address")),
            },
            // The colon as one of its values decides there.
            Some(Value::List(items))
                if networks.has_none_of(!items.iter().any(|item| item == Value::Text(":"))) =>
            {
                Ok(false)
            }
            Some(value) => Err(naming.unfit(*field, value, "an IP address")),
        },
        Filter::Pcre { field, search } => find(search, *field, program, entry, scratch),
        Filter::PcreAny { field, searches } => {
            for search in searches {
                if find(search, *field, program, entry, scratch)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        Filter::UserExists { field } => {
            if !entry.has(*field) {
                return Ok(false);
            }
            let name = need_text(naming, entry, *field)?;
            if name.contains('\0') {
                return Err(naming.unfit(*field, Value::Text(name), "a user's name"));
            }
            Ok(!name.is_empty() && world.user_exists(name).map_err(Failure::World)?)
        }
    }
}

fn need_text<'e>(naming: Naming<'_>, entry: &'e Entry, field: Slot) -> Result<&'e str, Failure> {
    match entry.get(field) {
        Some(Value::Text(text)) => Ok(text),
        Some(value) => Err(naming.unfit(field, value, "text")),
        None => Err(naming.missing(field)),
    }
}

fn find(
    search: &Search,
    field: Slot,
    program: &Program,
    entry: &mut Entry,
    scratch: &mut Scratch,
) -> Result<bool, Failure> {
    let captures = &mut scratch.captures[search.pattern];
    let pattern = &program.patterns[search.pattern];
    let is_missing = !entry.has(field);
    let text = if is_missing { "" } else { need_text(Naming(&program.fields), entry, field)? };
    if search.saves.is_empty() {
        return Ok(pattern.is_match(text)?);
    }
    if !pattern.find(text, captures)? {
        return Ok(false);
    }
    for (slot, group) in &search.saves {
        match captures.get(*group) {
            // Nothing to take a part of: all that matched is the empty text.
            Some(_) if is_missing => entry.set(*slot, Value::Text("")),
            Some(range) => entry.set_part(*slot, field, range),
            None => entry.set(*slot, Value::Null),
        }
    }
    Ok(true)
}
