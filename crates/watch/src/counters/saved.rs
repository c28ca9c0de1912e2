//! A category as it is saved: who stands where, so that what comes afterwards goes the same way in a replay.

use serde::ser::SerializeSeq;
use serde::{Deserialize, Serialize, Serializer};
use unmasq_flow::Timestamp;

use super::Limits;
use super::category::{Category, Counter, NONE};
use super::key::Key;

/// One counter.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Saved {
    pub(super) key: Key,
    pub(super) grace: Option<Timestamp>,
    pub(super) lasting: u32,
    /// Soonest first: expiry and how many.
    pub(super) ticks: Vec<(Timestamp, u32)>,
}

/// What was read. [`Category`] writes the same, without a copy of itself.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct SavedCategory {
    hand: u32,
    /// The free places, the next one first.
    free: Vec<u32>,
    /// Those who stand in the others, in their order.
    held: Vec<Saved>,
}

/// A list of known length that is made while it is written.
struct List<F>(usize, F);

impl<I: Iterator<Item: Serialize>, F: Fn() -> I> Serialize for List<F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.0))?;
        for item in (self.1)() {
            list.serialize_element(&item)?;
        }
        list.end()
    }
}

impl Serialize for Category {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let free = || {
            let place = |place| Some(place).filter(|place| *place != NONE);
            std::iter::successors(place(self.free_counter), move |free| {
                place(self.counters[*free as usize].head)
            })
        };
        let held = || self.counters.iter().filter(|counter| !counter.key.is_vacant());
        let one = |counter: &Counter| {
            let counter = *counter;
            let ticks = move || self.listed(counter).map(|tick| (tick.expiry, tick.count));
            let ticks = List(counter.ticks as usize, ticks);
            (
                counter.key,
                Some(counter.grace).filter(|grace| *grace != Timestamp::MIN),
                counter.lasting,
                ticks,
            )
        };
        let free = List(free().count(), free);
        let held = List(held().count(), || held().map(one));
        (self.hand, free, held).serialize(serializer)
    }
}

impl SavedCategory {
    /// As it was, if the limits allow it.
    pub(super) fn category(&self, limits: Limits) -> Category {
        self.exactly(limits).unwrap_or_else(|| self.crowded(limits))
    }

    /// `None` if there is no room, or the places make no sense.
    fn exactly(&self, limits: Limits) -> Option<Category> {
        let mut category = Category::new(limits);
        let places = self.free.len() + self.held.len();
        let ticks: usize = self.held.iter().map(|one| one.ticks.len()).sum();
        if places > category.limits.keys || ticks > category.limits.ticks {
            return None;
        }
        category.counters.resize(places, Counter::VACANT);
        let mut is_free = vec![false; places];
        for place in self.free.iter().rev() {
            if std::mem::replace(is_free.get_mut(*place as usize)?, true) {
                return None;
            }
            category.counters[*place as usize].head = category.free_counter;
            category.free_counter = *place;
        }
        let taken = is_free.iter().enumerate().filter(|(_, is_free)| !**is_free);
        for (one, (place, _)) in self.held.iter().zip(taken) {
            if category.find(&one.key).is_some() {
                return None;
            }
            category.occupy(place as u32, &one.key);
            category.fill(place as u32, one);
        }
        category.hand = self.hand;
        Some(category)
    }

    /// As many as there is room for; the rest is left out and counted.
    fn crowded(&self, limits: Limits) -> Category {
        let mut category = Category::new(limits);
        for one in &self.held {
            let ticks = category.used_ticks + one.ticks.len();
            let has_room = category.counters.len() < category.limits.keys && ticks <= category.limits.ticks;
            if !has_room || category.find(&one.key).is_some() {
                category.evicted += 1;
                continue;
            }
            let place = category.enter(&one.key, Timestamp::MIN);
            category.fill(place, one);
        }
        category
    }
}

impl Category {
    fn fill(&mut self, place: u32, saved: &Saved) {
        for (expiry, count) in &saved.ticks {
            self.append_tick(place, *expiry, *count);
        }
        let counter = &mut self.counters[place as usize];
        (counter.grace, counter.lasting) = (saved.grace.unwrap_or(Timestamp::MIN), saved.lasting);
    }
}
