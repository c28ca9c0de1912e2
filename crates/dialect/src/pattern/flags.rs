//! Inline flags: `(?i)` for the whole pattern, `(?i:…)`, `(?-i:…)` for a part.

use super::PatternError;
use super::tokens::Tokens;

/// What the letters turn on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "they are flags, each with its letter")]
pub(super) struct Flags {
    /// `i`
    pub(super) ignore_case: bool,
    /// `m`
    pub(super) multiline: bool,
    /// `s`
    pub(super) dotall: bool,
    /// `x`
    pub(super) verbose: bool,
    /// `a`; `u` turns it off for a part.
    pub(super) ascii: bool,
}

impl Flags {
    /// These and others.
    pub(super) fn with(self, other: Self) -> Self {
        Self {
            ignore_case: self.ignore_case | other.ignore_case,
            multiline: self.multiline | other.multiline,
            dotall: self.dotall | other.dotall,
            verbose: self.verbose | other.verbose,
            ascii: self.ascii | other.ascii,
        }
    }

    /// `None` for a letter that is no flag; `u` and `t` (an old one that does nothing) are none of these
    /// fields.
    fn set(&mut self, letter: char, on: bool) -> Option<()> {
        match letter {
            'i' => self.ignore_case = on,
            'm' => self.multiline = on,
            's' => self.dotall = on,
            'x' => self.verbose = on,
            'a' => self.ascii = on,
            'u' => self.ascii = !on,
            't' => {}
            _ => return None,
        }
        Some(())
    }
}

/// What inline flags are for.
pub(super) enum Inline {
    /// The whole pattern: what is added to its flags.
    Whole(Flags),
    /// A part: all flags that hold in it.
    Group(Flags),
}

/// Can flags begin so, after `(?`?
pub(super) fn can_start(token: &str) -> bool {
    matches!(token, "-" | "i" | "L" | "m" | "s" | "x" | "a" | "t" | "u")
}

/// Reads flags, from the token after `(?` to the `:` or `)`.
pub(super) fn read(tokens: &mut Tokens<'_>, first: &str, outer: Flags) -> Result<Inline, PatternError> {
    let (mut on, mut off) = (String::new(), String::new());
    let mut token = Some(first);
    while let Some(letter) = token.filter(|token| !matches!(*token, "-" | ":" | ")")) {
        on.push_str(letter_of(tokens, letter)?);
        token = tokens.next()?;
    }
    match token {
        None => return Err(tokens.error("flags end with `:` or `)`")),
        Some(")") => {
            let mut added = Flags::default();
            for letter in on.chars() {
                added.set(letter, true);
            }
            check_alphabet(tokens, &on)?;
            return Ok(Inline::Whole(added));
        }
        Some("-") => {
            token = tokens.next()?;
            while let Some(letter) = token.filter(|token| *token != ":") {
                off.push_str(letter_of(tokens, letter)?);
                token = tokens.next()?;
            }
            if token.is_none() || off.is_empty() {
                return Err(tokens.error("after `-` come the flags to turn off, and `:`"));
            }
        }
        Some(_) => {}
    }
    check_alphabet(tokens, &on)?;
    if off.contains(['a', 'u']) {
        return Err(tokens.error("`a` and `u` cannot be turned off, but the other one can be turned on"));
    }
    if let Some(both) = on.chars().find(|&letter| off.contains(letter)) {
        return Err(tokens.error(format!("flag `{both}` is turned on and off")));
    }
    if on.contains('t') || off.contains('t') {
        return Err(tokens.error("flag `t` is only for whole patterns"));
    }
    let mut inner = outer;
    for (letters, value) in [(on, true), (off, false)] {
        for letter in letters.chars() {
            inner.set(letter, value);
        }
    }
    Ok(Inline::Group(inner))
}

fn letter_of<'t>(tokens: &Tokens<'_>, token: &'t str) -> Result<&'t str, PatternError> {
    match token {
        "L" => Err(tokens.error("flag `L` is for bytes, and this matches text")),
        _ if token.len() == 1 && token.chars().all(|c| Flags::default().set(c, true).is_some()) => Ok(token),
        _ => Err(tokens.error(format!("`{}` is no flag: they are a, i, m, s, u, x", token.escape_debug()))),
    }
}

fn check_alphabet(tokens: &Tokens<'_>, on: &str) -> Result<(), PatternError> {
    if on.contains('a') && on.contains('u') {
        return Err(tokens.error("flags `a` and `u` exclude each other"));
    }
    Ok(())
}
