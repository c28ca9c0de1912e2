//! Values that threads share: totals, gauges, families with labels, a histogram.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Total(AtomicU64);

impl Total {
    /// Adds to it.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// Sets it, where its owner keeps the total itself.
    pub fn set(&self, total: u64) {
        self.0.store(total, Ordering::Relaxed);
    }

    /// What it is.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// Sets it.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// What it is.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Numbers told apart by `N` labels. A look-up locks and compares texts: for batches, not for each entry.
#[derive(Debug)]
pub struct Labelled<const N: usize> {
    pub(crate) names: [&'static str; N],
    values: Mutex<BTreeMap<[Box<str>; N], f64>>,
}

impl<const N: usize> Labelled<N> {
    /// With these labels, and no number yet.
    pub fn new(names: [&'static str; N]) -> Self {
        Self { names, values: Mutex::default() }
    }

    /// Adds to the number of these labels.
    pub fn add(&self, labels: [&str; N], count: u64) {
        *self.values.lock().entry(labels.map(Box::from)).or_default() += count as f64;
    }

    /// Sets the number of these labels.
    pub fn set(&self, labels: [&str; N], value: f64) {
        self.values.lock().insert(labels.map(Box::from), value);
    }

    /// The number of these labels; 0 if there is none.
    pub fn value(&self, labels: [&str; N]) -> f64 {
        self.values.lock().get(&labels.map(Box::from)).copied().unwrap_or_default()
    }

    /// Forgets all of them: before those of a new configuration are set.
    pub fn clear(&self) {
        self.values.lock().clear();
    }

    pub(crate) fn each(&self, mut visit: impl FnMut(&[Box<str>; N], f64)) {
        for (labels, value) in &*self.values.lock() {
            visit(labels, *value);
        }
    }
}

/// How long something took, in buckets.
#[derive(Debug)]
pub struct Histogram {
    /// Upper limits of the buckets in seconds, rising.
    pub(crate) limits: &'static [f64],
    /// One more than limits: the last is of what is above them all.
    buckets: Vec<AtomicU64>,
    nanoseconds: AtomicU64,
}

impl Histogram {
    /// With buckets up to these limits in seconds, rising, and one above them.
    pub fn new(limits: &'static [f64]) -> Self {
        let buckets = (0..=limits.len()).map(|_| AtomicU64::new(0)).collect();
        Self { limits, buckets, nanoseconds: AtomicU64::new(0) }
    }

    /// Notes a duration.
    pub fn note(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let bucket = self.limits.partition_point(|limit| *limit < seconds);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// How many were at most as long as each limit; the last is of all.
    pub(crate) fn cumulated(&self) -> Vec<u64> {
        let mut sum = 0;
        let mut add = |bucket: &AtomicU64| {
            sum += bucket.load(Ordering::Relaxed);
            sum
        };
        self.buckets.iter().map(&mut add).collect()
    }

    pub(crate) fn seconds(&self) -> f64 {
        Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed)).as_secs_f64()
    }
}
