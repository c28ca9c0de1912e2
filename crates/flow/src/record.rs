//! The one JSON form of a flow: what `--json`, exports and the control socket print and read.
//!
//! Times are RFC 3339 in UTC; a bound is a time and a word that says what kind it is, so that no reader takes a
//! sighting for the kernel's own time.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    Bound, Count, Destination, Endpoint, Flow, Origin, ParseError, Protocol, Status, Timestamp, Traffic,
    Zones,
};

/// A flow, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The real client, `address:port` (`[v6]:port`, `address#id`).
    pub client: String,
    /// The client as the far side sees it.
    pub masked: String,
    /// What the client asked for; null if not kept.
    pub target: Option<String>,
    /// What answered; null if not kept.
    pub server: Option<String>,
    /// 16 keyed bits of the server, as four hex digits, where only those were kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_hash: Option<String>,
    /// 16 keyed bits of the target likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_hash: Option<String>,
    /// Protocol name, or its number as text.
    pub protocol: String,
    /// The start; for `between`, the earliest it can be. Null if that is not known.
    pub start: Option<String>,
    /// `exact`, `read`, `between` or `unknown`.
    pub start_bound: String,
    /// For `between`, the latest it can be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_latest: Option<String>,
    /// The end; for `between`, the earliest it can be. Null while open or unknown.
    pub end: Option<String>,
    /// `exact`, `read`, `between`, `open` or `unknown`.
    pub end_bound: String,
    /// For `between`, the latest it can be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_latest: Option<String>,
    /// Where it was seen.
    pub origin: OriginRecord,
    /// conntrack mark.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub mark: u32,
    /// `IPS_*` bits.
    pub status: u32,
    /// Packets and bytes, if counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic: Option<TrafficRecord>,
    /// The kernel's id, while the flow lives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel_id: Option<u32>,
}

/// An [`Origin`], as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OriginRecord {
    /// Stream.
    pub stream: String,
    /// Namespace; empty for the recorder's own.
    pub namespace: String,
    /// Zone of the original direction.
    pub zone_original: u16,
    /// Zone of the reply direction.
    pub zone_reply: u16,
}

/// [`Traffic`], as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "the four counters of Traffic, flat")]
pub struct TrafficRecord {
    pub packets_original: u64,
    pub bytes_original: u64,
    pub packets_reply: u64,
    pub bytes_reply: u64,
}

/// A record that is no flow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// An endpoint or protocol does not parse.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// A time, bound or hash does not parse.
    #[error("{field}: {value:?} is not {expected}")]
    Field {
        /// Which field.
        field: &'static str,
        /// The refused value, cut to 64 characters.
        value: String,
        /// What would be accepted.
        expected: &'static str,
    },
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(n: &u32) -> bool {
    *n == 0
}

fn bound_out(bound: Bound) -> (Option<String>, String, Option<String>) {
    let text = |t: Timestamp| t.is_finite().then(|| t.to_string());
    match bound {
        Bound::Exact(t) | Bound::Read(t) => (text(t), bound.kind().to_owned(), None),
        Bound::Between(a, b) => (text(a), bound.kind().to_owned(), text(b)),
        Bound::Open | Bound::Unknown => (None, bound.kind().to_owned(), None),
    }
}

fn time_in(field: &'static str, text: &str) -> Result<Timestamp, RecordError> {
    let refused = || RecordError::Field {
        field,
        value: ParseError::cut(text),
        expected: "a time such as 2026-11-21T08:57:28.173Z",
    };
    let nanos = text.parse::<jiff::Timestamp>().map_err(|_| refused())?.as_nanosecond();
    i64::try_from(nanos).map(Timestamp::from_nanos).map_err(|_| refused())
}

fn bound_in(
    field: &'static str,
    kind: &str,
    first: Option<&String>,
    second: Option<&String>,
) -> Result<Bound, RecordError> {
    let time = |text: Option<&String>, missing| text.map_or(Ok(missing), |t| time_in(field, t));
    let needed = || {
        first.map_or_else(
            || {
                Err(RecordError::Field {
                    field,
                    value: String::new(),
                    expected: "present for this kind of bound",
                })
            },
            |t| time_in(field, t),
        )
    };
    match kind {
        "exact" => Ok(Bound::Exact(needed()?)),
        "read" => Ok(Bound::Read(needed()?)),
        "between" => Ok(Bound::Between(time(first, Timestamp::MIN)?, time(second, Timestamp::MAX)?)),
        "open" => Ok(Bound::Open),
        "unknown" => Ok(Bound::Unknown),
        other => Err(RecordError::Field {
            field,
            value: ParseError::cut(other),
            expected: "exact, read, between, open or unknown",
        }),
    }
}

fn destination_out(destination: Destination) -> (Option<String>, Option<String>) {
    match destination {
        Destination::Kept(endpoint) => (Some(endpoint.to_string()), None),
        Destination::Hashed(bits) => (None, Some(format!("{bits:04x}"))),
        Destination::Omitted => (None, None),
    }
}

fn destination_in(
    field: &'static str,
    endpoint: Option<&String>,
    hash: Option<&String>,
) -> Result<Destination, RecordError> {
    match (endpoint, hash) {
        (Some(text), _) => Ok(Destination::Kept(text.parse::<Endpoint>()?)),
        (None, Some(hex)) => u16::from_str_radix(hex, 16).map(Destination::Hashed).map_err(|_| {
            RecordError::Field { field, value: ParseError::cut(hex), expected: "four hex digits" }
        }),
        (None, None) => Ok(Destination::Omitted),
    }
}

impl From<&Flow> for Record {
    fn from(flow: &Flow) -> Self {
        let (target, target_hash) = destination_out(flow.target);
        let (server, server_hash) = destination_out(flow.server);
        let (start, start_bound, start_latest) = bound_out(flow.start);
        let (end, end_bound, end_latest) = bound_out(flow.end);
        Self {
            client: flow.client.to_string(),
            masked: flow.masked.to_string(),
            target,
            server,
            server_hash,
            target_hash,
            protocol: flow.protocol.to_string(),
            start,
            start_bound,
            start_latest,
            end,
            end_bound,
            end_latest,
            origin: OriginRecord {
                stream: flow.origin.stream.to_string(),
                namespace: flow.origin.namespace.to_string(),
                zone_original: flow.origin.zones.original,
                zone_reply: flow.origin.zones.reply,
            },
            mark: flow.mark,
            status: flow.status.0,
            traffic: flow.traffic.map(|t| TrafficRecord {
                packets_original: t.original.packets,
                bytes_original: t.original.bytes,
                packets_reply: t.reply.packets,
                bytes_reply: t.reply.bytes,
            }),
            kernel_id: flow.kernel_id,
        }
    }
}

impl TryFrom<&Record> for Flow {
    type Error = RecordError;

    fn try_from(record: &Record) -> Result<Self, RecordError> {
        let origin = Origin {
            stream: record.origin.stream.as_str().into(),
            namespace: record.origin.namespace.as_str().into(),
            zones: Zones { original: record.origin.zone_original, reply: record.origin.zone_reply },
        };
        Ok(Self {
            origin: Arc::new(origin),
            protocol: record.protocol.parse::<Protocol>()?,
            client: record.client.parse()?,
            target: destination_in("target", record.target.as_ref(), record.target_hash.as_ref())?,
            server: destination_in("server", record.server.as_ref(), record.server_hash.as_ref())?,
            masked: record.masked.parse()?,
            mark: record.mark,
            status: Status(record.status),
            start: bound_in(
                "start",
                &record.start_bound,
                record.start.as_ref(),
                record.start_latest.as_ref(),
            )?,
            end: bound_in("end", &record.end_bound, record.end.as_ref(), record.end_latest.as_ref())?,
            traffic: record.traffic.as_ref().map(|t| Traffic {
                original: Count { packets: t.packets_original, bytes: t.bytes_original },
                reply: Count { packets: t.packets_reply, bytes: t.bytes_reply },
            }),
            kernel_id: record.kernel_id,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow() -> Flow {
        let origin = Origin::new("gw1", "vpn0").with_zones(Zones { original: 3, reply: 0 }).shared();
        let mut flow = Flow::new(
            origin,
            Protocol::UDP,
            (Endpoint::v4([192, 168, 101, 2], 47244), "[2001:db8::5]:53".parse().unwrap()),
            ("[2001:db8::5]:53".parse().unwrap(), Endpoint::v4([203, 0, 113, 1], 61002)),
        );
        flow.start = Bound::Between(Timestamp::MIN, Timestamp::from_millis(1_795_251_448_173));
        flow.end = Bound::Open;
        flow.status = Status(0x198);
        flow.traffic = Some(Traffic { original: Count { packets: 1, bytes: 60 }, reply: Count::default() });
        flow
    }

    #[test]
    fn a_record_reads_back_as_the_same_flow() {
        let mut flow = flow();
        for server in [flow.server, Destination::Hashed(0xab), Destination::Omitted] {
            flow.server = server;
            let text = serde_json::to_string(&Record::from(&flow)).unwrap();
            let record: Record = serde_json::from_str(&text).unwrap();
            assert_eq!(Flow::try_from(&record).as_ref(), Ok(&flow), "{text}");
        }
    }

    #[test]
    fn a_wrong_bound_is_refused_with_its_field() {
        let mut record = Record::from(&flow());
        record.end_bound = "closed".to_owned();
        assert!(Flow::try_from(&record).unwrap_err().to_string().starts_with("end: \"closed\""));
        record.end_bound = "exact".to_owned();
        assert!(Flow::try_from(&record).is_err());
    }
}
