//! A flow as the book keeps it: packed, with its places in the chains; and the slab that holds the slots.

use std::hash::Hasher;
use std::net::{IpAddr, Ipv6Addr};
use std::ops::{Index, IndexMut};
use std::sync::Arc;
use std::time::Duration;

use crate::{Bound, Destination, Endpoint, Flow, Origin, Protocol, Selector, Status, Timestamp, Traffic};

/// How far apart two starts of one flow can be, where both are the kernel's. A NEW event is stamped up to some tens of
/// microseconds before or after the entry's own start, and a flow that a ledger gave back begins with a whole millisecond.
const SAME_START: Duration = Duration::from_millis(2);

/// No slot.
pub(super) const NONE: u32 = u32::MAX;

/// The chains that a slot hangs in; the number is its place in [`Slot::links`].
#[derive(Clone, Copy, Debug)]
pub(super) enum Chain {
    /// Flows at the same masked endpoint.
    Masked = 0,
    /// Flows with the same protocol, masked and server endpoint.
    Reply = 1,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    pub(super) next: u32,
    pub(super) previous: u32,
}

const UNLINKED: Link = Link { next: NONE, previous: NONE };

/// What selects: as in [`Selector`], and for destinations whether they were kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    None,
    Port,
    Id,
    Hashed,
    Omitted,
}

/// An endpoint or a destination that was not kept. IPv4 is mapped into IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Point {
    address: u128,
    number: u16,
    kind: Kind,
}

impl Point {
    fn of(endpoint: Endpoint) -> Self {
        let address = match endpoint.address {
            IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
            IpAddr::V6(v6) => v6.to_bits(),
        };
        let kind = match endpoint.selector {
            Selector::None => Kind::None,
            Selector::Port(_) => Kind::Port,
            Selector::Id(_) => Kind::Id,
        };
        Self { address, number: endpoint.selector.number().unwrap_or(0), kind }
    }

    fn of_destination(destination: Destination) -> Self {
        match destination {
            Destination::Kept(endpoint) => Self::of(endpoint),
            Destination::Hashed(bits) => Self { address: 0, number: bits, kind: Kind::Hashed },
            Destination::Omitted => Self { address: 0, number: 0, kind: Kind::Omitted },
        }
    }

    fn endpoint(self) -> Endpoint {
        let selector = match self.kind {
            Kind::Port => Selector::Port(self.number),
            Kind::Id => Selector::Id(self.number),
            Kind::None | Kind::Hashed | Kind::Omitted => Selector::None,
        };
        Endpoint::new(Ipv6Addr::from_bits(self.address).to_canonical(), selector)
    }

    fn destination(self) -> Destination {
        match self.kind {
            Kind::Hashed => Destination::Hashed(self.number),
            Kind::Omitted => Destination::Omitted,
            Kind::None | Kind::Port | Kind::Id => Destination::Kept(self.endpoint()),
        }
    }

    fn hash(self, hasher: &mut impl Hasher) {
        hasher.write_u128(self.address);
        hasher.write_u32(u32::from(self.number) << 8 | self.kind as u32);
    }
}

/// The addresses and numbers of four points, without the padding that an array of points would have.
#[derive(Clone, Copy, Debug)]
struct Points {
    addresses: [[u8; 16]; 4],
    numbers: [u16; 4],
    kinds: [Kind; 4],
}

const CLIENT: usize = 0;
const TARGET: usize = 1;
const SERVER: usize = 2;
const MASKED: usize = 3;

impl Points {
    fn pack(points: [Point; 4]) -> Self {
        Self {
            addresses: points.map(|p| p.address.to_ne_bytes()),
            numbers: points.map(|p| p.number),
            kinds: points.map(|p| p.kind),
        }
    }

    fn get(&self, which: usize) -> Point {
        Point {
            address: u128::from_ne_bytes(self.addresses[which]),
            number: self.numbers[which],
            kind: self.kinds[which],
        }
    }
}

/// What few flows have; boxed so that the others do not pay for it.
#[derive(Clone, Debug)]
struct Extra {
    traffic: Option<Traffic>,
    /// The later ends of bounds that are ranges.
    start_latest: Timestamp,
    end_latest: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum BoundKind {
    Exact,
    Read,
    Between,
    Open,
    Unknown,
}

fn split(bound: Bound) -> (BoundKind, Timestamp, Timestamp) {
    match bound {
        Bound::Exact(t) => (BoundKind::Exact, t, t),
        Bound::Read(t) => (BoundKind::Read, t, t),
        Bound::Between(a, b) => (BoundKind::Between, a, b),
        Bound::Open => (BoundKind::Open, Timestamp::MIN, Timestamp::MIN),
        Bound::Unknown => (BoundKind::Unknown, Timestamp::MIN, Timestamp::MIN),
    }
}

fn join(kind: BoundKind, first: Timestamp, second: Timestamp) -> Bound {
    match kind {
        BoundKind::Exact => Bound::Exact(first),
        BoundKind::Read => Bound::Read(first),
        BoundKind::Between => Bound::Between(first, second),
        BoundKind::Open => Bound::Open,
        BoundKind::Unknown => Bound::Unknown,
    }
}

/// One flow, packed.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    points: Points,
    pub(super) origin: u16,
    pub(super) protocol: Protocol,
    start_kind: BoundKind,
    end_kind: BoundKind,
    is_live: bool,
    has_kernel_id: bool,
    kernel_id: u32,
    mark: u32,
    status: u32,
    /// The last sighting (dump) that had it, or the one under way when it was opened.
    pub(super) sighting: u32,
    pub(super) links: [Link; 2],
    start: Timestamp,
    end: Timestamp,
    /// When its end was learnt.
    pub(super) learnt: Timestamp,
    extra: Option<Box<Extra>>,
}

impl Slot {
    pub(super) fn pack(flow: &Flow, origin: u16) -> Self {
        let (start_kind, start, start_latest) = split(flow.start);
        let (end_kind, end, end_latest) = split(flow.end);
        let needs_extra =
            flow.traffic.is_some() || start_kind == BoundKind::Between || end_kind == BoundKind::Between;
        Self {
            points: Points::pack([
                Point::of(flow.client),
                Point::of_destination(flow.target),
                Point::of_destination(flow.server),
                Point::of(flow.masked),
            ]),
            origin,
            protocol: flow.protocol,
            start_kind,
            end_kind,
            is_live: true,
            has_kernel_id: flow.kernel_id.is_some(),
            kernel_id: flow.kernel_id.unwrap_or(0),
            mark: flow.mark,
            status: flow.status.0,
            sighting: 0,
            links: [UNLINKED; 2],
            start,
            end,
            learnt: Timestamp::MIN,
            extra: needs_extra.then(|| Box::new(Extra { traffic: flow.traffic, start_latest, end_latest })),
        }
    }

    /// A slot to look a masked endpoint up with.
    pub(super) fn masked_key(masked: Endpoint) -> Self {
        Self::reply_key(Protocol(0), masked, masked)
    }

    /// A slot to look a reply tuple up with.
    pub(super) fn reply_key(protocol: Protocol, masked: Endpoint, server: Endpoint) -> Self {
        let (masked, server) = (Point::of(masked), Point::of(server));
        Self {
            points: Points::pack([masked, masked, server, masked]),
            origin: 0,
            protocol,
            start_kind: BoundKind::Unknown,
            end_kind: BoundKind::Unknown,
            is_live: false,
            has_kernel_id: false,
            kernel_id: 0,
            mark: 0,
            status: 0,
            sighting: 0,
            links: [UNLINKED; 2],
            start: Timestamp::MIN,
            end: Timestamp::MIN,
            learnt: Timestamp::MIN,
            extra: None,
        }
    }

    pub(super) fn unpack(&self, origin: Arc<Origin>) -> Flow {
        let (start_latest, end_latest, traffic) = match &self.extra {
            Some(extra) => (extra.start_latest, extra.end_latest, extra.traffic),
            None => (self.start, self.end, None),
        };
        Flow {
            origin,
            protocol: self.protocol,
            client: self.client(),
            target: self.points.get(TARGET).destination(),
            server: self.server(),
            masked: self.masked(),
            mark: self.mark,
            status: Status(self.status),
            start: join(self.start_kind, self.start, start_latest),
            end: join(self.end_kind, self.end, end_latest),
            traffic,
            kernel_id: self.has_kernel_id.then_some(self.kernel_id),
        }
    }

    pub(super) fn client(&self) -> Endpoint {
        self.points.get(CLIENT).endpoint()
    }

    pub(super) fn server(&self) -> Destination {
        self.points.get(SERVER).destination()
    }

    pub(super) fn masked(&self) -> Endpoint {
        self.points.get(MASKED).endpoint()
    }

    pub(super) fn is_live(&self) -> bool {
        self.is_live
    }

    pub(super) fn hash_original(&self, hasher: &mut impl Hasher) {
        self.points.get(CLIENT).hash(hasher);
        self.points.get(TARGET).hash(hasher);
        hasher.write_u32(u32::from(self.origin) << 8 | u32::from(self.protocol.0));
    }

    pub(super) fn hash_in(&self, chain: Chain, hasher: &mut impl Hasher) {
        self.points.get(MASKED).hash(hasher);
        match chain {
            Chain::Masked => {}
            Chain::Reply => {
                self.points.get(SERVER).hash(hasher);
                hasher.write_u8(self.protocol.0);
            }
        }
    }

    pub(super) fn same_original(&self, other: &Self) -> bool {
        self.points.get(CLIENT) == other.points.get(CLIENT)
            && self.points.get(TARGET) == other.points.get(TARGET)
            && self.protocol == other.protocol
            && self.origin == other.origin
    }

    pub(super) fn same_masked(&self, other: &Self) -> bool {
        self.points.get(MASKED) == other.points.get(MASKED)
    }

    pub(super) fn same_reply(&self, other: &Self) -> bool {
        self.same_masked(other)
            && self.points.get(SERVER) == other.points.get(SERVER)
            && self.protocol == other.protocol
    }

    pub(super) fn same_in(&self, chain: Chain, other: &Self) -> bool {
        match chain {
            Chain::Masked => self.same_masked(other),
            Chain::Reply => self.same_reply(other),
        }
    }

    /// Given the same original tuple: is it the same entry of the kernel, or a later one that took the tuple over?
    ///
    /// The kernel's id is derived from the entry's address in memory and can come again, so the start decides where
    /// both are the kernel's own. [`SAME_START`] apart is one.
    pub(super) fn is_same_flow(&self, other: &Self) -> bool {
        if self.has_kernel_id && other.has_kernel_id && self.kernel_id != other.kernel_id {
            return false;
        }
        match (self.start_kind, other.start_kind) {
            (BoundKind::Exact, BoundKind::Exact) => {
                self.start.since(other.start).max(other.start.since(self.start)) <= SAME_START
            }
            _ => true,
        }
    }

    /// Brings a live slot up to date with a later sighting of the same flow.
    pub(super) fn update(&mut self, news: &Self, sighting: u32) {
        self.sighting = sighting;
        self.status = news.status;
        self.mark = news.mark;
        if news.has_kernel_id {
            self.has_kernel_id = true;
            self.kernel_id = news.kernel_id;
        }
        let knows_better = self.start_kind != BoundKind::Exact && news.start_kind == BoundKind::Exact;
        if knows_better {
            self.start_kind = news.start_kind;
            self.start = news.start;
        }
        let traffic = news.extra.as_ref().and_then(|e| e.traffic);
        match &mut self.extra {
            Some(extra) => {
                extra.traffic = traffic.or(extra.traffic);
                if knows_better {
                    extra.start_latest = self.start;
                }
            }
            None if traffic.is_some() => {
                self.extra =
                    Some(Box::new(Extra { traffic, start_latest: self.start, end_latest: self.end }));
            }
            None => {}
        }
    }

    /// Marks the slot as ended, with the flow's last state.
    pub(super) fn end(&mut self, flow: &Flow, now: Timestamp) {
        let (links, sighting) = (self.links, self.sighting);
        let origin = self.origin;
        *self = Self { links, sighting, learnt: now, is_live: false, ..Self::pack(flow, origin) };
    }
}

/// Slots in chunks, so that growing never copies or doubles, with a list of free ones.
#[derive(Debug, Default)]
pub(super) struct Slab {
    chunks: Vec<Vec<Entry>>,
    first_free: Option<u32>,
    len: usize,
}

#[derive(Debug)]
enum Entry {
    Taken(Slot),
    Free { next: Option<u32> },
}

const CHUNK: usize = 4096;

impl Slab {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn insert(&mut self, slot: Slot) -> u32 {
        self.len += 1;
        if let Some(index) = self.first_free {
            let entry = &mut self.chunks[index as usize / CHUNK][index as usize % CHUNK];
            if let Entry::Free { next } = *entry {
                self.first_free = next;
            }
            *entry = Entry::Taken(slot);
            return index;
        }
        if self.chunks.last().is_none_or(|c| c.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let last = self.chunks.len() - 1;
        self.chunks[last].push(Entry::Taken(slot));
        (last * CHUNK + self.chunks[last].len() - 1) as u32
    }

    pub(super) fn remove(&mut self, index: u32) {
        self.len -= 1;
        self.chunks[index as usize / CHUNK][index as usize % CHUNK] = Entry::Free { next: self.first_free };
        self.first_free = Some(index);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Slot)> {
        self.chunks.iter().flatten().enumerate().filter_map(|(i, entry)| match entry {
            Entry::Taken(slot) => Some((i as u32, slot)),
            Entry::Free { .. } => None,
        })
    }

    pub(super) fn bytes(&self) -> usize {
        let boxed = self.iter().filter(|(_, s)| s.extra.is_some()).count() * size_of::<Extra>();
        self.chunks.len() * CHUNK * size_of::<Entry>() + boxed
    }
}

impl Index<u32> for Slab {
    type Output = Slot;

    fn index(&self, index: u32) -> &Slot {
        match &self.chunks[index as usize / CHUNK][index as usize % CHUNK] {
            Entry::Taken(slot) => slot,
            Entry::Free { .. } => unreachable!("the indexes of the book name taken slots only"),
        }
    }
}

impl IndexMut<u32> for Slab {
    fn index_mut(&mut self, index: u32) -> &mut Slot {
        match &mut self.chunks[index as usize / CHUNK][index as usize % CHUNK] {
            Entry::Taken(slot) => slot,
            Entry::Free { .. } => unreachable!("the indexes of the book name taken slots only"),
        }
    }
}
