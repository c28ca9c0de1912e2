//! Networks and addresses of both families.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{ValueError, cut};

/// A network, or an address as a network of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network(pub IpNet);

impl FromStr for Network {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self(address.into()));
        }
        let network: IpNet = text.parse().map_err(|_| ValueError::Network(cut(text)))?;
        // iptables would take it and nft refuse it, or the other way round: nobody means it.
        if network != network.trunc() {
            return Err(ValueError::HostBits { text: cut(text), meant: network.trunc().to_string() });
        }
        Ok(Self(network))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The networks of each family, sorted, and none within another: nft refuses a set in which two overlap.
pub fn by_family<'n>(networks: impl IntoIterator<Item = &'n Network>) -> (Vec<Ipv4Net>, Vec<Ipv6Net>) {
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for network in networks {
        match network.0 {
            IpNet::V4(net) => v4.push(net),
            IpNet::V6(net) => v6.push(net),
        }
    }
    (Ipv4Net::aggregate(&v4), Ipv6Net::aggregate(&v6))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_network_and_host_bits_are_none() {
        assert_eq!("192.0.2.7".parse::<Network>().unwrap().to_string(), "192.0.2.7/32");
        assert_eq!("fd00::/64".parse::<Network>().unwrap().to_string(), "fd00::/64");
        let error = "192.0.2.7/24".parse::<Network>().unwrap_err().to_string();
        assert!(error.contains("\"192.0.2.0/24\""), "{error}");
        for bad in ["", "192.0.2.0/33", "192.0.2", "x", "::/129"] {
            assert!(matches!(bad.parse::<Network>(), Err(ValueError::Network(_))), "{bad:?}");
        }
    }

    #[test]
    fn networks_that_overlap_become_one() {
        let nets = ["10.1.0.0/16", "fd00::/64", "10.0.0.0/8", "192.0.2.1"].map(|text| text.parse().unwrap());
        let (v4, v6) = by_family(&nets);
        assert_eq!(v4.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.0.0.0/8", "192.0.2.1/32"]);
        assert_eq!(v6.len(), 1);
    }
}
