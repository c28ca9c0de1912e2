//! Ranges of ports, and what is left of a range when others are kept out of it.

use std::fmt;
use std::str::FromStr;

/// A range of ports (or of ICMP ids), both ends included. Never empty.
///
/// Written `1024-2047`, or `1024` for a single one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    /// Every port but 0, which no endpoint has.
    pub const ALL: Self = Self { first: 1, last: u16::MAX };

    /// From the first to the last; `None` if the last comes before the first.
    pub const fn new(first: u16, last: u16) -> Option<Self> {
        if first <= last { Some(Self { first, last }) } else { None }
    }

    /// The first port.
    pub const fn first(self) -> u16 {
        self.first
    }

    /// The last port, which belongs to the range.
    pub const fn last(self) -> u16 {
        self.last
    }

    /// How many ports, 1 to 65536.
    pub const fn count(self) -> u32 {
        self.last as u32 - self.first as u32 + 1
    }

    /// Is the port one of them?
    pub const fn contains(self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }

    /// Is all of the other range in this one?
    pub const fn covers(self, other: Self) -> bool {
        self.first <= other.first && other.last <= self.last
    }

    /// Do the two share a port?
    pub const fn overlaps(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            return f.pad(&self.first.to_string());
        }
        f.pad(&format!("{}-{}", self.first, self.last))
    }
}

/// A text that is no range of ports.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a range of ports; write 1024-65535, with the lower one first, or a single port")]
pub struct NotPorts(String);

impl FromStr for PortRange {
    type Err = NotPorts;

    fn from_str(text: &str) -> Result<Self, NotPorts> {
        let refused = || NotPorts(text.chars().take(64).collect());
        let port = |part: &str| part.trim().parse::<u16>().map_err(|_| refused());
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        Self::new(port(first)?, port(last)?).ok_or_else(refused)
    }
}

/// The ports that may be given out at one public address: ascending, and no two runs touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortSpace(Vec<PortRange>);

impl PortSpace {
    /// What is left of a range without others.
    pub fn new(range: PortRange, without: &[PortRange]) -> Self {
        let mut without = without.to_vec();
        without.sort_unstable();
        let mut runs = Vec::new();
        // In 32 bits, so that "the port after the last" has a number.
        let mut from = u32::from(range.first);
        let mut push = |from: u32, to: u32| {
            if from <= to {
                // Both came out of 16-bit ports and lie inside the range.
                runs.push(PortRange { first: from as u16, last: to as u16 });
            }
        };
        for hole in without {
            if u32::from(hole.last) < from {
                continue;
            }
            if hole.first > range.last {
                break;
            }
            push(from, u32::from(hole.first).saturating_sub(1));
            from = u32::from(hole.last) + 1;
        }
        push(from, u32::from(range.last));
        Self(runs)
    }

    /// The runs of ports, ascending.
    pub fn runs(&self) -> &[PortRange] {
        &self.0
    }

    /// How many ports.
    pub fn count(&self) -> u32 {
        self.0.iter().map(|run| run.count()).sum()
    }

    /// Are all ports of the range in one run?
    pub fn covers(&self, range: PortRange) -> bool {
        self.0.iter().any(|run| run.covers(range))
    }

    /// How many blocks of so many ports can be cut out, each within one run.
    pub fn blocks(&self, size: u32) -> u32 {
        self.0.iter().map(|run| run.count() / size).sum()
    }

    /// These blocks, ascending. What a run has over at its end is in none.
    pub fn cut(&self, size: u32) -> impl Iterator<Item = PortRange> {
        self.0.iter().flat_map(move |run| {
            (0..run.count() / size).map(move |n| {
                let first = u32::from(run.first) + n * size;
                // No more than the run holds.
                PortRange { first: first as u16, last: (first + size - 1) as u16 }
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn range(text: &str) -> PortRange {
        text.parse().unwrap()
    }

    #[test]
    fn a_range_is_written_with_the_lower_port_first() {
        assert_eq!(range("1024-2047").count(), 1024);
        assert_eq!(range("7").to_string(), "7");
        for text in ["", "-", "2047-1024", "1-65536", "a-b", "1-2-3"] {
            assert!(text.parse::<PortRange>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_kept_out_is_in_no_block() {
        let space = PortSpace::new(range("1024-65535"), &[range("32768-60999"), range("8080")]);
        let runs: Vec<String> = space.runs().iter().map(ToString::to_string).collect();
        assert_eq!(runs, ["1024-8079", "8081-32767", "61000-65535"]);
        assert_eq!(space.blocks(1000), 7 + 24 + 4);
        assert_eq!(space.cut(4000).last().map(|b| b.to_string()).as_deref(), Some("61000-64999"));
    }

    fn ranges() -> impl Strategy<Value = PortRange> {
        (any::<u16>(), any::<u16>()).prop_map(|(a, b)| PortRange::new(a.min(b), a.max(b)).unwrap())
    }

    proptest! {
        #[test]
        fn a_space_has_the_ports_that_are_in_the_range_and_in_no_hole(
            whole in ranges(),
            holes in proptest::collection::vec(ranges(), 0..6),
            size in 1_u32..5000,
        ) {
            let space = PortSpace::new(whole, &holes);
            let expected: Vec<bool> = (0..=u16::MAX)
                .map(|port| whole.contains(port) && !holes.iter().any(|hole| hole.contains(port)))
                .collect();
            let mut found = vec![false; 1 << 16];
            for run in space.runs() {
                for port in run.first()..=run.last() {
                    prop_assert!(!found[usize::from(port)], "{} is in two runs", port);
                    found[usize::from(port)] = true;
                }
            }
            prop_assert!(found == expected);
            prop_assert_eq!(space.count() as usize, expected.iter().filter(|is_in| **is_in).count());
            prop_assert_eq!(space.cut(size).count() as u32, space.blocks(size));
            let mut before = None;
            for block in space.cut(size) {
                prop_assert!(space.covers(block) && block.count() == size);
                prop_assert!(before.is_none_or(|b: PortRange| b.last() < block.first()));
                before = Some(block);
            }
        }

        #[test]
        fn a_range_prints_and_parses_back(range in ranges()) {
            prop_assert_eq!(range.to_string().parse(), Ok(range));
        }
    }
}
