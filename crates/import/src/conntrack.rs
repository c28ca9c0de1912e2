//! Lines of `conntrack -E` and `conntrack -L`, with any of their `-o` options except `xml`.
//!
//! ```text
//! [1795251448.173452]    [NEW] tcp      6 120 SYN_SENT src=… dst=… sport=… dport=… [UNREPLIED] src=… dst=… sport=… dport=… id=…
//! [1795251453.423632] [DESTROY] tcp     6 TIME_WAIT src=… … packets=5 bytes=286 src=… … [ASSURED] delta-time=2 [start=…] [stop=…] id=…
//! ```
//!
//! Two things are not obvious. `id=` is the query's id inside an ICMP tuple and the kernel's id of the entry after both.
//! And `[start=…]` is cut to the second and printed in the recorder's zone: see `local_time`.

use std::net::IpAddr;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use unmasq_flow::{
    Bound, Count, Destination, Endpoint, Protocol, Selector, Status, Timestamp, Traffic, Zones,
};

use crate::local_time::{self, within_second};
use crate::scan::{self, Words};
use crate::sighting::{Event, Sighting, Tuples};
use crate::{Refusal, Settings};

const FORMAT: &str = "conntrack -E or -L";

/// Reads one line. `None` for a line that says nothing of a flow (blank, or conntrack's own closing words).
///
/// Hot: guarded by `benches/import.rs`.
pub(crate) fn line(line: &[u8], settings: &Settings) -> Result<Option<Sighting>, Refusal> {
    let mut words = Words::new(line);
    let Some(mut word) = words.next_bracketed() else { return Ok(None) };
    if word == b"conntrack" {
        return Ok(None);
    }
    if word == b"WARNING:" {
        return Err(Refusal::LossReported);
    }
    let mut read = None;
    if let Some(digits) = word.strip_prefix(b"[").filter(|w| w.first().is_some_and(u8::is_ascii_digit)) {
        read = Some(unix_time(digits.strip_suffix(b"]").unwrap_or(digits)).ok_or(Refusal::Value {
            field: "the time in brackets",
            expected: "seconds and microseconds since 1970",
        })?);
        word = words.next_bracketed().ok_or(Refusal::Shape(FORMAT))?;
    }
    let event = match word {
        b"[NEW]" => Event::New,
        b"[UPDATE]" => Event::Update,
        b"[DESTROY]" => Event::Destroy,
        _ => Event::Listed,
    };
    if event != Event::Listed {
        word = words.next().ok_or(Refusal::Shape(FORMAT))?;
    }
    if word == b"ipv4" || word == b"ipv6" {
        words.next();
        word = words.next().ok_or(Refusal::Shape(FORMAT))?;
    }
    if !word.first().is_some_and(u8::is_ascii_lowercase) {
        return Err(Refusal::Shape(FORMAT));
    }
    let protocol = words.next().and_then(scan::small).map(Protocol).ok_or(Refusal::Shape(FORMAT))?;
    let fields = Fields::read(protocol, words)?;
    if event == Event::Listed && read.is_none() {
        read = settings.seen_at;
    }
    fields.sighting(event, protocol, read, settings.zone.as_ref()).map(Some)
}

/// `1795251448.173452`, of one to nine digits after the point.
fn unix_time(text: &[u8]) -> Option<Timestamp> {
    let point = memchr::memchr(b'.', text)?;
    let (seconds, fraction) = (scan::number(&text[..point])?, &text[point + 1..]);
    if fraction.len() > 9 {
        return None;
    }
    let scale = 10_u64.pow(9 - u32::try_from(fraction.len()).ok()?);
    let nanos = seconds.checked_mul(1_000_000_000)?.checked_add(scan::number(fraction)? * scale)?;
    i64::try_from(nanos).ok().map(Timestamp::from_nanos)
}

/// One direction, as printed.
#[derive(Clone, Copy, Default)]
struct Side {
    source: Option<IpAddr>,
    destination: Option<IpAddr>,
    source_selector: Option<u16>,
    destination_selector: Option<u16>,
    /// ICMP: this direction's id.
    query_id: Option<u16>,
    has_code: bool,
    packets: Option<u64>,
    bytes: Option<u64>,
    zone: Option<u16>,
}

#[derive(Default)]
struct Fields {
    sides: [Side; 2],
    is_unreplied: bool,
    is_assured: bool,
    zone: Option<u16>,
    mark: u32,
    id: Option<u32>,
    lifetime_seconds: Option<u32>,
    start: Option<DateTime>,
    stop: Option<DateTime>,
}

impl Fields {
    fn read(protocol: Protocol, mut words: Words<'_>) -> Result<Self, Refusal> {
        let mut fields = Self::default();
        // Index of the direction that is being read, once its `src=` has come.
        let mut side: Option<usize> = None;
        let is_query = matches!(protocol, Protocol::ICMP | Protocol::ICMPV6);
        while let Some(word) = words.next_bracketed() {
            if word.first() == Some(&b'[') {
                fields.flag(word)?;
                continue;
            }
            // Words without `=` are the timeout and the TCP state.
            let Some(equals) = memchr::memchr(b'=', word) else { continue };
            let (key, value) = (&word[..equals], &word[equals + 1..]);
            if key == b"src" {
                let next = side.map_or(0, |n| n + 1);
                if next > 1 {
                    return Err(Refusal::Shape(FORMAT));
                }
                side = Some(next);
            }
            let at = side.map(|n| &mut fields.sides[n]);
            match (key, at) {
                (b"src", Some(at)) => {
                    at.source = Some(required(scan::address(value), "src=", "an IP address")?);
                }
                (b"dst", Some(at)) => {
                    at.destination = Some(required(scan::address(value), "dst=", "an IP address")?);
                }
                (b"sport", Some(at)) => at.source_selector = Some(port(value, "sport=")?),
                (b"dport", Some(at)) => at.destination_selector = Some(port(value, "dport=")?),
                (b"srckey", Some(at)) => at.source_selector = Some(gre_key(value, "srckey=")?),
                (b"dstkey", Some(at)) => at.destination_selector = Some(gre_key(value, "dstkey=")?),
                (b"code", Some(at)) => at.has_code = true,
                (b"id", Some(at)) if is_query && at.has_code && at.query_id.is_none() => {
                    at.query_id =
                        Some(required(scan::small(value), "the ICMP id=", "a number from 0 to 65535")?);
                }
                (b"id", _) => fields.id = Some(required(scan::small(value), "id=", "a number below 2^32")?),
                (b"packets", Some(at)) => {
                    at.packets = Some(required(scan::number(value), "packets=", "a number")?);
                }
                (b"bytes", Some(at)) => at.bytes = Some(required(scan::number(value), "bytes=", "a number")?),
                (b"zone", _) => fields.zone = Some(zone(value, "zone=")?),
                (b"zone-orig", _) => fields.sides[0].zone = Some(zone(value, "zone-orig=")?),
                (b"zone-reply", _) => fields.sides[1].zone = Some(zone(value, "zone-reply=")?),
                (b"mark", _) => fields.mark = required(scan::small(value), "mark=", "a number below 2^32")?,
                (b"delta-time", _) => {
                    fields.lifetime_seconds =
                        Some(required(scan::small(value), "delta-time=", "a number of seconds")?);
                }
                // secctx=, use=, type=, helper=, labels= and whatever later versions add.
                _ => {}
            }
        }
        Ok(fields)
    }

    fn flag(&mut self, word: &[u8]) -> Result<(), Refusal> {
        match word {
            b"[UNREPLIED]" => self.is_unreplied = true,
            b"[ASSURED]" => self.is_assured = true,
            _ => {
                let text = word.strip_suffix(b"]").unwrap_or(word);
                let time = |text, field| {
                    required(local_time::asctime(text), field, "a time such as Sat Nov 21 09:31:55 2026")
                        .map(Some)
                };
                if let Some(text) = text.strip_prefix(b"[start=") {
                    self.start = time(text, "[start=")?;
                } else if let Some(text) = text.strip_prefix(b"[stop=") {
                    self.stop = time(text, "[stop=")?;
                }
            }
        }
        Ok(())
    }

    fn sighting(
        self,
        event: Event,
        protocol: Protocol,
        read: Option<Timestamp>,
        zone: Option<&TimeZone>,
    ) -> Result<Sighting, Refusal> {
        let [original, reply] = self.sides;
        let (client, target) = endpoints(original, protocol)?;
        let (server, masked) = endpoints(reply, protocol)?;
        let zones = Zones {
            original: original.zone.or(self.zone).unwrap_or(0),
            reply: reply.zone.or(self.zone).unwrap_or(0),
        };
        // The reply's own id is the source's selector for the kernel, and what the far side sees of the client.
        let (client, server, masked) = if matches!(protocol, Protocol::ICMP | Protocol::ICMPV6) {
            let id = |side: Side| side.query_id.map_or(Selector::None, Selector::Id);
            (Endpoint::new(client.address, id(original)), server, Endpoint::new(masked.address, id(reply)))
        } else {
            (client, server, masked)
        };
        let tuples = Tuples {
            protocol,
            zones,
            client,
            target: Destination::Kept(target),
            server: Destination::Kept(server),
            masked,
        };
        let mut sighting = Sighting::new(event, read.map_or(Bound::Unknown, Bound::Read), tuples);
        (sighting.start, sighting.end) = self.times(read, zone)?;
        if !sighting.at.is_closed() && !sighting.start.is_closed() {
            return Err(Refusal::NoTime);
        }
        sighting.lifetime_seconds = self.lifetime_seconds.filter(|_| event == Event::Destroy);
        sighting.id = self.id;
        sighting.mark = self.mark;
        if !self.is_unreplied {
            sighting.status.0 |= Status::SEEN_REPLY.0;
        }
        if self.is_assured {
            sighting.status.0 |= Status::ASSURED.0;
        }
        sighting.traffic = traffic(original, reply);
        Ok(sighting)
    }

    /// Start and end from `[start=…]` and `[stop=…]`.
    fn times(&self, read: Option<Timestamp>, zone: Option<&TimeZone>) -> Result<(Bound, Bound), Refusal> {
        let (Some(start), stop) = (self.start, self.stop) else {
            return Ok((Bound::Unknown, Bound::Unknown));
        };
        let Some(stop) = stop else {
            // An entry of a dump. The zone cannot be told from it: nothing but the start is local.
            return match (zone, read) {
                (None, Some(read)) => Ok((Bound::Between(Timestamp::MIN, read), Bound::Unknown)),
                _ => Ok((local_time::bound(start, zone)?, Bound::Unknown)),
            };
        };
        let stop_seconds = match (zone, read) {
            (Some(zone), read) => {
                let (first, second) = local_time::instants(stop, zone)?;
                let Some(read) = read else {
                    let bound = |local| local_time::bound(local, Some(zone));
                    return Ok((bound(start)?, bound(stop)?));
                };
                let is_past = |seconds: &i64| *seconds <= read.as_seconds();
                second.filter(is_past).or(Some(first).filter(is_past)).ok_or(Refusal::ZoneContradicted)?
            }
            (None, Some(read)) => local_time::as_if_utc(stop) - local_time::offset_from(stop, read),
            (None, None) => return Err(Refusal::NoZone),
        };
        // The lifetime is counted in UTC, so it is right also across a change of the clocks; the two local times are not.
        let lifetime = self.lifetime_seconds.map_or_else(
            || local_time::as_if_utc(stop).saturating_sub(local_time::as_if_utc(start)).max(0),
            i64::from,
        );
        let end = within_second(stop_seconds);
        let latest = read.map_or(end.latest(), |read| read.min(end.latest()));
        Ok((within_second(stop_seconds - lifetime), Bound::Between(end.earliest(), latest)))
    }
}

fn required<T>(value: Option<T>, field: &'static str, expected: &'static str) -> Result<T, Refusal> {
    value.ok_or(Refusal::Value { field, expected })
}

fn port(value: &[u8], field: &'static str) -> Result<u16, Refusal> {
    required(scan::small(value), field, "a port from 0 to 65535")
}

fn zone(value: &[u8], field: &'static str) -> Result<u16, Refusal> {
    required(scan::small(value), field, "a zone from 0 to 65535")
}

fn gre_key(value: &[u8], field: &'static str) -> Result<u16, Refusal> {
    // Printed by `ntohs` of a 16-bit field (libnetfilter_conntrack, snprintf_default.c).
    required(scan::hex(value).and_then(|n| u16::try_from(n).ok()), field, "a key of 16 bits in hex")
}

fn endpoints(side: Side, protocol: Protocol) -> Result<(Endpoint, Endpoint), Refusal> {
    let source = side.source.ok_or(Refusal::Missing("src="))?;
    let destination = side.destination.ok_or(Refusal::Missing("dst="))?;
    let selector = |number: Option<u16>, field| match number {
        Some(number) if protocol.has_ports() => Ok(Selector::Port(number)),
        Some(number) if protocol == Protocol::GRE => Ok(Selector::Id(number)),
        None if protocol.has_ports() => Err(Refusal::Missing(field)),
        _ => Ok(Selector::None),
    };
    Ok((
        Endpoint::new(source, selector(side.source_selector, "sport=")?),
        Endpoint::new(destination, selector(side.destination_selector, "dport=")?),
    ))
}

fn traffic(original: Side, reply: Side) -> Option<Traffic> {
    let count = |side: Side| Some(Count { packets: side.packets?, bytes: side.bytes? });
    Some(Traffic { original: count(original)?, reply: count(reply)? })
}
