//! Who is banned with an address: the network that one client has to itself.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::enforce;

/// How many leading bits of an address stand for one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefixes {
    ipv4: u8,
    ipv6: u8,
}

impl Default for Prefixes {
    /// One IPv4 address; an IPv6 /64, within which a client chooses its address freely (RFC 4291, RFC 8981).
    fn default() -> Self {
        Self { ipv4: 32, ipv6: 64 }
    }
}

impl Prefixes {
    /// Of so many bits, 0 to 32 and 0 to 128; `None` beyond.
    pub fn new(ipv4: u8, ipv6: u8) -> Option<Self> {
        (ipv4 <= 32 && ipv6 <= 128).then_some(Self { ipv4, ipv6 })
    }

    /// The network that stands for an address. IPv4 written as IPv6 (`::ffff:192.0.2.7`) is IPv4.
    pub fn widen(self, address: IpAddr) -> IpNet {
        let net = match address.to_canonical() {
            IpAddr::V4(address) => Ipv4Net::new(address, self.ipv4).map(IpNet::V4),
            IpAddr::V6(address) => Ipv6Net::new(address, self.ipv6).map(IpNet::V6),
        };
        net.map_or_else(|_| address.to_canonical().into(), |net| net.trunc())
    }
}

/// A network in its one spelling: host bits cleared, and IPv4 where it was IPv4 written as IPv6.
pub fn canonical(net: IpNet) -> IpNet {
    enforce::canonical(net).trunc()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_client_is_a_64_and_a_mapped_address_is_ipv4() {
        let widen = |text: &str| Prefixes::default().widen(text.parse().unwrap()).to_string();
        assert_eq!(widen("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
        assert_eq!(widen("192.0.2.7"), "192.0.2.7/32");
        assert_eq!(widen("::ffff:192.0.2.7"), "192.0.2.7/32");
        let wide = Prefixes::new(24, 48).unwrap();
        assert_eq!(wide.widen("192.0.2.7".parse().unwrap()).to_string(), "192.0.2.0/24");
        assert_eq!(Prefixes::new(33, 0), None);
    }

    #[test]
    fn a_network_has_one_spelling() {
        let one = |text: &str| canonical(text.parse().unwrap()).to_string();
        assert_eq!(one("192.0.2.7/24"), "192.0.2.0/24");
        assert_eq!(one("::ffff:192.0.2.7/120"), "192.0.2.0/24");
        assert_eq!(one("::ffff:0:0/95"), "::fffe:0:0/95");
    }
}
