//! IP protocol numbers, with the names that conntrack prints.

use std::fmt;
use std::str::FromStr;

use crate::ParseError;

/// An IP protocol number (IANA). Any number is a protocol; those that Linux tracks by name have a constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Protocol(pub u8);

impl Protocol {
    /// ICMP, for IPv4.
    pub const ICMP: Self = Self(1);
    /// TCP.
    pub const TCP: Self = Self(6);
    /// UDP.
    pub const UDP: Self = Self(17);
    /// DCCP.
    pub const DCCP: Self = Self(33);
    /// GRE; PPTP's call id or the key is its selector.
    pub const GRE: Self = Self(47);
    /// ICMP for IPv6.
    pub const ICMPV6: Self = Self(58);
    /// SCTP.
    pub const SCTP: Self = Self(132);
    /// UDP-Lite.
    pub const UDPLITE: Self = Self(136);

    const NAMES: [(Self, &'static str); 8] = [
        (Self::TCP, "tcp"),
        (Self::UDP, "udp"),
        (Self::ICMP, "icmp"),
        (Self::ICMPV6, "icmpv6"),
        (Self::GRE, "gre"),
        (Self::SCTP, "sctp"),
        (Self::DCCP, "dccp"),
        (Self::UDPLITE, "udplite"),
    ];

    /// The name, if the number has one here.
    pub fn name(self) -> Option<&'static str> {
        Self::NAMES.iter().find(|(p, _)| *p == self).map(|(_, name)| *name)
    }

    /// Do its endpoints have ports?
    pub fn has_ports(self) -> bool {
        matches!(self, Self::TCP | Self::UDP | Self::DCCP | Self::SCTP | Self::UDPLITE)
    }

    /// Do its endpoints have an id in place of a port (ICMP id, GRE key)?
    pub fn has_ids(self) -> bool {
        matches!(self, Self::ICMP | Self::ICMPV6 | Self::GRE)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => f.pad(&self.0.to_string()),
        }
    }
}

impl FromStr for Protocol {
    type Err = ParseError;

    /// A name in any case (`tcp`, `UDP`, `ipv6-icmp`) or a number from 0 to 255.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let lower = text.to_ascii_lowercase();
        let name = match lower.as_str() {
            "ipv6-icmp" | "icmp6" => "icmpv6",
            "udp-lite" => "udplite",
            other => other,
        };
        if let Some((protocol, _)) = Self::NAMES.iter().find(|(_, known)| *known == name) {
            return Ok(*protocol);
        }
        name.parse().map(Self).map_err(|_| ParseError::Protocol(ParseError::cut(text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_prints_and_parses_back() {
        for n in 0..=255 {
            let text = Protocol(n).to_string();
            assert_eq!(text.parse(), Ok(Protocol(n)), "{text}");
        }
    }

    #[test]
    fn an_unknown_name_is_refused() {
        assert!("tpc".parse::<Protocol>().unwrap_err().to_string().contains("tpc"));
        assert!("256".parse::<Protocol>().is_err());
    }
}
