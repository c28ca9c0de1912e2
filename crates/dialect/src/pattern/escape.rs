//! What a backslash means, outside of and within `[…]`.

use regex_syntax::hir::ClassUnicode;

use super::PatternError;
use super::ast::Place;
use super::flags::Flags;
use super::tokens::Tokens;
use super::{chars, names};

/// An escape that stands for a character.
pub(super) enum Atom {
    /// This one; `None` for a surrogate, which no text has.
    Char(Option<char>),
    /// One of several.
    Set(ClassUnicode),
}

/// What an escape stands for.
pub(super) enum Escape {
    /// A character.
    Atom(Atom),
    /// A place.
    Place(Place),
    /// What a group matched.
    Group(usize),
}

/// An escape outside of a class. `token` is the backslash and the character after it, at `offset`.
pub(super) fn read(
    tokens: &mut Tokens<'_>,
    token: &str,
    flags: Flags,
    offset: usize,
) -> Result<Escape, PatternError> {
    let place = match token {
        r"\A" => Place::Start,
        r"\Z" => Place::End,
        r"\b" => Place::Word { negated: false, ascii: flags.ascii },
        r"\B" => Place::Word { negated: true, ascii: flags.ascii },
        _ if token[1..].starts_with(|c: char| c.is_ascii_digit()) => {
            return digits(tokens, &token[1..], offset);
        }
        _ => return common(tokens, token, flags, offset).map(Escape::Atom),
    };
    Ok(Escape::Place(place))
}

/// An escape in a class: a character or a set.
pub(super) fn read_in_class(
    tokens: &mut Tokens<'_>,
    token: &str,
    flags: Flags,
    offset: usize,
) -> Result<Atom, PatternError> {
    match token.as_bytes()[1] {
        b'b' => Ok(Atom::Char(Some('\x08'))),
        b'0'..=b'7' => {
            let more = tokens.take_while(2, is_octal)?;
            octal(&format!("{}{more}", &token[1..]), offset)
        }
        _ => common(tokens, token, flags, offset),
    }
}

/// A back-reference or an octal number, as Python tells them apart: a leading zero or three octal digits are
/// a character.
fn digits(tokens: &mut Tokens<'_>, first: &str, offset: usize) -> Result<Escape, PatternError> {
    let mut all = first.to_owned();
    if first == "0" {
        all.push_str(tokens.take_while(2, is_octal)?);
        return octal(&all, offset).map(Escape::Atom);
    }
    all.push_str(tokens.take_while(1, |c| c.is_ascii_digit())?);
    if all.len() == 2 && all.chars().all(is_octal) {
        all.push_str(tokens.take_while(1, is_octal)?);
        if all.len() == 3 {
            return octal(&all, offset).map(Escape::Atom);
        }
    }
    let error = |_| PatternError { message: format!("there is no group {all}"), offset };
    all.parse().map(Escape::Group).map_err(error)
}

fn octal(digits: &str, offset: usize) -> Result<Atom, PatternError> {
    let code = u32::from_str_radix(digits, 8).ok().filter(|&code| code <= 0o377);
    let code = code.ok_or_else(|| {
        let message = format!(r"`\{digits}` is beyond `\377`, the last character that is written so");
        PatternError { message, offset }
    })?;
    Ok(Atom::Char(char::from_u32(code)))
}

fn common(tokens: &mut Tokens<'_>, token: &str, flags: Flags, offset: usize) -> Result<Atom, PatternError> {
    let letter = token.chars().nth(1).unwrap_or('\\');
    let complement = |mut set: ClassUnicode| {
        set.negate();
        Ok(Atom::Set(set))
    };
    let c = match letter {
        'd' => return Ok(Atom::Set(chars::digit(flags.ascii))),
        's' => return Ok(Atom::Set(chars::space(flags.ascii))),
        'w' => return Ok(Atom::Set(chars::word(flags.ascii))),
        'D' => return complement(chars::digit(flags.ascii)),
        'S' => return complement(chars::space(flags.ascii)),
        'W' => return complement(chars::word(flags.ascii)),
        'a' => '\x07',
        'f' => '\x0c',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\x0b',
        'x' => return hexadecimal(tokens, 'x', 2, offset),
        'u' => return hexadecimal(tokens, 'u', 4, offset),
        'U' => return hexadecimal(tokens, 'U', 8, offset),
        'N' => return named(tokens, offset),
        'A'..='Z' | 'a'..='z' | '0'..='9' => {
            let hint = match letter {
                'z' => r"; the end of the text is `\Z`",
                'h' => r"; write `[ \t]`",
                'R' => r"; write `(?:\r\n|\n)`",
                'p' | 'P' => "; classes of Unicode have to be written out",
                'K' | 'G' | 'Q' | 'E' | 'X' | 'C' => "; it belongs to another dialect",
                _ => "",
            };
            let message = format!(r"`\{letter}` has no meaning here{hint}");
            return Err(PatternError { message, offset });
        }
        other => other,
    };
    Ok(Atom::Char(Some(c)))
}

fn hexadecimal(
    tokens: &mut Tokens<'_>,
    letter: char,
    wanted: usize,
    offset: usize,
) -> Result<Atom, PatternError> {
    let digits = tokens.take_while(wanted, |c| c.is_ascii_hexdigit())?;
    let code = (digits.len() == wanted).then(|| u32::from_str_radix(digits, 16).ok()).flatten();
    let code = code.filter(|&code| code <= 0x0010_ffff).ok_or_else(|| PatternError {
        message: format!(r"after `\{letter}` come {wanted} hexadecimal digits of a character's number"),
        offset,
    })?;
    Ok(Atom::Char(char::from_u32(code)))
}

fn named(tokens: &mut Tokens<'_>, offset: usize) -> Result<Atom, PatternError> {
    let name = tokens.take("{").then(|| tokens.take_until("}")).flatten();
    let name = name.ok_or_else(|| PatternError {
        message: r"after `\N` comes a character's name in braces".into(),
        offset,
    })?;
    let c = names::find(name).ok_or_else(|| PatternError {
        message: format!(
            r"the character `{}` is not known by name here; write `\uXXXX`",
            name.escape_debug()
        ),
        offset,
    })?;
    Ok(Atom::Char(Some(c)))
}

fn is_octal(c: char) -> bool {
    ('0'..='7').contains(&c)
}
