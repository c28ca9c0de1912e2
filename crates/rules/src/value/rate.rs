//! How often a log entry may be written.

use std::fmt;
use std::str::FromStr;

use super::{ValueError, cut};

/// So many a second or a minute.
///
/// Longer units are refused: times a burst they overflow what `-m limit` counts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    count: u16,
    unit: &'static str,
}

impl Rate {
    /// Ten a second.
    pub const USUAL: Self = Self { count: 10, unit: "second" };
}

impl FromStr for Rate {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let wrong = || ValueError::Rate(cut(text));
        let (count, unit) = text.split_once('/').ok_or_else(wrong)?;
        let unit = ["second", "minute"].into_iter().find(|known| *known == unit).ok_or_else(wrong)?;
        let is_number = !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit());
        // More than 10000 a second is more than `XT_LIMIT_SCALE` of linux/netfilter/xt_limit.h can tell from none.
        let count = count.parse().ok().filter(|n| is_number && (1..=10_000).contains(n)).ok_or_else(wrong)?;
        Ok(Self { count, unit })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.count, self.unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_number_and_a_unit() {
        assert_eq!("3/minute".parse::<Rate>().unwrap().to_string(), "3/minute");
        for bad in ["", "10", "0/second", "10001/second", "1/hour", "+1/second", "1/ second", "/second"] {
            assert!(bad.parse::<Rate>().is_err(), "{bad:?}");
        }
    }
}
