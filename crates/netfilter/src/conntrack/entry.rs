//! One conntrack entry as the kernel describes it.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use unmasq_flow::{Bound, Endpoint, Flow, Origin, Protocol, Selector, Status, Timestamp, Traffic, Zones};

/// Why the kernel spoke of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// It was made.
    New,
    /// It changed (state, mark, status, …).
    Update,
    /// It is gone.
    Destroy,
    /// It was asked about: part of a dump, or the answer to [`super::Dumper::find`].
    Listed,
}

/// An entry and why it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Why.
    pub kind: EventKind,
    /// What.
    pub entry: Entry,
}

/// A conntrack entry: plain values, no heap.
///
/// What a kernel leaves out is `None` (Linux before 6.14 has no `event_time`, and none has times or counters
/// unless `nf_conntrack_timestamp` and `nf_conntrack_acct` are on).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// IP protocol.
    pub protocol: Protocol,
    /// Original source. For ICMP with the id of the original direction.
    pub client: Endpoint,
    /// Original destination. For ICMP without a selector.
    pub target: Endpoint,
    /// Reply source. For ICMP without a selector.
    pub server: Endpoint,
    /// Reply destination. For ICMP with the id of the reply direction, which can be another.
    pub masked: Endpoint,
    /// Zones of both directions; 0 is the default zone.
    pub zones: Zones,
    /// `CTA_MARK`, 0 if none.
    pub mark: u32,
    /// `IPS_*` bits.
    pub status: Option<Status>,
    /// `CTA_ID`: the same from NEW to DESTROY; may be given again to a later entry.
    pub id: Option<u32>,
    /// When the kernel made this event (`CTA_TIMESTAMP_EVENT`, Linux 6.14).
    pub event_time: Option<Timestamp>,
    /// When the entry was made (`CTA_TIMESTAMP_START`: in DESTROY and dumps only).
    pub start: Option<Timestamp>,
    /// When it ended (`CTA_TIMESTAMP_STOP`).
    pub stop: Option<Timestamp>,
    /// Packets and bytes so far.
    pub traffic: Option<Traffic>,
    /// Seconds until the kernel forgets it, if no packet comes.
    pub timeout: Option<u32>,
}

impl Entry {
    /// An entry with nothing in it, to be filled.
    pub(crate) const EMPTY: Self = {
        let nowhere = Endpoint::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), Selector::None);
        Self {
            protocol: Protocol(0),
            client: nowhere,
            target: nowhere,
            server: nowhere,
            masked: nowhere,
            zones: Zones { original: 0, reply: 0 },
            mark: 0,
            status: None,
            id: None,
            event_time: None,
            start: None,
            stop: None,
            traffic: None,
            timeout: None,
        }
    };

    /// Is source or destination translated? By the status bits, or by the tuples where the kernel sent no
    /// status.
    pub fn is_translated(&self) -> bool {
        match self.status {
            Some(status) => status.is_translated(),
            None => self.client != self.masked || self.target != self.server,
        }
    }
}

impl Event {
    /// The flow that this event tells of, with its bounds as well as this event alone knows them. `read_at`
    /// is when the event was read; it is used, and marked as such, only where the kernel gave no time.
    pub fn flow(&self, origin: Arc<Origin>, read_at: Timestamp) -> Flow {
        let Self { kind, entry } = *self;
        let read = || Bound::Read(read_at);
        let event = entry.event_time.map(Bound::Exact);
        let start = entry.start.map(Bound::Exact);
        let mut flow =
            Flow::new(origin, entry.protocol, (entry.client, entry.target), (entry.server, entry.masked));
        (flow.start, flow.end) = match kind {
            EventKind::New => (start.or(event).unwrap_or_else(read), Bound::Open),
            EventKind::Update | EventKind::Listed => {
                (start.unwrap_or(Bound::Between(Timestamp::MIN, read_at)), Bound::Open)
            }
            EventKind::Destroy => (
                start.unwrap_or(Bound::Between(Timestamp::MIN, read_at)),
                entry.stop.map(Bound::Exact).or(event).unwrap_or_else(read),
            ),
        };
        flow.mark = entry.mark;
        flow.status = entry.status.unwrap_or_default();
        flow.traffic = entry.traffic;
        flow.kernel_id = entry.id;
        flow
    }
}
