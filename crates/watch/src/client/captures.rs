//! The translations that log lines told of, found by any subset of their words.
//!
//! A replace compares a set of words that its configuration fixes, so there is one index for each set in use; a
//! question costs one look-up however many translations are held. The newest that fits wins: a proxy uses its ports
//! again, and an older line is about an earlier connection.

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hash, Hasher};
use std::time::Duration;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use serde::{Deserialize, Serialize};
use unmasq_flow::Timestamp;

use super::{Client, Masked, Subset};

/// How far the clocks and the writing of two programs' lines may lie apart where a line says when its connection was.
const SLACK: Duration = Duration::from_secs(2);

/// How a connection relates to the line that tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Lasted {
    /// The line does not say.
    Unknown,
    /// It was made when the line was written and goes on (HAProxy's `option logasap`, a firewall's log rule).
    GoesOn,
    /// It ended when the line was written, this long after its start.
    Ended(Duration),
}

impl Lasted {
    /// HAProxy's `%Tt` and its kin, in milliseconds: `1500` ended, `+1500` goes on (`option logasap`), `-1` was
    /// never made. Anything else says nothing.
    pub fn parse(text: &str) -> Self {
        let (is_open, digits) = text.strip_prefix('+').map_or((false, text), |digits| (true, digits));
        match digits.parse() {
            Ok(_) if is_open => Self::GoesOn,
            Ok(milliseconds) => Self::Ended(Duration::from_millis(milliseconds)),
            Err(_) => Self::Unknown,
        }
    }
}

/// A translation that a log line told of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capture {
    /// The client's address (`saddr`), as the line has it.
    pub client: Box<str>,
    /// The client's port (`sport`), if it was captured.
    pub client_port: Option<Box<str>>,
    /// What the service sees.
    pub masked: Masked,
    /// When the line was written.
    pub time: Timestamp,
    /// The last moment at which it is known.
    pub until: Timestamp,
    /// What the line says about the connection's time.
    pub lasted: Lasted,
}

impl Capture {
    /// The last moment of exact retention: `keep` after the line.
    pub fn until_exact(time: Timestamp, keep: Duration) -> Timestamp {
        time + keep
    }

    /// The last moment of Pyruse's retention: buckets of the power of two above `keep` seconds, of which the one after
    /// the line's own is the last (pyruse/dnat.py; P + 1 to 2 P seconds).
    pub fn until_compat(time: Timestamp, keep: Duration) -> Timestamp {
        let bits = u64::BITS - keep.as_secs().leading_zeros();
        let bucket = (time.as_seconds() >> bits) + 1;
        let end = (bucket + 1).checked_shl(bits).unwrap_or(i64::MAX / 1_000_000_000);
        Timestamp::from_nanos(end.saturating_mul(1_000_000_000) - 1)
    }

    /// Can an entry of that moment be of this connection?
    fn fits(&self, moment: Timestamp) -> bool {
        match self.lasted {
            Lasted::Unknown => true,
            Lasted::GoesOn => moment + SLACK >= self.time,
            Lasted::Ended(lasted) => moment + SLACK + lasted >= self.time && moment <= self.time + SLACK,
        }
    }

    fn client(&self) -> Client {
        let port = self.client_port.as_deref().map(|port| format!(":{port}")).unwrap_or_default();
        Client {
            address: self.client.to_string(),
            port: self.client_port.as_deref().map(str::to_owned),
            evidence: format!("log line of {}: {}{port} was {}", self.time, self.client, self.masked),
        }
    }
}

const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Link {
    next: u32,
    previous: u32,
}

/// Translations held, with an index for each set of words that is asked for.
#[derive(Debug)]
pub struct Captures {
    subsets: Vec<Subset>,
    hasher: RandomState,
    held: Vec<Option<Capture>>,
    free: Vec<u32>,
    /// For each slot, its links in the chain of each subset.
    links: Vec<Link>,
    heads: Vec<HashTable<u32>>,
    /// Slots in the order in which they came, each with the number it had then.
    order: VecDeque<(u32, u64)>,
    numbers: Vec<u64>,
    next_number: u64,
    most: usize,
    evicted: u64,
}

impl Captures {
    /// For questions of these sets of words; at most `most` translations, of which the oldest give way.
    pub fn new(subsets: &[Subset], most: usize) -> Self {
        let mut subsets: Vec<Subset> = subsets.iter().copied().filter(|s| !s.is_empty()).collect();
        subsets.sort_unstable();
        subsets.dedup();
        Self {
            heads: subsets.iter().map(|_| HashTable::new()).collect(),
            subsets,
            hasher: RandomState::default(),
            held: Vec::new(),
            free: Vec::new(),
            links: Vec::new(),
            order: VecDeque::new(),
            numbers: Vec::new(),
            next_number: 0,
            most: most.clamp(1, NONE as usize - 1),
            evicted: 0,
        }
    }

    /// Keeps a translation.
    pub fn insert(&mut self, capture: Capture) {
        if self.len() >= self.most && self.forget_oldest() {
            self.evicted += 1;
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.held.push(None);
            self.numbers.push(0);
            self.links.resize(self.held.len() * self.subsets.len(), Link { next: NONE, previous: NONE });
            self.held.len() as u32 - 1
        });
        self.next_number += 1;
        self.numbers[slot as usize] = self.next_number;
        self.order.push_back((slot, self.next_number));
        self.held[slot as usize] = Some(capture);
        for which in 0..self.subsets.len() {
            self.enter(which, slot);
        }
    }

    /// The client of what the service saw at `question.time`: the newest translation that fits and is known at `now`.
    pub fn find(&self, masked: &Masked, subset: Subset, time: Timestamp, now: Timestamp) -> Option<Client> {
        let which = self.subsets.iter().position(|s| *s == subset)?;
        let hash = self.hash(subset, masked)?;
        let head = *self.heads[which].find(hash, |&slot| self.is_same(subset, slot, masked))?;
        let chain = std::iter::successors(Some(head), |&slot| {
            let next = self.links[self.link(which, slot)].next;
            (next != NONE).then_some(next)
        });
        // Logs with whole seconds have many lines of one moment: the later line is the newer.
        chain
            .filter_map(|slot| Some((self.held[slot as usize].as_ref()?, self.numbers[slot as usize])))
            .filter(|(capture, _)| capture.until >= now && capture.fits(time))
            .max_by_key(|(capture, number)| (capture.time, *number))
            .map(|(capture, _)| capture.client())
    }

    /// Forgets what is no longer known at `now`.
    pub fn expire(&mut self, now: Timestamp) {
        // In the order of arrival; one that is kept longer than those behind it only delays them, which `find` does
        // not see.
        while let Some(&(slot, number)) = self.order.front() {
            let is_past = self.numbers[slot as usize] != number
                || self.held[slot as usize].as_ref().is_none_or(|capture| capture.until < now);
            if !is_past {
                return;
            }
            self.forget_oldest();
        }
    }

    /// Those that are held, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Capture> {
        self.order.iter().filter_map(|(slot, _)| self.held[*slot as usize].as_ref())
    }

    /// How many are held.
    pub fn len(&self) -> usize {
        self.held.len() - self.free.len()
    }

    /// Is none held?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many had to give way before their time.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    fn forget_oldest(&mut self) -> bool {
        let Some((slot, _)) = self.order.pop_front() else { return false };
        for which in 0..self.subsets.len() {
            self.leave(which, slot);
        }
        self.held[slot as usize] = None;
        self.free.push(slot);
        true
    }

    fn link(&self, which: usize, slot: u32) -> usize {
        slot as usize * self.subsets.len() + which
    }

    /// `None` where a word that is compared is missing: it equals nothing, not even another missing one.
    fn hash(&self, subset: Subset, masked: &Masked) -> Option<u64> {
        let mut hasher = self.hasher.build_hasher();
        for (place, word) in masked.words.iter().enumerate().filter(|(place, _)| subset.has(*place)) {
            place.hash(&mut hasher);
            word.as_ref()?.hash(&mut hasher);
        }
        Some(hasher.finish())
    }

    fn is_same(&self, subset: Subset, slot: u32, masked: &Masked) -> bool {
        self.held[slot as usize].as_ref().is_some_and(|held| {
            (0..4).filter(|place| subset.has(*place)).all(|p| held.masked.words[p] == masked.words[p])
        })
    }

    fn hash_of(&self, which: usize, slot: u32) -> Option<u64> {
        self.hash(self.subsets[which], &self.held[slot as usize].as_ref()?.masked)
    }

    fn enter(&mut self, which: usize, slot: u32) {
        let link = self.link(which, slot);
        self.links[link] = Link { next: NONE, previous: NONE };
        let Some(hash) = self.hash_of(which, slot) else { return };
        let Some(masked) = self.held[slot as usize].as_ref().map(|held| held.masked.clone()) else { return };
        let mut table = std::mem::take(&mut self.heads[which]);
        let subset = self.subsets[which];
        if let Some(head) = table.find_mut(hash, |&other| self.is_same(subset, other, &masked)) {
            let next = std::mem::replace(head, slot);
            self.links[link].next = next;
            let behind = self.link(which, next);
            self.links[behind].previous = slot;
        } else {
            table.insert_unique(hash, slot, |&other| self.hash_of(which, other).unwrap_or_default());
        }
        self.heads[which] = table;
    }

    fn leave(&mut self, which: usize, slot: u32) {
        let Some(hash) = self.hash_of(which, slot) else { return };
        let Link { next, previous } = self.links[self.link(which, slot)];
        if next != NONE {
            let behind = self.link(which, next);
            self.links[behind].previous = previous;
        }
        if previous != NONE {
            let before = self.link(which, previous);
            self.links[before].next = next;
            return;
        }
        if let Ok(mut entry) = self.heads[which].find_entry(hash, |&head| head == slot) {
            if next == NONE {
                entry.remove();
            } else {
                *entry.get_mut() = next;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use unmasq_entry::Value;

    use super::*;

    fn masked(words: [Option<&str>; 4]) -> Masked {
        Masked::new(words.map(|word| word.map(Value::Text)))
    }

    fn capture(client: &str, words: [Option<&str>; 4], second: i64, keep: u64) -> Capture {
        let time = Timestamp::from_seconds(second);
        Capture {
            client: client.into(),
            client_port: None,
            masked: masked(words),
            time,
            until: Capture::until_exact(time, Duration::from_secs(keep)),
            lasted: Lasted::Unknown,
        }
    }

    const PORT: [bool; 4] = [true, true, false, false];

    #[test]
    fn the_newest_translation_wins() {
        let subset = Subset::new(PORT);
        let mut captures = Captures::new(&[subset], 100);
        let words = [Some("10.0.0.1"), Some("43210"), None, None];
        captures.insert(capture("192.0.2.1", words, 100, 63));
        captures.insert(capture("192.0.2.2", words, 110, 63));
        let at = |second| {
            let now = Timestamp::from_seconds(second);
            captures.find(&masked(words), subset, now, now).map(|client| client.address)
        };
        assert_eq!(at(120).as_deref(), Some("192.0.2.2"));
        assert_eq!(at(173).as_deref(), Some("192.0.2.2"));
        assert_eq!(at(174), None, "retention is exact");
        captures.insert(capture("192.0.2.3", words, 110, 63));
        let now = Timestamp::from_seconds(120);
        let later = captures.find(&masked(words), subset, now, now).map(|client| client.address);
        assert_eq!(later.as_deref(), Some("192.0.2.3"), "of one moment, the later line");
    }

    #[test]
    fn a_connection_that_ended_is_not_the_one_that_comes_after() {
        let subset = Subset::new(PORT);
        let mut captures = Captures::new(&[subset], 100);
        let words = [Some("10.0.0.1"), Some("43210"), None, None];
        let ended = Capture {
            lasted: Lasted::Ended(Duration::from_secs(30)),
            ..capture("192.0.2.1", words, 100, 600)
        };
        captures.insert(ended);
        let now = Timestamp::from_seconds(130);
        let at = |second| captures.find(&masked(words), subset, Timestamp::from_seconds(second), now);
        assert!(at(90).is_some());
        assert!(at(130).is_none());
        assert!(at(60).is_none());
    }

    #[test]
    fn a_haproxy_duration_says_whether_the_session_goes_on() {
        assert_eq!(Lasted::parse("+12"), Lasted::GoesOn);
        assert_eq!(Lasted::parse("1500"), Lasted::Ended(Duration::from_millis(1500)));
        assert_eq!(Lasted::parse("-1"), Lasted::Unknown);
        assert_eq!(Lasted::parse("+"), Lasted::Unknown);
    }

    #[test]
    fn compat_keeps_as_long_as_pyruse() {
        // Reference values: keepSeconds 63 lives 65 to 128 s, 64 lives 129 to 256 s, 0 lives 2 s.
        for (keep, least, most) in [(63, 65, 128), (64, 129, 256), (0, 2, 2), (1, 3, 4), (3600, 4097, 8192)] {
            let lives: Vec<i64> = (0..8192)
                .map(|second| {
                    let until =
                        Capture::until_compat(Timestamp::from_seconds(second), Duration::from_secs(keep));
                    until.as_seconds() + 1 - second
                })
                .collect();
            assert_eq!(lives.iter().min(), Some(&least), "keepSeconds {keep}");
            assert_eq!(lives.iter().max(), Some(&most), "keepSeconds {keep}");
        }
    }

    #[test]
    fn the_oldest_gives_way() {
        let subset = Subset::new(PORT);
        let mut captures = Captures::new(&[subset], 2);
        for port in ["1", "2", "3"] {
            captures.insert(capture("192.0.2.1", [Some("10.0.0.1"), Some(port), None, None], 100, 63));
        }
        let now = Timestamp::from_seconds(100);
        let find = |port| {
            captures.find(&masked([Some("10.0.0.1"), Some(port), None, None]), subset, now, now).is_some()
        };
        assert_eq!([find("1"), find("2"), find("3")], [false, true, true]);
        assert_eq!((captures.len(), captures.evicted()), (2, 1));
    }

    proptest! {
        #[test]
        fn the_index_answers_as_a_scan(
            steps in prop::collection::vec((0u8..4, 0u8..3, 0u8..3, 0u8..3, 0i64..20, 0u64..20), 0..60),
            asked in 1..16u8,
        ) {
            let of_bits = |bits: u8| Subset::new([0, 1, 2, 3].map(|i| bits >> i & 1 == 1));
            let subset = of_bits(asked);
            let all: Vec<Subset> = (1..16).map(of_bits).collect();
            let mut captures = Captures::new(&all, 1000);
            let mut plain: Vec<Capture> = Vec::new();
            let mut now = 0;
            for (nth, (kind, a, b, c, passed, keep)) in steps.into_iter().enumerate() {
                now += passed;
                let (a, b, c) = (a.to_string(), b.to_string(), c.to_string());
                let words = [Some(&*a), Some(&*b), (c != "0").then_some(&*c), Some("7")];
                if kind == 0 {
                    captures.expire(Timestamp::from_seconds(now));
                } else {
                    let capture = capture(&nth.to_string(), words, now, keep);
                    captures.insert(capture.clone());
                    plain.push(capture);
                }
                let moment = Timestamp::from_seconds(now);
                let question = masked(words);
                let fits = |held: &&Capture| {
                    held.until >= moment
                        && (0..4).filter(|p| subset.has(*p)).all(|p| {
                            question.words[p].is_some() && held.masked.words[p] == question.words[p]
                        })
                };
                let newest = plain.iter().filter(fits).map(|held| held.time).max();
                let found = captures.find(&question, subset, moment, moment);
                prop_assert_eq!(found.is_some(), newest.is_some());
                if let (Some(found), Some(newest)) = (found, newest) {
                    let same = plain.iter().any(|h| *h.client == *found.address && h.time == newest);
                    prop_assert!(same);
                }
            }
        }
    }
}
