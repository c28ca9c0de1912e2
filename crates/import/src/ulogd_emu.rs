//! Lines of ulogd2's `PRINTFLOW` as `LOGEMU` or `SYSLOG` write them.
//!
//! ```text
//! Nov 21 08:57:28 vm [NEW] ORIG: SRC=… DST=… PROTO=TCP SPT=… DPT=… PKTS=0 BYTES=0 , REPLY: SRC=… DST=… PROTO=TCP SPT=… DPT=… PKTS=0 BYTES=0
//! ```
//!
//! They have neither year nor zone nor ids; ICMP's TYPE and CODE are swapped, and without its id ICMP flows between the same
//! two addresses cannot be told apart. A line of rsyslog's RFC 3339 form (`2026-11-21T08:57:28.123456+01:00 …`) is read as well.

use jiff::tz::TimeZone;
use unmasq_flow::{
    Bound, Count, Destination, Endpoint, Protocol, Selector, Status, Timestamp, Traffic, Zones,
};

use crate::Refusal;
use crate::local_time::{self, YearClock};
use crate::scan::{self, Words};
use crate::sighting::{Event, Sighting, Tuples};

const FORMAT: &str = "ulogd's PRINTFLOW";

/// Reads one line. `None` for a blank line.
pub(crate) fn line(
    line: &[u8],
    zone: Option<&TimeZone>,
    years: &mut YearClock,
) -> Result<Option<Sighting>, Refusal> {
    if line.trim_ascii().is_empty() {
        return Ok(None);
    }
    let Some(original_at) = memchr::memmem::find(line, b"ORIG: ") else {
        let is_packet = memchr::memmem::find(line, b" IN=").is_some();
        return Err(if is_packet { Refusal::Packet } else { Refusal::Shape(FORMAT) });
    };
    let (head, tuples) = line.split_at(original_at);
    let reply_at = memchr::memmem::find(tuples, b"REPLY: ").ok_or(Refusal::Missing("REPLY:"))?;
    let (original, reply) = tuples.split_at(reply_at);
    let event = event(head)?;
    let at = written(head, zone, years)?;

    let (original, reply) = (Side::read(original)?, Side::read(reply)?);
    let tuples = Tuples {
        protocol: original.protocol,
        zones: Zones::default(),
        client: original.source,
        target: Destination::Kept(original.destination),
        server: Destination::Kept(reply.source),
        masked: reply.destination,
    };
    let mut sighting = Sighting::new(event, at, tuples);
    if original.count.packets > 0 {
        sighting.traffic = Some(Traffic { original: original.count, reply: reply.count });
    }
    if reply.count.packets > 0 {
        sighting.status.0 |= Status::SEEN_REPLY.0;
    }
    Ok(Some(sighting))
}

fn event(head: &[u8]) -> Result<Event, Refusal> {
    match head.trim_ascii_end() {
        text if text.ends_with(b"[NEW]") => Ok(Event::New),
        text if text.ends_with(b"[UPDATE]") => Ok(Event::Update),
        text if text.ends_with(b"[DESTROY]") => Ok(Event::Destroy),
        _ => Err(Refusal::Missing("[NEW], [UPDATE] or [DESTROY]")),
    }
}

fn written(head: &[u8], zone: Option<&TimeZone>, years: &mut YearClock) -> Result<Bound, Refusal> {
    let expected = "a time such as Nov 21 08:57:28";
    let refused = Refusal::Value { field: "the time at the line's beginning", expected };
    let mut words = Words::new(head);
    let first = words.next().ok_or(refused)?;
    if first.first().is_some_and(u8::is_ascii_digit) {
        let text = std::str::from_utf8(first).map_err(|_| refused)?;
        let time: jiff::Timestamp = text.parse().map_err(|_| refused)?;
        let nanos = i64::try_from(time.as_nanosecond()).map_err(|_| refused)?;
        return Ok(Bound::Read(Timestamp::from_nanos(nanos)));
    }
    let month = local_time::month(first).ok_or(refused)?;
    let day = words.next().and_then(scan::small).ok_or(refused)?;
    let clock = words.next().and_then(local_time::clock).ok_or(refused)?;
    let zone = zone.ok_or(Refusal::NoZone)?;
    local_time::bound(years.date(month, day, clock)?, Some(zone))
}

struct Side {
    protocol: Protocol,
    source: Endpoint,
    destination: Endpoint,
    count: Count,
}

impl Side {
    fn read(text: &[u8]) -> Result<Self, Refusal> {
        let (mut source, mut destination, mut protocol) = (None, None, None);
        let (mut source_port, mut destination_port) = (None, None);
        let mut count = Count::default();
        for word in Words::new(text) {
            let Some(equals) = memchr::memchr(b'=', word) else { continue };
            let (key, value) = (&word[..equals], &word[equals + 1..]);
            let port = |field| {
                scan::small::<u16>(value).ok_or(Refusal::Value { field, expected: "a port from 0 to 65535" })
            };
            let total = |field| scan::number(value).ok_or(Refusal::Value { field, expected: "a number" });
            match key {
                b"SRC" => source = Some(address(value, "SRC=")?),
                b"DST" => destination = Some(address(value, "DST=")?),
                b"PROTO" => protocol = Some(protocol_of(value)?),
                b"SPT" => source_port = Some(port("SPT=")?),
                b"DPT" => destination_port = Some(port("DPT=")?),
                b"PKTS" => count.packets = total("PKTS=")?,
                b"BYTES" => count.bytes = total("BYTES=")?,
                _ => {}
            }
        }
        let protocol = protocol.ok_or(Refusal::Missing("PROTO="))?;
        let selector = |port: Option<u16>, field| match port {
            Some(port) if protocol.has_ports() => Ok(Selector::Port(port)),
            // PRINTFLOW prints ports of TCP, UDP and SCTP only.
            None if matches!(protocol, Protocol::TCP | Protocol::UDP | Protocol::SCTP) => {
                Err(Refusal::Missing(field))
            }
            _ => Ok(Selector::None),
        };
        Ok(Self {
            protocol,
            source: Endpoint::new(source.ok_or(Refusal::Missing("SRC="))?, selector(source_port, "SPT=")?),
            destination: Endpoint::new(
                destination.ok_or(Refusal::Missing("DST="))?,
                selector(destination_port, "DPT=")?,
            ),
            count,
        })
    }
}

fn address(value: &[u8], field: &'static str) -> Result<std::net::IpAddr, Refusal> {
    scan::address(value).ok_or(Refusal::Value { field, expected: "an IP address" })
}

fn protocol_of(value: &[u8]) -> Result<Protocol, Refusal> {
    let protocol = match value {
        // Names that PRINTFLOW prints and conntrack does not (ulogd's printflow.c).
        b"ESP" => Some(Protocol(50)),
        b"AH" => Some(Protocol(51)),
        _ => std::str::from_utf8(value).ok().and_then(|name| name.parse().ok()),
    };
    protocol.ok_or(Refusal::Value { field: "PROTO=", expected: "a protocol's name or number" })
}
