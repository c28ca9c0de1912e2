//! The name of an interface.

use std::fmt;
use std::str::FromStr;

use super::{ValueError, cut};

/// Longest name, in bytes: `IFNAMSIZ` of linux/if.h, less its NUL.
const LONGEST: usize = 15;

/// The name of an interface, which need not be there yet.
///
/// The kernel takes almost any character; these are the ones that people use and that need no quotes anywhere. A `+` or `*`
/// at the end, which iptables and nft take for any rest, is refused: the two differ in maps.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Interface(Box<str>);

impl FromStr for Interface {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let is_name = (1..=LONGEST).contains(&text.len())
            && text.bytes().all(is_plain)
            // "-x" would be a flag of ip(8), "." and ".." no directory of /proc/sys/net.
            && text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        if is_name { Ok(Self(text.into())) } else { Err(ValueError::Interface(cut(text))) }
    }
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Interface {
    /// In the quotes that nft wants.
    pub fn quoted(&self) -> String {
        format!("\"{}\"", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_need_no_quotes_are_taken() {
        for good in ["lan0", "eth0.100", "br-lan", "wg_1", "enp0s31f6"] {
            assert_eq!(good.parse::<Interface>().unwrap().to_string(), good);
        }
        for bad in ["", "ppp+", "wg*", "a b", "a\"b", "-x", "..", "a/b", "é", "a;b", "sixteencharacter", "$x"]
        {
            assert!(bad.parse::<Interface>().is_err(), "{bad:?}");
        }
    }
}
