//! From a netlink datagram to conntrack events. This is a hot path, guarded by `benches/parse.rs`: one pass
//! over the bytes, nothing allocated, nothing looked up.
//!
//! The bytes are the kernel's, but nothing is taken on trust: a length that does not fit, an attribute of the
//! wrong size or a missing tuple makes the message *damaged*, which is counted, and the next message is read.
//! Attributes that are not known are skipped. Layout: include/uapi/linux/netfilter/nfnetlink_conntrack.h of
//! Linux.

use std::net::IpAddr;

use unmasq_flow::{Count, Endpoint, Protocol, Selector, Status, Timestamp, Zones};

use super::kernel::{
    MESSAGE_DELETE, MESSAGE_NEW, NFGENMSG, cta, cta_counters, cta_ip, cta_proto, cta_timestamp, cta_tuple,
};
use super::{Entry, Event, EventKind};
use crate::wire::{self, Attribute, Attributes, Message, Messages};

/// Why bytes could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// A message's length does not fit the datagram; what follows it cannot be found.
    #[error("netlink message at byte {offset} claims {length} bytes of {available}")]
    Frame {
        /// Where in the datagram.
        offset: usize,
        /// Its length field; 0 if not even a header was there.
        length: u32,
        /// Bytes from there to the datagram's end.
        available: usize,
    },
    /// A message is too short for its fixed part.
    #[error("netlink message of type {kind:#06x} has {length} bytes after its header, too few")]
    Short {
        /// The message's type.
        kind: u16,
        /// Bytes after the header.
        length: usize,
    },
    /// An attribute's length does not fit its message or nest.
    #[error("netlink attribute {kind} claims {length} bytes, which do not fit")]
    Attribute {
        /// Its type without flag bits.
        kind: u16,
        /// Its length field.
        length: usize,
    },
    /// An attribute has another size than the kernel gives it.
    #[error("{name} has {length} bytes in place of {expected}")]
    Size {
        /// Its name in the kernel's headers.
        name: &'static str,
        /// Bytes of its value.
        length: usize,
        /// Bytes that it should have.
        expected: usize,
    },
    /// An attribute that every entry has is not there.
    #[error("{0} is missing")]
    Missing(&'static str),
}

/// What a datagram held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Events handed over.
    pub events: u32,
    /// conntrack messages that could not be read.
    pub damaged: u32,
    /// What was wrong with the first of them.
    pub first_damage: Option<ParseError>,
    /// Messages that are not about conntrack entries.
    pub others: u32,
    /// `NLMSG_DONE`: a dump is complete.
    pub is_done: bool,
    /// `NLM_F_DUMP_INTR`: the table changed so much during a dump that entries may be missing or doubled.
    pub is_interrupted: bool,
    /// The kernel's answer to a request: an error number, or 0 for an acknowledgement.
    pub answer: Option<i32>,
}

/// Reads a datagram and hands over each event in it. Works on any bytes.
///
/// An error means that the framing broke and what follows in this datagram is lost; events before it were
/// handed over. A message that is damaged inside is counted in [`Progress::damaged`].
pub fn parse(datagram: &[u8], each: &mut impl FnMut(Event)) -> Result<Progress, ParseError> {
    let mut progress = Progress::default();
    for message in Messages::new(datagram) {
        let message = message?;
        progress.is_interrupted |= message.flags & wire::NLM_F_DUMP_INTR != 0;
        match message.kind {
            MESSAGE_NEW | MESSAGE_DELETE => match event(&message) {
                Ok(event) => {
                    progress.events += 1;
                    each(event);
                }
                Err(damage) => {
                    progress.damaged += 1;
                    progress.first_damage.get_or_insert(damage);
                }
            },
            wire::NLMSG_ERROR => progress.answer = Some(wire::error_number(&message)?),
            wire::NLMSG_DONE => {
                progress.is_done = true;
                // A dump that failed half-way says so here; before Linux 4.4 the body may be missing.
                if let Ok(number @ 1..) = wire::error_number(&message) {
                    progress.answer = Some(number);
                }
            }
            _ => progress.others += 1,
        }
    }
    Ok(progress)
}

fn event(message: &Message<'_>) -> Result<Event, ParseError> {
    let attributes = message
        .body
        .get(NFGENMSG..)
        .ok_or(ParseError::Short { kind: message.kind, length: message.body.len() })?;
    let kind = if message.kind == MESSAGE_DELETE {
        EventKind::Destroy
    } else if message.flags & wire::NLM_F_MULTI != 0 {
        EventKind::Listed
    } else if message.flags & (wire::NLM_F_CREATE | wire::NLM_F_EXCL) != 0 {
        EventKind::New
    } else {
        EventKind::Update
    };
    Ok(Event { kind, entry: entry(Attributes(attributes))? })
}

#[inline]
fn entry(attributes: Attributes<'_>) -> Result<Entry, ParseError> {
    let mut entry = Entry::EMPTY;
    let mut original = None;
    let mut reply = None;
    for attribute in attributes {
        let attribute = attribute?;
        match attribute.kind {
            cta::TUPLE_ORIG => original = Some(tuple(&attribute)?),
            cta::TUPLE_REPLY => reply = Some(tuple(&attribute)?),
            cta::STATUS => entry.status = Some(Status(attribute.be32("CTA_STATUS")?)),
            cta::TIMEOUT => entry.timeout = Some(attribute.be32("CTA_TIMEOUT")?),
            cta::MARK => entry.mark = attribute.be32("CTA_MARK")?,
            cta::COUNTERS_ORIG => entry.traffic.get_or_insert_default().original = counters(&attribute)?,
            cta::COUNTERS_REPLY => entry.traffic.get_or_insert_default().reply = counters(&attribute)?,
            cta::ID => entry.id = Some(attribute.be32("CTA_ID")?),
            cta::ZONE => {
                let zone = attribute.be16("CTA_ZONE")?;
                entry.zones = Zones { original: zone, reply: zone };
            }
            cta::TIMESTAMP => timestamps(&attribute, &mut entry)?,
            cta::TIMESTAMP_EVENT => entry.event_time = Some(time(&attribute, "CTA_TIMESTAMP_EVENT")?),
            _ => {}
        }
    }
    let original = original.ok_or(ParseError::Missing("CTA_TUPLE_ORIG"))?;
    let reply = reply.ok_or(ParseError::Missing("CTA_TUPLE_REPLY"))?;
    entry.protocol = original.protocol;
    // ICMP's id stands in place of a port at the one whose query it is.
    (entry.client, entry.target) = (original.source, original.destination);
    (entry.server, entry.masked) = if reply.has_query_id {
        (
            Endpoint::address_only(reply.source.address),
            Endpoint::new(reply.destination.address, reply.source.selector),
        )
    } else {
        (reply.source, reply.destination)
    };
    // CTA_ZONE means both directions; one inside a tuple means that direction alone. The kernel sends one or
    // the other.
    entry.zones.original = original.zone.unwrap_or(entry.zones.original);
    entry.zones.reply = reply.zone.unwrap_or(entry.zones.reply);
    Ok(entry)
}

/// One direction of an entry.
struct TupleParts {
    protocol: Protocol,
    source: Endpoint,
    destination: Endpoint,
    /// ICMP: the id of this direction is the source's selector.
    has_query_id: bool,
    zone: Option<u16>,
}

#[inline]
fn tuple(attribute: &Attribute<'_>) -> Result<TupleParts, ParseError> {
    let mut addresses = None;
    let mut selectors = None;
    let mut zone = None;
    for part in attribute.nested() {
        let part = part?;
        match part.kind {
            cta_tuple::IP => addresses = Some(tuple_addresses(&part)?),
            cta_tuple::PROTO => selectors = Some(tuple_selectors(&part)?),
            cta_tuple::ZONE => zone = Some(part.be16("CTA_TUPLE_ZONE")?),
            _ => {}
        }
    }
    let (source, destination) = addresses.ok_or(ParseError::Missing("CTA_TUPLE_IP"))?;
    let Selectors { protocol, source: from, destination: to, has_query_id } =
        selectors.ok_or(ParseError::Missing("CTA_TUPLE_PROTO"))?;
    Ok(TupleParts {
        protocol,
        source: Endpoint::new(source, from),
        destination: Endpoint::new(destination, to),
        has_query_id,
        zone,
    })
}

#[inline]
fn tuple_addresses(attribute: &Attribute<'_>) -> Result<(IpAddr, IpAddr), ParseError> {
    let mut source = None;
    let mut destination = None;
    for part in attribute.nested() {
        let part = part?;
        match part.kind {
            cta_ip::V4_SRC => source = Some(IpAddr::from(part.bytes::<4>("CTA_IP_V4_SRC")?)),
            cta_ip::V4_DST => destination = Some(IpAddr::from(part.bytes::<4>("CTA_IP_V4_DST")?)),
            cta_ip::V6_SRC => source = Some(IpAddr::from(part.bytes::<16>("CTA_IP_V6_SRC")?).to_canonical()),
            cta_ip::V6_DST => {
                destination = Some(IpAddr::from(part.bytes::<16>("CTA_IP_V6_DST")?).to_canonical());
            }
            _ => {}
        }
    }
    let source = source.ok_or(ParseError::Missing("CTA_IP_*_SRC"))?;
    let destination = destination.ok_or(ParseError::Missing("CTA_IP_*_DST"))?;
    Ok((source, destination))
}

struct Selectors {
    protocol: Protocol,
    source: Selector,
    destination: Selector,
    has_query_id: bool,
}

#[inline]
fn tuple_selectors(attribute: &Attribute<'_>) -> Result<Selectors, ParseError> {
    let mut protocol = None;
    let mut ports = (None, None);
    let mut query_id = None;
    for part in attribute.nested() {
        let part = part?;
        match part.kind {
            cta_proto::NUM => protocol = Some(Protocol(part.u8("CTA_PROTO_NUM")?)),
            cta_proto::SRC_PORT => ports.0 = Some(part.be16("CTA_PROTO_SRC_PORT")?),
            cta_proto::DST_PORT => ports.1 = Some(part.be16("CTA_PROTO_DST_PORT")?),
            cta_proto::ICMP_ID => query_id = Some(part.be16("CTA_PROTO_ICMP_ID")?),
            cta_proto::ICMPV6_ID => query_id = Some(part.be16("CTA_PROTO_ICMPV6_ID")?),
            _ => {}
        }
    }
    let protocol = protocol.ok_or(ParseError::Missing("CTA_PROTO_NUM"))?;
    let (source, destination) = match (protocol, query_id, ports) {
        (Protocol::ICMP | Protocol::ICMPV6, Some(id), _) => (Selector::Id(id), Selector::None),
        (Protocol::ICMP | Protocol::ICMPV6, None, _) => {
            return Err(ParseError::Missing("CTA_PROTO_ICMP*_ID"));
        }
        (Protocol::GRE, _, (Some(source), Some(destination))) => {
            (Selector::Id(source), Selector::Id(destination))
        }
        (_, _, (Some(source), Some(destination))) => (Selector::Port(source), Selector::Port(destination)),
        (protocol, _, _) if protocol.has_ports() => return Err(ParseError::Missing("CTA_PROTO_*_PORT")),
        // The generic tracker, and GRE where its tracker is not there, have nothing but the number.
        _ => (Selector::None, Selector::None),
    };
    let has_query_id = matches!(protocol, Protocol::ICMP | Protocol::ICMPV6);
    Ok(Selectors { protocol, source, destination, has_query_id })
}

fn counters(attribute: &Attribute<'_>) -> Result<Count, ParseError> {
    let mut count = Count::default();
    for part in attribute.nested() {
        let part = part?;
        match part.kind {
            cta_counters::PACKETS => count.packets = part.be64("CTA_COUNTERS_PACKETS")?,
            cta_counters::BYTES => count.bytes = part.be64("CTA_COUNTERS_BYTES")?,
            cta_counters::PACKETS_32 => count.packets = part.be32("CTA_COUNTERS32_PACKETS")?.into(),
            cta_counters::BYTES_32 => count.bytes = part.be32("CTA_COUNTERS32_BYTES")?.into(),
            _ => {}
        }
    }
    Ok(count)
}

fn timestamps(attribute: &Attribute<'_>, entry: &mut Entry) -> Result<(), ParseError> {
    for part in attribute.nested() {
        let part = part?;
        match part.kind {
            cta_timestamp::START => entry.start = Some(time(&part, "CTA_TIMESTAMP_START")?),
            cta_timestamp::STOP => entry.stop = Some(time(&part, "CTA_TIMESTAMP_STOP")?),
            _ => {}
        }
    }
    Ok(())
}

/// Nanoseconds since the Unix epoch. The kernel's are signed and sent as unsigned.
fn time(attribute: &Attribute<'_>, name: &'static str) -> Result<Timestamp, ParseError> {
    attribute.be64(name).map(|nanos| Timestamp::from_nanos(nanos as i64))
}
