//! Entries that wait for their translation.
//!
//! HAProxy logs a connection when it ends, so its line comes after the service's lines about that connection. Such an
//! entry stands here until the translation is known or its time is over, while other entries go on. Entries of one
//! step about the same masked words leave in the order in which they came.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};

use foldhash::fast::RandomState;
use unmasq_flow::Timestamp;

use super::{Masked, Question, Subset, Word};

/// What the entries of one queue have in common: the step that asks, and the words that it compares.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// Number of the step.
    pub step: u32,
    words: [Option<Word>; 4],
}

impl Key {
    /// Of a question of that step about those words.
    pub fn new(step: u32, subset: Subset, masked: &Masked) -> Self {
        let words = std::array::from_fn(|place| masked.words[place].clone().filter(|_| subset.has(place)));
        Self { step, words }
    }
}

/// One entry that waits; `T` is the entry and where it stands in its chain.
#[derive(Clone, Debug)]
pub struct Wait<T> {
    /// Number, counted up; never used again.
    pub id: u64,
    /// The queue it stands in.
    pub key: Key,
    /// What is asked.
    pub question: Question,
    /// When it has waited long enough.
    pub deadline: Timestamp,
    /// The entry.
    pub payload: T,
}

/// Why an entry stopped waiting without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Released {
    /// Its time was over.
    TimedOut,
    /// The queue was full and it had waited longest.
    Crowded,
}

/// All that wait: bounded, with exact deadlines.
#[derive(Debug)]
pub struct Waits<T> {
    most: usize,
    waiting: BTreeMap<u64, Wait<T>>,
    queues: HashMap<Key, VecDeque<u64>, RandomState>,
    deadlines: BinaryHeap<Reverse<(Timestamp, u64)>>,
    next_id: u64,
}

impl<T> Waits<T> {
    /// At most `most` entries wait; then the one that has waited longest gives way.
    pub fn new(most: usize) -> Self {
        Self {
            most: most.max(1),
            waiting: BTreeMap::new(),
            queues: HashMap::default(),
            deadlines: BinaryHeap::new(),
            next_id: 0,
        }
    }

    /// Does an earlier entry wait for the same? Then a later one must stand behind it, even if its own answer is known.
    pub fn is_queued(&self, key: &Key) -> bool {
        self.queues.contains_key(key)
    }

    /// Puts an entry at the end of its queue and gives its number.
    pub fn add(&mut self, key: Key, question: Question, now: Timestamp, payload: T) -> u64 {
        self.next_id += 1;
        let id = self.next_id;
        let deadline = now + question.wait.unwrap_or_default();
        self.queues.entry(key.clone()).or_default().push_back(id);
        self.deadlines.push(Reverse((deadline, id)));
        self.waiting.insert(id, Wait { id, key, question, deadline, payload });
        id
    }

    /// The first of a queue.
    pub fn head(&self, key: &Key) -> Option<&Wait<T>> {
        self.waiting.get(self.queues.get(key)?.front()?)
    }

    /// The entry of that number.
    pub fn get(&self, id: u64) -> Option<&Wait<T>> {
        self.waiting.get(&id)
    }

    /// Takes an entry out.
    pub fn take(&mut self, id: u64) -> Option<Wait<T>> {
        let wait = self.waiting.remove(&id)?;
        if let Some(queue) = self.queues.get_mut(&wait.key) {
            queue.retain(|other| *other != id);
            if queue.is_empty() {
                self.queues.remove(&wait.key);
            }
        }
        Some(wait)
    }

    /// An entry whose time is over at `now`, or that is one too many; the one to be released next.
    pub fn due(&mut self, now: Timestamp) -> Option<(Wait<T>, Released)> {
        while let Some(&Reverse((deadline, id))) = self.deadlines.peek() {
            if !self.waiting.contains_key(&id) {
                self.deadlines.pop();
                continue;
            }
            if deadline > now {
                break;
            }
            self.deadlines.pop();
            return self.take(id).map(|wait| (wait, Released::TimedOut));
        }
        if self.waiting.len() > self.most {
            let (&oldest, _) = self.waiting.first_key_value()?;
            return self.take(oldest).map(|wait| (wait, Released::Crowded));
        }
        None
    }

    /// When the next entry's time is over.
    pub fn next_deadline(&mut self) -> Option<Timestamp> {
        while let Some(&Reverse((deadline, id))) = self.deadlines.peek() {
            if self.waiting.contains_key(&id) {
                return Some(deadline);
            }
            self.deadlines.pop();
        }
        None
    }

    /// The queues there are.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.queues.keys()
    }

    /// All that wait, in the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = &Wait<T>> {
        self.waiting.values()
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Does none wait?
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use unmasq_entry::Value;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_seconds(second)
    }

    fn add(waits: &mut Waits<u32>, port: &str, seconds: u64, now: i64, payload: u32) -> (u64, Key) {
        let masked = Masked::new([Some(Value::Text("10.0.0.1")), Some(Value::Text(port)), None, None]);
        let key = Key::new(1, Subset::new([true, true, false, false]), &masked);
        let question = Question { masked, time: at(now), wait: Some(Duration::from_secs(seconds)) };
        (waits.add(key.clone(), question, at(now), payload), key)
    }

    #[test]
    fn entries_about_the_same_leave_in_the_order_they_came() {
        let mut waits = Waits::new(10);
        let (first, key) = add(&mut waits, "1", 10, 0, 1);
        let (_, other) = add(&mut waits, "2", 10, 0, 2);
        let (second, same) = add(&mut waits, "1", 10, 1, 3);
        assert_eq!(key, same);
        assert_ne!(key, other);
        assert_eq!(waits.head(&key).map(|wait| wait.id), Some(first));
        assert!(waits.take(first).is_some());
        assert_eq!(waits.head(&key).map(|wait| wait.id), Some(second));
        assert!(waits.take(second).is_some());
        assert!(!waits.is_queued(&key));
        assert!(waits.is_queued(&other));
    }

    #[test]
    fn a_deadline_is_exact_and_a_full_queue_lets_the_oldest_go() {
        let mut waits = Waits::new(2);
        add(&mut waits, "1", 10, 0, 1);
        add(&mut waits, "2", 5, 0, 2);
        assert_eq!(waits.next_deadline(), Some(at(5)));
        assert!(waits.due(at(4)).is_none());
        assert_eq!(waits.due(at(5)).map(|(wait, why)| (wait.payload, why)), Some((2, Released::TimedOut)));
        add(&mut waits, "3", 10, 5, 3);
        add(&mut waits, "4", 10, 5, 4);
        assert_eq!(waits.due(at(5)).map(|(wait, why)| (wait.payload, why)), Some((1, Released::Crowded)));
        assert!(waits.due(at(5)).is_none());
        assert_eq!(waits.len(), 2);
    }
}
