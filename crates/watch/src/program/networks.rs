//! A set of networks, asked for every address that a filter sees: merged ranges in order, found by halving.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// Networks of both families.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Networks {
    /// First and last address, in order, neither overlapping nor touching.
    ipv4: Box<[(u32, u32)]>,
    ipv6: Box<[(u128, u128)]>,
}

impl Networks {
    /// Host bits of a network are masked off.
    pub(crate) fn new(networks: impl IntoIterator<Item = IpNet>) -> Self {
        let (mut ipv4, mut ipv6) = (Vec::new(), Vec::new());
        for network in networks {
            match network.trunc() {
                IpNet::V4(net) => ipv4.push((net.network().to_bits(), net.broadcast().to_bits())),
                IpNet::V6(net) => ipv6.push((net.network().to_bits(), net.broadcast().to_bits())),
            }
        }
        Self { ipv4: merged(ipv4, u32::checked_add), ipv6: merged(ipv6, u128::checked_add) }
    }

    /// Is there no network of IPv4 (or, `false`, of IPv6)?
    pub(crate) fn has_none_of(&self, is_ipv4: bool) -> bool {
        if is_ipv4 { self.ipv4.is_empty() } else { self.ipv6.is_empty() }
    }

    /// Does one of them hold the address? An IPv4-mapped address is also looked for as the IPv4 address that it is.
    pub(crate) fn contain(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => self.contain_ipv4(address),
            IpAddr::V6(address) => {
                self.contain_ipv6(address)
                    || address.to_ipv4_mapped().is_some_and(|mapped| self.contain_ipv4(mapped))
            }
        }
    }

    fn contain_ipv4(&self, address: Ipv4Addr) -> bool {
        let bits = address.to_bits();
        let behind = self.ipv4.partition_point(|(first, _)| *first <= bits);
        behind > 0 && self.ipv4[behind - 1].1 >= bits
    }

    fn contain_ipv6(&self, address: Ipv6Addr) -> bool {
        let bits = address.to_bits();
        let behind = self.ipv6.partition_point(|(first, _)| *first <= bits);
        behind > 0 && self.ipv6[behind - 1].1 >= bits
    }
}

fn merged<T: Copy + Ord + From<u8>>(
    mut ranges: Vec<(T, T)>,
    add: impl Fn(T, T) -> Option<T>,
) -> Box<[(T, T)]> {
    ranges.sort_unstable();
    let mut merged: Vec<(T, T)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match merged.last_mut() {
            // `None`: the range before reaches to the last address there is.
            Some(before) if add(before.1, T::from(1)).is_none_or(|next| first <= next) => {
                before.1 = before.1.max(last);
            }
            _ => merged.push((first, last)),
        }
    }
    merged.into()
}

/// A network as Pyruse takes it: `address[/bits]`, host bits allowed. The error says what is wrong.
pub(crate) fn parse_network(text: &str) -> Result<IpNet, String> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().map_err(|_| format!("{address:?} is not an IP address"))?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = match bits {
        None => most,
        Some(bits) => bits
            .parse()
            .ok()
            .filter(|n| *n <= most && bits.bytes().all(|b| b.is_ascii_digit()))
            .ok_or_else(|| format!("{bits:?} is not a number of bits from 0 to {most}"))?,
    };
    IpNet::new(address, bits).map_err(|_| format!("{text:?} is not a network"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn networks(texts: &[&str]) -> Networks {
        Networks::new(texts.iter().map(|t| parse_network(t).expect("a network")))
    }

    fn holds(networks: &Networks, address: &str) -> bool {
        networks.contain(address.parse().expect("an address"))
    }

    #[test]
    fn host_bits_are_masked_off_and_families_do_not_mix() {
        let set = networks(&["34.56.78.90/12", "2001:db8:1:1a0::/59", "::1"]);
        assert!(holds(&set, "34.48.0.1"));
        assert!(!holds(&set, "34.47.255.254"));
        assert!(holds(&set, "2001:db8:1:1bf:ffff:ffff:ffff:ffff"));
        assert!(!holds(&set, "2001:db8:1:1c0::1"));
        assert!(holds(&set, "::1"));
        assert!(!holds(&set, "0.0.0.1"));
    }

    #[test]
    fn a_network_of_no_bits_holds_its_family() {
        let set = networks(&["0.0.0.0/0"]);
        assert!(holds(&set, "255.255.255.255") && holds(&set, "0.0.0.0"));
        assert!(!holds(&set, "2001:db8::1"));
        assert!(holds(&networks(&["::/0", "ffff::/16"]), "ffff:ffff::"));
    }

    #[test]
    fn a_mapped_address_is_its_ipv4_address_too() {
        let set = networks(&["10.0.0.0/8"]);
        assert!(holds(&set, "::ffff:10.0.0.1"));
        assert!(!holds(&set, "::10.0.0.1"));
        assert!(holds(&networks(&["::ffff:0:0/96"]), "::ffff:10.0.0.1"));
        assert!(!holds(&networks(&["::ffff:0:0/96"]), "10.0.0.1"));
    }

    #[test]
    fn what_is_no_network_says_why() {
        for text in [
            "",
            "10.0.0.0/33",
            "10.0.0.0/255.0.0.0",
            "10.0.0.0/-1",
            "10.0.0.0/+8",
            "::/129",
            "fe80::1%eth0",
            "010.0.0.1",
            "10.0.0.0/8/8",
            "10.0.0.0/",
            "host",
        ] {
            assert!(parse_network(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn it_answers_as_a_search_through_all(
            nets in proptest::collection::vec((0u32..64, 26u8..=32), 0..12),
            address in 0u32..70,
        ) {
            let nets: Vec<IpNet> = nets.iter()
                .map(|(bits, length)| IpNet::new(Ipv4Addr::from(*bits).into(), *length).expect("in range").trunc())
                .collect();
            let address = IpAddr::V4(Ipv4Addr::from(address));
            let expected = nets.iter().any(|net| net.contains(&address));
            prop_assert_eq!(Networks::new(nets).contain(address), expected);
        }
    }
}
