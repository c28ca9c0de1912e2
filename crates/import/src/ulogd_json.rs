//! Flow records of ulogd2's JSON output (`NFCT` into `JSON`), with `hash_enable` on or off.
//!
//! What is not obvious, found with ulogd 2.0.8:
//! - The addresses of the original direction are renamed to `src_ip` and `dest_ip`, the ports are not; there is no ICMP id.
//! - `flow.start` of a DESTROY is the kernel's with `hash_enable=0`, the time of reading NEW with `hash_enable=1`. The record
//!   does not say which, so it is taken as [`Bound::Read`]: the start is no later. `flow.end` is the kernel's if it is
//!   earlier than the second in which the record was written.
//! - `timestamp` is local with its offset, but on a host that runs in UTC the offset is left out.

use std::borrow::Cow;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::Deserialize;
use unmasq_flow::{Bound, Count, Destination, Endpoint, Protocol, Selector, Timestamp, Traffic, Zones};

use crate::local_time::{self, within_second};
use crate::sighting::{Event, Sighting, Tuples};
use crate::{Refusal, Settings, scan};

#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow, default)]
    timestamp: Option<Cow<'a, str>>,
    // With `eventv1=1`.
    #[serde(borrow, default, rename = "@timestamp")]
    timestamp_v1: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    src_ip: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    dest_ip: Option<Cow<'a, str>>,
    #[serde(borrow, default, rename = "reply.ip.saddr.str")]
    reply_source: Option<Cow<'a, str>>,
    #[serde(borrow, default, rename = "reply.ip.daddr.str")]
    reply_destination: Option<Cow<'a, str>>,
    #[serde(default, rename = "orig.ip.protocol")]
    protocol: Option<u8>,
    #[serde(default, rename = "orig.l4.sport")]
    original_source_port: Option<u16>,
    #[serde(default, rename = "orig.l4.dport")]
    original_destination_port: Option<u16>,
    #[serde(default, rename = "reply.l4.sport")]
    reply_source_port: Option<u16>,
    #[serde(default, rename = "reply.l4.dport")]
    reply_destination_port: Option<u16>,
    #[serde(default, rename = "orig.raw.pktcount")]
    original_packets: u64,
    #[serde(default, rename = "orig.raw.pktlen")]
    original_bytes: u64,
    #[serde(default, rename = "reply.raw.pktcount")]
    reply_packets: u64,
    #[serde(default, rename = "reply.raw.pktlen")]
    reply_bytes: u64,
    #[serde(default, rename = "ct.mark")]
    mark: u32,
    #[serde(default, rename = "ct.id")]
    id: Option<u32>,
    #[serde(default, rename = "ct.event")]
    event: Option<u32>,
    #[serde(default, rename = "flow.start.sec")]
    start_seconds: Option<i64>,
    #[serde(default, rename = "flow.start.usec")]
    start_micros: i64,
    #[serde(default, rename = "flow.end.sec")]
    end_seconds: Option<i64>,
    #[serde(default, rename = "flow.end.usec")]
    end_micros: i64,
    // Only packet records have it.
    #[serde(default, rename = "raw.pktlen")]
    packet_length: Option<u64>,
}

/// Reads one record. `None` for a blank line.
pub(crate) fn line(line: &[u8], settings: &Settings) -> Result<Option<Sighting>, Refusal> {
    let line = line.trim_ascii();
    if line.is_empty() {
        return Ok(None);
    }
    let record: Record<'_> = serde_json::from_slice(line).map_err(|_| Refusal::Json)?;
    let Some(protocol) = record.protocol.map(Protocol) else {
        let is_packet = record.packet_length.is_some();
        return Err(if is_packet { Refusal::Packet } else { Refusal::Missing("orig.ip.protocol") });
    };
    let event = match record.event.ok_or(Refusal::Missing("ct.event"))? {
        1 => Event::New,
        2 => Event::Update,
        4 => Event::Destroy,
        _ => {
            return Err(Refusal::Value { field: "ct.event", expected: "1 (new), 2 (update) or 4 (destroy)" });
        }
    };
    let tuples = tuples(&record, protocol)?;
    let written = written(&record, settings.zone.as_ref())?;
    let start = instant(record.start_seconds, record.start_micros, "flow.start")?;
    let end = instant(record.end_seconds, record.end_micros, "flow.end")?;

    let (at, start, end) = match event {
        Event::New => {
            let at = start.map(Bound::Read).or(written).ok_or(Refusal::NoTime)?;
            (at, at, Bound::Unknown)
        }
        Event::Destroy => {
            let end = match (end, written) {
                (Some(end), Some(written)) if end < written.earliest() => Bound::Exact(end),
                (Some(end), _) => Bound::Read(end),
                (None, written) => written.ok_or(Refusal::NoTime)?,
            };
            // With `hash_enable=1` the time of reading NEW can be later than the kernel's end.
            let start = start.map_or(Bound::Unknown, |start| Bound::Read(start.min(end.latest())));
            (written.unwrap_or(end), start, end)
        }
        Event::Update | Event::Listed | Event::Whole => {
            let start = start.map_or(Bound::Unknown, Bound::Read);
            (written.unwrap_or(start), start, Bound::Unknown)
        }
    };
    if !at.is_closed() {
        return Err(Refusal::NoTime);
    }
    let mut sighting = Sighting::new(event, at, tuples);
    (sighting.start, sighting.end) = (start, end);
    sighting.id = record.id;
    sighting.mark = record.mark;
    sighting.traffic = traffic(&record);
    if record.reply_packets > 0 {
        sighting.status.0 |= unmasq_flow::Status::SEEN_REPLY.0;
    }
    Ok(Some(sighting))
}

fn tuples(record: &Record<'_>, protocol: Protocol) -> Result<Tuples, Refusal> {
    let address = |text: &Option<Cow<'_, str>>, field| {
        let text = text.as_ref().ok_or(Refusal::Missing(field))?;
        scan::address(text.as_bytes()).ok_or(Refusal::Value { field, expected: "an IP address" })
    };
    let selector = |port: Option<u16>, field| match port {
        Some(port) if protocol.has_ports() => Ok(Selector::Port(port)),
        None if protocol.has_ports() => Err(Refusal::Missing(field)),
        _ => Ok(Selector::None),
    };
    let endpoint =
        |text, port, field, port_field| Ok(Endpoint::new(address(text, field)?, selector(port, port_field)?));
    Ok(Tuples {
        protocol,
        zones: Zones::default(),
        client: endpoint(&record.src_ip, record.original_source_port, "src_ip", "orig.l4.sport")?,
        target: Destination::Kept(endpoint(
            &record.dest_ip,
            record.original_destination_port,
            "dest_ip",
            "orig.l4.dport",
        )?),
        server: Destination::Kept(endpoint(
            &record.reply_source,
            record.reply_source_port,
            "reply.ip.saddr.str",
            "reply.l4.sport",
        )?),
        masked: endpoint(
            &record.reply_destination,
            record.reply_destination_port,
            "reply.ip.daddr.str",
            "reply.l4.dport",
        )?,
    })
}

fn instant(seconds: Option<i64>, micros: i64, field: &'static str) -> Result<Option<Timestamp>, Refusal> {
    // A start of 0 is what `hash_enable=1` writes when its table was full.
    let Some(seconds) = seconds.filter(|s| *s != 0) else { return Ok(None) };
    let refused = Refusal::Value { field, expected: "seconds and microseconds since 1970" };
    if !(0..1_000_000).contains(&micros) {
        return Err(refused);
    }
    let nanos =
        seconds.checked_mul(1_000_000_000).and_then(|n| n.checked_add(micros * 1000)).ok_or(refused)?;
    Ok(Some(Timestamp::from_nanos(nanos)))
}

/// The second in which the record was written.
fn written(record: &Record<'_>, zone: Option<&TimeZone>) -> Result<Option<Bound>, Refusal> {
    let Some(text) = record.timestamp.as_ref().or(record.timestamp_v1.as_ref()) else { return Ok(None) };
    let refused = Refusal::Value { field: "timestamp", expected: "a time such as 2026-11-21T09:06:46+0100" };
    let local_length =
        text.find(['+', 'Z']).or_else(|| text.rfind('-').filter(|at| *at > 10)).unwrap_or(text.len());
    let (local, offset) = text.split_at_checked(local_length).ok_or(refused)?;
    let local: DateTime = local.parse().map_err(|_| refused)?;
    if offset.is_empty() {
        return local_time::bound(local, Some(zone.unwrap_or(&TimeZone::UTC))).map(Some);
    }
    let seconds = offset_seconds(offset.as_bytes()).ok_or(refused)?;
    Ok(Some(within_second(local_time::as_if_utc(local) - seconds)))
}

/// `+0100`, `-05:00` or `Z`.
fn offset_seconds(text: &[u8]) -> Option<i64> {
    let (sign, hour, minute) = match *text {
        [b'Z'] => return Some(0),
        [sign, h1, h0, m1, m0] | [sign, h1, h0, b':', m1, m0] => (sign, [h1, h0], [m1, m0]),
        _ => return None,
    };
    let seconds = scan::small::<i64>(&hour)? * 3600 + scan::small::<i64>(&minute)? * 60;
    match sign {
        b'+' => Some(seconds),
        b'-' => Some(-seconds),
        _ => None,
    }
}

/// Counters of 0 packets in the original direction mean that none were kept (`nf_conntrack_acct=0`, or NEW).
fn traffic(record: &Record<'_>) -> Option<Traffic> {
    (record.original_packets > 0).then_some(Traffic {
        original: Count { packets: record.original_packets, bytes: record.original_bytes },
        reply: Count { packets: record.reply_packets, bytes: record.reply_bytes },
    })
}
