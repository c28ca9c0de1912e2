//! Hostile text made harmless: passwords are whatever an attacker sends, and a report is read in terminals, browsers and spreadsheets.
//!
//! What cannot be seen, or turns or hides what stands beside it, is written as `\u{1b}`, a byte that belongs to no UTF-8 as `\xe4`, and a
//! backslash as two, so that two different texts never look the same.

use std::fmt::Write as _;

use unicode_width::UnicodeWidthChar as _;
pub use unmasq_diagnostic::is_hidden;

/// How an empty text is shown.
pub const EMPTY: &str = "(empty)";

/// Text of which nothing is hidden.
pub fn visible(bytes: &[u8]) -> String {
    visible_if(bytes, |_| true)
}

/// The same, where characters that cannot be drawn are written as their number, too.
pub fn visible_if(bytes: &[u8], can_be_drawn: impl Fn(char) -> bool) -> String {
    if bytes.is_empty() {
        return EMPTY.to_owned();
    }
    let mut out = String::with_capacity(bytes.len());
    if bytes == EMPTY.as_bytes() {
        out.push_str("\\x28");
        out.push_str(&EMPTY[1..]);
        return out;
    }
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\\' => out.push_str("\\\\"),
                _ if is_hidden(character) || !can_be_drawn(character) => {
                    // Writing into a string cannot fail.
                    let _ = write!(out, "{}", character.escape_unicode());
                }
                _ => out.push(character),
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    // Blanks at the ends are part of a password, and would not be seen.
    if out.ends_with(' ') {
        out.pop();
        out.push_str("\\x20");
    }
    if out.starts_with(' ') {
        out.replace_range(..1, "\\x20");
    }
    out
}

/// Columns that a text takes in a terminal.
pub fn width(text: &str) -> usize {
    text.chars().map(|character| character.width().unwrap_or(0)).sum()
}

/// A text in no more than so many columns; what is cut off is told by an ellipsis.
pub fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut left = columns.saturating_sub(1);
    let fits = |character: &char| {
        let width = character.width().unwrap_or(0);
        let does_fit = width <= left;
        left = left.saturating_sub(width);
        does_fit
    };
    text.chars().take_while(fits).chain(['…']).collect()
}

/// What `visible` wrote, back in bytes; `None` for what it never writes.
#[cfg(test)]
pub(super) fn bytes_of(text: &str) -> Option<Vec<u8>> {
    if text == EMPTY {
        return Some(Vec::new());
    }
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let (bytes, length) = if let Some(tail) = rest.strip_prefix("\\x") {
            (vec![u8::from_str_radix(tail.get(..2)?, 16).ok()?], 4)
        } else if let Some(tail) = rest.strip_prefix("\\u{") {
            let (digits, _) = tail.split_once('}')?;
            let character = char::from_u32(u32::from_str_radix(digits, 16).ok()?)?;
            (character.to_string().into_bytes(), 4 + digits.len())
        } else if rest.starts_with('\\') {
            (rest.strip_prefix("\\\\").map(|_| vec![b'\\'])?, 2)
        } else {
            (character.to_string().into_bytes(), character.len_utf8())
        };
        out.extend(bytes);
        rest = rest.get(length..)?;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_is_hidden_and_nothing_is_turned() {
        let shown = |text: &str| visible(text.as_bytes());
        assert_eq!(shown("passw0rd"), "passw0rd");
        assert_eq!(shown("pässwörd 密码"), "pässwörd 密码");
        assert_eq!(shown("\x1b[2J"), "\\u{1b}[2J");
        assert_eq!(shown("\u{9b}31m"), "\\u{9b}31m");
        assert_eq!(shown("a\u{202e}b\u{200b}"), "a\\u{202e}b\\u{200b}");
        assert_eq!(shown("e\u{301}"), "e\\u{301}");
        assert_eq!(shown("\\"), "\\\\");
        assert_eq!(shown(" a "), "\\x20a\\x20");
        assert_eq!(shown(" "), "\\x20");
        assert_eq!(shown(""), "(empty)");
        assert_eq!(shown("(empty)"), "\\x28empty)");
        assert_eq!(visible(b"p\xe4ss"), "p\\xe4ss");
    }

    #[test]
    fn a_cut_text_fits_and_says_so() {
        assert_eq!(cut("abcdef", 6), "abcdef");
        assert_eq!(cut("abcdefg", 6), "abcde…");
        assert_eq!(cut("密码密码", 6), "密码…");
    }

    proptest! {
        #[test]
        fn what_is_shown_can_be_read_back(bytes in prop::collection::vec(any::<u8>(), 0..30)) {
            let shown = visible(&bytes);
            prop_assert!(!shown.chars().any(is_hidden));
            prop_assert_eq!(bytes_of(&shown), Some(bytes));
        }

        #[test]
        fn text_can_be_read_back_and_cut(text in "\\PC{0,20}", columns in 1_usize..20) {
            let shown = visible(text.as_bytes());
            prop_assert!(width(&cut(&shown, columns)) <= columns);
            prop_assert_eq!(bytes_of(&shown), Some(text.into_bytes()));
        }
    }
}
