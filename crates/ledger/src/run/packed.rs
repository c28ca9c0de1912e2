//! A row in 64 bytes, with its addresses as numbers: what is sorted, merged and cut into columns.

use std::net::IpAddr;
use std::sync::Arc;

use unmasq_flow::{
    Bound, Count, Destination, Endpoint, Flow, Origin, Protocol, Selector, Status, Timestamp, Traffic,
};

use super::row::{from_millis, millis};

/// Milliseconds in an hour.
pub(super) const HOUR: i64 = 3_600_000;

/// The number of an address in an interner or dictionary. From [`LOOSE`] on: in [`Pool::loose`].
pub(super) type AddressId = u32;

/// The first number of addresses that are in no dictionary.
pub(super) const LOOSE: AddressId = 1 << 31;

/// A row. `shape` says which of the other fields mean anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Packed {
    /// Masked address, protocol and masked selector: see [`key`].
    pub(super) key: u64,
    /// Milliseconds; see [`Anchor`].
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) shape: Shape,
    pub(super) client: AddressId,
    pub(super) server: AddressId,
    pub(super) client_number: u16,
    /// Of the selector, or the hash.
    pub(super) server_number: u16,
    pub(super) origin: u32,
    pub(super) status: u32,
    pub(super) mark: u32,
    /// In [`Pool::sides`], if `shape` needs one.
    pub(super) side: u32,
}

/// What few rows have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Side {
    pub(super) target: AddressId,
    pub(super) target_number: u16,
    /// From the earliest to the latest possible start, milliseconds.
    pub(super) start_width: i64,
    pub(super) end_width: i64,
    /// Packets and bytes of the original direction, packets and bytes of the reply direction.
    pub(super) traffic: [u64; 4],
}

/// What packed rows refer to.
#[derive(Debug, Default)]
pub(super) struct Pool {
    pub(super) sides: Vec<Side>,
    pub(super) loose: Vec<IpAddr>,
}

impl Pool {
    pub(super) fn side(&self, row: &Packed) -> Side {
        if row.shape.needs_side() {
            self.sides.get(row.side as usize).copied().unwrap_or_default()
        } else {
            Side::default()
        }
    }

    /// Bytes that it takes.
    pub(super) fn memory(&self) -> usize {
        self.sides.capacity() * size_of::<Side>() + self.loose.capacity() * size_of::<IpAddr>()
    }

    pub(super) fn add_side(&mut self, side: Side) -> u32 {
        self.sides.push(side);
        self.sides.len() as u32 - 1
    }

    pub(super) fn add_loose(&mut self, address: IpAddr) -> AddressId {
        self.loose.push(address);
        LOOSE + (self.loose.len() as u32 - 1)
    }

    /// Copies a row that refers to `from`, and what it refers to.
    pub(super) fn adopt(&mut self, row: &Packed, from: &Self) -> Packed {
        let mut own = *row;
        let mut address = |id: AddressId| match id.checked_sub(LOOSE) {
            Some(loose) => self.add_loose(from.loose[loose as usize]),
            None => id,
        };
        own.client = address(own.client);
        own.server = address(own.server);
        if own.shape.needs_side() {
            let mut side = from.side(row);
            side.target = address(side.target);
            own.side = self.add_side(side);
        }
        own
    }
}

/// Where the address number begins in a key.
pub(super) const KEY_ADDRESS: u32 = 26;
/// Where the protocol begins in a key.
pub(super) const KEY_PROTOCOL: u32 = 18;

/// The sort key of a masked endpoint and protocol. Keys sort like (address number, protocol, selector).
pub(super) fn key(masked: u32, protocol: Protocol, selector: Selector) -> u64 {
    let selector = match selector {
        Selector::None => 0,
        Selector::Port(n) => 1 + u64::from(n),
        Selector::Id(n) => 0x1_0001 + u64::from(n),
    };
    u64::from(masked) << KEY_ADDRESS | u64::from(protocol.0) << KEY_PROTOCOL | selector
}

/// The largest selector in a key.
pub(super) const LAST_SELECTOR: u64 = 0x2_0000;

/// The parts of a key. `None` for a selector that no key has.
pub(super) fn parts(key: u64) -> Option<(u32, Protocol, Selector)> {
    let selector = match key & ((1 << KEY_PROTOCOL) - 1) {
        0 => Selector::None,
        n @ 1..=0x1_0000 => Selector::Port((n - 1) as u16),
        n @ 0x1_0001..=LAST_SELECTOR => Selector::Id((n - 0x1_0001) as u16),
        _ => return None,
    };
    Some(((key >> KEY_ADDRESS) as u32, Protocol((key >> KEY_PROTOCOL) as u8), selector))
}

/// Which of a bound's kinds it is, with the time that stands for it.
#[derive(Clone, Copy)]
struct Anchor {
    kind: u32,
    /// Milliseconds; `None` where no time is known.
    at: Option<i64>,
    width: i64,
}

/// Kinds of bounds in a shape.
mod kind {
    pub(super) const EXACT: u32 = 0;
    pub(super) const READ: u32 = 1;
    /// Both times known.
    pub(super) const BETWEEN: u32 = 2;
    /// Only the latest: the usual start of a flow that was found in a dump.
    pub(super) const NOT_AFTER: u32 = 3;
    /// Only the earliest.
    pub(super) const NOT_BEFORE: u32 = 4;
    /// `Between` without either.
    pub(super) const ANY: u32 = 5;
    pub(super) const OPEN: u32 = 6;
    pub(super) const UNKNOWN: u32 = 7;
}

fn anchor(bound: Bound) -> Anchor {
    let (kind, at, width) = match bound {
        Bound::Exact(t) => (kind::EXACT, Some(millis(t)), 0),
        Bound::Read(t) => (kind::READ, Some(millis(t)), 0),
        Bound::Between(Timestamp::MIN, Timestamp::MAX) => (kind::ANY, None, 0),
        Bound::Between(Timestamp::MIN, t) => (kind::NOT_AFTER, Some(millis(t)), 0),
        Bound::Between(t, Timestamp::MAX) => (kind::NOT_BEFORE, Some(millis(t)), 0),
        Bound::Between(a, b) => (kind::BETWEEN, Some(millis(a)), millis(b) - millis(a)),
        Bound::Open => (kind::OPEN, None, 0),
        Bound::Unknown => (kind::UNKNOWN, None, 0),
    };
    Anchor { kind, at, width }
}

fn bound(kind: u32, at: i64, width: i64) -> Bound {
    match kind {
        kind::EXACT => Bound::Exact(from_millis(at)),
        kind::READ => Bound::Read(from_millis(at)),
        kind::BETWEEN => Bound::Between(from_millis(at), from_millis(at.wrapping_add(width))),
        kind::NOT_AFTER => Bound::Between(Timestamp::MIN, from_millis(at)),
        kind::NOT_BEFORE => Bound::Between(from_millis(at), Timestamp::MAX),
        kind::ANY => Bound::Between(Timestamp::MIN, Timestamp::MAX),
        kind::OPEN => Bound::Open,
        _ => Bound::Unknown,
    }
}

/// Which fields a row has, and of what kind. Most runs have a handful of shapes.
///
/// ```text
/// bits  0-2  kind of start      3-5  kind of end      6  continues
///       7    starts before the hour, if it is the first of its key in its block     8  ends before it starts
///       9-10 client's selector: as masked's, none, port, id
///      11-12 server: kept, hashed, omitted           13-14 its selector, as client's
///      15-16 target: as server, kept, hashed, omitted   17-18 its selector     19  has traffic
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Shape(pub(super) u32);

const CONTINUES: u32 = 1 << 6;
const EARLY: u32 = 1 << 7;
const BACKWARDS: u32 = 1 << 8;
const TRAFFIC: u32 = 1 << 19;

/// Kinds of selectors in a shape.
const AS_MASKED: u32 = 0;
const NONE: u32 = 1;
const PORT: u32 = 2;
const ID: u32 = 3;

/// Kinds of destinations: the server's are these, the target's are one more, after "as the server".
const KEPT: u32 = 0;
const HASHED: u32 = 1;
const OMITTED: u32 = 2;

impl Shape {
    fn start_kind(self) -> u32 {
        self.0 & 7
    }

    fn end_kind(self) -> u32 {
        self.0 >> 3 & 7
    }

    fn has_anchor(kind: u32) -> bool {
        kind < kind::ANY
    }

    pub(super) fn has_start(self) -> bool {
        Self::has_anchor(self.start_kind())
    }

    pub(super) fn has_end(self) -> bool {
        Self::has_anchor(self.end_kind())
    }

    pub(super) fn has_start_width(self) -> bool {
        self.start_kind() == kind::BETWEEN
    }

    pub(super) fn has_end_width(self) -> bool {
        self.end_kind() == kind::BETWEEN
    }

    /// Start and end from (time that stands for it, width), in milliseconds.
    pub(super) fn bounds(self, start: (i64, i64), end: (i64, i64)) -> (Bound, Bound) {
        (bound(self.start_kind(), start.0, start.1), bound(self.end_kind(), end.0, end.1))
    }

    pub(super) fn is_final(self) -> bool {
        self.end_kind() < kind::OPEN
    }

    pub(super) fn continues(self) -> bool {
        self.0 & CONTINUES != 0
    }

    pub(super) fn continued(self) -> Self {
        Self(self.0 | CONTINUES)
    }

    pub(super) fn is_early(self) -> bool {
        self.0 & EARLY != 0
    }

    pub(super) fn is_backwards(self) -> bool {
        self.0 & BACKWARDS != 0
    }

    /// With the two signs, which columns add and rows do not have.
    pub(super) fn with_signs(self, is_early: bool, is_backwards: bool) -> Self {
        Self(self.0 | if is_early { EARLY } else { 0 } | if is_backwards { BACKWARDS } else { 0 })
    }

    pub(super) fn without_signs(self) -> Self {
        Self(self.0 & !(EARLY | BACKWARDS))
    }

    /// What belongs to the tuples.
    pub(super) fn tuples(self) -> u32 {
        self.0 >> 9 & 0x3FF
    }

    /// Nothing that this version does not know.
    pub(super) fn is_sound(self) -> bool {
        self.0 < 1 << 20 && self.server_kind() <= OMITTED
    }

    fn server_kind(self) -> u32 {
        self.0 >> 11 & 3
    }

    fn target_kind(self) -> u32 {
        self.0 >> 15 & 3
    }

    pub(super) fn has_server(self) -> bool {
        self.server_kind() == KEPT
    }

    pub(super) fn has_server_number(self) -> bool {
        self.server_kind() != OMITTED
    }

    pub(super) fn has_target(self) -> bool {
        self.target_kind() == 1 + KEPT
    }

    pub(super) fn has_target_number(self) -> bool {
        matches!(self.target_kind(), 1 | 2)
    }

    pub(super) fn has_traffic(self) -> bool {
        self.0 & TRAFFIC != 0
    }

    pub(super) fn needs_side(self) -> bool {
        self.has_target_number() || self.has_traffic() || self.has_start_width() || self.has_end_width()
    }

    /// Is the server's number an id, which most NATs give both sides of a flow alike?
    pub(super) fn server_has_id(self, masked: Selector) -> bool {
        self.has_server() && matches!(selector(self.0 >> 13 & 3, 0, masked), Selector::Id(_))
    }

    pub(super) fn target_has_id(self, masked: Selector) -> bool {
        self.has_target() && matches!(selector(self.0 >> 17 & 3, 0, masked), Selector::Id(_))
    }
}

fn selector_kind(own: Selector, masked: Selector) -> u32 {
    match (own, masked) {
        (Selector::None, Selector::None)
        | (Selector::Port(_), Selector::Port(_))
        | (Selector::Id(_), Selector::Id(_)) => AS_MASKED,
        (Selector::None, _) => NONE,
        (Selector::Port(_), _) => PORT,
        (Selector::Id(_), _) => ID,
    }
}

fn selector(kind: u32, number: u16, masked: Selector) -> Selector {
    match (kind, masked) {
        (NONE, _) | (AS_MASKED, Selector::None) => Selector::None,
        (PORT, _) | (AS_MASKED, Selector::Port(_)) => Selector::Port(number),
        _ => Selector::Id(number),
    }
}

/// Gives addresses numbers while rows are packed.
pub(super) trait Numbers {
    fn client(&mut self, address: IpAddr) -> AddressId;
    fn far(&mut self, address: IpAddr) -> AddressId;
}

/// Packs a flow. `masked` and `origin` are the numbers of its masked address and its origin.
pub(super) fn pack(
    flow: &Flow,
    continues: bool,
    hour: i64,
    (masked, origin): (u32, u32),
    numbers: &mut impl Numbers,
    pool: &mut Pool,
) -> Packed {
    let own = flow.masked.selector;
    let (start, end) = (anchor(flow.start), anchor(flow.end));
    let mut shape = start.kind | end.kind << 3 | if continues { CONTINUES } else { 0 };
    shape |= selector_kind(flow.client.selector, own) << 9;
    let mut destination = |destination: Destination| match destination {
        Destination::Kept(endpoint) => (
            KEPT | selector_kind(endpoint.selector, own) << 2,
            numbers.far(endpoint.address.to_canonical()),
            endpoint.selector.number().unwrap_or(0),
        ),
        Destination::Hashed(bits) => (HASHED, 0, bits),
        Destination::Omitted => (OMITTED, 0, 0),
    };
    let (server_shape, server, server_number) = destination(flow.server);
    shape |= server_shape << 11;
    let mut side = Side { start_width: start.width, end_width: end.width, ..Side::default() };
    if flow.target != flow.server {
        let (target_shape, target, target_number) = destination(flow.target);
        shape |= (target_shape + 1) << 15;
        (side.target, side.target_number) = (target, target_number);
    }
    if let Some(Traffic { original, reply }) = flow.traffic {
        shape |= TRAFFIC;
        side.traffic = [original.packets, original.bytes, reply.packets, reply.bytes];
    }
    let shape = Shape(shape);
    let start = start.at.unwrap_or(hour * HOUR);
    Packed {
        key: key(masked, flow.protocol, own),
        start,
        end: end.at.unwrap_or(start),
        shape,
        client: numbers.client(flow.client.address.to_canonical()),
        server,
        client_number: flow.client.selector.number().unwrap_or(0),
        server_number,
        origin,
        status: flow.status.0,
        mark: flow.mark,
        side: if shape.needs_side() { pool.add_side(side) } else { 0 },
    }
}

/// The addresses and origin of a row, looked up.
pub(super) struct Names {
    pub(super) masked: IpAddr,
    pub(super) client: IpAddr,
    pub(super) server: Option<IpAddr>,
    pub(super) target: Option<IpAddr>,
    pub(super) origin: Arc<Origin>,
}

impl Packed {
    /// Start and end.
    pub(super) fn bounds(&self, side: &Side) -> (Bound, Bound) {
        self.shape.bounds((self.start, side.start_width), (self.end, side.end_width))
    }

    /// The inverse of [`pack`]. `None` if the key holds no endpoint.
    pub(super) fn unpack(&self, side: &Side, names: Names) -> Option<Flow> {
        let (_, protocol, own) = parts(self.key)?;
        let shape = self.shape.0;
        let kept = |address: Option<IpAddr>, kind, number| {
            address.map(|a| Destination::Kept(Endpoint::new(a, selector(kind, number, own))))
        };
        let server = match self.shape.server_kind() {
            KEPT => kept(names.server, shape >> 13 & 3, self.server_number)?,
            HASHED => Destination::Hashed(self.server_number),
            _ => Destination::Omitted,
        };
        let target = match self.shape.target_kind() {
            0 => server,
            1 => kept(names.target, shape >> 17 & 3, side.target_number)?,
            2 => Destination::Hashed(side.target_number),
            _ => Destination::Omitted,
        };
        let (start, end) = self.bounds(side);
        Some(Flow {
            origin: names.origin,
            protocol,
            client: Endpoint::new(names.client, selector(shape >> 9 & 3, self.client_number, own)),
            target,
            server,
            masked: Endpoint::new(names.masked, own),
            mark: self.mark,
            status: Status(self.status),
            start,
            end,
            traffic: self.shape.has_traffic().then(|| {
                let [packets, bytes, reply_packets, reply_bytes] = side.traffic;
                Traffic {
                    original: Count { packets, bytes },
                    reply: Count { packets: reply_packets, bytes: reply_bytes },
                }
            }),
            kernel_id: None,
        })
    }
}
