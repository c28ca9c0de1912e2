//! What one line of a log says: a sighting of a flow, before it is joined with the other lines about the same flow.

use unmasq_flow::{Bound, Destination, Endpoint, Protocol, Status, Timestamp, Traffic, Zones};

/// What happened to the flow when the line was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// It began.
    New,
    /// It was alive and changed.
    Update,
    /// It ended.
    Destroy,
    /// It was alive (a line of a dump, `conntrack -L`).
    Listed,
    /// The line tells it from start to end (natlog); nothing is to be joined.
    Whole,
}

/// A protocol, both tuples and the zones: what tells one living flow from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tuples {
    /// IP protocol.
    pub protocol: Protocol,
    /// Conntrack zones; 0 where the format has none.
    pub zones: Zones,
    /// Original source: the real client.
    pub client: Endpoint,
    /// Original destination.
    pub target: Destination,
    /// Reply source.
    pub server: Destination,
    /// Reply destination: the client as the far side sees it.
    pub masked: Endpoint,
}

impl Tuples {
    /// Can two flows with these same tuples be alive at once? So it is where the log leaves out the ICMP id or a port.
    pub fn are_shared(&self) -> bool {
        (self.protocol.has_ids() || self.protocol.has_ports()) && self.masked.selector.number().is_none()
    }

    /// The bits that follow from the tuples themselves: source and destination translated.
    pub(crate) fn translation(&self) -> u32 {
        let source = if self.client == self.masked { 0 } else { Status::SRC_NAT.0 };
        let destination = if self.target == self.server { 0 } else { Status::DST_NAT.0 };
        source | destination
    }
}

/// One line of a log, typed. Plain and `Copy`: no line allocates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// What happened.
    pub event: Event,
    /// When the line was written: [`Bound::Read`], or the second in which it was. [`Bound::Unknown`] if it says nothing.
    pub at: Bound,
    /// Which flow.
    pub tuples: Tuples,
    /// The start that the line itself tells.
    pub start: Bound,
    /// The end that the line itself tells.
    pub end: Bound,
    /// Conntrack's `delta-time=`: whole seconds of the end minus whole seconds of the start.
    pub lifetime_seconds: Option<u32>,
    /// The kernel's id of the entry.
    pub id: Option<u32>,
    /// conntrack mark, 0 if the line has none.
    pub mark: u32,
    /// What the line tells of the status bits, and those that follow from the tuples.
    pub status: Status,
    /// Packets and bytes, if counted.
    pub traffic: Option<Traffic>,
}

impl Sighting {
    /// A sighting of which only the event, its time and the tuples are known.
    pub(crate) fn new(event: Event, at: Bound, tuples: Tuples) -> Self {
        Self {
            event,
            at,
            tuples,
            start: Bound::Unknown,
            end: Bound::Unknown,
            lifetime_seconds: None,
            id: None,
            mark: 0,
            status: Status(tuples.translation()),
            traffic: None,
        }
    }

    /// The instant that stands for the line in summaries: its own time, else the end or start that it tells.
    pub fn instant(&self) -> Option<Timestamp> {
        [self.at, self.end, self.start].into_iter().map(Bound::latest).find(|t| t.is_finite())
    }
}
