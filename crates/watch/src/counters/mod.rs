//! Counters as sliding logs: each raise counts until it expires on its own.
//!
//! ```
//! use std::time::Duration;
//! use unmasq_flow::Timestamp;
//! use unmasq_watch::counters::{CategoryId, Counters, Key, Limits};
//!
//! let mut counters = Counters::new(Limits::default());
//! let (sshd, key) = (CategoryId(0), Key::text("203.0.113.7"));
//! let keep = Some(Duration::from_secs(3));
//! let counts = [0, 2, 4].map(|second| counters.raise(sshd, &key, keep, Timestamp::from_seconds(second)));
//! assert_eq!(counts, [1, 2, 2]);
//! ```
//!
//! Memory is bounded for each category, in keys and in ticks. Where the bound bites, the lightest counters give way
//! and busy ones lose fineness, always to the side of counting less: nobody is banned for want of memory.

mod category;
mod key;
mod saved;
#[cfg(test)]
mod tests;

use std::time::Duration;

use unmasq_flow::Timestamp;

pub(crate) use category::Category;
pub use category::Usage;
pub use key::Key;
pub(crate) use saved::SavedCategory;

/// Which category a counter is of: a number that its owner gives it, from 0 without gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct CategoryId(pub u16);

/// How much one category may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most keys; one takes about 75 bytes.
    pub keys: usize,
    /// Most raises that expire at different moments; one takes 16 bytes.
    pub ticks: usize,
}

impl Default for Limits {
    /// Room for 131,072 keys and 524,288 ticks: at most 18 MiB.
    fn default() -> Self {
        Self { keys: 1 << 17, ticks: 1 << 19 }
    }
}

/// All counters.
#[derive(Debug)]
pub struct Counters {
    limits: Limits,
    categories: Vec<Category>,
}

impl Counters {
    /// None yet; each category gets these limits.
    pub fn new(limits: Limits) -> Self {
        Self { limits, categories: Vec::new() }
    }

    /// Counts one for `key`, until `keep` has passed (`None` or zero: for ever), and gives how many there are then. While
    /// a grace lasts nothing is counted and the answer is 0. `now` must not go back.
    pub fn raise(&mut self, category: CategoryId, key: &Key, keep: Option<Duration>, now: Timestamp) -> u64 {
        let expiry = keep.filter(|keep| !keep.is_zero()).map_or(Timestamp::MAX, |keep| now + keep);
        self.category(category).raise(key, expiry, now)
    }

    /// Forgets what was counted for `key`. With a grace, nothing is counted for it for that long; without one (`None` or
    /// zero), a grace that is active goes on (Pyruse ends it: B16).
    pub fn reset(&mut self, category: CategoryId, key: &Key, grace: Option<Duration>, now: Timestamp) {
        self.category(category).reset(key, grace.map(|grace| now + grace), now);
    }

    /// How many are counted for `key`.
    pub fn count(&self, category: CategoryId, key: &Key, now: Timestamp) -> u64 {
        self.categories.get(usize::from(category.0)).map_or(0, |category| category.count(key, now))
    }

    /// What a category holds.
    pub fn usage(&self, category: CategoryId) -> Usage {
        self.categories.get(usize::from(category.0)).map(Category::usage).unwrap_or_default()
    }

    /// To be written: each category, in the order of their numbers, at least so many.
    pub(crate) fn save(&mut self, categories: usize) -> &[Category] {
        while self.categories.len() < categories {
            self.categories.push(Category::new(self.limits));
        }
        &self.categories
    }

    /// Puts saved counters in place of what the category holds.
    pub(crate) fn load(&mut self, category: CategoryId, saved: &SavedCategory) {
        *self.category(category) = saved.category(self.limits);
    }

    /// For tests: each category's counters that are alive, by their keys.
    #[cfg(test)]
    pub(crate) fn alive(&self, now: Timestamp) -> impl Iterator<Item = (CategoryId, Vec<saved::Saved>)> {
        self.categories.iter().enumerate().map(move |(nth, c)| (CategoryId(nth as u16), c.alive(now)))
    }

    fn category(&mut self, category: CategoryId) -> &mut Category {
        let nth = usize::from(category.0);
        while self.categories.len() <= nth {
            self.categories.push(Category::new(self.limits));
        }
        &mut self.categories[nth]
    }
}
