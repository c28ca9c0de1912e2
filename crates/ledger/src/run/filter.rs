//! Which rows a scan gives.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use unmasq_flow::{Destination, Endpoint, Flow, Period, Protocol, Selector};

/// Addresses from one to another, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AddressRange {
    /// The first.
    pub first: IpAddr,
    /// The last; of the same family, or the range is empty.
    pub last: IpAddr,
}

impl AddressRange {
    /// The addresses that share the first `length` bits with `address`; all bits if `length` is larger than the address.
    pub fn prefix(address: IpAddr, length: u8) -> Self {
        match address {
            IpAddr::V4(v4) => {
                let hosts = u32::MAX.checked_shr(u32::from(length)).unwrap_or(0);
                let bits = u32::from(v4);
                Self {
                    first: Ipv4Addr::from(bits & !hosts).into(),
                    last: Ipv4Addr::from(bits | hosts).into(),
                }
            }
            IpAddr::V6(v6) => {
                let hosts = u128::MAX.checked_shr(u32::from(length)).unwrap_or(0);
                let bits = u128::from(v6);
                Self {
                    first: Ipv6Addr::from(bits & !hosts).into(),
                    last: Ipv6Addr::from(bits | hosts).into(),
                }
            }
        }
    }

    /// Is the address one of these?
    pub fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.first.is_ipv4() && self.first <= address && address <= self.last
    }
}

impl From<IpAddr> for AddressRange {
    fn from(address: IpAddr) -> Self {
        Self { first: address, last: address }
    }
}

/// Conditions that a row must meet, all of them. The default lets every row through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filter {
    /// The client's address.
    pub client: Option<AddressRange>,
    /// The server's address, if it was kept. Flows whose destination was not kept do not match.
    pub server: Option<AddressRange>,
    /// The masked address.
    pub masked: Option<AddressRange>,
    /// The masked port or id; [`Selector::None`] for any.
    pub masked_selector: Selector,
    /// The protocol.
    pub protocol: Option<Protocol>,
    /// The flow can have been alive in this period.
    pub period: Period,
}

impl Default for Filter {
    fn default() -> Self {
        Self {
            client: None,
            server: None,
            masked: None,
            masked_selector: Selector::None,
            protocol: None,
            period: Period::ALWAYS,
        }
    }
}

impl Filter {
    /// All flows of a client.
    pub fn client(client: impl Into<AddressRange>, period: Period) -> Self {
        Self { client: Some(client.into()), period, ..Self::default() }
    }

    /// All flows at a masked endpoint; an open selector means all selectors.
    pub fn masked(masked: Endpoint, protocol: Option<Protocol>, period: Period) -> Self {
        Self {
            masked: Some(masked.address.into()),
            masked_selector: masked.selector,
            protocol,
            period,
            ..Self::default()
        }
    }

    /// Does the flow meet all conditions?
    pub fn matches(&self, flow: &Flow) -> bool {
        let server = match flow.server {
            Destination::Kept(endpoint) => Some(endpoint.address),
            Destination::Hashed(_) | Destination::Omitted => None,
        };
        self.client.is_none_or(|range| range.contains(flow.client.address))
            && self.server.is_none_or(|range| server.is_some_and(|address| range.contains(address)))
            && self.masked.is_none_or(|range| range.contains(flow.masked.address))
            && (self.masked_selector == Selector::None || self.masked_selector == flow.masked.selector)
            && self.protocol.is_none_or(|protocol| protocol == flow.protocol)
            && flow.overlaps(self.period)
    }
}
