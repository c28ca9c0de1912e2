//! What is put into a set, and what came of it.

use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{Failure, SetName};

/// An address or a network of one spelling: IPv4-mapped IPv6 (`::ffff:192.0.2.1`) is IPv4. The bits of the host are
/// kept: `2001:db8::5/64` is the network, on account of that address.
pub fn canonical(target: IpNet) -> IpNet {
    let IpNet::V6(v6) = target else { return target };
    let mapped = v6.addr().to_ipv4_mapped().filter(|_| v6.prefix_len() >= 96);
    match mapped.map(|address| Ipv4Net::new(address, v6.prefix_len() - 96)) {
        Some(Ok(v4)) => IpNet::V4(v4),
        _ => target,
    }
}

/// One address as a target.
pub fn single(address: IpAddr) -> IpNet {
    IpNet::from(address.to_canonical())
}

/// The network around an address, of the prefix for its family; the bits of the host are kept. A prefix longer than
/// the address is the address alone.
pub fn around(address: IpAddr, v4_prefix: u8, v6_prefix: u8) -> IpNet {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpNet::V4(Ipv4Net::new(v4, v4_prefix).unwrap_or(Ipv4Net::from(v4))),
        IpAddr::V6(v6) => IpNet::V6(Ipv6Net::new(v6, v6_prefix).unwrap_or(Ipv6Net::from(v6))),
    }
}

/// What is to be in a set.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Element {
    /// The set.
    pub set: SetName,
    /// The address, or the network around it: `2001:db8::5/64` bans the network where the set can hold networks
    /// (`flags interval`), else the address. Keep the bits of the host.
    pub target: IpNet,
    /// Only this port, in a set whose elements are `address . port`.
    pub port: Option<u16>,
    /// For how long from now; `None` for ever.
    pub timeout: Option<Duration>,
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.target.prefix_len() == self.target.max_prefix_len() {
            self.target.addr().fmt(f)?;
        } else {
            self.target.fmt(f)?;
        }
        self.port.map_or(Ok(()), |port| write!(f, " port {port}"))
    }
}

/// What came of the orders.
#[derive(Debug)]
#[non_exhaustive]
pub enum Report {
    /// The kernel holds the element now.
    Banned {
        /// The element as ordered.
        element: Element,
        /// When the order was given.
        ordered: Instant,
        /// When the kernel had it.
        done: Instant,
    },
    /// The kernel does not hold it any more, or never did.
    Unbanned {
        /// The element as ordered.
        element: Element,
        /// Was it there?
        was_there: bool,
    },
    /// The order could not be carried out. A ban stays wanted: it is tried again when the set changes, and at every
    /// comparison, while its time lasts.
    Failed {
        /// The element as ordered.
        element: Element,
        /// Why, and the remedy.
        failure: Failure,
    },
    /// All that [`super::Enforcer::restore`] was given is dealt with.
    Restored {
        /// Elements now in the kernel, those that were there already included.
        held: usize,
        /// Elements that could not be put there; each set's reason comes as [`Report::Trouble`].
        failed: usize,
        /// How long it took.
        took: Duration,
    },
    /// Elements that were gone from the kernel, or would have ended too early there, were put back.
    Mended {
        /// The set.
        set: SetName,
        /// How many.
        count: usize,
    },
    /// A set cannot take elements. Told once, until the reason changes or the set works again.
    Trouble {
        /// The set.
        set: SetName,
        /// Why, and the remedy.
        failure: Failure,
    },
    /// A set that was in trouble takes elements again.
    Recovered {
        /// The set.
        set: SetName,
    },
    /// Something to put right that does not stop bans. Told once for each set.
    Warning {
        /// The set.
        set: SetName,
        /// What, and the remedy.
        message: String,
    },
    /// Something is wrong with the connection to the kernel. It is opened anew.
    Connection {
        /// What.
        reason: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapped_address_is_an_ipv4_address() {
        let net = |text: &str| text.parse::<IpNet>().unwrap();
        assert_eq!(canonical(net("::ffff:192.0.2.1/128")), net("192.0.2.1/32"));
        assert_eq!(canonical(net("::ffff:192.0.2.1/120")), net("192.0.2.1/24"));
        assert_eq!(canonical(net("::ffff:192.0.2.1/64")), net("::ffff:192.0.2.1/64"));
        assert_eq!(canonical(net("2001:db8::5/64")), net("2001:db8::5/64"));
        assert_eq!(around("::ffff:192.0.2.1".parse().unwrap(), 32, 64), net("192.0.2.1/32"));
        assert_eq!(around("2001:db8::5".parse().unwrap(), 32, 64), net("2001:db8::5/64"));
        assert_eq!(single("::ffff:192.0.2.1".parse().unwrap()), net("192.0.2.1/32"));
    }
}
