//! Questions about the entry with a given tuple.

use std::net::{IpAddr, Ipv4Addr};

use unmasq_flow::{Protocol, Selector};

use super::kernel::{MESSAGE_DELETE, MESSAGE_GET, cta, cta_filter, cta_ip, cta_proto, cta_tuple};
use super::{Direction, Tuple};
use crate::wire::{NLM_F_ACK, NLM_F_DUMP, Request};

/// Which entry is meant.
pub(super) struct About<'t> {
    pub(super) direction: Direction,
    pub(super) tuple: &'t Tuple,
    /// Which of its protocol's [`queries`] it began with; 0 for protocols that have none.
    pub(super) query: usize,
}

/// The types of ICMP messages that begin an entry, and those of their answers, the most usual first
/// (`icmp_pkt_to_tuple` and its likes in net/netfilter/nf_conntrack_proto_icmp.c and _icmpv6.c).
pub(super) const fn queries(protocol: Protocol) -> &'static [(u8, u8)] {
    match protocol {
        // Echo, timestamp, information, address mask.
        Protocol::ICMP => &[(8, 0), (13, 14), (15, 16), (17, 18)],
        // Echo, node information.
        Protocol::ICMPV6 => &[(128, 129), (139, 140)],
        _ => &[],
    }
}

/// `struct nfgenmsg`: family, version `NFNETLINK_V0`, resource id.
pub(super) const fn nfgenmsg(family: libc::c_int) -> [u8; 4] {
    [family as u8, 0, 0, 0]
}

/// Has the entries listed whose original source is this. A kernel before 5.8 lists all.
pub(super) fn listing_of(sequence: u32, client: Ipv4Addr) -> Vec<u8> {
    let mut request = Request::new(MESSAGE_GET, NLM_F_DUMP, sequence, &nfgenmsg(libc::AF_INET));
    request.nest(cta::TUPLE_ORIG, |nest| {
        nest.nest(cta_tuple::IP, |ip| ip.put(cta_ip::V4_SRC, &client.octets()));
    });
    request.nest(cta::FILTER, |nest| nest.put(cta_filter::ORIG_FLAGS, &cta_filter::IP_SRC.to_ne_bytes()));
    request.finish()
}

/// Has the entry deleted, and the outcome told.
pub(super) fn deletion(sequence: u32, about: &About<'_>, id: Option<u32>) -> Vec<u8> {
    // Without a tuple, the kernel would delete all entries: `request` always puts one.
    let mut request = request(MESSAGE_DELETE, NLM_F_ACK, sequence, about);
    if let Some(id) = id {
        request.put(cta::ID, &id.to_be_bytes());
    }
    request.finish()
}

/// A message about the entry.
pub(super) fn request(kind: u16, flags: u16, sequence: u32, about: &About<'_>) -> Request {
    let About { direction, tuple, .. } = about;
    let family = if tuple.source.address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let mut request = Request::new(kind, flags, sequence, &nfgenmsg(family));
    let which = match direction {
        Direction::Original => cta::TUPLE_ORIG,
        Direction::Reply => cta::TUPLE_REPLY,
    };
    request.nest(which, |nest| {
        nest.nest(cta_tuple::IP, |ip| {
            put_address(ip, tuple.source.address, cta_ip::V4_SRC, cta_ip::V6_SRC);
            put_address(ip, tuple.destination.address, cta_ip::V4_DST, cta_ip::V6_DST);
        });
        nest.nest(cta_tuple::PROTO, |proto| put_selectors(proto, about));
    });
    if tuple.zone != 0 {
        request.put(cta::ZONE, &tuple.zone.to_be_bytes());
    }
    request
}

fn put_address(nest: &mut Request, address: IpAddr, v4: u16, v6: u16) {
    match address {
        IpAddr::V4(address) => nest.put(v4, &address.octets()),
        IpAddr::V6(address) => nest.put(v6, &address.octets()),
    }
}

fn put_selectors(nest: &mut Request, about: &About<'_>) {
    let About { direction, tuple, query } = about;
    nest.put(cta_proto::NUM, &[tuple.protocol.0]);
    if let Some((question, answer)) = queries(tuple.protocol).get(*query) {
        // The id of an ICMP query is at whichever end the query came from.
        let id = match (tuple.source.selector, tuple.destination.selector) {
            (Selector::Id(id), _) | (_, Selector::Id(id)) => id,
            _ => 0,
        };
        let (id_kind, type_kind, code_kind) = if tuple.protocol == Protocol::ICMP {
            (cta_proto::ICMP_ID, cta_proto::ICMP_TYPE, cta_proto::ICMP_CODE)
        } else {
            (cta_proto::ICMPV6_ID, cta_proto::ICMPV6_TYPE, cta_proto::ICMPV6_CODE)
        };
        let number = match direction {
            Direction::Original => question,
            Direction::Reply => answer,
        };
        nest.put(id_kind, &id.to_be_bytes());
        nest.put(type_kind, &[*number]);
        nest.put(code_kind, &[0]);
    } else if let (Some(from), Some(to)) =
        (tuple.source.selector.number(), tuple.destination.selector.number())
    {
        nest.put(cta_proto::SRC_PORT, &from.to_be_bytes());
        nest.put(cta_proto::DST_PORT, &to.to_be_bytes());
    }
}
