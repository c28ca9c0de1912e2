//! What `nft list table` prints, taken apart as far as a return needs it: the elements of sets and maps stand apart from the
//! rest, because others add and remove them while the rest stays.
//!
//! ```text
//! table inet filter {                      the table
//!     set bans {                           a set, and its lines
//!         type ipv4_addr
//!         flags timeout
//!         elements = { 1.2.3.4 timeout 10m expires 9m59s996ms, … }
//!     }                                     key     and how long it stays
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::nft::TableName;
use crate::RulesError;

/// A table as the kernel has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Listing {
    /// What stands in the table outside of its parts: flags, a comment.
    pub(crate) heading: Vec<String>,
    /// Chains, sets, maps and objects, in their order.
    pub(crate) parts: Vec<Part>,
    /// The elements of sets and maps, by name.
    pub(crate) sets: BTreeMap<String, Set>,
}

/// A chain, a set, a map, or an object such as a counter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    /// nft's word: `chain`, `set`, `map`, `counter`, `ct helper`.
    pub(crate) kind: String,
    /// Its name.
    pub(crate) name: String,
    /// Its lines between the braces, without elements.
    pub(crate) lines: Vec<String>,
}

impl Part {
    /// Where the kernel calls a chain: `type filter hook input priority filter`. None for others.
    pub(crate) fn hook(&self) -> Option<&str> {
        let line = self.lines.iter().find(|line| self.kind == "chain" && line.trim().starts_with("type "))?;
        line.trim().split(';').next()
    }
}

/// What a set or a map holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Set {
    /// `set` or `map`, and the line with its types: what must be the same for elements to fit.
    pub(crate) kind: String,
    /// Can its elements have an end of their own?
    pub(crate) has_timeouts: bool,
    /// By key.
    pub(crate) elements: BTreeMap<String, Element>,
}

/// An element of a set or a map.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Element {
    /// The text before `expires`.
    head: String,
    /// When it goes.
    pub(crate) expires: Option<Duration>,
    /// The text after `expires`.
    tail: String,
}

impl Element {
    /// The element some time later. None if it is gone by then.
    pub(crate) fn after(&self, elapsed: Duration) -> Option<Self> {
        let Some(expires) = self.expires else { return Some(self.clone()) };
        let left = expires.checked_sub(elapsed).filter(|left| left.as_millis() > 0)?;
        Some(Self { expires: Some(left), ..self.clone() })
    }

    /// What a map gives for it.
    pub(crate) fn value(&self) -> Option<&str> {
        let whole = if self.expires.is_some() { &self.tail } else { &self.head };
        words(whole).find(|(_, word)| *word == ":").map(|(at, _)| whole[at + 1..].trim())
    }

    /// As nft reads it.
    pub(crate) fn text(&self) -> String {
        let Self { head, expires, tail } = self;
        expires.map_or_else(
            || format!("{head}{tail}"),
            |left| format!("{head} expires {}s{}ms{tail}", left.as_secs(), left.subsec_millis()),
        )
    }

    /// Does it go by itself?
    pub(crate) fn is_temporary(&self) -> bool {
        self.expires.is_some() || contains_word(&self.head, "timeout")
    }
}

impl Listing {
    /// Reads a listing of one table.
    pub(crate) fn read(text: &str) -> Result<Self, RulesError> {
        let mut listing = Self::default();
        let mut is_in_part = false;
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            let words = line.trim();
            let is_outer = line.starts_with('\t') && !line.starts_with("\t\t");
            if is_outer {
                is_in_part = false;
                if let Some((kind, name)) =
                    words.strip_suffix(" {").and_then(|heading| heading.rsplit_once(' '))
                {
                    is_in_part = true;
                    let (kind, name) = (kind.to_owned(), name.to_owned());
                    if matches!(kind.as_str(), "set" | "map") {
                        listing.sets.insert(name.clone(), Set { kind: kind.clone(), ..Set::default() });
                    }
                    listing.parts.push(Part { kind, name, lines: Vec::new() });
                } else if words != "}" {
                    listing.heading.push(line.to_owned());
                }
                continue;
            }
            let Some(part) = listing.parts.last_mut().filter(|_| is_in_part) else { continue };
            if let Some(set) =
                listing.sets.get_mut(&part.name).filter(|_| matches!(part.kind.as_str(), "set" | "map"))
            {
                if let Some(first) = words.strip_prefix("elements = {") {
                    let mut elements = first.to_owned();
                    while !is_closed(&elements) {
                        let Some(more) = lines.next() else { return Err(odd("a set has no end")) };
                        elements.push(' ');
                        elements.push_str(more.trim());
                    }
                    let is_map = part.kind == "map";
                    set.elements = split(&elements)?.map(|text| element(text, is_map)).collect();
                    continue;
                }
                if words.starts_with("type ") || words.starts_with("typeof ") {
                    set.kind = format!("{} {words}", part.kind);
                }
                // A set with a time of its own takes times without the flag being named.
                let flags = words.strip_prefix("flags ").unwrap_or_default();
                set.has_timeouts |= flags.contains("timeout") || words.starts_with("timeout ");
            }
            part.lines.push(line.to_owned());
        }
        Ok(listing)
    }

    /// A part by its kind and name.
    pub(crate) fn part(&self, like: &Part) -> Option<&Part> {
        self.parts.iter().find(|part| part.kind == like.kind && part.name == like.name)
    }

    /// All but the elements, as nft reads it.
    pub(crate) fn body(&self, table: &TableName) -> String {
        let mut all = format!("table {table} {{\n");
        self.heading.iter().for_each(|line| all.extend([line, "\n"]));
        for part in &self.parts {
            all.extend(["\t", &part.kind, " ", &part.name, " {\n"]);
            part.lines.iter().for_each(|line| all.extend([line, "\n"]));
            all.push_str("\t}\n");
        }
        all.push_str("}\n");
        all
    }
}

fn odd(what: &str) -> RulesError {
    RulesError::Listing { program: "nft", what: what.to_owned() }
}

/// The characters of a text that stand outside quotes, with their places.
fn outside_quotes(text: &str) -> impl Iterator<Item = (usize, char)> {
    let mut is_quoted = false;
    text.char_indices().filter(move |(_, c)| {
        if *c == '"' {
            is_quoted = !is_quoted;
        }
        !is_quoted && *c != '"'
    })
}

/// Has the brace that opened before this text been closed?
fn is_closed(text: &str) -> bool {
    outside_quotes(text).any(|(_, c)| c == '}')
}

/// The elements between the braces.
fn split(text: &str) -> Result<impl Iterator<Item = &str>, RulesError> {
    let end = outside_quotes(text).find(|(_, c)| *c == '}').map(|(at, _)| at);
    let inside = &text[..end.ok_or_else(|| odd("a set has no end"))?];
    let mut cuts: Vec<usize> = outside_quotes(inside).filter(|(_, c)| *c == ',').map(|(at, _)| at).collect();
    cuts.push(inside.len());
    let mut from = 0;
    Ok(cuts.into_iter().filter_map(move |at| {
        let part = inside[from..at].trim();
        from = (at + 1).min(inside.len());
        (!part.is_empty()).then_some(part)
    }))
}

/// Words that may follow an element's key.
const AFTER_KEY: [&str; 9] =
    ["timeout", "expires", "comment", "counter", "quota", "limit", "last", "ct", "connlimit"];

fn element(text: &str, is_map: bool) -> (String, Element) {
    let is_end = |word: &str| AFTER_KEY.contains(&word) || (is_map && word == ":");
    let key = words(text).find(|(_, word)| is_end(word)).map_or(text, |(at, _)| text[..at].trim_end());
    let expires = words(text).skip_while(|(_, word)| *word != "expires").take(2).collect::<Vec<_>>();
    let element = match expires[..] {
        [(at, _), (from, time)] if nft_time(time).is_some() => Element {
            head: text[..at].trim_end().to_owned(),
            expires: nft_time(time),
            tail: text[from + time.len()..].to_owned(),
        },
        _ => Element { head: text.to_owned(), expires: None, tail: String::new() },
    };
    (key.to_owned(), element)
}

/// The words outside quotes, with their places; a quoted text counts as none.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut is_quoted = false;
    let mut at = 0;
    text.split(' ').filter_map(move |word| {
        let (from, was_quoted) = (at, is_quoted);
        at += word.len() + 1;
        is_quoted ^= word.matches('"').count() % 2 == 1;
        (!was_quoted && !word.is_empty()).then_some((from, word))
    })
}

fn contains_word(text: &str, word: &str) -> bool {
    words(text).any(|(_, w)| w == word)
}

/// A time as nft prints it: `1d2h3m4s5ms`.
fn nft_time(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        let unit = rest[digits..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |n| digits + n);
        let millis = match &rest[digits..unit] {
            "d" => 86_400_000,
            "h" => 3_600_000,
            "m" => 60_000,
            "s" => 1_000,
            "ms" => 1,
            _ => return None,
        };
        total += Duration::from_millis(number.checked_mul(millis)?);
        rest = &rest[unit..];
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
#[path = "listing/tests.rs"]
mod tests;
