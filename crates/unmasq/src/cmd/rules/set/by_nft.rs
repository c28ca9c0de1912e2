//! Sets of other types, and maps: by nft.

use std::time::Duration;

use serde_json::Value;
use unmasq_rules::program::{self, ProgramError};
use unmasq_rules::ruleset::{Element, Ruleset};

use super::element::Wanted;
use super::place::NftSet;
use super::{Fate, Held};

/// Adds; what is there is replaced if it gets another value or time.
pub(super) fn add(set: &NftSet, wanted: &[Wanted], timeout: Option<Duration>) -> anyhow::Result<Vec<Fate>> {
    let held = elements(set)?;
    let time = timeout.map_or(String::new(), |timeout| format!(" timeout {}ms", timeout.as_millis()));
    let mut fates = Vec::with_capacity(wanted.len());
    for one in wanted {
        let known = held.iter().find(|element| element.key_text() == one.key);
        let value = one.value.as_ref().map_or(String::new(), |value| format!(" : {value}"));
        let is_same = known.is_some_and(|known| known.value_text().as_deref() == one.value.as_deref());
        let put = format!("add element {} {{ {}{time}{value} }}\n", path(set), one.nft);
        // One transaction, so that the key never leads nowhere.
        let text = match known {
            None => put,
            Some(_) if is_same && timeout.is_none() => {
                fates.push(Fate::WasThere);
                continue;
            }
            Some(_) => format!("delete element {} {{ {} }}\n{put}", path(set), one.nft),
        };
        let fate = match known {
            None => Fate::Added,
            Some(_) if is_same => Fate::WasThere,
            Some(_) => Fate::Changed,
        };
        fates.push(done(&text, fate)?);
    }
    Ok(fates)
}

/// Removes; with a value, only if that is what the map gives.
pub(super) fn remove(set: &NftSet, wanted: &[Wanted]) -> anyhow::Result<Vec<Fate>> {
    let held = elements(set)?;
    let mut fates = Vec::with_capacity(wanted.len());
    for one in wanted {
        let is_it = |element: &&Element| {
            element.key_text() == one.key
                && one.value.as_ref().is_none_or(|value| element.value_text().as_ref() == Some(value))
        };
        fates.push(match held.iter().find(is_it) {
            None => Fate::WasNotThere,
            Some(_) => done(&format!("delete element {} {{ {} }}\n", path(set), one.nft), Fate::Removed)?,
        });
    }
    Ok(fates)
}

/// What it holds, in order.
pub(super) fn list(set: &NftSet) -> anyhow::Result<Vec<Held>> {
    let left = times(set)?;
    let held = |element: Element| {
        let key = element.key_text();
        let expires_seconds =
            left.iter().find(|(known, _)| *known == element.key).map(|(_, seconds)| *seconds);
        Held { value: element.value_text(), element: key, expires_seconds }
    };
    Ok(elements(set)?.into_iter().map(held).collect())
}

fn path(set: &NftSet) -> String {
    format!("{} {} {}", set.family, set.table, set.name)
}

fn done(text: &str, fate: Fate) -> anyhow::Result<Fate> {
    match program::run("nft", &["-f", "-"], text) {
        Ok(_) => Ok(fate),
        Err(ProgramError::Refused { said, .. }) => {
            let first = said.lines().next().unwrap_or_default();
            let reason = first.split_once("Error: ").map_or(first, |(_, reason)| reason).to_owned();
            Ok(Fate::Refused { reason })
        }
        Err(error) => Err(error.into()),
    }
}

fn listing(set: &NftSet) -> anyhow::Result<String> {
    Ok(program::run("nft", &["-j", "list", set.kind, &set.family, &set.table, &set.name], "")?)
}

fn elements(set: &NftSet) -> anyhow::Result<Vec<Element>> {
    let ruleset = Ruleset::of_nft_json(&listing(set)?)?;
    let found = ruleset.table(&set.family, &set.table).and_then(|table| table.set(&set.name));
    Ok(found.map(|found| found.elements.clone()).unwrap_or_default())
}

/// The keys of elements that end, each with its seconds.
fn times(set: &NftSet) -> anyhow::Result<Vec<(Value, u64)>> {
    let listing: Value = serde_json::from_str(&listing(set)?)?;
    let things = listing["nftables"].as_array().into_iter().flatten();
    let entries = things.filter_map(|thing| thing.get(set.kind)?.get("elem")?.as_array()).flatten();
    let time = |entry: &Value| {
        let about = entry.get("elem").or_else(|| entry.get(0)?.get("elem"))?;
        Some((about["val"].clone(), about["expires"].as_u64()?))
    };
    Ok(entries.filter_map(time).collect())
}
