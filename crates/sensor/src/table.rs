//! The connections that are under way, within bounds.
//!
//! ```text
//!  new connection ──► flows (by both ends and VLAN) ──► Sighting
//!                └──► queue, oldest first ──► over age, over number, over memory: told as far as it was seen
//! ```
//!
//! A connection of which all is known stays as a mark without memory of its own until it is of age, so that segments
//! that come twice do not begin it again.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use unmasq_eve::Tuple;
use unmasq_flow::Timestamp;

use crate::handshake::{Handshake, Sighting};
use crate::packet::{Segment, Vlan};
use crate::stream::{Role, Side};

/// Bounds of a sensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most connections at once, those that are known already and wait for their age included.
    pub connections: usize,
    /// Most bytes of unread segments of all connections together.
    pub bytes: usize,
    /// So long after its first packet, what was seen of a connection is told, and it is forgotten.
    pub age: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 100_000, bytes: 16 << 20, age: Duration::from_secs(30) }
    }
}

/// What a sensor has met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Packets given to it.
    pub packets: u64,
    /// Of these, fragments of packets, which are not put together.
    pub fragments: u64,
    /// Of these, packets that end before their headers do.
    pub broken: u64,
    /// Connections that were begun to be followed.
    pub connections: u64,
    /// Connections that were forgotten before their time as there were too many, or too much of them.
    pub evicted: u64,
    /// Connections told of.
    pub told: u64,
}

/// Both ends in a fixed order, and the tags: the same for both directions.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    low: ([u8; 16], u16),
    high: ([u8; 16], u16),
    vlan: Vlan,
}

impl Key {
    /// And whether the source is the lower end.
    fn of(segment: &Segment<'_>) -> (Self, bool) {
        let (source, destination) = (end(segment.source), end(segment.destination));
        let is_low = source <= destination;
        let (low, high) = if is_low { (source, destination) } else { (destination, source) };
        (Self { low, high, vlan: segment.vlan }, is_low)
    }
}

fn end(address: SocketAddr) -> ([u8; 16], u16) {
    let ip = match address.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    (ip.octets(), address.port())
}

/// A connection.
struct Flow {
    /// Tells it from an earlier one between the same ends.
    number: u64,
    /// `None` when all is known.
    open: Option<Box<Open>>,
}

/// A connection that there is more to learn of.
struct Open {
    tuple: Tuple,
    /// Is the client the lower end?
    is_client_low: bool,
    since: Timestamp,
    interface: Option<Arc<str>>,
    client: Side,
    server: Side,
    is_client_told: bool,
    /// Which sides have sent their last byte: client, server.
    has_finished: [bool; 2],
}

impl Open {
    fn handshake(&self, vlan: Vlan, at: Timestamp) -> Handshake {
        Handshake {
            tuple: self.tuple,
            since: self.since,
            at,
            vlan,
            interface: self.interface.clone(),
            client: self.client.identification.clone(),
            client_hassh: self.client.hassh.clone(),
            server: self.server.identification.clone(),
            server_hassh: self.server.hassh.clone(),
        }
    }

    fn has_said_anything(&self) -> bool {
        self.client.identification.is_some() || self.server.identification.is_some()
    }

    fn held(&self) -> usize {
        self.client.held() + self.server.held()
    }
}

/// The connections under way.
pub(crate) struct Table {
    limits: Limits,
    flows: HashMap<Key, Flow, RandomState>,
    /// In the order of their beginning; those that are no more are passed over.
    queue: VecDeque<(Timestamp, u64, Key)>,
    /// Bytes of segments that are kept.
    held: usize,
    next_number: u64,
    pub(crate) counts: Counts,
}

impl Table {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            flows: HashMap::default(),
            queue: VecDeque::new(),
            held: 0,
            next_number: 0,
            counts: Counts::default(),
        }
    }

    /// Takes a segment. Hot; guarded by `bench/divert`.
    pub(crate) fn take(
        &mut self,
        segment: &Segment<'_>,
        server_ports: &[u16],
        at: Timestamp,
        interface: Option<&Arc<str>>,
        tell: &mut impl FnMut(Sighting),
    ) {
        let (key, is_low) = Key::of(segment);
        let begins = segment.flags.syn && !segment.flags.ack;
        let is_known = self.flows.contains_key(&key);
        if begins || !is_known {
            // Without the packets that began it, only its first line tells that it is at its beginning.
            if !segment.flags.syn && !segment.payload.starts_with(b"SSH-") {
                return;
            }
            if !(begins && is_known && self.is_repeated(&key, segment)) {
                if is_known {
                    self.remove(&key, at, tell);
                }
                self.begin(key, segment, is_low, server_ports, at, interface, tell);
            }
        }
        self.follow(&key, segment, is_low, at, tell);
        while self.held > self.limits.bytes && self.evict(at, tell) {}
    }

    /// Is it the same SYN once more?
    fn is_repeated(&self, key: &Key, segment: &Segment<'_>) -> bool {
        let open = self.flows.get(key).and_then(|flow| flow.open.as_ref());
        open.is_some_and(|open| {
            open.tuple.source == segment.source && open.client.begins_at(segment.sequence.wrapping_add(1))
        })
    }

    #[expect(clippy::too_many_arguments, reason = "all that a connection begins with")]
    fn begin(
        &mut self,
        key: Key,
        segment: &Segment<'_>,
        is_low: bool,
        server_ports: &[u16],
        at: Timestamp,
        interface: Option<&Arc<str>>,
        tell: &mut impl FnMut(Sighting),
    ) {
        while self.flows.len() >= self.limits.connections && self.evict(at, tell) {}
        let is_from_client = if segment.flags.syn {
            !segment.flags.ack
        } else {
            let [from, to] = [segment.source.port(), segment.destination.port()];
            match (server_ports.contains(&from), server_ports.contains(&to)) {
                (true, false) => false,
                (false, true) => true,
                _ => to <= from,
            }
        };
        let (source, destination) = if is_from_client {
            (segment.source, segment.destination)
        } else {
            (segment.destination, segment.source)
        };
        let number = self.next_number;
        self.next_number += 1;
        let open = Open {
            tuple: Tuple { source, destination },
            is_client_low: is_low == is_from_client,
            since: at,
            interface: interface.cloned(),
            client: Side::new(Role::Client),
            server: Side::new(Role::Server),
            is_client_told: false,
            has_finished: [false; 2],
        };
        self.held += open.held();
        self.flows.insert(key, Flow { number, open: Some(Box::new(open)) });
        self.counts.connections += 1;
        if self.queue.len() >= 2 * self.flows.len() + 1024 {
            let flows = &self.flows;
            self.queue.retain(|(_, number, key)| flows.get(key).is_some_and(|flow| flow.number == *number));
        }
        self.queue.push_back((at, number, key));
    }

    fn follow(
        &mut self,
        key: &Key,
        segment: &Segment<'_>,
        is_low: bool,
        at: Timestamp,
        tell: &mut impl FnMut(Sighting),
    ) {
        let Some(flow) = self.flows.get_mut(key) else { return };
        let Some(open) = &mut flow.open else { return };
        let is_from_client = is_low == open.is_client_low;
        let held = open.held();
        let side = if is_from_client { &mut open.client } else { &mut open.server };
        let first = if segment.flags.syn {
            side.begin(segment.sequence.wrapping_add(1));
            segment.sequence.wrapping_add(1)
        } else {
            segment.sequence
        };
        // Its first packets were missed: only with its first line is it known where it begins.
        if side.has_begun() || segment.payload.starts_with(b"SSH-") {
            side.take(first, segment.payload);
        }
        if segment.flags.fin {
            open.has_finished[usize::from(!is_from_client)] = true;
        }
        let is_over = (open.client.is_over() && open.server.is_over())
            || segment.flags.rst
            || open.has_finished == [true; 2];
        self.held = (self.held + open.held()).saturating_sub(held);
        if !open.is_client_told && open.client.identification.is_some() {
            open.is_client_told = true;
            tell(Sighting::Client(open.handshake(key.vlan, at)));
        }
        if !is_over {
            return;
        }
        self.held = self.held.saturating_sub(open.held());
        if open.has_said_anything() {
            self.counts.told += 1;
            tell(Sighting::Whole(open.handshake(key.vlan, at)));
        }
        flow.open = None;
        // After a reset the next packet is of another connection, or the reset was not theirs.
        if segment.flags.rst {
            self.flows.remove(key);
        }
    }

    /// Tells of the connections that are of age, of so many at most.
    pub(crate) fn expire(&mut self, now: Timestamp, most: usize, tell: &mut impl FnMut(Sighting)) {
        for _ in 0..most {
            if self.due().is_none_or(|due| due > now) || !self.drop_front(now, tell) {
                return;
            }
        }
    }

    /// Tells of all that is left.
    pub(crate) fn finish(&mut self, at: Timestamp, tell: &mut impl FnMut(Sighting)) {
        while self.drop_front(at, tell) {}
    }

    /// Forgets the oldest to make room; false if there is none.
    fn evict(&mut self, at: Timestamp, tell: &mut impl FnMut(Sighting)) -> bool {
        let open_before = self.flows.len();
        let is_some = self.drop_front(at, tell);
        self.counts.evicted += (open_before - self.flows.len()) as u64;
        is_some
    }

    /// Forgets the connection at the front of the queue, or the place of one that is no more.
    fn drop_front(&mut self, at: Timestamp, tell: &mut impl FnMut(Sighting)) -> bool {
        let Some((_, number, key)) = self.queue.pop_front() else { return false };
        if self.flows.get(&key).is_some_and(|flow| flow.number == number) {
            self.remove(&key, at, tell);
        }
        true
    }

    fn remove(&mut self, key: &Key, at: Timestamp, tell: &mut impl FnMut(Sighting)) {
        let Some(Flow { open: Some(open), .. }) = self.flows.remove(key) else { return };
        self.held = self.held.saturating_sub(open.held());
        if open.has_said_anything() {
            self.counts.told += 1;
            tell(Sighting::Whole(open.handshake(key.vlan, at)));
        }
    }

    /// When the next connection is of age.
    pub(crate) fn due(&self) -> Option<Timestamp> {
        self.queue.front().map(|(since, ..)| *since + self.limits.age)
    }

    /// Connections in memory, and bytes of segments that are kept.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.flows.len(), self.held)
    }
}
