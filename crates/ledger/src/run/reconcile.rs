//! Which rows say the same thing, and which say it better.
//!
//! A flow can have several rows in one hour: written as open, carried, and at last with its end. Runs are merged and
//! journals are read beside them, so the rules live here once, for rows as readers see them and for rows packed by
//! [`merge`](super::merge):
//!
//! - **Equal rows are one.** Two rows that are not final, with equal tuples and start, are one as well: the later written
//!   one stays, and it is a carry row if either was.
//! - **A final row supersedes** a row that is not final if tuples and origin are the same and the latter's start lies
//!   between the former's start − 1 ms and its end + 1 ms (60 s if one of the bounds was only read, as the kernel gave
//!   no time). If both starts are of one kind (both the kernel's, or both read), they must agree within 1 ms: a port
//!   that is used again at once is another flow.
//! - One final row supersedes one row, in the order of time.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::time::Duration;

use unmasq_flow::Bound;

use super::row::{Row, stored};

const SLACK: Duration = Duration::from_millis(1);
/// DESTROY events come up to a minute after the end, and without kernel times the end is when they were read.
const SLACK_READ: Duration = Duration::from_secs(60);

/// How many rows went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// Rows without an end that gave way to a final row.
    pub superseded: u64,
    /// Rows that said the same as another.
    pub duplicates: u64,
}

/// Applies the rules to rows of one hour. The rows that stay keep their order; of equals, later ones win.
pub fn reconcile(rows: &mut Vec<Row>) -> Reconciled {
    reconcile_any(rows)
}

/// What the rules need to know of a row.
pub(super) trait Life {
    fn start(&self) -> Bound;
    fn end(&self) -> Bound;
    /// Equal for rows with [`Life::same_tuples`].
    fn tuples_hash(&self) -> u64;
    /// Origin, protocol, both tuples.
    fn same_tuples(&self, other: &Self) -> bool;
    /// Equal in everything.
    fn same_row(&self, other: &Self) -> bool;
    /// Takes over that `other` was a carry row.
    fn continue_as(&mut self, other: &Self);
}

impl Life for Row {
    fn start(&self) -> Bound {
        stored(self.flow.start)
    }

    fn end(&self) -> Bound {
        stored(self.flow.end)
    }

    fn tuples_hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.flow.protocol, self.flow.client, self.flow.masked, self.flow.server).hash(&mut hasher);
        hasher.finish()
    }

    fn same_tuples(&self, other: &Self) -> bool {
        self.flow.same_tuples(&other.flow)
    }

    fn same_row(&self, other: &Self) -> bool {
        self.start() == other.start()
            && self.end() == other.end()
            && self.continues == other.continues
            && self.flow.mark == other.flow.mark
            && self.flow.status == other.flow.status
            && self.flow.traffic == other.flow.traffic
            && self.same_tuples(other)
    }

    fn continue_as(&mut self, other: &Self) {
        self.continues |= other.continues;
    }
}

pub(super) fn reconcile_any<R: Life>(rows: &mut Vec<R>) -> Reconciled {
    let mut order: Vec<(u64, usize)> =
        rows.iter().enumerate().map(|(i, row)| (row.tuples_hash(), i)).collect();
    order.sort_unstable();
    let mut gone = vec![false; rows.len()];
    let mut counts = Reconciled::default();
    for same_hash in order.chunk_by(|a, b| a.0 == b.0) {
        let mut left: Vec<usize> = same_hash.iter().map(|(_, i)| *i).collect();
        while left.len() > 1 {
            let first = left[0];
            let (mut same, other): (Vec<usize>, Vec<usize>) =
                left.iter().partition(|i| rows[**i].same_tuples(&rows[first]));
            reconcile_tuple(rows, &mut same, &mut gone, &mut counts);
            left = other;
        }
    }
    if counts != Reconciled::default() {
        let mut gone = gone.iter();
        rows.retain(|_| !gone.next().copied().unwrap_or(false));
    }
    counts
}

/// Rows of one pair of tuples, by their numbers in the order of writing.
fn reconcile_tuple<R: Life>(rows: &mut [R], same: &mut [usize], gone: &mut [bool], counts: &mut Reconciled) {
    if same.len() < 2 {
        return;
    }
    same.sort_by_key(|i| (rows[*i].start().earliest(), rows[*i].start().latest(), *i));
    for (at, &later) in same.iter().enumerate().skip(1) {
        let start = rows[later].start();
        for &earlier in same[..at].iter().rev() {
            if rows[earlier].start().range() != start.range() {
                break;
            }
            let both_lack_end = !rows[earlier].end().is_closed() && !rows[later].end().is_closed();
            let is_equal =
                rows[earlier].same_row(&rows[later]) || (both_lack_end && rows[earlier].start() == start);
            if !gone[earlier] && is_equal {
                gone[earlier] = true;
                counts.duplicates += 1;
                // Sorted by start, then by number: of one start, the earlier written one has the lower number.
                let (head, tail) = rows.split_at_mut(later);
                tail[0].continue_as(&head[earlier]);
            }
        }
    }
    let (finals, opens): (Vec<usize>, Vec<usize>) =
        same.iter().filter(|i| !gone[**i]).partition(|i| rows[**i].end().is_closed());
    let mut used = vec![false; finals.len()];
    for open in opens {
        let start = rows[open].start();
        let found = (0..finals.len()).find(|n| !used[*n] && supersedes(&rows[finals[*n]], start));
        if let Some(n) = found {
            used[n] = true;
            gone[open] = true;
            counts.superseded += 1;
        }
    }
}

fn supersedes(last: &impl Life, start: Bound) -> bool {
    let (own_start, own_end) = (last.start(), last.end());
    // A sighting at the latest possible start was already of this flow.
    let seen = match start {
        Bound::Unknown | Bound::Open => return true,
        _ if start.latest().is_finite() => start.latest(),
        _ => start.earliest(),
    };
    let from = own_start.earliest() - SLACK;
    let to = match (own_start, start) {
        (Bound::Exact(a), Bound::Exact(_)) | (Bound::Read(a), Bound::Read(_)) => a + SLACK,
        _ if [own_start, own_end, start].iter().any(|b| matches!(b, Bound::Read(_))) => {
            own_end.latest() + SLACK_READ
        }
        _ => own_end.latest() + SLACK,
    };
    from <= seen && seen <= to
}
