//! Words, quotes and references, as iptables-restore(8) separates them.
//!
//! A reference is a whole word, and a word the longest run of letters, digits and `_`: in `-s NET/24` and `LOW:HIGH` macros
//! are found, in `SSH_PERMITTED` no `SSH`. Options are not words but names (`-A`, `--dport`), and text in quotes is text.

use std::ops::Range;

/// May it be part of a word? Letters of other scripts are: whoever writes them does not mean to end the word.
pub(super) const fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// Is it a name that a macro can have?
pub(super) fn is_name(word: &str) -> bool {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    word.bytes().all(is_good) && word.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}

/// Is it what separates words in a line?
pub(super) const fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// The end of a word that begins here.
pub(super) fn end_of_word(bytes: &[u8], start: usize) -> usize {
    bytes[start..].iter().position(|byte| !is_of_word(*byte)).map_or(bytes.len(), |length| start + length)
}

/// The place behind the quote that closes the one here. In quotes, a backslash takes the next character as it is.
pub(super) fn end_of_quote(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => return Some(at + 1),
            b'\n' => return None,
            b'\\' if bytes.get(at + 1) != Some(&b'\n') => at += 2,
            _ => at += 1,
        }
    }
    None
}

/// A word of a line where a macro may be meant.
pub(super) struct Candidate {
    /// Its place in the line.
    pub(super) span: Range<usize>,
    /// Does a `!` stand before it, or before its option?
    pub(super) is_negated: bool,
}

/// A quote that the line does not close: its place.
#[derive(Debug)]
pub(super) struct Unclosed(pub(super) usize);

/// Calls for each word of a line that may be a reference. A word that begins with `#` ends the line.
pub(super) fn candidates(line: &str, mut found: impl FnMut(Candidate)) -> Result<(), Unclosed> {
    let bytes = line.as_bytes();
    let mut at = 0;
    let mut sign = Sign::None;
    while at < bytes.len() {
        if is_blank(bytes[at]) {
            at += 1;
            continue;
        }
        let start = at;
        if bytes[at] == b'#' {
            break;
        }
        let is_option = bytes[at] == b'-';
        let is_negated = sign != Sign::None || bytes[at] == b'!';
        let mut is_name_of_option = is_option;
        while at < bytes.len() && !is_blank(bytes[at]) {
            match bytes[at] {
                b'"' => at = end_of_quote(bytes, at).ok_or(Unclosed(at))?,
                b'=' => {
                    is_name_of_option = false;
                    at += 1;
                }
                byte if is_of_word(byte) => {
                    let end = end_of_word(bytes, at);
                    if !is_name_of_option && !byte.is_ascii_digit() {
                        found(Candidate { span: at..end, is_negated });
                    }
                    at = end;
                }
                _ => at += 1,
            }
        }
        sign = match sign {
            _ if &bytes[start..at] == b"!" => Sign::BeforeThis,
            Sign::BeforeThis if is_option => Sign::BeforeItsOption,
            Sign::None | Sign::BeforeThis | Sign::BeforeItsOption => Sign::None,
        };
    }
    Ok(())
}

/// Where a `!` stands, as seen from the next word.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sign {
    None,
    BeforeThis,
    BeforeItsOption,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(line: &str) -> Vec<String> {
        let mut words = Vec::new();
        let each = |c: Candidate| {
            let sign = if c.is_negated { "!" } else { "" };
            words.push(format!("{sign}{}", &line[c.span]));
        };
        candidates(line, each).unwrap();
        words
    }

    #[test]
    fn words_are_found_beside_signs_but_not_in_options_quotes_and_comments() {
        assert_eq!(found("[5:300] -A IN -s A/24 --dport=LO:HI -m x,Y"), ["IN", "A", "LO", "HI", "x", "Y"]);
        assert_eq!(found("-j LOG --log-prefix \"A \\\" B\" B # C"), ["LOG", "B"]);
        assert_eq!(found("2A A2 _A éA"), ["A2", "_A", "éA"]);
    }

    #[test]
    fn a_negation_reaches_to_the_value_of_its_option() {
        assert_eq!(found("! -s A -d B"), ["!A", "B"]);
        assert_eq!(found("-s ! A -d B"), ["!A", "B"]);
        assert_eq!(found("-s !A -d B"), ["!A", "B"]);
        assert_eq!(found("! --syn -s A"), ["A"]);
    }

    #[test]
    fn a_quote_that_is_not_closed_is_found() {
        assert_eq!(candidates("-m comment --comment \"a b", |_| ()).unwrap_err().0, 21);
        assert_eq!(candidates("\"a\\", |_| ()).unwrap_err().0, 0);
    }
}
