//! Which rows are of one flow, across hours.

use std::hash::{Hash, Hasher};

use rustc_hash::{FxHashMap, FxHasher};
use unmasq_flow::Flow;

use super::source::Found;
use crate::run::{Row, reconcile};

/// The same for flows with the same protocol and tuples.
pub(super) fn tuples(flow: &Flow) -> u64 {
    let mut hasher = FxHasher::default();
    (flow.protocol, flow.client, flow.masked, flow.target, flow.server).hash(&mut hasher);
    hasher.finish()
}

/// Makes one of the rows that are of one flow, whichever hours they come from; what remains keeps its place.
pub(super) fn unite(found: &mut Vec<Found>) {
    let mut rows: Vec<Row> = Vec::with_capacity(found.len());
    for (one, number) in found.iter().zip(0..) {
        let mut row = one.row.clone();
        // Stored flows have no kernel id: its field tells which row is which behind `reconcile`.
        row.flow.kernel_id = Some(number);
        rows.push(row);
    }
    reconcile(&mut rows);
    let united = rows.into_iter().filter_map(|mut row| {
        let number = row.flow.kernel_id.take()?;
        let place = found.get(number as usize)?.place.clone();
        Some(Found { row, place })
    });
    *found = united.collect();
}

/// Rows without an end, waiting for it.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    by_tuples: FxHashMap<u64, Vec<Found>>,
    count: usize,
}

impl Waiting {
    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// One more that waits; one that says the same as one already there only renews it.
    pub(super) fn add(&mut self, found: Found) {
        let same = self.by_tuples.entry(tuples(&found.row.flow)).or_default();
        let before = same.len();
        same.push(found);
        unite(same);
        self.count += same.len() - before;
    }

    /// Does a row of this flow wait?
    pub(super) fn has(&self, row: &Row) -> bool {
        self.by_tuples
            .get(&tuples(&row.flow))
            .is_some_and(|same| same.iter().any(|one| is_same(&one.row, row)))
    }

    /// Takes out the row that the final row ends.
    pub(super) fn end(&mut self, last: &Row) -> Option<Found> {
        if self.is_empty() {
            return None;
        }
        let key = tuples(&last.flow);
        let same = self.by_tuples.get_mut(&key)?;
        let at = same.iter().position(|one| is_same(&one.row, last))?;
        self.count -= 1;
        let found = same.remove(at);
        if same.is_empty() {
            self.by_tuples.remove(&key);
        }
        Some(found)
    }

    /// All that still wait, in the order of their start.
    pub(super) fn into_rest(self) -> Vec<Found> {
        let mut rest: Vec<Found> = self.by_tuples.into_values().flatten().collect();
        rest.sort_by_key(|one| one.row.flow.start.earliest());
        rest
    }

    /// Takes out those of which the test is true.
    pub(super) fn take(&mut self, mut test: impl FnMut(&Found) -> bool) -> Vec<Found> {
        let mut taken = Vec::new();
        self.by_tuples.retain(|_, same| {
            taken.extend(same.extract_if(.., |one| test(one)));
            !same.is_empty()
        });
        self.count -= taken.len();
        taken
    }
}

/// Are the rows of one flow?
pub(super) fn is_same(a: &Row, b: &Row) -> bool {
    let mut both = vec![a.clone(), b.clone()];
    reconcile(&mut both);
    both.len() == 1
}
