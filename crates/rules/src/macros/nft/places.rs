//! Where macros can stand in a ruleset of nft's, and of how many words.

use super::scan::Site;

/// Behind these nft 1.0.6 wants the word itself, no variable; so there, a macro must have one word, and it is written.
const PLAIN: [&str; 19] = [
    "burst",
    "comment",
    "expires",
    "gc-interval",
    "goto",
    "hook",
    "jump",
    "level",
    "name",
    "over",
    "policy",
    "prefix",
    "queue-threshold",
    "rate",
    "size",
    "snaplen",
    "timeout",
    "typeof",
    "with",
];

/// The same, but in other places a set can follow: `log group 5`, `igmp group { … }`.
const PLAIN_IF_ONE: [&str; 3] = ["flags", "group", "type"];

/// Behind these one value must stand, but it can be a variable.
const SINGLE: [&str; 14] =
    ["&", "(", "-", ".", "/", ":", "<", ">", "^", "priority", "set", "to", "vmap", "|"];

/// Is a plain word wanted behind this one, no variable and no set?
pub(super) fn is_plain(before: &str) -> bool {
    PLAIN.contains(&before)
}

/// Is a plain word wanted behind this one, unless it is a set?
pub(super) fn is_plain_if_one(before: &str) -> bool {
    is_plain(before) || PLAIN_IF_ONE.contains(&before)
}

/// Why the macro must not stand there, however many words it has.
pub(super) fn forbidden(name: &str, site: &Site<'_>, is_whole: bool) -> Option<String> {
    if site.before == "@" {
        return Some(format!(
            "behind `@` a set's name stands, and {name} is a macro: write {name} without `@`, or rename one of the two"
        ));
    }
    if site.is_defined && is_whole {
        return Some(format!("{name} is a macro, and this file defines it too: take one out"));
    }
    site.is_name.then(|| {
        format!(
            "{name} is a macro, and in names of tables, chains, sets, maps and flowtables none is replaced: rename one of the two"
        )
    })
}

/// Why only one word can stand there: "behind `to`".
pub(super) fn single(site: &Site<'_>) -> Option<String> {
    if is_plain(site.before) || SINGLE.contains(&site.before) {
        return Some(format!("behind `{}`", site.before));
    }
    matches!(site.after, b'.' | b'-' | b'/' | b'&' | b'|' | b'^')
        .then(|| format!("before `{}`", char::from(site.after)))
}

/// What to do about several words in a concatenation.
const PAIRS: &str = "in braces, as in `ip saddr . tcp dport { NETS . PORTS }`, every pair becomes an element";

/// What to do about several words where one must stand.
pub(super) fn remedy(site: &Site<'_>) -> &'static str {
    match site.before {
        "to" => "to choose between several, use a map (`dnat to jhash ip saddr mod 2 map { 0 : …, 1 : … }`)",
        "jump" | "goto" => "write a rule for each, or a `vmap`",
        "." => PAIRS,
        _ if site.after == b'.' => PAIRS,
        _ => "write a rule for each, or a macro with one word",
    }
}
