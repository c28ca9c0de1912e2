//! `[…]`. In Python `[`, `&&`, `--` and `~~` are nothing special in it.

use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};

use super::PatternError;
use super::chars;
use super::escape::{self, Atom};
use super::flags::Flags;
use super::tokens::Tokens;

/// One thing in a class.
enum Member {
    /// The number of a character, surrogates included.
    Char(u32),
    Set(ClassUnicode),
}

/// Reads a class from after its `[`, which is at `offset`.
pub(super) fn read(
    tokens: &mut Tokens<'_>,
    flags: Flags,
    offset: usize,
) -> Result<ClassUnicode, PatternError> {
    let mut set = ClassUnicode::empty();
    let negated = tokens.take("^");
    let mut is_first = true;
    while is_first || !tokens.take("]") {
        is_first = false;
        let at = tokens.offset();
        let low = member(tokens, flags, offset)?;
        if !tokens.take("-") {
            add(&mut set, low);
            continue;
        }
        if tokens.take("]") {
            add(&mut set, low);
            add(&mut set, Member::Char(u32::from('-')));
            break;
        }
        let high = member(tokens, flags, offset)?;
        match (low, high) {
            (Member::Char(low), Member::Char(high)) if low <= high => add_range(&mut set, low, high),
            (Member::Char(_), Member::Char(_)) => {
                let message = "the range ends before it begins; a `-` that is meant stands last in the class";
                return Err(PatternError { message: message.into(), offset: at });
            }
            _ => {
                let message = "a range is from one character to another; a `-` that is meant stands last";
                return Err(PatternError { message: message.into(), offset: at });
            }
        }
    }
    if flags.ignore_case {
        set = chars::ignoring_case(&set, flags.ascii);
    }
    if negated {
        set.negate();
    }
    Ok(set)
}

fn member(tokens: &mut Tokens<'_>, flags: Flags, start: usize) -> Result<Member, PatternError> {
    let at = tokens.offset();
    let Some(token) = tokens.next()? else {
        let message = r"a class without its `]`; a bracket that is meant is written `\[`";
        return Err(PatternError { message: message.into(), offset: start });
    };
    if !token.starts_with('\\') {
        return Ok(Member::Char(token.chars().next().map_or(0, u32::from)));
    }
    Ok(match escape::read_in_class(tokens, token, flags, at)? {
        Atom::Char(Some(c)) => Member::Char(u32::from(c)),
        // The only ones that are not characters, and none of them is in any text.
        Atom::Char(None) => Member::Char(0xd800),
        Atom::Set(set) => Member::Set(set),
    })
}

fn add(set: &mut ClassUnicode, member: Member) {
    match member {
        Member::Char(code) => add_range(set, code, code),
        Member::Set(more) => set.union(&more),
    }
}

/// Surrogates are left out.
fn add_range(set: &mut ClassUnicode, low: u32, high: u32) {
    for (low, high) in [(low, high.min(0xd7ff)), (low.max(0xe000), high)] {
        if let (true, Some(low), Some(high)) = (low <= high, char::from_u32(low), char::from_u32(high)) {
            set.push(ClassUnicodeRange::new(low, high));
        }
    }
}
