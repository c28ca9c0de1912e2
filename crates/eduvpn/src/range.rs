//! A profile's range, split among its processes as eduVPN 2's node (`LC\Node\IP::split`) does it.
//!
//! An OpenVPN process has a network of its own, so that a profile with two processes (UDP and TCP) cuts its range into
//! two halves. Host bits of a range are cleared: `10.8.0.5/24` is `10.8.0.0/24`.
//!
//! `vpn-generate-natfw` judges networks by their text. [`Network::text`] is that text; since splitting writes each anew
//! it is always `address/prefix` with the network's own address.
//!
//! ```
//! use unmasq_eduvpn::range::{self, Split};
//!
//! let Split::V4(networks) = range::split("10.42.0.9/23", 2)? else { unreachable!() };
//! assert_eq!(networks[1].text, "10.42.1.0/24");
//! # Ok::<(), range::RangeError>(())
//! ```
//!
//! Narrower than PHP: the prefix length is digits, where `is_numeric` also takes ` 24`, `24.9` and `2.4e1`, and there is
//! one `/`.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::Ipv4Net;

/// A client network, as text and as a value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    /// As the script sees it when it looks for private networks: `10.8.0.0/24`.
    pub text: String,
    /// The same, parsed. No host bits are set.
    pub net: Ipv4Net,
}

impl Network {
    fn new(net: Ipv4Net) -> Self {
        Self { text: net.to_string(), net }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What a range gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Split {
    /// One network for each process, in the order of addresses.
    V4(Vec<Network>),
    /// An IPv6 range, which could be split. Its networks are of no use here: none of them passes the script's test for
    /// private ones, since those are all of IPv4.
    V6,
}

/// Why a range cannot be used. The words of `LC\Node\IP`'s exception are in each variant's description.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RangeError {
    /// "invalid IP address"
    #[error("it does not begin with an IP address; write it as 10.8.0.0/24")]
    Address,
    /// "IP prefix must be a number between 0 and 32" (128)
    #[error("its prefix length is not a number between 0 and {max}; write it as 10.8.0.0/24")]
    Prefix {
        /// 32 or 128, by the address's family.
        max: u8,
    },
    /// "parameter must be power of 2"
    #[error(
        "it cannot be split among {processes} processes; give vpnProtoPorts 1, 2, 4, 8, 16, 32 or 64 entries"
    )]
    PowerOfTwo {
        /// Entries of `vpnProtoPorts`.
        processes: usize,
    },
    /// "network too small to split in this many networks", "network too small, must be >= /112"
    #[error(
        "it is too small for {processes} processes; make its prefix length {longest} or shorter, or have fewer processes"
    )]
    TooSmall {
        /// Entries of `vpnProtoPorts`.
        processes: usize,
        /// The longest prefix that would do. Above 30 processes of 2^30 no length does, and this is 0.
        longest: u32,
    },
    /// "network prefix length must be divisible by 4"
    #[error("its prefix length is not a multiple of 4, as eduVPN wants it of an IPv6 range")]
    Nibble,
}

/// Splits a range as the portal writes it (`10.8.0.0/24`; without a prefix length it is one address) among so many
/// processes. No processes give no networks, and no error, as in PHP.
pub fn split(range: &str, processes: usize) -> Result<Split, RangeError> {
    let (address, length) = range.split_once('/').map_or((range, None), |(a, l)| (a, Some(l)));
    let v4 = address.parse::<Ipv4Addr>().ok();
    if v4.is_none() && address.parse::<Ipv6Addr>().is_err() {
        return Err(RangeError::Address);
    }
    let max = if v4.is_some() { 32 } else { 128 };
    let length =
        length.map_or(Some(max), |text| prefix_length(text, max)).ok_or(RangeError::Prefix { max })?;
    if processes != 0 && !processes.is_power_of_two() {
        return Err(RangeError::PowerOfTwo { processes });
    }
    match v4 {
        Some(address) => split_v4(address, length, processes).map(Split::V4),
        None => judge_v6(length, processes),
    }
}

fn prefix_length(text: &str, max: u8) -> Option<u8> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|length| *length <= max)
}

fn split_v4(address: Ipv4Addr, length: u8, processes: usize) -> Result<Vec<Network>, RangeError> {
    if processes == 0 {
        return Ok(Vec::new());
    }
    let bits = processes.ilog2();
    // The smallest network of a process is a /30.
    let longest = 30_u32.saturating_sub(bits);
    let too_small = RangeError::TooSmall { processes, longest };
    if u32::from(length) + bits > 30 {
        return Err(too_small);
    }
    let whole = Ipv4Net::new(address, length).map_err(|_| RangeError::Prefix { max: 32 })?;
    let parts = whole.trunc().subnets(length + bits as u8).map_err(|_| too_small)?;
    Ok(parts.map(Network::new).collect())
}

/// Only whether it would be refused: the script stops at that, though it uses no IPv6 network.
fn judge_v6(length: u8, processes: usize) -> Result<Split, RangeError> {
    let bits = processes.checked_ilog2().unwrap_or(0);
    // Each process gets a /112.
    let longest = 112_u32.saturating_sub(bits);
    if u32::from(length) > longest {
        return Err(RangeError::TooSmall { processes, longest });
    }
    if !length.is_multiple_of(4) {
        return Err(RangeError::Nibble);
    }
    Ok(Split::V6)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(range: &str, processes: usize) -> String {
        match split(range, processes) {
            Ok(Split::V4(networks)) => networks.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
            Ok(Split::V6) => "v6".to_owned(),
            Err(error) => format!("{error:?}"),
        }
    }

    /// Made by eduVPN's own class; see the README beside it.
    #[test]
    fn ranges_are_split_as_by_eduvpns_own_class() {
        let golden = include_str!("../tests/data/split.tsv");
        let mut lines = 0;
        for line in golden.lines().skip(1) {
            let [range, processes, kind, result] = *line.split('\t').collect::<Vec<_>>() else {
                panic!("{line:?}");
            };
            let ours = texts(range, processes.parse().unwrap());
            match kind {
                "networks" => assert_eq!(ours, result, "{line:?}"),
                "v6" => assert_eq!(ours, "v6", "{line:?}"),
                "invalid IP address" => assert_eq!(ours, "Address", "{line:?}"),
                "parameter must be power of 2" => assert!(ours.starts_with("PowerOfTwo"), "{line:?}"),
                "network prefix length must be divisible by 4" => assert_eq!(ours, "Nibble", "{line:?}"),
                _ if kind.starts_with("network too small") => {
                    assert!(ours.starts_with("TooSmall"), "{line:?}: {ours}");
                }
                _ if kind.starts_with("IP prefix") => assert!(ours.starts_with("Prefix"), "{line:?}"),
                _ => panic!("{line:?}"),
            }
            lines += 1;
        }
        assert!(lines > 200, "{lines}");
    }

    #[test]
    fn a_prefix_length_is_digits() {
        for range in
            ["10.8.0.0/ 24", "10.8.0.0/24.9", "10.8.0.0/+24", "10.8.0.0/2.4e1", "10.8.0.0/24/1", "10.8.0.0/"]
        {
            assert_eq!(split(range, 1), Err(RangeError::Prefix { max: 32 }), "{range}");
        }
    }

    #[test]
    fn a_range_too_small_says_what_would_do() {
        assert_eq!(split("10.8.0.0/29", 4), Err(RangeError::TooSmall { processes: 4, longest: 28 }));
        assert!(split("10.8.0.0/28", 4).is_ok());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,40}", processes in 0usize..300) {
            let _ = split(&text, processes);
        }

        #[test]
        fn the_parts_fill_the_range_without_overlap(bits in any::<u32>(), length in 8u8..=30, power in 0u32..7) {
            let whole = Ipv4Net::new(bits.into(), length).unwrap();
            if let Ok(Split::V4(parts)) = split(&whole.to_string(), 1 << power) {
                prop_assert_eq!(parts.len(), 1 << power);
                let mut next = u32::from(whole.network());
                for part in &parts {
                    prop_assert_eq!(part.text.parse::<Ipv4Net>().unwrap(), part.net);
                    prop_assert_eq!(u32::from(part.net.addr()), next);
                    next = u32::from(part.net.broadcast()).wrapping_add(1);
                }
                prop_assert_eq!(next, u32::from(whole.broadcast()).wrapping_add(1));
            } else {
                prop_assert!(u32::from(length) + power > 30);
            }
        }
    }
}
