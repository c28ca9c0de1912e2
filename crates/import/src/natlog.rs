//! natlog 3: its log lines, and the table of `--log-data`.
//!
//! ```text
//! from 1795252004:209201 thru 1795252006:288342:  tcp 192.168.101.002,37497 (via: 192.000.002.001,40088) to 192.000.002.080,8080;  sent: …
//! from Nov 21 09:07:42:182232 thru Nov 21 09:07:44:261452 (UTC):  tcp …
//! ```
//!
//! A line tells a flow from start to end, both as natlog read them. It counts bytes but no packets, has no ICMP id, and
//! prints every address of an IPv6 flow as 255.255.255.255: those are refused. The table has Unix times beside the local
//! ones, so it needs neither zone nor year.

use std::net::{IpAddr, Ipv4Addr};

use jiff::tz::TimeZone;
use unmasq_flow::{Bound, Count, Destination, Endpoint, Protocol, Selector, Timestamp, Traffic, Zones};

use crate::Refusal;
use crate::local_time::{self, YearClock};
use crate::scan::{self, Words};
use crate::sighting::{Event, Sighting, Tuples};

const FORMAT: &str = "natlog";

/// How lines begin in which natlog speaks of itself.
const OWN_WORDS: [&[u8]; 3] = [b"processing: ", b"Starting `", b"terminating"];

/// Where the table's columns are; natlog's own order until a header says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Columns {
    places: [Option<usize>; Self::NAMES.len()],
}

impl Columns {
    const NAMES: [&'static [u8]; 14] = [
        b"type",
        b"srcIP",
        b"srcPort",
        b"dstIP",
        b"dstPort",
        b"viaIP",
        b"viaPort",
        b"sent",
        b"recvd",
        b"begin",
        b"end",
        b"beginTime",
        b"endTime",
        b"status",
    ];

    fn from_header(line: &[u8]) -> Self {
        let mut places = [None; Self::NAMES.len()];
        for (index, name) in line.split(|b| *b == b',').enumerate() {
            if let Some(known) = Self::NAMES.iter().position(|known| *known == name.trim_ascii()) {
                places[known] = Some(index);
            }
        }
        Self { places }
    }
}

impl Default for Columns {
    fn default() -> Self {
        Self::from_header(
            b"type,srcNr,srcIP,srcPort,dstNr,dstIP,dstPort,viaNr,viaIP,viaPort,sent,recvd,begin,end,beginTime,endTime,status",
        )
    }
}

/// Reads one line. `None` for natlog's own messages, a header, a blank line.
pub(crate) fn line(
    line: &[u8],
    zone: Option<&TimeZone>,
    years: &mut YearClock,
    columns: &mut Columns,
) -> Result<Option<Sighting>, Refusal> {
    let text = line.trim_ascii();
    if text.is_empty() || OWN_WORDS.iter().any(|words| text.starts_with(words)) {
        return Ok(None);
    }
    if text.starts_with(b"type,") {
        *columns = Columns::from_header(text);
        return Ok(None);
    }
    // Anything may stand before it: syslog's time, host and tag.
    if let Some(from) = memchr::memmem::find(text, b"from ")
        && let Some(thru) = memchr::memmem::find(&text[from..], b" thru ")
    {
        return log_line(&text[from + 5..from + thru], &text[from + thru + 6..], zone, years).map(Some);
    }
    if memchr::memchr_iter(b',', text).count() >= 9 {
        return table_line(text, columns).map(Some);
    }
    Err(Refusal::Shape(FORMAT))
}

fn log_line(
    from: &[u8],
    rest: &[u8],
    zone: Option<&TimeZone>,
    years: &mut YearClock,
) -> Result<Sighting, Refusal> {
    // Times hold colons, but only the last is followed by a blank.
    let end = memchr::memmem::find(rest, b": ").ok_or(Refusal::Shape(FORMAT))?;
    let (thru, rest) = (&rest[..end], &rest[end + 2..]);
    let utc = thru.strip_suffix(b" (UTC)");
    let zone = if utc.is_some() { Some(&TimeZone::UTC) } else { zone };
    let begin = time(from, zone, years)?;
    let finish = time(utc.unwrap_or(thru), zone, years)?;

    let (flow, counts) = rest.split_at(memchr::memchr(b';', rest).unwrap_or(rest.len()));
    let mut words = Words::new(flow);
    let protocol = protocol(words.next().ok_or(Refusal::Shape(FORMAT))?)?;
    let client = endpoint(protocol, words.next().ok_or(Refusal::Missing("the source address"))?)?;
    let (mut masked, mut target) = (None, None);
    while let Some(word) = words.next() {
        let mut next = || words.next().ok_or(Refusal::Shape(FORMAT));
        match word {
            b"(via:" => masked = Some(endpoint(protocol, next()?.strip_suffix(b")").unwrap_or_default())?),
            b"to" => target = Some(endpoint(protocol, next()?)?),
            _ => {}
        }
    }
    let count = |name: &[u8]| {
        let at = memchr::memmem::find(counts, name)? + name.len();
        Words::new(&counts[at..])
            .next()
            .and_then(|word| scan::number(word.strip_suffix(b",").unwrap_or(word)))
    };
    let bytes = (count(b"sent:"), count(b"received:"));
    // Both mean that natlog did not see the end: it stopped itself, or heard no more (natlog(1)).
    let is_unfinished = counts.ends_with(b"(EOP)") || counts.ends_with(b"(EXPIRED)");
    let end = if is_unfinished { Bound::Unknown } else { finish };
    sighting(protocol, client, masked, target, (begin, end), bytes)
}

fn table_line(text: &[u8], columns: &Columns) -> Result<Sighting, Refusal> {
    let mut cells: [&[u8]; 24] = [b""; 24];
    for (cell, field) in cells.iter_mut().zip(text.split(|b| *b == b',')) {
        *cell = field.trim_ascii();
    }
    let cell = |name: usize| columns.places[name].and_then(|place| cells.get(place)).copied();
    let [
        kind,
        client,
        client_port,
        target,
        target_port,
        masked,
        masked_port,
        sent,
        received,
        begin,
        end,
        begin_time,
        end_time,
        status,
    ] = std::array::from_fn(cell);

    let protocol = protocol(kind.ok_or(Refusal::Missing("type"))?)?;
    let endpoint_of = |address: Option<&[u8]>, port: Option<&[u8]>| {
        let Some(address) = address.filter(|a| !a.is_empty()) else { return Ok(None) };
        let address = ipv4(address)?;
        let selector = if protocol.has_ports() {
            let port = port
                .and_then(scan::small)
                .ok_or(Refusal::Value { field: "a port", expected: "0 to 65535" })?;
            Selector::Port(port)
        } else {
            Selector::None
        };
        Ok(Some(Endpoint::new(address, selector)))
    };
    let client = endpoint_of(client, client_port)?.ok_or(Refusal::Missing("srcIP"))?;
    let (masked, target) = (endpoint_of(masked, masked_port)?, endpoint_of(target, target_port)?);
    let instant = |seconds: Option<&[u8]>, time: Option<&[u8]>, field| {
        let seconds =
            seconds.and_then(scan::small::<u32>).ok_or(Refusal::Value { field, expected: "a Unix time" })?;
        let whole = i64::from(seconds) * 1_000_000_000;
        // The fraction stands only in the local time beside it.
        let micros = time
            .and_then(|t| t.rsplit(|b| *b == b':').next())
            .filter(|f| f.len() == 6)
            .and_then(scan::number);
        Ok(match micros.and_then(|m| i64::try_from(m).ok()) {
            Some(micros) => Bound::Read(Timestamp::from_nanos(whole + micros * 1000)),
            None => local_time::within_second(i64::from(seconds)),
        })
    };
    let begin = instant(begin, begin_time, "begin")?;
    // `eop`: natlog ended, not the flow; `expired`: no end was seen (natlog(1)).
    let is_unfinished = status.is_some_and(|s| s == b"eop" || s == b"expired");
    let end = if is_unfinished { Bound::Unknown } else { instant(end, end_time, "end")? };
    let bytes = (sent.and_then(scan::number), received.and_then(scan::number));
    sighting(protocol, client, masked, target, (begin, end), bytes)
}

fn sighting(
    protocol: Protocol,
    client: Endpoint,
    masked: Option<Endpoint>,
    target: Option<Endpoint>,
    (begin, end): (Bound, Bound),
    bytes: (Option<u64>, Option<u64>),
) -> Result<Sighting, Refusal> {
    let masked = masked.ok_or(Refusal::NoVia)?;
    let target = target.map_or(Destination::Omitted, Destination::Kept);
    let tuples = Tuples { protocol, zones: Zones::default(), client, target, server: target, masked };
    let at = if end.is_closed() { end } else { begin };
    let mut sighting = Sighting::new(Event::Whole, at, tuples);
    // Order: a start that was read after the end happens when natlog took both from one burst.
    sighting.start = if begin.earliest() > end.latest() { end } else { begin };
    sighting.end = end;
    if let (Some(sent), Some(received)) = bytes {
        let count = |bytes| Count { packets: 0, bytes };
        sighting.traffic = Some(Traffic { original: count(sent), reply: count(received) });
    }
    Ok(sighting)
}

/// `1795252004:209201`, or `Nov 21 09:07:42:182232`.
fn time(text: &[u8], zone: Option<&TimeZone>, years: &mut YearClock) -> Result<Bound, Refusal> {
    let refused =
        Refusal::Value { field: "a time", expected: "such as 1795252004:209201 or Nov 21 09:07:42:182232" };
    let colon = memchr::memrchr(b':', text).ok_or(refused)?;
    let (time, micros) = (&text[..colon], &text[colon + 1..]);
    let micros = scan::number(micros).filter(|n| *n < 1_000_000).ok_or(refused)?;
    let micros = i64::try_from(micros).map_err(|_| refused)?;
    let exact = |seconds: i64| Timestamp::from_nanos(seconds.saturating_mul(1_000_000_000) + micros * 1000);
    if let Some(seconds) = scan::small::<u32>(time) {
        return Ok(Bound::Read(exact(i64::from(seconds))));
    }
    let mut words = Words::new(time);
    let month = words.next().and_then(local_time::month).ok_or(refused)?;
    let day = words.next().and_then(scan::small).ok_or(refused)?;
    let clock = words.next().and_then(local_time::clock).ok_or(refused)?;
    let zone = zone.ok_or(Refusal::NoZone)?;
    let (first, second) = local_time::instants(years.date(month, day, clock)?, zone)?;
    Ok(second.map_or(Bound::Read(exact(first)), |second| Bound::Between(exact(first), exact(second))))
}

fn protocol(name: &[u8]) -> Result<Protocol, Refusal> {
    match name {
        b"tcp" => Ok(Protocol::TCP),
        b"udp" => Ok(Protocol::UDP),
        b"icmp" => Ok(Protocol::ICMP),
        _ => Err(Refusal::Value { field: "the protocol", expected: "tcp, udp or icmp" }),
    }
}

/// `192.168.101.002,37497`, or an address alone.
fn endpoint(protocol: Protocol, text: &[u8]) -> Result<Endpoint, Refusal> {
    let mut parts = text.splitn(2, |b| *b == b',');
    let address = ipv4(parts.next().unwrap_or_default())?;
    if !protocol.has_ports() {
        return Ok(Endpoint::address_only(address));
    }
    let port = parts.next().and_then(scan::small);
    port.map(|port| Endpoint::with_port(address, port))
        .ok_or(Refusal::Value { field: "a port", expected: "a number from 0 to 65535" })
}

fn ipv4(text: &[u8]) -> Result<IpAddr, Refusal> {
    match scan::address(text) {
        Some(IpAddr::V4(Ipv4Addr::BROADCAST)) => Err(Refusal::NatlogIpv6),
        Some(address @ IpAddr::V4(_)) => Ok(address),
        _ => Err(Refusal::Value { field: "an address", expected: "an IPv4 address" }),
    }
}
