//! Ports of TCP, UDP or SCTP.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use serde::de::{self, SeqAccess, Visitor};

use super::{ValueError, cut, one_or_set};

/// So many ports fit into one `-m multiport`, of which a range takes two: `XT_MULTI_PORTS` of linux/netfilter/xt_multiport.h.
const MULTIPORT: usize = 15;

/// Ports and ranges of ports, sorted and disjoint, at least one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ports(Vec<(u16, u16)>);

impl Ports {
    /// One port.
    pub fn one(port: u16) -> Self {
        Self(vec![(port, port)])
    }

    /// None for no range, or one with a port 0.
    fn of(mut ranges: Vec<(u16, u16)>) -> Option<Self> {
        ranges.sort_unstable();
        let mut merged: Vec<(u16, u16)> = Vec::new();
        for (low, high) in ranges {
            if low == 0 || low > high {
                return None;
            }
            match merged.last_mut() {
                Some(last) if u32::from(low) <= u32::from(last.1) + 1 => last.1 = last.1.max(high),
                _ => merged.push((low, high)),
            }
        }
        if merged.is_empty() { None } else { Some(Self(merged)) }
    }

    /// They and another one; a port 0 adds nothing.
    #[must_use]
    pub fn with(&self, port: u16) -> Self {
        let ranges = self.0.iter().copied().chain([(port, port)]).collect();
        Self::of(ranges).unwrap_or_else(|| self.clone())
    }

    /// A port that both have.
    pub fn shared_with(&self, other: &Self) -> Option<u16> {
        self.0.iter().find_map(|&(low, high)| {
            let of = |&(first, last): &(u16, u16)| {
                let common = low.max(first);
                (common <= high.min(last)).then_some(common)
            };
            other.0.iter().find_map(of)
        })
    }

    /// As nft writes it behind `dport`: `22`, `{ 22, 8000-8010 }`.
    pub fn nft(&self) -> String {
        one_or_set(&self.0.iter().map(|range| shown(*range, '-')).collect::<Vec<_>>())
    }

    /// As matches of iptables, one for each rule that they take: `--dport 22`, `-m multiport --dports 22,8000:8010`.
    pub fn iptables(&self) -> Vec<String> {
        if let [range] = self.0[..] {
            return vec![format!("--dport {}", shown(range, ':'))];
        }
        let (mut matches, mut words, mut used) = (Vec::new(), Vec::new(), 0);
        let close =
            |words: &mut Vec<String>| format!("-m multiport --dports {}", std::mem::take(words).join(","));
        for &range in &self.0 {
            let takes = if range.0 == range.1 { 1 } else { 2 };
            if used + takes > MULTIPORT {
                matches.push(close(&mut words));
                used = 0;
            }
            words.push(shown(range, ':'));
            used += takes;
        }
        matches.push(close(&mut words));
        matches
    }
}

fn shown((low, high): (u16, u16), dash: char) -> String {
    if low == high { low.to_string() } else { format!("{low}{dash}{high}") }
}

fn range(text: &str) -> Option<(u16, u16)> {
    // "+22" is a number for Rust.
    let port =
        |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?;
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    let range = (port(low)?, port(high)?);
    (range.0 > 0 && range.0 <= range.1).then_some(range)
}

impl FromStr for Ports {
    type Err = ValueError;

    /// `22`, `8000-8010`, `22,80,8000-8010`.
    fn from_str(text: &str) -> Result<Self, ValueError> {
        let ranges =
            text.split(',').map(|word| range(word.trim()).ok_or_else(|| ValueError::Ports(cut(word))));
        Self::of(ranges.collect::<Result<_, _>>()?).ok_or_else(|| ValueError::Ports(cut(text)))
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.iter().map(|range| shown(*range, '-')).collect::<Vec<_>>().join(","))
    }
}

/// In TOML, a list of numbers and of ranges in quotes.
impl<'de> Deserialize<'de> for Ports {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Ports;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of ports, such as [22, \"8000-8010\"]")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Ports, A::Error> {
                let mut ranges = Vec::new();
                while let Some(Range(low, high)) = seq.next_element()? {
                    ranges.push((low, high));
                }
                Ports::of(ranges)
                    .ok_or_else(|| de::Error::custom("the list is empty; leave it out for all ports"))
            }
        }
        from.deserialize_seq(List)
    }
}

/// One element of such a list.
struct Range(u16, u16);

impl<'de> Deserialize<'de> for Range {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct One;
        impl Visitor<'_> for One {
            type Value = Range;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a port such as 22, or a range of them such as \"8000-8010\"")
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Range, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Range, E> {
                let (low, high) = range(text).ok_or_else(|| E::custom(ValueError::Ports(cut(text))))?;
                Ok(Range(low, high))
            }
        }
        from.deserialize_any(One)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ports(text: &str) -> Ports {
        text.parse().unwrap()
    }

    #[test]
    fn ports_are_sorted_and_those_that_touch_are_one_range() {
        assert_eq!(ports("80, 22,23-30,25-40,41").nft(), "{ 22-41, 80 }");
        assert_eq!(ports("65535,65534").to_string(), "65534-65535");
        for bad in ["", "0", "65536", "+22", "22-", "30-20", "a", "22,,23"] {
            assert!(bad.parse::<Ports>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn more_ports_than_one_match_of_iptables_takes_make_several() {
        let many = ports("1,3,5,7,9,11,13,15,17,19,21,23,25,27-28,31");
        let matches = many.iptables();
        assert_eq!(matches.len(), 2, "{matches:?}");
        assert_eq!(matches[1], "-m multiport --dports 31");
        assert_eq!(ports("22").iptables(), ["--dport 22"]);
        assert_eq!(ports("22-30").iptables(), ["--dport 22:30"]);
    }

    #[test]
    fn a_shared_port_is_found() {
        assert_eq!(ports("22,80-90").shared_with(&ports("85-100")), Some(85));
        assert_eq!(ports("22,80-90").shared_with(&ports("23,91")), None);
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_again(text in "[0-9]{1,5}(-[0-9]{1,5})?(,[0-9]{1,3}(-[0-9]{4})?){0,20}|\\PC{0,20}") {
            if let Ok(read) = text.parse::<Ports>() {
                prop_assert_eq!(read.to_string().parse(), Ok(read));
            }
        }
    }
}
