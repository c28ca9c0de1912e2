//! Joins the lines about one flow: NEW, UPDATE and DESTROY become one [`Flow`] with bounds for its start and end.
//!
//! What is not obvious:
//! - At one moment the kernel has at most one flow for a reply tuple. So the reply tuple is the key, and another flow that is
//!   seen at it proves that the earlier one is over: its end lies between its last sighting and this one.
//! - A flow of which no end was seen is given out when the log ends, with an unknown end: it stays a candidate.
//! - DESTROY is complete in itself if it tells its start; else the start is no later than the line.
//! - Memory is bounded by `max_open`. When that many flows are open, the oldest quarter is given out as above; the DESTROY of
//!   such a flow, if it still comes, is given out as a flow of its own.

use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;
use unmasq_flow::{Bound, Destination, Endpoint, Flow, Origin, Protocol, Status, Timestamp, Traffic, Zones};

use crate::sighting::{Event, Sighting, Tuples};

/// A flow that is known as well as it will be, for now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paired {
    /// The flow. An unknown end means that none was seen.
    pub flow: Flow,
    /// Was it open at the last [`Pairer::mark_known`], so that it was given out before with an unknown end?
    pub is_known: bool,
}

/// Joins sightings into flows.
#[derive(Debug)]
pub struct Pairer {
    origin: Origin,
    /// Origins are few: the one of the last flow is nearly always that of the next.
    last_origin: Arc<Origin>,
    open: FxHashMap<Key, Open>,
    max_open: usize,
    next_age: u64,
}

/// What the kernel keeps unique among living flows. Where the log leaves out the selector: also the client and the kernel's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    protocol: Protocol,
    zone: u16,
    server: Destination,
    masked: Endpoint,
    client: Option<Endpoint>,
    id: Option<u32>,
    /// Number among the open flows that nothing tells apart, from 0.
    copy: u32,
}

impl Key {
    fn of(sighting: &Sighting) -> Self {
        let Tuples { protocol, zones, server, masked, client, .. } = sighting.tuples;
        let (client, id) =
            if sighting.tuples.are_shared() { (Some(client), sighting.id) } else { (None, None) };
        Self { protocol, zone: zones.reply, server, masked, client, id, copy: 0 }
    }

    /// Nothing tells two flows with this key apart.
    fn is_indistinct(&self, tuples: &Tuples) -> bool {
        self.id.is_none() && tuples.are_shared()
    }
}

/// A flow whose end was not seen yet. Some 210 bytes with its key.
#[derive(Clone, Copy, Debug)]
struct Open {
    client: Endpoint,
    target: Destination,
    zone_original: u16,
    is_known: bool,
    id: Option<u32>,
    mark: u32,
    status: Status,
    start: Bound,
    last_seen: Timestamp,
    traffic: Option<Traffic>,
    age: u64,
    /// Further open flows that cannot be told from this one, with a `copy` of 1 and up (0 nearly always).
    others: u32,
}

impl Open {
    fn new(sighting: &Sighting, start: Bound, age: u64) -> Self {
        Self {
            client: sighting.tuples.client,
            target: sighting.tuples.target,
            zone_original: sighting.tuples.zones.original,
            is_known: false,
            id: sighting.id,
            mark: sighting.mark,
            status: sighting.status,
            start,
            last_seen: sighting.instant().unwrap_or(Timestamp::MIN),
            traffic: sighting.traffic,
            age,
            others: 0,
        }
    }

    fn is_the_one_of(&self, sighting: &Sighting) -> bool {
        let same_id = match (self.id, sighting.id) {
            (Some(a), Some(b)) => a == b,
            _ => true,
        };
        same_id && self.client == sighting.tuples.client && self.target == sighting.tuples.target
    }

    fn tuples(&self, key: &Key) -> Tuples {
        Tuples {
            protocol: key.protocol,
            zones: Zones { original: self.zone_original, reply: key.zone },
            client: self.client,
            target: self.target,
            server: key.server,
            masked: key.masked,
        }
    }
}

impl Pairer {
    /// How many open flows fit into about 100 MiB.
    pub const MAX_OPEN: usize = 450_000;

    /// Flows will have this origin (with the zones of their lines). At most `max_open` flows are kept open, at least 4.
    pub fn new(origin: Origin, max_open: usize) -> Self {
        let last_origin = origin.clone().shared();
        Self { origin, last_origin, open: FxHashMap::default(), max_open: max_open.max(4), next_age: 0 }
    }

    /// Flows whose end has not been seen.
    pub fn open(&self) -> usize {
        self.open.len()
    }

    /// Takes a line's sighting; gives out each flow whose end is thereby known. Hot: guarded by `benches/import.rs`.
    pub fn push(&mut self, sighting: &Sighting, give: &mut impl FnMut(Paired)) {
        match sighting.event {
            Event::Whole => self.give_whole(sighting, give),
            Event::New => self.begun(sighting, give),
            Event::Update | Event::Listed => self.alive(sighting, give),
            Event::Destroy => self.ended(sighting, give),
        }
    }

    /// Gives a copy of each flow that is open now. They stay open, and are known from then on.
    pub fn give_open(&mut self, give: &mut impl FnMut(Paired)) {
        let keys: Vec<Key> = self.open.keys().copied().collect();
        for key in keys {
            if let Some(open) = self.open.get(&key).copied() {
                self.give(&key, &open, open.start, Bound::Unknown, give);
            }
        }
        self.mark_known();
    }

    /// What is open now was given out before, with an unknown end: by [`Pairer::give_open`], or by an earlier import.
    pub fn mark_known(&mut self) {
        for open in self.open.values_mut() {
            open.is_known = true;
        }
    }

    /// The log is at its end: gives out what is still open, the oldest first.
    pub fn finish(&mut self, give: &mut impl FnMut(Paired)) {
        self.give_oldest(self.open.len(), give);
    }

    fn begun(&mut self, sighting: &Sighting, give: &mut impl FnMut(Paired)) {
        let key = Key::of(sighting);
        let start = if sighting.start.is_closed() { sighting.start } else { sighting.at };
        let mut fresh = Open::new(sighting, start, self.age());
        if key.is_indistinct(&sighting.tuples)
            && let Some(first) = self.open.get_mut(&key)
        {
            first.others += 1;
            let copy = first.others;
            return self.keep(Key { copy, ..key }, fresh, give);
        }
        if let Some(earlier) = self.open.remove(&key) {
            if earlier.id.is_some() && earlier.is_the_one_of(sighting) && earlier.id == sighting.id {
                // The same line twice, as in logs that overlap.
                fresh.start =
                    if earlier.start.earliest() <= start.earliest() { earlier.start } else { start };
                fresh.is_known = earlier.is_known;
            } else {
                let end = between(earlier.last_seen, sighting.instant());
                self.give(&key, &earlier, earlier.start, end, give);
            }
        }
        self.keep(key, fresh, give);
    }

    fn alive(&mut self, sighting: &Sighting, give: &mut impl FnMut(Paired)) {
        let key = Key::of(sighting);
        let now = sighting.instant().unwrap_or(Timestamp::MIN);
        let mut not_before = Timestamp::MIN;
        if let Some(open) = self.open.get_mut(&key) {
            if open.is_the_one_of(sighting) {
                open.last_seen = open.last_seen.max(now);
                open.status.0 |= sighting.status.0;
                open.mark = sighting.mark;
                open.id = open.id.or(sighting.id);
                open.traffic = sighting.traffic.or(open.traffic);
                return;
            }
            not_before = open.last_seen;
            let earlier = *open;
            self.open.remove(&key);
            self.give(&key, &earlier, earlier.start, between(earlier.last_seen, Some(now)), give);
        }
        let start = if sighting.start.is_closed() { sighting.start } else { between(not_before, Some(now)) };
        let fresh = Open::new(sighting, start, self.age());
        self.keep(key, fresh, give);
    }

    fn ended(&mut self, sighting: &Sighting, give: &mut impl FnMut(Paired)) {
        let key = Key::of(sighting);
        let Some(open) = self.open.get_mut(&key).filter(|open| open.is_the_one_of(sighting)) else {
            let start = if sighting.start.is_closed() {
                sighting.start
            } else {
                // Alive for its lifetime at least; how long before the line it ended is not known.
                let lifetime =
                    Duration::from_secs(u64::from(sighting.lifetime_seconds.unwrap_or(0).saturating_sub(1)));
                Bound::Between(Timestamp::MIN, sighting.at.latest() - lifetime)
            };
            let lone = Open::new(sighting, start, 0);
            self.give(&key, &lone, start, end_of(sighting, start), give);
            return;
        };
        let mut open_now = *open;
        let copy = open.others;
        open.others = copy.saturating_sub(1);
        if let Some(last) = self.open.remove(&Key { copy, ..key }).filter(|_| copy > 0) {
            // It may be the end of any of them: both, the one that ended and the one that is left, began in this stretch.
            open_now.start = hull(open_now.start, last.start);
            if let Some(first) = self.open.get_mut(&key) {
                first.start = open_now.start;
            }
        }
        let start = start_of(open_now.start, sighting.start);
        open_now.status.0 |= sighting.status.0;
        open_now.mark = sighting.mark;
        open_now.traffic = sighting.traffic.or(open_now.traffic);
        open_now.id = sighting.id.or(open_now.id);
        self.give(&key, &open_now, start, end_of(sighting, start), give);
    }

    fn give_whole(&mut self, sighting: &Sighting, give: &mut impl FnMut(Paired)) {
        let lone = Open::new(sighting, sighting.start, 0);
        self.give(&Key::of(sighting), &lone, sighting.start, sighting.end, give);
    }

    fn age(&mut self) -> u64 {
        self.next_age += 1;
        self.next_age
    }

    fn keep(&mut self, key: Key, fresh: Open, give: &mut impl FnMut(Paired)) {
        if self.open.len() >= self.max_open {
            self.give_oldest(self.max_open / 4, give);
        }
        self.open.insert(key, fresh);
    }

    /// Gives out the `count` oldest open flows. Linear in the number of open flows, and called once per quarter of them.
    fn give_oldest(&mut self, count: usize, give: &mut impl FnMut(Paired)) {
        let mut ages: Vec<(u64, Key)> = self.open.iter().map(|(key, open)| (open.age, *key)).collect();
        if count < ages.len() && count > 0 {
            ages.select_nth_unstable_by_key(count - 1, |(age, _)| *age);
        }
        ages.truncate(count);
        ages.sort_unstable_by_key(|(age, _)| *age);
        for (_, key) in ages {
            if let Some(open) = self.open.remove(&key) {
                self.give(&key, &open, open.start, Bound::Unknown, give);
            }
        }
    }

    fn give(&mut self, key: &Key, open: &Open, start: Bound, end: Bound, give: &mut impl FnMut(Paired)) {
        let tuples = open.tuples(key);
        if self.last_origin.zones != tuples.zones {
            self.last_origin = self.origin.clone().with_zones(tuples.zones).shared();
        }
        let flow = Flow {
            origin: Arc::clone(&self.last_origin),
            protocol: tuples.protocol,
            client: tuples.client,
            target: tuples.target,
            server: tuples.server,
            masked: tuples.masked,
            mark: open.mark,
            status: open.status,
            start,
            end,
            traffic: open.traffic,
            kernel_id: open.id,
        };
        give(Paired { flow, is_known: open.is_known });
    }
}

/// Both sightings, in order: the clock may have stepped back between them.
fn between(earlier: Timestamp, later: Option<Timestamp>) -> Bound {
    let later = later.unwrap_or(Timestamp::MAX);
    Bound::Between(earlier.min(later), later.max(earlier))
}

/// All that either bound allows.
fn hull(a: Bound, b: Bound) -> Bound {
    Bound::Between(a.earliest().min(b.earliest()), a.latest().max(b.latest()))
}

/// The start, from what was known of it and what DESTROY tells. The kernel's own is the truth; NEW's reading narrows a start
/// that was cut to the second.
fn start_of(known: Bound, told: Bound) -> Bound {
    match (known, told) {
        (known, Bound::Unknown | Bound::Open | Bound::Between(Timestamp::MIN, _)) => known,
        (Bound::Read(read), Bound::Read(told)) => Bound::Read(read.min(told)),
        (Bound::Read(read), Bound::Between(from, to)) if from <= read => Bound::Between(from, to.min(read)),
        (_, told) => told,
    }
}

/// The end that DESTROY tells, directly or by the flow's lifetime.
fn end_of(sighting: &Sighting, start: Bound) -> Bound {
    if sighting.end.is_closed() {
        return sighting.end;
    }
    let (Some(lifetime), true) = (sighting.lifetime_seconds, start.earliest().is_finite()) else {
        return sighting.at;
    };
    // The whole seconds of end and start differ by the lifetime, so the end is less than a second off either way.
    let lifetime = Duration::from_secs(u64::from(lifetime));
    let second = Duration::from_secs(1);
    let latest = (start.latest() + lifetime + second).min(sighting.at.latest());
    let earliest = (start.earliest() + lifetime - second).max(start.earliest()).min(latest);
    Bound::Between(earliest, latest)
}
