//! The book: the flows alive now or lately, in memory, indexed by what the far side sees.
//!
//! ```text
//!   NEW ─ open ─┐                      ┌─ find    (masked endpoint, protocol, server, period → flows)
//!   dump ─ list ┼─► slots + 3 indexes ─┼─ live    (to carry into a new hour)
//!   DESTROY end ┘                      └─ expire  (exact: an ended flow leaves `keep_ended` after its end was learnt)
//! ```
//!
//! A flow costs one [`slot`] and an entry in up to three hash tables that hold slot numbers only. Flows that share
//! a masked endpoint, or a whole reply tuple, hang in a doubly linked chain, newest first: a port that thousands of
//! flows share (one client socket toward many servers) is still entered, left and asked for in constant time when
//! the server is given. `find` and `end` are hot; `benches/book.rs` guards them.

mod slot;

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hasher};
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use self::slot::{Chain, Link, NONE, Slab, Slot};
use crate::{Bound, Destination, Endpoint, Flow, Origin, Period, Protocol, Selector, Timestamp};

/// How much a book may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most memory, in bytes, for slots and indexes at their fullest.
    pub max_bytes: usize,
    /// How long a flow can still be found after its end was learnt. Exact, unless memory runs out before.
    pub keep_ended: Duration,
}

/// What opening a flow found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It was not known.
    Opened,
    /// It was known, and is brought up to date.
    Known,
    /// It was known to have ended; the news is stale and changes nothing.
    Stale,
    /// Another flow with the same original tuple was thought alive: its end was missed. Here it is, ended.
    Replaced(Box<Flow>),
}

/// A flow that ended, completed with what the book knew of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The flow. Its start, mark and kernel id come from the book where the news of the end lacked them.
    pub flow: Flow,
    /// Had it been opened here?
    pub was_known: bool,
}

/// The book is full of living flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the book is full: {flows} live flows in {max_bytes} bytes; raise its memory limit")]
pub struct BookFull {
    /// Live flows held.
    pub flows: usize,
    /// The limit.
    pub max_bytes: usize,
}

/// The question that a book answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The endpoint as the far side saw it. Without a selector: every flow at that address, by a scan.
    pub masked: Endpoint,
    /// The protocol, if known.
    pub protocol: Option<Protocol>,
    /// The far endpoint, if known; without a selector, every flow toward that address.
    pub server: Option<Endpoint>,
    /// When.
    pub period: Period,
}

/// Counts since the book was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Flows alive.
    pub live: usize,
    /// Flows ended and not yet forgotten.
    pub ended: usize,
    /// Ended flows that were forgotten early because memory ran out.
    pub evicted: u64,
    /// Flows refused because the book was full of living ones.
    pub refused: u64,
}

/// The live index: see the picture at the head of its module.
#[derive(Debug)]
pub struct Book {
    limits: Limits,
    max_flows: usize,
    hasher: RandomState,
    slots: Slab,
    origins: Vec<Arc<Origin>>,
    /// Live flows by origin, protocol and original tuple, which the kernel keeps unique.
    by_original: HashTable<u32>,
    /// Heads of the chains of flows at one masked endpoint.
    by_masked: HashTable<u32>,
    /// Heads of the chains of flows with one protocol, masked and server endpoint.
    by_reply: HashTable<u32>,
    /// Ended flows in the order in which their ends were learnt.
    ended: VecDeque<u32>,
    /// Number of the sighting (dump) under way or last made.
    sighting: u32,
    stats: Stats,
}

impl Book {
    /// Most bytes that one flow can take: its slot, and an entry (number, control byte) in each of three tables that
    /// have just doubled, and its place in the queue of ended flows. Counters, and bounds that are ranges, are boxed
    /// apart (64 bytes), which live flows seldom have.
    pub const BYTES_PER_FLOW: usize = size_of::<Slot>() + 3 * 12 + 8;

    /// An empty book.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            max_flows: (limits.max_bytes / Self::BYTES_PER_FLOW).clamp(1, NONE as usize - 1),
            hasher: RandomState::default(),
            slots: Slab::default(),
            origins: Vec::new(),
            by_original: HashTable::new(),
            by_masked: HashTable::new(),
            by_reply: HashTable::new(),
            ended: VecDeque::new(),
            sighting: 0,
            stats: Stats::default(),
        }
    }

    /// A flow began (a NEW event), or had an update.
    ///
    /// # Errors
    /// [`BookFull`] if every flow that memory allows is alive; the flow is not entered.
    pub fn open(&mut self, flow: &Flow, now: Timestamp) -> Result<Seen, BookFull> {
        let origin = self.intern(&flow.origin);
        let slot = Slot::pack(flow, origin);
        let hash = self.hash_original(&slot);
        let known = self.by_original.find(hash, |&i| self.slots[i].same_original(&slot)).copied();
        let Some(index) = known else {
            self.enter(slot, hash)?;
            return Ok(Seen::Opened);
        };
        if self.slots[index].is_same_flow(&slot) {
            let sighting = self.sighting;
            self.slots[index].update(&slot, sighting);
            return Ok(Seen::Known);
        }
        // The kernel reuses a tuple only after it has let go of the flow before, so we missed that one's end.
        let mut replaced = self.unpack(index);
        let after = replaced.start.latest();
        replaced.end = Bound::Between(after, flow.start.earliest().max(after));
        self.close(index, &replaced, now);
        self.enter(slot, hash)?;
        Ok(Seen::Replaced(Box::new(replaced)))
    }

    /// A flow was listed in a dump of the kernel's table.
    ///
    /// # Errors
    /// As [`Book::open`].
    pub fn list(&mut self, flow: &Flow, now: Timestamp) -> Result<Seen, BookFull> {
        // A dump is read while events arrive: what it lists can have ended by an event that was read first.
        let origin = self.intern(&flow.origin);
        let slot = Slot::pack(flow, origin);
        let head = self.by_reply.find(self.hash_reply(&slot), |&i| self.slots[i].same_reply(&slot)).copied();
        let is_stale = self.chain(head, Chain::Reply).any(|i| {
            let other = &self.slots[i];
            !other.is_live() && other.same_original(&slot) && other.is_same_flow(&slot)
        });
        if is_stale { Ok(Seen::Stale) } else { self.open(flow, now) }
    }

    /// A flow ended (a DESTROY event). Complete in itself, so it counts even if the flow was not known; then it is
    /// not entered. `now` starts the time for which it can still be found.
    pub fn end(&mut self, mut flow: Flow, now: Timestamp) -> Ended {
        let origin = self.intern(&flow.origin);
        let slot = Slot::pack(&flow, origin);
        let hash = self.hash_original(&slot);
        let found = self
            .by_original
            .find(hash, |&i| self.slots[i].same_original(&slot) && self.slots[i].is_same_flow(&slot))
            .copied();
        let Some(index) = found else {
            return Ended { flow, was_known: false };
        };
        let known = self.unpack(index);
        // Of two exact ones the first told stays: by it the ledger's rows of the flow are known to be of one.
        if matches!(known.start, Bound::Exact(_)) || !matches!(flow.start, Bound::Exact(_)) {
            flow.start = known.start;
        }
        if flow.mark == 0 {
            flow.mark = known.mark;
        }
        flow.status.0 |= known.status.0;
        flow.kernel_id = flow.kernel_id.or(known.kernel_id);
        flow.traffic = flow.traffic.or(known.traffic);
        self.close(index, &flow, now);
        Ended { flow, was_known: true }
    }

    /// A dump begins: from now on, what is listed or opened counts as seen.
    pub fn begin_sighting(&mut self) {
        self.sighting = self.sighting.wrapping_add(1);
    }

    /// The dump of `namespace` that began at `at` is complete: ends its live flows that it did not list, and gives
    /// them. Their end lies between `before`, the sighting of that namespace before this one, or their start if that
    /// is later, and `at`. One dump at a time: a second may begin only after this.
    pub fn end_unseen(
        &mut self,
        namespace: &str,
        before: Timestamp,
        at: Timestamp,
        now: Timestamp,
    ) -> Vec<Flow> {
        let unseen: Vec<u32> = self
            .slots
            .iter()
            .filter(|(_, s)| s.is_live() && s.sighting != self.sighting)
            .filter(|(_, s)| *self.origins[usize::from(s.origin)].namespace == *namespace)
            .map(|(i, _)| i)
            .collect();
        unseen
            .into_iter()
            .map(|index| {
                let mut flow = self.unpack(index);
                let after = flow.start.latest().max(before).min(at);
                flow.end = Bound::Between(after, at);
                self.close(index, &flow, now);
                flow
            })
            .collect()
    }

    /// Forgets the flows whose end was learnt more than `keep_ended` before `now`.
    pub fn expire(&mut self, now: Timestamp) {
        while let Some(&index) = self.ended.front() {
            if !self.is_past(&self.slots[index], now) {
                break;
            }
            self.ended.pop_front();
            self.forget(index);
        }
    }

    /// The flows that answer the question, as far as they can have been alive in its period. An ended flow is given
    /// for exactly `keep_ended` after its end was learnt, whether [`Book::expire`] was called or not.
    pub fn find(&self, ask: &Ask, now: Timestamp) -> Vec<Flow> {
        let wanted = |index: &u32| {
            let slot = &self.slots[*index];
            !self.is_past(slot, now)
                && ask.protocol.is_none_or(|p| p == slot.protocol)
                && ask.masked.covers(slot.masked())
                && ask.server.is_none_or(|s| matches!(slot.server(), Destination::Kept(e) if s.covers(e)))
        };
        let flows = |indexes: &mut dyn Iterator<Item = u32>| -> Vec<Flow> {
            indexes.filter(wanted).map(|i| self.unpack(i)).filter(|f| f.overlaps(ask.period)).collect()
        };
        if ask.masked.selector == Selector::None {
            return flows(&mut self.slots.iter().map(|(i, _)| i));
        }
        if let (Some(protocol), Some(server)) = (ask.protocol, ask.server)
            && server.selector != Selector::None
        {
            let key = Slot::reply_key(protocol, ask.masked, server);
            let head =
                self.by_reply.find(self.hash_reply(&key), |&i| self.slots[i].same_reply(&key)).copied();
            return flows(&mut self.chain(head, Chain::Reply));
        }
        let key = Slot::masked_key(ask.masked);
        let head = self.by_masked.find(self.hash_masked(&key), |&i| self.slots[i].same_masked(&key)).copied();
        flows(&mut self.chain(head, Chain::Masked))
    }

    /// The flows that are alive.
    pub fn live(&self) -> impl Iterator<Item = Flow> + '_ {
        self.slots.iter().filter(|(_, slot)| slot.is_live()).map(|(index, _)| self.unpack(index))
    }

    /// The flows, alive or lately ended, of one client address, by a scan.
    pub fn of_client(&self, address: std::net::IpAddr, now: Timestamp) -> impl Iterator<Item = Flow> + '_ {
        self.slots
            .iter()
            .filter(move |(_, slot)| slot.client().address == address && !self.is_past(slot, now))
            .map(|(index, _)| self.unpack(index))
    }

    /// Counts.
    pub fn stats(&self) -> Stats {
        Stats { live: self.by_original.len(), ended: self.ended.len(), ..self.stats }
    }

    /// Bytes held now: slots, tables, queue and boxes.
    pub fn bytes(&self) -> usize {
        let tables = [&self.by_original, &self.by_masked, &self.by_reply];
        let table_bytes: usize = tables.iter().map(|t| t.allocation_size()).sum();
        self.slots.bytes() + table_bytes + self.ended.capacity() * size_of::<u32>()
    }

    fn is_past(&self, slot: &Slot, now: Timestamp) -> bool {
        !slot.is_live() && now.since(slot.learnt) > self.limits.keep_ended
    }

    fn intern(&mut self, origin: &Arc<Origin>) -> u16 {
        // A gateway has a handful of origins; the pointer is nearly always the one of the flow before.
        if let Some(i) = self.origins.iter().position(|o| Arc::ptr_eq(o, origin)) {
            return i as u16;
        }
        if let Some(i) = self.origins.iter().position(|o| o == origin) {
            return i as u16;
        }
        // Zones are 16 bits, so more than 65,535 origins cannot be told apart here; the last one then stands for all.
        if self.origins.len() < usize::from(u16::MAX) {
            self.origins.push(Arc::clone(origin));
        }
        (self.origins.len() - 1) as u16
    }

    fn unpack(&self, index: u32) -> Flow {
        let slot = &self.slots[index];
        slot.unpack(Arc::clone(&self.origins[usize::from(slot.origin)]))
    }

    fn enter(&mut self, mut slot: Slot, hash: u64) -> Result<(), BookFull> {
        if self.slots.len() >= self.max_flows {
            let Some(oldest) = self.ended.pop_front() else {
                self.stats.refused += 1;
                return Err(BookFull { flows: self.slots.len(), max_bytes: self.limits.max_bytes });
            };
            self.forget(oldest);
            self.stats.evicted += 1;
        }
        slot.sighting = self.sighting;
        let masked_hash = self.hash_masked(&slot);
        let reply_hash = self.hash_reply(&slot);
        let index = self.slots.insert(slot);
        let (slots, hasher) = (&self.slots, &self.hasher);
        self.by_original.insert_unique(hash, index, |&i| hash_of(hasher, |h| slots[i].hash_original(h)));
        self.push(Chain::Masked, masked_hash, index);
        self.push(Chain::Reply, reply_hash, index);
        Ok(())
    }

    /// Puts a slot at the head of its chain.
    fn push(&mut self, chain: Chain, hash: u64, index: u32) {
        let mut table = mem::take(self.table(chain));
        let slots = &self.slots;
        if let Some(head) = table.find_mut(hash, |&i| slots[i].same_in(chain, &slots[index])) {
            let next = mem::replace(head, index);
            self.slots[index].links[chain as usize] = Link { next, previous: NONE };
            self.slots[next].links[chain as usize].previous = index;
        } else {
            let hasher = &self.hasher;
            table.insert_unique(hash, index, |&i| hash_of(hasher, |h| slots[i].hash_in(chain, h)));
        }
        *self.table(chain) = table;
    }

    /// Takes a slot out of its chain.
    fn unlink(&mut self, chain: Chain, index: u32) {
        let Link { next, previous } = self.slots[index].links[chain as usize];
        if next != NONE {
            self.slots[next].links[chain as usize].previous = previous;
        }
        if previous != NONE {
            self.slots[previous].links[chain as usize].next = next;
            return;
        }
        // It was the head, which the table names.
        let hash = hash_of(&self.hasher, |h| self.slots[index].hash_in(chain, h));
        if let Ok(mut entry) = self.table(chain).find_entry(hash, |&i| i == index) {
            if next == NONE {
                entry.remove();
            } else {
                *entry.get_mut() = next;
            }
        }
    }

    fn close(&mut self, index: u32, flow: &Flow, now: Timestamp) {
        let hash = self.hash_original(&self.slots[index]);
        if let Ok(entry) = self.by_original.find_entry(hash, |&i| i == index) {
            entry.remove();
        }
        self.slots[index].end(flow, now);
        self.ended.push_back(index);
    }

    fn forget(&mut self, index: u32) {
        self.unlink(Chain::Masked, index);
        self.unlink(Chain::Reply, index);
        self.slots.remove(index);
    }

    fn chain(&self, head: Option<u32>, chain: Chain) -> impl Iterator<Item = u32> + '_ {
        std::iter::successors(head, move |&i| {
            let next = self.slots[i].links[chain as usize].next;
            (next != NONE).then_some(next)
        })
    }

    fn table(&mut self, chain: Chain) -> &mut HashTable<u32> {
        match chain {
            Chain::Masked => &mut self.by_masked,
            Chain::Reply => &mut self.by_reply,
        }
    }

    fn hash_original(&self, slot: &Slot) -> u64 {
        hash_of(&self.hasher, |h| slot.hash_original(h))
    }

    fn hash_masked(&self, slot: &Slot) -> u64 {
        hash_of(&self.hasher, |h| slot.hash_in(Chain::Masked, h))
    }

    fn hash_reply(&self, slot: &Slot) -> u64 {
        hash_of(&self.hasher, |h| slot.hash_in(Chain::Reply, h))
    }
}

fn hash_of<H: BuildHasher>(build: &H, feed: impl FnOnce(&mut H::Hasher)) -> u64 {
    let mut hasher = build.build_hasher();
    feed(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
