//! What a set of addresses can have as an element, whichever kind of set it is.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::time::Duration;

use ipnet::IpNet;

/// An address, a network or a range of one family; in a set of `address . port` with its port or ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Member {
    first: IpAddr,
    last: IpAddr,
    ports: Option<(u16, u16)>,
}

impl Member {
    /// All of the network, whatever bits of the host it has.
    pub fn network(net: IpNet, port: Option<u16>) -> Self {
        Self { first: net.network(), last: net.broadcast(), ports: port.map(|port| (port, port)) }
    }

    /// One address.
    pub const fn address(address: IpAddr, port: Option<u16>) -> Self {
        let ports = match port {
            Some(port) => Some((port, port)),
            None => None,
        };
        Self { first: address, last: address, ports }
    }

    /// A range with ports; `None` if it goes backwards or its ends are of two families.
    pub fn range(first: IpAddr, last: IpAddr, ports: Option<RangeInclusive<u16>>) -> Option<Self> {
        let ports = ports.map(RangeInclusive::into_inner);
        let is_forward = first <= last && ports.is_none_or(|(from, to)| from <= to);
        (is_forward && first.is_ipv4() == last.is_ipv4()).then_some(Self { first, last, ports })
    }

    /// Its first address.
    pub const fn first(&self) -> IpAddr {
        self.first
    }

    /// Its last address.
    pub const fn last(&self) -> IpAddr {
        self.last
    }

    /// First and last port, in a set that has ports.
    pub const fn ports(&self) -> Option<(u16, u16)> {
        self.ports
    }

    /// One address only?
    pub fn is_single(&self) -> bool {
        self.first == self.last
    }

    /// Is all of the other in it?
    pub fn covers(&self, other: &Self) -> bool {
        let ports = match (self.ports, other.ports) {
            (Some((from, to)), Some((first, last))) => from <= first && last <= to,
            (None, None) => true,
            _ => false,
        };
        ports && self.first <= other.first && other.last <= self.last && self.is_family_of(other)
    }

    /// Do they share anything?
    pub fn overlaps(&self, other: &Self) -> bool {
        let ports = match (self.ports, other.ports) {
            (Some((from, to)), Some((first, last))) => from <= last && first <= to,
            (None, None) => true,
            _ => false,
        };
        ports && self.first <= other.last && other.first <= self.last && self.is_family_of(other)
    }

    fn is_family_of(&self, other: &Self) -> bool {
        self.first.is_ipv4() == other.first.is_ipv4()
    }

    /// The network that it is, if it is one.
    pub fn as_network(&self) -> Option<IpNet> {
        let (first, last, width) = match (self.first, self.last) {
            (IpAddr::V4(first), IpAddr::V4(last)) => {
                (u128::from(first.to_bits()), u128::from(last.to_bits()), 32)
            }
            (IpAddr::V6(first), IpAddr::V6(last)) => (first.to_bits(), last.to_bits(), 128),
            _ => return None,
        };
        let host_bits = (first ^ last).checked_ilog2().map_or(0, |top| top + 1);
        let net = IpNet::new(self.first, (width - host_bits) as u8).ok()?;
        (net.network() == self.first && net.broadcast() == self.last).then_some(net)
    }
}

impl fmt::Display for Member {
    /// As nft writes it: `192.0.2.1`, `192.0.2.0/24`, `192.0.2.1-192.0.2.9 . 22`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_single() {
            self.first.fmt(f)?;
        } else if let Some(net) = self.as_network() {
            net.fmt(f)?;
        } else {
            write!(f, "{}-{}", self.first, self.last)?;
        }
        match self.ports {
            None => Ok(()),
            Some((from, to)) if from == to => write!(f, " . {from}"),
            Some((from, to)) => write!(f, " . {from}-{to}"),
        }
    }
}

/// An element that a set holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The element.
    pub member: Member,
    /// For how long it was put there; `None` for ever, and where it has the set's own time or the set does not say.
    pub timeout: Option<Duration>,
    /// How long it will still be there; `None` for ever.
    pub expires: Option<Duration>,
}

/// The address after this one; `None` after the last.
pub(crate) fn successor(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(v4) => v4.to_bits().checked_add(1).map(Ipv4Addr::from_bits).map(IpAddr::V4),
        IpAddr::V6(v6) => v6.to_bits().checked_add(1).map(Ipv6Addr::from_bits).map(IpAddr::V6),
    }
}

/// The address before this one; `None` before the first.
pub(crate) fn predecessor(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(v4) => v4.to_bits().checked_sub(1).map(Ipv4Addr::from_bits).map(IpAddr::V4),
        IpAddr::V6(v6) => v6.to_bits().checked_sub(1).map(Ipv6Addr::from_bits).map(IpAddr::V6),
    }
}

/// An address of that many bytes.
pub(crate) fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn member(first: &str, last: &str, ports: Option<RangeInclusive<u16>>) -> Member {
        Member::range(first.parse().unwrap(), last.parse().unwrap(), ports).unwrap()
    }

    #[test]
    fn a_member_is_written_as_nft_does() {
        for (first, last, ports, text) in [
            ("192.0.2.1", "192.0.2.1", None, "192.0.2.1"),
            ("192.0.2.0", "192.0.2.255", None, "192.0.2.0/24"),
            ("0.0.0.0", "255.255.255.255", None, "0.0.0.0/0"),
            ("192.0.2.1", "192.0.2.2", Some(22..=22), "192.0.2.1-192.0.2.2 . 22"),
            ("2001:db8::", "2001:db8::ffff:ffff:ffff:ffff", Some(1..=9), "2001:db8::/64 . 1-9"),
        ] {
            assert_eq!(member(first, last, ports).to_string(), text);
        }
        assert_eq!(Member::range("192.0.2.2".parse().unwrap(), "192.0.2.1".parse().unwrap(), None), None);
        assert_eq!(Member::range("192.0.2.2".parse().unwrap(), "2001:db8::1".parse().unwrap(), None), None);
    }

    proptest! {
        #[test]
        fn covering_and_overlapping_are_as_by_counting(a in 0_u8..20, b in 0_u8..20, c in 0_u8..20, d in 0_u8..20) {
            let of = |a: u8, b: u8| Member::range([10, 0, 0, a].into(), [10, 0, 0, b].into(), None);
            if let (Some(x), Some(y)) = (of(a, b), of(c, d)) {
                prop_assert_eq!(x.covers(&y), (c..=d).all(|n| (a..=b).contains(&n)));
                prop_assert_eq!(x.overlaps(&y), (c..=d).any(|n| (a..=b).contains(&n)));
            }
        }

        #[test]
        fn a_network_is_found_again(bytes in any::<[u8; 16]>(), prefix in 0_u8..=128) {
            let net = IpNet::new(IpAddr::from(bytes), prefix).unwrap();
            prop_assert_eq!(Member::network(net, None).as_network(), Some(net.trunc()));
        }
    }
}
