//! Sets of characters as Python has them: `\d`, `\s`, `\w`, and what is the same when case is ignored.
//!
//! Python's `\w` is every letter and number and `_`, without combining marks; both engines mean more by it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};

use crate::unicode::{class, contains};

static DIGIT: LazyLock<ClassUnicode> = LazyLock::new(|| class(r"\p{Nd}"));
static WORD: LazyLock<ClassUnicode> = LazyLock::new(|| class(r"[\p{L}\p{N}_]"));
/// What `str.isspace` says: bidirectional classes WS, B and S, and category Zs.
static SPACE: LazyLock<ClassUnicode> = LazyLock::new(|| {
    class(concat!(
        r"[\t-\r\x1c-\x20\x85\u{a0}\u{1680}\u{2000}-\u{200a}",
        r"\u{2028}\u{2029}\u{202f}\u{205f}\u{3000}]"
    ))
});

/// A set of ranges.
pub(super) fn ranges<const N: usize>(ranges: [(char, char); N]) -> ClassUnicode {
    ClassUnicode::new(ranges.map(|(first, last)| ClassUnicodeRange::new(first, last)))
}

/// `\d`.
pub(super) fn digit(ascii: bool) -> ClassUnicode {
    if ascii { ranges([('0', '9')]) } else { DIGIT.clone() }
}

/// `\w`.
pub(super) fn word(ascii: bool) -> ClassUnicode {
    if ascii { ranges([('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')]) } else { WORD.clone() }
}

/// `\s`.
pub(super) fn space(ascii: bool) -> ClassUnicode {
    if ascii { ranges([('\t', '\r'), (' ', ' ')]) } else { SPACE.clone() }
}

/// Characters that the linear engine and Python do not agree on being in a word.
static DISPUTED: LazyLock<ClassUnicode> = LazyLock::new(|| {
    let mut disputed = class(r"\w");
    disputed.symmetric_difference(&WORD);
    disputed
});

/// Has the text a character of which the linear engine's `\b` thinks otherwise than Python's?
pub(super) fn has_disputed_word_character(text: &str) -> bool {
    text.chars().any(|c| !c.is_ascii() && contains(&DISPUTED, c))
}

/// The lower case of a character where that is one character, else itself. (Python's exception to Unicode's
/// table of single characters: İ becomes i.)
fn lower(c: char) -> char {
    let mut lower = c.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(lower), None) => lower,
        _ if c == 'İ' => 'i',
        _ => c,
    }
}

/// Each character that takes part in case, with its lower case; and lower-case characters that Python takes
/// for equal because they have one upper case (s and ſ, σ and ς).
struct Case {
    lower: BTreeMap<char, char>,
    equal: BTreeMap<char, Vec<char>>,
}

/// Above it no character has case (Adlam, U+1E900 to U+1E943, is the last script that has it).
const LAST_CASED: char = '\u{1ffff}';

static CASE: LazyLock<Case> = LazyLock::new(|| {
    let mut case = Case { lower: BTreeMap::new(), equal: BTreeMap::new() };
    let mut by_upper: BTreeMap<char, BTreeSet<char>> = BTreeMap::new();
    for c in '\0'..=LAST_CASED {
        let small = lower(c);
        if small != c {
            case.lower.insert(c, small);
            case.lower.insert(small, small);
        }
        let mut upper = c.to_uppercase();
        if let (Some(upper), None) = (upper.next(), upper.next())
            && upper != c
        {
            case.lower.insert(c, small);
            by_upper.entry(upper).or_default().insert(small);
        }
    }
    // These have no upper case of one character, but one of several that is the same.
    let more = [['ΐ', '\u{1fd3}'], ['ΰ', '\u{1fe3}'], ['ﬅ', 'ﬆ']];
    let groups = by_upper.into_values().chain(more.map(BTreeSet::from));
    for group in groups.filter(|group| group.len() > 1) {
        for &c in &group {
            case.lower.insert(c, lower(c));
            case.equal.insert(c, group.iter().copied().filter(|&other| other != c).collect());
        }
    }
    case
});

/// The set with all that is the same when case is ignored, as Python compares: a character is taken if its
/// lower case is the lower case of one in the set, or equal to it. `ascii`: only A to Z have case.
pub(super) fn ignoring_case(set: &ClassUnicode, ascii: bool) -> ClassUnicode {
    if ascii {
        let mut wide = set.clone();
        for small in 'a'..='z' {
            let capital = small.to_ascii_uppercase();
            if contains(set, small) || contains(set, capital) {
                wide.union(&ranges([(small, small), (capital, capital)]));
            }
        }
        return wide;
    }
    let mut wanted = BTreeSet::new();
    for (&c, &small) in &CASE.lower {
        if contains(set, c) {
            wanted.insert(small);
            wanted.extend(CASE.equal.get(&small).into_iter().flatten());
        }
    }
    let cased = CASE.lower.iter().filter(|(_, small)| wanted.contains(small));
    let added = ClassUnicode::new(cased.map(|(&c, _)| ClassUnicodeRange::new(c, c)));
    let mut wide = set.clone();
    // What has case is in only by the rule: a capital in the set stands for its small letter.
    wide.union(&added);
    wide
}

/// Is anything else the same as the character when case is ignored?
pub(super) fn has_case(c: char, ascii: bool) -> bool {
    if ascii { c.is_ascii_alphabetic() } else { CASE.lower.contains_key(&c) }
}
