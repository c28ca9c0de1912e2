//! The client's identification, read as sshd reads it (`kex_exchange_identification` of its kex.c): byte by byte, and refused
//! at the first that cannot be.

use unmasq_ssh::Identification;

use super::End;
use super::compat::is_scanner;
use crate::profile::Texts;

/// Reads the first line.
pub(super) struct Greeting {
    /// Bytes that were looked at and are fine.
    seen: usize,
}

/// What the line is.
pub(super) enum Read<'a> {
    /// More is needed.
    Partial,
    /// An identification, without its line end, and the length with it.
    Line { line: &'a [u8], length: usize },
    /// None: after so many bytes.
    Refused { end: End, read: usize },
}

impl Greeting {
    pub(super) const fn new() -> Self {
        Self { seen: 0 }
    }

    /// `input` is all that came. What is said to a refused client goes to `output`.
    pub(super) fn read<'a>(&mut self, input: &'a [u8], text: &Texts, output: &mut Vec<u8>) -> Read<'a> {
        let mut refuse = |read: usize| {
            output.extend(text.bad_identification.as_bytes());
            Read::Refused { end: End::BadIdentification { line: shown(&input[..read]) }, read }
        };
        for (at, byte) in input.iter().enumerate().skip(self.seen) {
            // After CR only CR and LF may come, and CRs do not count.
            let is_after_cr = at > 0 && input[at - 1] == b'\r';
            match byte {
                b'\n' => {
                    let end = input[..at].iter().rposition(|byte| *byte != b'\r').map_or(0, |last| last + 1);
                    return Self::line(&input[..end], at + 1, text, output);
                }
                b'\r' => {}
                0 => return refuse(at + 1),
                _ if is_after_cr || at >= Identification::MOST_BYTES => return refuse(at + 1),
                _ => {}
            }
        }
        self.seen = input.len();
        Read::Partial
    }

    fn line<'a>(line: &'a [u8], length: usize, text: &Texts, output: &mut Vec<u8>) -> Read<'a> {
        let Some((major, minor, software)) = scan(line) else {
            output.extend(text.bad_identification.as_bytes());
            return Read::Refused { end: End::BadIdentification { line: shown(line) }, read: length };
        };
        if major != 2 && (major, minor) != (1, 99) {
            output.extend(text.other_protocol.as_bytes());
            return Read::Refused { end: End::OtherProtocol { line: shown(line) }, read: length };
        }
        if is_scanner(software) {
            return Read::Refused { end: End::Scanner, read: length };
        }
        Read::Line { line, length }
    }
}

/// What a line that was read says of the client's software.
pub(super) fn software(line: &[u8]) -> &[u8] {
    scan(line).map_or(&[], |(_, _, software)| software)
}

/// `sscanf(line, "SSH-%d.%d-%[^\n]")`: with spaces and signs in front of numbers, as C has it.
fn scan(line: &[u8]) -> Option<(i32, i32, &[u8])> {
    let rest = line.strip_prefix(b"SSH-")?;
    let (major, rest) = integer(rest)?;
    let (minor, rest) = integer(rest.strip_prefix(b".")?)?;
    let software = rest.strip_prefix(b"-")?;
    (!software.is_empty()).then_some((major, minor, software))
}

/// `%d`: a number that is too long goes through a long and is cut to an int (glibc).
fn integer(text: &[u8]) -> Option<(i32, &[u8])> {
    let spaces = text.iter().take_while(|byte| byte.is_ascii_whitespace() || **byte == 0x0b).count();
    let text = &text[spaces..];
    let (is_negative, digits) = match text.first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let length = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if length == 0 {
        return None;
    }
    let magnitude = digits[..length]
        .iter()
        .fold(0i64, |number, digit| number.saturating_mul(10).saturating_add(i64::from(digit - b'0')));
    let number = if is_negative { magnitude.wrapping_neg() } else { magnitude };
    Some((number as i32, &digits[length..]))
}

/// The beginning of what was refused, safe to be shown.
fn shown(line: &[u8]) -> String {
    line.iter().take(255).flat_map(|byte| byte.escape_ascii()).map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_scanned_as_c_does() {
        let version = |line: &str| scan(line.as_bytes()).map(|(major, minor, _)| (major, minor));
        assert_eq!(version("SSH-2.0-x"), Some((2, 0)));
        assert_eq!(version("SSH-+2. 0-x"), Some((2, 0)));
        assert_eq!(version("SSH-4294967298.0-x"), Some((2, 0)));
        assert_eq!(version("SSH--2.0-x"), Some((-2, 0)));
        for line in ["SSH-1337-x", "SSH-2.0-", "SSH-2.0", "ssh-2.0-x", "SSH-", "", "SSH-2..0-x"] {
            assert_eq!(version(line), None, "{line}");
        }
    }
}
