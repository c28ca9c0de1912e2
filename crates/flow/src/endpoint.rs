//! An address and what selects among the flows at it: a port, an id, or nothing.

use std::fmt::{self, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use crate::Text;

/// What selects one flow among others at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Selector {
    /// The protocol has none, or the question leaves it open.
    None,
    /// A port of TCP, UDP, UDP-Lite, SCTP or DCCP.
    Port(u16),
    /// The id of an ICMP query, which each direction has its own, or a GRE key (PPTP call id).
    Id(u16),
}

impl Selector {
    /// The number, whatever it means.
    pub const fn number(self) -> Option<u16> {
        match self {
            Self::None => None,
            Self::Port(n) | Self::Id(n) => Some(n),
        }
    }
}

/// An address and a selector.
///
/// Written `203.0.113.1:53500`, `[2001:db8::1]:53500`, `203.0.113.1#45643` (an id), `2001:db8::1#45643`, or an address alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// The address. An IPv4 address mapped into IPv6 is kept as IPv4.
    pub address: IpAddr,
    /// The selector.
    pub selector: Selector,
}

impl Endpoint {
    /// An address and a selector.
    pub const fn new(address: IpAddr, selector: Selector) -> Self {
        Self { address, selector }
    }

    /// An address alone.
    pub const fn address_only(address: IpAddr) -> Self {
        Self { address, selector: Selector::None }
    }

    /// An address and a port.
    pub const fn with_port(address: IpAddr, port: u16) -> Self {
        Self { address, selector: Selector::Port(port) }
    }

    /// An IPv4 address and a port.
    pub const fn v4(octets: [u8; 4], port: u16) -> Self {
        let [a, b, c, d] = octets;
        Self::with_port(IpAddr::V4(Ipv4Addr::new(a, b, c, d)), port)
    }

    /// Does an endpoint that was asked for (`self`) mean this one? An open selector means every selector.
    pub fn covers(self, other: Self) -> bool {
        self.address == other.address && (self.selector == Selector::None || self.selector == other.selector)
    }
}

impl Endpoint {
    /// The endpoint as it is written.
    pub fn text(self) -> Text {
        let mut text = Text::new();
        match self.address {
            IpAddr::V4(v4) => {
                let [a, b, c, d] = v4.octets();
                text.number(a.into());
                for octet in [b, c, d] {
                    text.push(b'.');
                    text.number(octet.into());
                }
            }
            IpAddr::V6(v6) => {
                // There is room for every one.
                let _ = match self.selector {
                    Selector::Port(_) => write!(text, "[{v6}]"),
                    Selector::None | Selector::Id(_) => write!(text, "{v6}"),
                };
            }
        }
        if let Some(number) = self.selector.number() {
            text.push(if matches!(self.selector, Selector::Id(_)) { b'#' } else { b':' });
            text.number(number);
        }
        text
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.text();
        if f.width().is_none() { f.write_str(text.as_str()) } else { f.pad(text.as_str()) }
    }
}

impl FromStr for Endpoint {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let address = |part: &str| {
            let inner = part.strip_prefix('[').and_then(|p| p.strip_suffix(']')).unwrap_or(part);
            inner.parse::<IpAddr>().map(|a| a.to_canonical()).map_err(|_| ParseError::Address {
                part: ParseError::cut(part),
                whole: ParseError::cut(text),
            })
        };
        let number = |part: &str| {
            part.parse::<u16>().map_err(|_| ParseError::Selector {
                part: ParseError::cut(part),
                whole: ParseError::cut(text),
            })
        };
        if let Some((host, id)) = text.split_once('#') {
            return Ok(Self::new(address(host)?, Selector::Id(number(id)?)));
        }
        if let Some(rest) = text.strip_prefix('[') {
            let (host, tail) =
                rest.split_once(']').ok_or_else(|| ParseError::Bracket(ParseError::cut(text)))?;
            let host = address(host)?;
            return match tail.strip_prefix(':') {
                Some(port) => Ok(Self::new(host, Selector::Port(number(port)?))),
                None if tail.is_empty() => Ok(Self::address_only(host)),
                None => Err(ParseError::Bracket(ParseError::cut(text))),
            };
        }
        match text.split_once(':') {
            // More than one colon: an IPv6 address, which needs brackets before a port.
            Some((_, port)) if port.contains(':') => Ok(Self::address_only(address(text)?)),
            Some((host, port)) => Ok(Self::new(address(host)?, Selector::Port(number(port)?))),
            None => Ok(Self::address_only(address(text)?)),
        }
    }
}

/// A text that is no endpoint or protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// The part before the port is no address.
    #[error(
        "{part:?} in {whole:?} is not an IP address; write 203.0.113.1:53500, [2001:db8::1]:53500, 203.0.113.1#45643 or an address alone"
    )]
    Address {
        /// The refused part, cut to 64 characters.
        part: String,
        /// The whole text, cut likewise.
        whole: String,
    },
    /// A bracket is missing or has something other than `:port` behind it.
    #[error("{0:?} has a bracket that does not enclose an IPv6 address; write [2001:db8::1]:53500")]
    Bracket(String),
    /// The name or number of a protocol is unknown.
    #[error(
        "{0:?} is not a protocol; give tcp, udp, icmp, icmpv6, gre, sctp, dccp, udplite or a number from 0 to 255"
    )]
    Protocol(String),
    /// The port or id is no number from 0 to 65535.
    #[error("{part:?} in {whole:?} is not a port or id; give a number from 0 to 65535")]
    Selector {
        /// The refused part, cut to 64 characters.
        part: String,
        /// The whole text, cut likewise.
        whole: String,
    },
}

impl ParseError {
    pub(crate) fn cut(text: &str) -> String {
        text.chars().take(64).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_documented_forms_parse() {
        for text in [
            "203.0.113.1:53500",
            "[2001:db8::1]:53500",
            "203.0.113.1#45643",
            "2001:db8::1#7",
            "203.0.113.1",
            "2001:db8::1",
        ] {
            assert_eq!(text.parse::<Endpoint>().map(|e| e.to_string()), Ok(text.to_owned()));
        }
        assert_eq!("[2001:db8::1]".parse::<Endpoint>().map(|e| e.selector), Ok(Selector::None));
        assert_eq!(
            "::ffff:203.0.113.1".parse::<Endpoint>().map(|e| e.address),
            Ok("203.0.113.1".parse().unwrap())
        );
    }

    #[test]
    fn a_wrong_form_says_what_is_wrong() {
        for (text, part) in [
            ("203.0.113.1:70000", "70000"),
            ("203.0.113:80", "203.0.113"),
            ("[::1:80", "[::1:80"),
            ("", "\"\""),
        ] {
            let message = text.parse::<Endpoint>().unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
    }

    proptest! {
        #[test]
        fn print_then_parse_is_the_same(address: IpAddr, port: Option<u16>, id: bool) {
            let selector = match port { None => Selector::None, Some(n) if id => Selector::Id(n), Some(n) => Selector::Port(n) };
            let endpoint = Endpoint::new(address.to_canonical(), selector);
            prop_assert_eq!(endpoint.to_string().parse(), Ok(endpoint));
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = text.parse::<Endpoint>();
        }
    }
}
