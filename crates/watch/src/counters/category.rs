//! The counters of one category: a slab of keys, a slab of ticks, and a hand that goes around.
//!
//! ```text
//!  index ──► keys   [ 203.0.113.7 · live 3 · head ]──► ticks  (expiry, count)──►(expiry, count)──►∎   soonest first
//!                     ▲ hand: frees what has expired; when all places are taken, the lightest that it sees gives way
//! ```
//!
//! Each raise does a bounded amount of work: it drops the ticks of its own key that are over (each tick is dropped once),
//! and the hand looks at two further keys. So what nobody counts any more is freed by those who count, with no timer.
//!
//! Everything here is decided by the order of calls and their arguments alone. The index is only ever asked, never
//! walked, and [`saved`](super::saved) keeps who stands where: replaying a log on a snapshot gives the same counters,
//! down to those that had to give way.

use std::hash::BuildHasher;

use foldhash::quality::RandomState;
use hashbrown::HashTable;
use unmasq_flow::Timestamp;

#[cfg(test)]
use super::saved::Saved;
use super::{Key, Limits};

/// No place.
pub(super) const NONE: u32 = u32::MAX;
/// Up to so many ticks of a key are exact. Further ones are joined with the one before if they would be over within a
/// [`FINENESS`]th of the time that they are kept.
const EXACT: u32 = 128;
const FINENESS: i64 = 256;
/// How many keys are looked at when one must give way.
const SAMPLE: u32 = 8;

/// Raises that expire together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tick {
    pub(super) expiry: Timestamp,
    pub(super) count: u32,
    /// The next in time, or the next free place.
    next: u32,
}

/// A key and what is counted for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counter {
    pub(super) key: Key,
    /// While it lasts nothing is counted; `Timestamp::MIN` for none.
    pub(super) grace: Timestamp,
    /// When its latest tick expires; `Timestamp::MIN` before the first. It spares a look at that tick.
    last: Timestamp,
    /// First and last of its ticks; of a free place, the next one.
    pub(super) head: u32,
    tail: u32,
    /// How many ticks are listed.
    pub(super) ticks: u32,
    /// Sum of the ticks' counts.
    live: u32,
    /// Raises that never expire.
    pub(super) lasting: u32,
}

impl Counter {
    pub(super) const VACANT: Self = Self {
        key: Key::VACANT,
        grace: Timestamp::MIN,
        last: Timestamp::MIN,
        head: NONE,
        tail: NONE,
        ticks: 0,
        live: 0,
        lasting: 0,
    };

    fn count(&self) -> u64 {
        u64::from(self.live) + u64::from(self.lasting)
    }
}

/// What a category holds, and what it had to give up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Keys held; some may have expired and not been freed yet.
    pub keys: usize,
    /// Ticks held: raises that expire at different moments.
    pub ticks: usize,
    /// Counters that had to give way before their time.
    pub evicted: u64,
    /// Raises that were joined with an earlier one of their key, and expire with it.
    pub joined: u64,
    /// Bytes of memory.
    pub bytes: usize,
}

#[derive(Debug)]
pub(crate) struct Category {
    pub(super) limits: Limits,
    hasher: RandomState,
    index: HashTable<u32>,
    pub(super) counters: Vec<Counter>,
    pub(super) free_counter: u32,
    ticks: Vec<Tick>,
    free_tick: u32,
    pub(super) used_ticks: usize,
    pub(super) hand: u32,
    pub(super) evicted: u64,
    joined: u64,
}

impl Category {
    pub(crate) fn new(limits: Limits) -> Self {
        let limits = Limits {
            keys: limits.keys.clamp(1, NONE as usize - 1),
            ticks: limits.ticks.clamp(1, NONE as usize - 1),
        };
        Self {
            limits,
            hasher: RandomState::default(),
            index: HashTable::new(),
            counters: Vec::new(),
            free_counter: NONE,
            ticks: Vec::new(),
            free_tick: NONE,
            used_ticks: 0,
            hand: 0,
            evicted: 0,
            joined: 0,
        }
    }

    /// Hot: `benches/state.rs` guards it. `expiry` is `Timestamp::MAX` for a raise that lasts.
    pub(crate) fn raise(&mut self, key: &Key, expiry: Timestamp, now: Timestamp) -> u64 {
        self.turn(2, now);
        let place = match self.find(key) {
            Some(place) => place,
            None => self.enter(key, now),
        };
        self.drop_expired(place, now);
        let counter = &mut self.counters[place as usize];
        if counter.grace > now {
            return 0;
        }
        counter.grace = Timestamp::MIN;
        if expiry == Timestamp::MAX {
            counter.lasting = counter.lasting.saturating_add(1);
        } else if expiry > now {
            self.add_tick(place, expiry, now);
        }
        self.counters[place as usize].count()
    }

    pub(crate) fn count(&self, key: &Key, now: Timestamp) -> u64 {
        let Some(place) = self.find(key) else { return 0 };
        let counter = &self.counters[place as usize];
        let live: u64 =
            self.listed(*counter).filter(|tick| tick.expiry > now).map(|tick| u64::from(tick.count)).sum();
        live + u64::from(counter.lasting)
    }

    /// With a grace (`until`), nothing is counted for that long. Without one, a grace that is active goes on.
    pub(crate) fn reset(&mut self, key: &Key, until: Option<Timestamp>, now: Timestamp) {
        self.turn(2, now);
        match (self.find(key), until.filter(|until| *until > now)) {
            (Some(place), until) => {
                self.drop_ticks(place);
                let counter = &mut self.counters[place as usize];
                counter.lasting = 0;
                if let Some(until) = until {
                    counter.grace = until;
                }
                if counter.grace <= now {
                    self.leave(place);
                }
            }
            (None, Some(until)) => {
                let place = self.enter(key, now);
                self.counters[place as usize].grace = until;
            }
            (None, None) => {}
        }
    }

    /// What is alive, in any order.
    #[cfg(test)]
    pub(super) fn alive(&self, now: Timestamp) -> Vec<Saved> {
        let held = self.counters.iter().filter(|counter| !counter.key.is_vacant());
        let mut alive: Vec<Saved> = held
            .map(|counter| Saved {
                key: counter.key,
                grace: Some(counter.grace).filter(|grace| *grace > now),
                lasting: counter.lasting,
                ticks: self
                    .listed(*counter)
                    .filter(|t| t.expiry > now)
                    .map(|t| (t.expiry, t.count))
                    .collect(),
            })
            .collect();
        alive.retain(|saved| saved.grace.is_some() || saved.lasting > 0 || !saved.ticks.is_empty());
        alive.sort_by_key(|saved| saved.key);
        alive
    }

    pub(crate) fn usage(&self) -> Usage {
        Usage {
            keys: self.index.len(),
            ticks: self.used_ticks,
            evicted: self.evicted,
            joined: self.joined,
            bytes: self.counters.capacity() * size_of::<Counter>()
                + self.ticks.capacity() * size_of::<Tick>()
                + self.index.allocation_size(),
        }
    }

    fn hash(&self, key: &Key) -> u64 {
        self.hasher.hash_one(key)
    }

    pub(super) fn find(&self, key: &Key) -> Option<u32> {
        self.index.find(self.hash(key), |&place| self.counters[place as usize].key == *key).copied()
    }

    /// A key's ticks, soonest first.
    pub(super) fn listed(&self, counter: Counter) -> impl Iterator<Item = &Tick> {
        let first = self.ticks.get(counter.head as usize);
        std::iter::successors(first, |tick| self.ticks.get(tick.next as usize))
    }

    /// A place for a new key; another gives way if there is none.
    pub(super) fn enter(&mut self, key: &Key, now: Timestamp) -> u32 {
        if self.index.len() >= self.limits.keys {
            self.evict(now, NONE);
        }
        let place = if self.free_counter == NONE {
            push(&mut self.counters, Counter::VACANT);
            self.counters.len() as u32 - 1
        } else {
            let place = self.free_counter;
            self.free_counter = self.counters[place as usize].head;
            place
        };
        self.occupy(place, key);
        place
    }

    /// A key gets a place that is free and not in the list of free ones.
    pub(super) fn occupy(&mut self, place: u32, key: &Key) {
        self.counters[place as usize] = Counter { key: *key, ..Counter::VACANT };
        let (hash, hasher, counters) = (self.hash(key), &self.hasher, &self.counters);
        self.index.insert_unique(hash, place, |&other| hasher.hash_one(counters[other as usize].key));
    }

    fn leave(&mut self, place: u32) {
        self.drop_ticks(place);
        let hash = self.hash(&self.counters[place as usize].key);
        if let Ok(entry) = self.index.find_entry(hash, |&other| other == place) {
            entry.remove();
        }
        self.counters[place as usize] = Counter { head: self.free_counter, ..Counter::VACANT };
        self.free_counter = place;
    }

    /// The hand goes on: keys with nothing alive are freed.
    fn turn(&mut self, steps: u32, now: Timestamp) {
        for _ in 0..steps.min(self.counters.len() as u32) {
            let place = self.advance();
            self.free_if_over(place, now);
        }
    }

    fn advance(&mut self) -> u32 {
        let place = if self.hand as usize >= self.counters.len() { 0 } else { self.hand };
        self.hand = place + 1;
        place
    }

    fn free_if_over(&mut self, place: u32, now: Timestamp) -> bool {
        let counter = &self.counters[place as usize];
        if counter.key.is_vacant() || counter.lasting > 0 || counter.grace > now || counter.last > now {
            return false;
        }
        self.leave(place);
        true
    }

    /// Makes room for a key: of a few that stand evenly apart, from the hand on, what is over is freed, else the one with
    /// the fewest ticks gives way, of equal ones that which expires first. So a flood of addresses with a tick or two
    /// each pushes out its own, and who is counted often stays. (Apart, because those who were there first stand side by
    /// side.) A grace is as heavy as anything can be: it protects somebody.
    fn evict(&mut self, now: Timestamp, spare: u32) {
        let count = self.counters.len() as u32;
        let from = self.advance();
        let apart = (count / SAMPLE).max(1);
        let sample =
            (0..SAMPLE.min(count)).map(|nth| (u64::from(from) + u64::from(nth * apart)) % u64::from(count));
        let mut seen: Vec<u32> =
            sample.map(|place| place as u32).filter(|place| self.may_go(*place, spare)).collect();
        if seen.is_empty() {
            // Hardly a place is taken: ticks are scarce, not keys.
            seen.extend((0..count).find(|place| self.may_go(*place, spare)));
        }
        if seen.iter().any(|place| self.free_if_over(*place, now)) {
            return;
        }
        let weight = |place: &u32| {
            let counter = &self.counters[*place as usize];
            let last = if counter.lasting > 0 { Timestamp::MAX } else { counter.last };
            (if counter.grace > now { u64::MAX } else { counter.count() }, last)
        };
        if let Some(lightest) = seen.into_iter().min_by_key(weight) {
            self.leave(lightest);
            self.evicted += 1;
        }
    }

    fn may_go(&self, place: u32, spare: u32) -> bool {
        place != spare && !self.counters[place as usize].key.is_vacant()
    }

    fn drop_expired(&mut self, place: u32, now: Timestamp) {
        loop {
            let counter = &mut self.counters[place as usize];
            let head = counter.head;
            let Some(&tick) = self.ticks.get(head as usize) else { return };
            if tick.expiry > now {
                return;
            }
            counter.head = tick.next;
            counter.ticks -= 1;
            counter.live -= tick.count;
            if tick.next == NONE {
                counter.tail = NONE;
            }
            self.free_one(head);
        }
    }

    fn drop_ticks(&mut self, place: u32) {
        let counter = &mut self.counters[place as usize];
        let mut next = counter.head;
        (counter.head, counter.tail, counter.ticks, counter.live) = (NONE, NONE, 0, 0);
        counter.last = Timestamp::MIN;
        while let Some(tick) = self.ticks.get(next as usize) {
            let freed = std::mem::replace(&mut next, tick.next);
            self.free_one(freed);
        }
    }

    fn free_one(&mut self, tick: u32) {
        self.ticks[tick as usize].next = self.free_tick;
        self.free_tick = tick;
        self.used_ticks -= 1;
    }

    /// Adds a raise to the ticks of a key, which stay in the order of their expiry.
    fn add_tick(&mut self, place: u32, expiry: Timestamp, now: Timestamp) {
        let counter = self.counters[place as usize];
        let before = if counter.last <= expiry {
            // Nearly always: what is raised later expires later. (And no tick is `NONE`.)
            counter.tail
        } else {
            // Two steps keep the same counter for different times.
            self.last_until(&counter, expiry)
        };
        if let Some(tick) = self.ticks.get(before as usize).copied() {
            let fineness = (expiry.as_nanos().saturating_sub(now.as_nanos())) / FINENESS;
            let apart = expiry.as_nanos().saturating_sub(tick.expiry.as_nanos());
            let is_crowded = counter.ticks >= EXACT && apart <= fineness;
            if apart == 0 || is_crowded {
                self.joined += u64::from(apart > 0);
                self.join(place, before);
                return;
            }
        }
        if self.used_ticks >= self.limits.ticks {
            // No room: the raise expires with an earlier one of its key, if there is one, rather than later than it
            // should. Nobody is counted for longer than was configured.
            if before != NONE {
                self.joined += 1;
                self.join(place, before);
                return;
            }
            self.evict(now, place);
            if self.used_ticks >= self.limits.ticks {
                // This key itself has all the ticks there may be, all of them later than this one.
                self.joined += 1;
                return;
            }
        }
        let tick = self.take_tick(Tick { expiry, count: 1, next: NONE });
        let next = match self.ticks.get_mut(before as usize) {
            Some(earlier) => std::mem::replace(&mut earlier.next, tick),
            None => std::mem::replace(&mut self.counters[place as usize].head, tick),
        };
        self.ticks[tick as usize].next = next;
        let counter = &mut self.counters[place as usize];
        if next == NONE {
            (counter.tail, counter.last) = (tick, expiry);
        }
        counter.ticks += 1;
        counter.live += 1;
    }

    pub(super) fn append_tick(&mut self, place: u32, expiry: Timestamp, count: u32) {
        let tick = self.take_tick(Tick { expiry, count, next: NONE });
        let counter = &mut self.counters[place as usize];
        match self.ticks.get_mut(counter.tail as usize) {
            Some(last) => last.next = tick,
            None => counter.head = tick,
        }
        (counter.tail, counter.last) = (tick, expiry.max(counter.last));
        counter.ticks += 1;
        counter.live = counter.live.saturating_add(count);
    }

    fn join(&mut self, place: u32, tick: u32) {
        let (tick, counter) = (&mut self.ticks[tick as usize], &mut self.counters[place as usize]);
        if counter.live < u32::MAX {
            tick.count += 1;
            counter.live += 1;
        }
    }

    fn take_tick(&mut self, tick: Tick) -> u32 {
        self.used_ticks += 1;
        if self.free_tick == NONE {
            push(&mut self.ticks, tick);
            return self.ticks.len() as u32 - 1;
        }
        let place = self.free_tick;
        self.free_tick = self.ticks[place as usize].next;
        self.ticks[place as usize] = tick;
        place
    }

    /// The last tick of a key that expires at `expiry` or before.
    fn last_until(&self, counter: &Counter, expiry: Timestamp) -> u32 {
        let (mut before, mut next) = (NONE, counter.head);
        while let Some(tick) = self.ticks.get(next as usize).filter(|tick| tick.expiry <= expiry) {
            before = std::mem::replace(&mut next, tick.next);
        }
        before
    }
}

/// Grows by a quarter where a vector doubles: at its bound a slab takes all that it has.
fn push<T>(slab: &mut Vec<T>, item: T) {
    if slab.len() == slab.capacity() {
        slab.reserve_exact(slab.len() / 4 + 16);
    }
    slab.push(item);
}
