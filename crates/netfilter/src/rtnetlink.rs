//! What the kernel says of links, addresses and routes (rtnetlink(7)).

use std::net::IpAddr;

use crate::conntrack::ParseError;
use crate::wire::{Attributes, Message};

/// linux/rtnetlink.h.
pub(crate) const RTM_NEWLINK: u16 = 16;
pub(crate) const RTM_GETLINK: u16 = 18;
pub(crate) const RTM_NEWADDR: u16 = 20;
pub(crate) const RTM_GETADDR: u16 = 22;
pub(crate) const RTM_NEWROUTE: u16 = 24;
pub(crate) const RTM_GETROUTE: u16 = 26;
/// Lengths of `struct ifinfomsg`, `struct ifaddrmsg`, `struct rtmsg`.
pub(crate) const IFINFOMSG: usize = 16;
pub(crate) const IFADDRMSG: usize = 8;
pub(crate) const RTMSG: usize = 12;

/// linux/if_link.h.
const IFLA_IFNAME: u16 = 3;
/// linux/if_addr.h: on a point-to-point link `IFA_ADDRESS` is the other end, so the local one goes first.
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
/// linux/rtnetlink.h.
const RTA_OIF: u16 = 4;
const RTA_PRIORITY: u16 = 6;
const RTA_MULTIPATH: u16 = 9;
const RTA_TABLE: u16 = 15;
const RT_TABLE_MAIN: u32 = 254;
const RTN_UNICAST: u8 = 1;

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) name: String,
}

/// An address of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// The interface's index.
    pub(crate) link: u32,
    pub(crate) ip: IpAddr,
    /// Bits of the network that it is in.
    pub(crate) prefix: u8,
}

/// A default route of the main table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DefaultRoute {
    /// Its metric: the route with the lowest is taken.
    pub(crate) metric: u32,
    /// The index of the interface it leads to; of the first, if there are several.
    pub(crate) link: u32,
}

/// Reads the body of a `RTM_NEWLINK`; `None` for one whose name is no text.
pub(crate) fn link(message: &Message<'_>) -> Result<Option<Link>, ParseError> {
    let (fixed, attributes) = split::<IFINFOMSG>(message)?;
    let [_, _, _, _, i0, i1, i2, i3, ..] = *fixed;
    let mut name = None;
    for attribute in attributes {
        let attribute = attribute?;
        if attribute.kind == IFLA_IFNAME {
            let text = attribute.value.strip_suffix(&[0]).unwrap_or(attribute.value);
            name = std::str::from_utf8(text).ok().map(str::to_owned);
        }
    }
    Ok(name.map(|name| Link { index: u32::from_ne_bytes([i0, i1, i2, i3]), name }))
}

/// Reads the body of a `RTM_NEWADDR`; `None` for one without an address.
pub(crate) fn address(message: &Message<'_>) -> Result<Option<Address>, ParseError> {
    let (fixed, attributes) = split::<IFADDRMSG>(message)?;
    let [_, prefix, _, _, i0, i1, i2, i3] = *fixed;
    let mut address = None;
    let mut local = None;
    for attribute in attributes {
        let attribute = attribute?;
        match attribute.kind {
            IFA_ADDRESS => address = ip(attribute.value),
            IFA_LOCAL => local = ip(attribute.value),
            _ => {}
        }
    }
    let link = u32::from_ne_bytes([i0, i1, i2, i3]);
    Ok(local.or(address).map(|ip| Address { link, ip, prefix }))
}

/// Reads the body of a `RTM_NEWROUTE`; `None` for all but default routes of the main table that lead somewhere.
pub(crate) fn default_route(message: &Message<'_>) -> Result<Option<DefaultRoute>, ParseError> {
    let (fixed, attributes) = split::<RTMSG>(message)?;
    let [_, destination_bits, source_bits, tos, table, _, _, kind, ..] = *fixed;
    let (mut table, mut metric, mut link) = (u32::from(table), 0, None);
    for attribute in attributes {
        let attribute = attribute?;
        let number = || attribute.bytes("a number of a route").map(u32::from_ne_bytes);
        match attribute.kind {
            RTA_TABLE => table = number()?,
            RTA_PRIORITY => metric = number()?,
            RTA_OIF => link = Some(number()?),
            // `struct rtnexthop`: length, flags, hops, index; the next one after its attributes.
            RTA_MULTIPATH => {
                let first = attribute.value.get(4..8).and_then(|index| index.try_into().ok());
                link = link.or(first.map(u32::from_ne_bytes));
            }
            _ => {}
        }
    }
    let is_default = (destination_bits, source_bits, tos) == (0, 0, 0);
    let is_meant = is_default && table == RT_TABLE_MAIN && kind == RTN_UNICAST;
    Ok(link.filter(|_| is_meant).map(|link| DefaultRoute { metric, link }))
}

/// The fixed part of a message, and the attributes after it.
fn split<'a, const N: usize>(message: &Message<'a>) -> Result<(&'a [u8; N], Attributes<'a>), ParseError> {
    let parts = message.body.split_first_chunk::<N>();
    let short = ParseError::Short { kind: message.kind, length: message.body.len() };
    parts.map(|(fixed, rest)| (fixed, Attributes(rest))).ok_or(short)
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(|v6| IpAddr::from(v6).to_canonical())).ok()
}
