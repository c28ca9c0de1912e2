//! Where connections are sent instead.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::str::FromStr;

use super::{ValueError, cut};

/// An address, with or without a port; without one the port stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Destination {
    /// The address.
    pub address: IpAddr,
    /// The port.
    pub port: Option<NonZeroU16>,
}

impl FromStr for Destination {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        if let Ok(address) = text.parse() {
            return Ok(Self { address, port: None });
        }
        let wrong = || ValueError::Destination(cut(text));
        let endpoint: SocketAddr = text.parse().map_err(|_| wrong())?;
        Ok(Self { address: endpoint.ip(), port: Some(NonZeroU16::new(endpoint.port()).ok_or_else(wrong)?) })
    }
}

/// As nft and iptables both write it: `10.0.0.2`, `10.0.0.2:22`, `[fd00::2]:22`, `fd00::2`.
impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => SocketAddr::new(self.address, port.get()).fmt(f),
            None => self.address.fmt(f),
        }
    }
}

/// Where a honeypot listens: at an address and a port, or at a port of this host, at the address that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Honeypot {
    /// At an address, of this host or of another.
    At(SocketAddr),
    /// On this host.
    Here(NonZeroU16),
}

impl Honeypot {
    /// Its port.
    pub fn port(self) -> u16 {
        match self {
            Self::At(endpoint) => endpoint.port(),
            Self::Here(port) => port.get(),
        }
    }

    /// Can packets of this family be sent to it?
    pub(crate) fn is_of(self, is_v6: bool) -> bool {
        match self {
            Self::At(endpoint) => endpoint.is_ipv6() == is_v6,
            Self::Here(_) => true,
        }
    }
}

impl FromStr for Honeypot {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let wrong = || ValueError::Honeypot(cut(text));
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            return text.parse().map(Self::Here).map_err(|_| wrong());
        }
        let endpoint: SocketAddr = text.parse().map_err(|_| wrong())?;
        if endpoint.port() == 0 { Err(wrong()) } else { Ok(Self::At(endpoint)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_prints_as_it_is_read() {
        for text in ["10.0.0.2", "10.0.0.2:22", "fd00::2", "[fd00::2]:22"] {
            assert_eq!(text.parse::<Destination>().unwrap().to_string(), text);
        }
        for bad in ["", "10.0.0.2:0", "10.0.0", ":22", "22", "a:22", "10.0.0.2:22; x"] {
            assert!(bad.parse::<Destination>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_honeypot_is_an_endpoint_or_a_port_of_this_host() {
        assert!(matches!("2200".parse(), Ok(Honeypot::Here(port)) if port.get() == 2200));
        assert!(matches!("192.168.1.1:2200".parse(), Ok(Honeypot::At(_))));
        for bad in ["", "0", "65536", "+5", "192.168.1.1", "192.168.1.1:0", "host:22"] {
            assert!(bad.parse::<Honeypot>().is_err(), "{bad}");
        }
    }
}
