//! The one fact: who was translated into what, toward whom, from when to when.

use std::fmt;
use std::sync::Arc;

use crate::{Bound, Endpoint, Origin, Period, Protocol, Timestamp};

/// A far endpoint, as far as the settings allow to keep it (RFC 6888, REQ-12).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Destination {
    /// Kept as it is.
    Kept(Endpoint),
    /// 16 keyed bits: enough to check a given destination, useless to browse.
    Hashed(u16),
    /// Left out.
    Omitted,
}

impl Destination {
    /// The endpoint, if it was kept.
    pub const fn endpoint(self) -> Option<Endpoint> {
        match self {
            Self::Kept(endpoint) => Some(endpoint),
            Self::Hashed(_) | Self::Omitted => None,
        }
    }
}

impl From<Endpoint> for Destination {
    fn from(endpoint: Endpoint) -> Self {
        Self::Kept(endpoint)
    }
}

/// What a ledger keeps of destinations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DestinationPolicy {
    /// Left out.
    Drop,
    /// 16 keyed bits of each.
    Hash,
    /// As they are.
    #[default]
    Keep,
}

impl DestinationPolicy {
    /// The word in configuration and coverage: `keep`, `hash`, `drop`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Hash => "hash",
            Self::Keep => "keep",
        }
    }
}

/// `IPS_*` bits of a conntrack entry (linux/netfilter/nf_conntrack_common.h).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Status(pub u32);

impl Status {
    /// Bit 1: packets were seen in both directions.
    pub const SEEN_REPLY: Self = Self(1 << 1);
    /// Bit 2: never dropped early; for TCP, the handshake completed.
    pub const ASSURED: Self = Self(1 << 2);
    /// Bit 4: source address or port translated.
    pub const SRC_NAT: Self = Self(1 << 4);
    /// Bit 5: destination address or port translated.
    pub const DST_NAT: Self = Self(1 << 5);

    /// Are all bits of `other` set?
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Is source or destination translated?
    pub const fn is_translated(self) -> bool {
        self.0 & (Self::SRC_NAT.0 | Self::DST_NAT.0) != 0
    }
}

/// Packets and bytes of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Count {
    /// Packets.
    pub packets: u64,
    /// Bytes, IP headers included.
    pub bytes: u64,
}

/// Packets and bytes of both directions (needs `nf_conntrack_acct=1`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Traffic {
    /// Client to target.
    pub original: Count,
    /// Server to masked.
    pub reply: Count,
}

/// One flow: origin, protocol, the original tuple (client → target), the reply tuple (server → masked), from when to when.
///
/// Source NAT is `masked ≠ client`; destination NAT is `server ≠ target`. The two tuples need not be of one address family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Where it was seen.
    pub origin: Arc<Origin>,
    /// IP protocol.
    pub protocol: Protocol,
    /// Original source: the real client.
    pub client: Endpoint,
    /// Original destination: what the client asked for.
    pub target: Destination,
    /// Reply source: what answered.
    pub server: Destination,
    /// Reply destination: the client as the far side sees it.
    pub masked: Endpoint,
    /// The conntrack mark (`CTA_MARK`), 0 if none.
    pub mark: u32,
    /// The last known status bits.
    pub status: Status,
    /// When it began.
    pub start: Bound,
    /// When it ended. The kernel's end includes the conntrack timeout after the last packet.
    pub end: Bound,
    /// Packets and bytes, if counted.
    pub traffic: Option<Traffic>,
    /// The kernel's id of the entry (`CTA_ID`) while it lives. Not kept on disk.
    pub kernel_id: Option<u32>,
}

impl Flow {
    /// A flow of which only the tuples are known: `original` is (client, target), `reply` is (server, masked).
    pub fn new(
        origin: Arc<Origin>,
        protocol: Protocol,
        original: (Endpoint, Endpoint),
        reply: (Endpoint, Endpoint),
    ) -> Self {
        Self {
            origin,
            protocol,
            client: original.0,
            target: original.1.into(),
            server: reply.0.into(),
            masked: reply.1,
            mark: 0,
            status: Status::default(),
            start: Bound::Unknown,
            end: Bound::Unknown,
            traffic: None,
            kernel_id: None,
        }
    }

    /// Is the client seen under another endpoint than its own?
    pub fn is_source_translated(&self) -> bool {
        self.client != self.masked
    }

    /// Does another endpoint answer than the one asked for? By the status bits where destinations were not kept.
    pub fn is_destination_translated(&self) -> bool {
        match (self.target, self.server) {
            (Destination::Kept(target), Destination::Kept(server)) => target != server,
            _ => self.status.has(Status::DST_NAT),
        }
    }

    /// Can it have been alive at some instant of the period?
    pub fn overlaps(&self, period: Period) -> bool {
        self.start.earliest() <= period.to && period.from <= self.end.latest()
    }

    /// Was it surely alive at some instant of the period?
    pub fn surely_overlaps(&self, period: Period) -> bool {
        let end = if self.end.is_closed() { self.end.earliest() } else { Timestamp::MIN };
        self.start.latest() <= period.to && period.from <= end
    }

    /// Are these the same conversation: origin, protocol and both tuples?
    pub fn same_tuples(&self, other: &Self) -> bool {
        self.protocol == other.protocol
            && self.client == other.client
            && self.masked == other.masked
            && self.target == other.target
            && self.server == other.server
            && self.origin == other.origin
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kept(endpoint) => endpoint.fmt(f),
            Self::Hashed(bits) => f.pad(&format!("hash:{bits:04x}")),
            Self::Omitted => f.pad("(not kept)"),
        }
    }
}
