//! Bytes of log lines into numbers and addresses. Hot: called some fifteen times a line; guarded by `benches/import.rs`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A decimal number of one to nineteen digits, nothing else.
pub(crate) fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 19 {
        return None;
    }
    let mut value = 0_u64;
    for &digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + u64::from(digit);
    }
    Some(value)
}

/// A decimal number that fits the type asked for.
pub(crate) fn small<T: TryFrom<u64>>(digits: &[u8]) -> Option<T> {
    number(digits).and_then(|n| T::try_from(n).ok())
}

/// A number as C prints it with `%#x`: `0x1f`, or `0`.
pub(crate) fn hex(text: &[u8]) -> Option<u64> {
    let digits = text.strip_prefix(b"0x").unwrap_or(text);
    if digits.is_empty() || digits.len() > 15 {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, &digit| {
        char::from(digit).to_digit(16).map(|digit| value * 16 + u64::from(digit))
    })
}

/// An address of either family. An IPv4 address mapped into IPv6 becomes IPv4; zero-padded octets are decimal (natlog).
pub(crate) fn address(text: &[u8]) -> Option<IpAddr> {
    if let Some(v4) = dotted_quad(text) {
        return Some(IpAddr::V4(v4));
    }
    let v6: Ipv6Addr = std::str::from_utf8(text).ok()?.parse().ok()?;
    Some(IpAddr::V6(v6).to_canonical())
}

fn dotted_quad(text: &[u8]) -> Option<Ipv4Addr> {
    let mut octets = [0_u8; 4];
    let mut place = 0;
    let mut value = 0_u16;
    let mut digits = 0;
    for &byte in text {
        if byte == b'.' {
            if digits == 0 || place == 3 {
                return None;
            }
            octets[place] = u8::try_from(value).ok()?;
            place += 1;
            value = 0;
            digits = 0;
        } else {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 || digits == 3 {
                return None;
            }
            value = value * 10 + u16::from(digit);
            digits += 1;
        }
    }
    if place != 3 || digits == 0 {
        return None;
    }
    octets[3] = u8::try_from(value).ok()?;
    Some(Ipv4Addr::from(octets))
}

/// Words of a line, split at spaces and tabs.
pub(crate) struct Words<'a> {
    rest: &'a [u8],
}

impl<'a> Words<'a> {
    pub(crate) fn new(line: &'a [u8]) -> Self {
        Self { rest: line }
    }

    /// A word that begins with `[` goes on to its `]`, blanks included (`[start=Sat Nov 21 09:31:55 2026]`).
    pub(crate) fn next_bracketed(&mut self) -> Option<&'a [u8]> {
        self.skip_blanks();
        if self.rest.first() != Some(&b'[') {
            return self.next();
        }
        let end = memchr::memchr(b']', self.rest).map_or(self.rest.len(), |at| at + 1);
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        Some(word)
    }

    fn skip_blanks(&mut self) {
        let blanks = self.rest.iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
        self.rest = &self.rest[blanks..];
    }
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.skip_blanks();
        if self.rest.is_empty() {
            return None;
        }
        let end = memchr::memchr2(b' ', b'\t', self.rest).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        Some(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn octets_with_leading_zeros_are_decimal() {
        assert_eq!(address(b"192.168.101.002"), Some("192.168.101.2".parse().unwrap()));
        assert_eq!(address(b"::ffff:203.0.113.1"), Some("203.0.113.1".parse().unwrap()));
        for wrong in ["1.2.3", "1.2.3.4.5", "1..2.3", "256.1.1.1", "0001.2.3.4", "1.2.3.", "", "1.2.3.4 "] {
            assert_eq!(address(wrong.as_bytes()), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_bracketed_word_keeps_its_blanks() {
        let mut words = Words::new(b" a\t [b c] [d");
        assert_eq!(words.next_bracketed(), Some(&b"a"[..]));
        assert_eq!(words.next_bracketed(), Some(&b"[b c]"[..]));
        assert_eq!(words.next_bracketed(), Some(&b"[d"[..]));
        assert_eq!(words.next_bracketed(), None);
    }

    proptest! {
        #[test]
        fn every_address_reads_back(address_in: IpAddr) {
            prop_assert_eq!(address(address_in.to_string().as_bytes()), Some(address_in.to_canonical()));
        }

        #[test]
        fn numbers_are_those_of_the_standard_library(text in "[0-9a-fx]{0,21}") {
            let expected = if text.len() > 19 || text.bytes().any(|b| !b.is_ascii_digit()) { None } else { text.parse().ok() };
            prop_assert_eq!(number(text.as_bytes()), expected);
        }
    }
}
