//! Marks of packets, and queues that packets wait in.

use std::fmt;
use std::str::FromStr;

use super::{ValueError, cut};

/// Bits of a packet's mark, at least one. The other bits are left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mark(u32);

impl Mark {
    /// The lowest bit.
    pub const ONE: Self = Self(1);

    /// None for no bit.
    pub fn new(bits: u32) -> Option<Self> {
        (bits != 0).then_some(Self(bits))
    }

    /// The mark and its mask, as iptables and ip(8) write it.
    pub(crate) fn masked(self) -> String {
        format!("{self}/{self}")
    }
}

impl FromStr for Mark {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let (digits, radix) = text.strip_prefix("0x").map_or((text, 10), |digits| (digits, 16));
        let is_number = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let bits = u32::from_str_radix(digits, radix).ok().filter(|_| is_number);
        bits.and_then(Self::new).ok_or_else(|| ValueError::Mark(cut(text)))
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:x}", self.0)
    }
}

/// Queues that packets wait in for a program: one, or several in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Queues {
    first: u16,
    last: u16,
}

impl Queues {
    /// Are they more than one?
    pub fn are_several(self) -> bool {
        self.first < self.last
    }

    /// As nft writes them.
    pub(crate) fn nft(self) -> String {
        if self.are_several() { format!("{}-{}", self.first, self.last) } else { self.first.to_string() }
    }

    /// As iptables writes them.
    pub(crate) fn iptables(self) -> String {
        if self.are_several() {
            format!("--queue-balance {}:{}", self.first, self.last)
        } else {
            format!("--queue-num {}", self.first)
        }
    }

    /// As Suricata's command line names them.
    pub(crate) fn suricata(self) -> String {
        if self.are_several() {
            format!("-q {}:{}", self.first, self.last)
        } else {
            format!("-q {}", self.first)
        }
    }
}

impl FromStr for Queues {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let number = |digits: &str| {
            let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
            digits.parse().ok().filter(|_| is_number)
        };
        match (number(first), number(last)) {
            // The kernel counts them in 16 bits.
            (Some(0), Some(u16::MAX)) => Err(ValueError::Queues(cut(text))),
            (Some(first), Some(last)) if first <= last => Ok(Self { first, last }),
            _ => Err(ValueError::Queues(cut(text))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_has_bits() {
        assert_eq!("256".parse::<Mark>().unwrap().masked(), "0x100/0x100");
        assert_eq!("0x80000000".parse::<Mark>().unwrap().to_string(), "0x80000000");
        for bad in ["", "0", "0x0", "-1", "+1", "0x", "0x100000000", "0x1/0x1", "ff"] {
            assert!(bad.parse::<Mark>().is_err(), "{bad}");
        }
    }

    #[test]
    fn queues_are_a_number_or_a_range() {
        assert_eq!("0-3".parse::<Queues>().unwrap().iptables(), "--queue-balance 0:3");
        assert_eq!("7".parse::<Queues>().unwrap().nft(), "7");
        for bad in ["", "3-0", "65536", "0-", "a", "+1", "0:3", "0-65535"] {
            assert!(bad.parse::<Queues>().is_err(), "{bad}");
        }
    }
}
