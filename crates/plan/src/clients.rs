//! Who gets ports: client networks, without the addresses that are no clients'.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use ipnet::Ipv4Net;

/// Which address of a client network is the gateway's own, and so no client's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Gateway {
    /// The first host of the network (of a /32, none).
    #[default]
    First,
    /// This one.
    Address(Ipv4Addr),
}

/// A network of clients.
///
/// Written `192.168.101.0/24`, or as an address alone for a single client.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClientNetwork {
    /// As it was written: eduVPN's script goes by the text.
    text: String,
    net: Ipv4Net,
    /// The gateway's own address in it.
    pub gateway: Gateway,
}

impl ClientNetwork {
    /// A network in which the first host is the gateway.
    pub fn new(net: Ipv4Net) -> Self {
        Self { text: net.to_string(), net: net.trunc(), gateway: Gateway::First }
    }

    /// A network with the text by which eduVPN's script knows it.
    pub fn with_text(text: &str, net: Ipv4Net) -> Self {
        Self { text: text.to_owned(), net: net.trunc(), gateway: Gateway::First }
    }

    /// The same network with the gateway at another address.
    #[must_use]
    pub fn with_gateway(mut self, address: Ipv4Addr) -> Self {
        self.gateway = Gateway::Address(address);
        self
    }

    /// The network, its host bits cleared.
    pub const fn net(&self) -> Ipv4Net {
        self.net
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The addresses that clients can have, ascending: without network and broadcast address (which a /31 and a /32 have
    /// not, RFC 3021) and without the gateway's.
    pub fn clients(&self) -> impl Iterator<Item = Ipv4Addr> + use<> {
        let gateway = match self.gateway {
            Gateway::Address(address) => Some(address),
            Gateway::First if self.net.prefix_len() < 32 => self.net.hosts().next(),
            Gateway::First => None,
        };
        self.net.hosts().filter(move |host| Some(*host) != gateway)
    }
}

impl fmt::Display for ClientNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

/// A text that is no IPv4 network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an IPv4 network; write 192.168.101.0/24, or an address alone for one client")]
pub struct NotNetwork(String);

impl FromStr for ClientNetwork {
    type Err = NotNetwork;

    fn from_str(text: &str) -> Result<Self, NotNetwork> {
        let net = parse_net(text).ok_or_else(|| NotNetwork(text.chars().take(64).collect()))?;
        Ok(Self::with_text(text, net))
    }
}

/// A network, or an address as the network of itself.
pub(crate) fn parse_net(text: &str) -> Option<Ipv4Net> {
    text.parse().ok().or_else(|| text.parse::<Ipv4Addr>().ok().map(Ipv4Net::from))
}

/// Public addresses to give out.
///
/// Written `203.0.113.1`, `203.0.113.1-203.0.113.16`, or `203.0.113.0/28`, which means all sixteen: in a pool, the first
/// and the last address are addresses like the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PublicRange {
    first: Ipv4Addr,
    last: Ipv4Addr,
}

/// More addresses than this are a slip of the keyboard: a /16.
pub(crate) const MOST_PUBLIC: u32 = 65_536;

impl PublicRange {
    /// The addresses, ascending.
    pub fn addresses(self) -> impl Iterator<Item = Ipv4Addr> {
        (u32::from(self.first)..=u32::from(self.last)).map(Ipv4Addr::from)
    }
}

impl From<Ipv4Addr> for PublicRange {
    fn from(address: Ipv4Addr) -> Self {
        Self { first: address, last: address }
    }
}

/// A text that is no range of public addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not an IPv4 address or range; write 203.0.113.1, 203.0.113.1-203.0.113.16 or 203.0.113.0/28 (at most {MOST_PUBLIC} addresses)"
)]
pub struct NotPublic(String);

impl FromStr for PublicRange {
    type Err = NotPublic;

    fn from_str(text: &str) -> Result<Self, NotPublic> {
        let refused = || NotPublic(text.chars().take(64).collect());
        let range = match text.split_once('-') {
            Some((first, last)) => Self {
                first: first.trim().parse().map_err(|_| refused())?,
                last: last.trim().parse().map_err(|_| refused())?,
            },
            None => parse_net(text)
                .map(|net| Self { first: net.network(), last: net.broadcast() })
                .ok_or_else(refused)?,
        };
        let count = u32::from(range.last).checked_sub(range.first.into()).ok_or_else(refused)?;
        if count < MOST_PUBLIC { Ok(range) } else { Err(refused()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clients(text: &str) -> Vec<String> {
        text.parse::<ClientNetwork>().unwrap().clients().map(|c| c.to_string()).collect()
    }

    #[test]
    fn network_broadcast_and_gateway_are_no_clients() {
        assert_eq!(clients("192.168.101.0/29").first().map(String::as_str), Some("192.168.101.2"));
        assert_eq!(clients("192.168.101.0/29").len(), 5);
        assert_eq!(clients("192.168.101.77/29"), clients("192.168.101.72/29"));
        assert_eq!(clients("192.168.101.0/30"), ["192.168.101.2"]);
        assert_eq!(clients("192.168.101.0/31"), ["192.168.101.1"]);
        assert_eq!(clients("192.168.101.7"), ["192.168.101.7"]);
    }

    #[test]
    fn a_gateway_elsewhere_leaves_the_first_host_to_a_client() {
        let network: ClientNetwork = "192.168.101.0/29".parse().unwrap();
        let network = network.with_gateway(Ipv4Addr::new(192, 168, 101, 6));
        let clients: Vec<u8> = network.clients().map(|c| c.octets()[3]).collect();
        assert_eq!(clients, [1, 2, 3, 4, 5]);
    }

    #[test]
    fn public_addresses_are_given_as_address_range_or_network() {
        let count = |text: &str| text.parse::<PublicRange>().unwrap().addresses().count();
        assert_eq!(count("203.0.113.1"), 1);
        assert_eq!(count("203.0.113.1-203.0.113.16"), 16);
        assert_eq!(count("203.0.113.0/28"), 16);
        for text in ["", "203.0.113.9-203.0.113.1", "203.0.0.0/8", "eth0", "2001:db8::1", "0.0.0.0/0"] {
            assert!(text.parse::<PublicRange>().is_err(), "{text}");
        }
    }
}
