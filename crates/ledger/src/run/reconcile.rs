//! Which rows say the same thing, and which say it better.
//!
//! A flow can have several rows in one hour: written as open, carried, and at last with its end. Runs are merged and
//! journals are read beside them, so the rules live here once, for rows as readers see them and for rows packed by
//! [`merge()`](super::merge()):
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
const SLACK_READ: Duration = Duration::new(60, 0);

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
    let (fates, counts) = decide(rows.as_mut_slice());
    let mut fates = fates.iter();
    rows.retain(|_| fates.next().is_none_or(|fate| *fate != Fate::Gone));
    counts
}

/// What becomes of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Stays,
    /// Stays, and made another one go.
    Supersedes,
    Gone,
}

/// What the rules need to know of rows, by their place in the order of writing.
pub(super) trait Rows {
    fn count(&self) -> usize;
    /// Start and end in whole milliseconds.
    fn bounds(&self, row: usize) -> (Bound, Bound);
    /// Equal for rows with the same tuples.
    fn tuples_hash(&self, row: usize) -> u64;
    /// Origin, protocol, both tuples.
    fn same_tuples(&self, a: usize, b: usize) -> bool;
    /// Equal in everything; asked only of rows with the same tuples and bounds.
    fn same_rest(&self, a: usize, b: usize) -> bool;
    /// `row` becomes a carry row if `gone` is one.
    fn continue_as(&mut self, row: usize, gone: usize);
}

impl Rows for [Row] {
    fn count(&self) -> usize {
        self.len()
    }

    fn bounds(&self, row: usize) -> (Bound, Bound) {
        (stored(self[row].flow.start), stored(self[row].flow.end))
    }

    fn tuples_hash(&self, row: usize) -> u64 {
        let flow = &self[row].flow;
        let mut hasher = DefaultHasher::new();
        (flow.protocol, flow.client, flow.masked, flow.server).hash(&mut hasher);
        hasher.finish()
    }

    fn same_tuples(&self, a: usize, b: usize) -> bool {
        self[a].flow.same_tuples(&self[b].flow)
    }

    fn same_rest(&self, a: usize, b: usize) -> bool {
        let (a, b) = (&self[a], &self[b]);
        a.continues == b.continues
            && a.flow.mark == b.flow.mark
            && a.flow.status == b.flow.status
            && a.flow.traffic == b.flow.traffic
    }

    fn continue_as(&mut self, row: usize, gone: usize) {
        self[row].continues |= self[gone].continues;
    }
}

pub(super) fn decide<R: Rows + ?Sized>(rows: &mut R) -> (Vec<Fate>, Reconciled) {
    let mut fates = vec![Fate::Stays; rows.count()];
    let mut counts = Reconciled::default();
    let mut order: Vec<(u64, usize)> = (0..rows.count()).map(|row| (rows.tuples_hash(row), row)).collect();
    order.sort_unstable();
    for same_hash in order.chunk_by(|a, b| a.0 == b.0) {
        let mut left: Vec<usize> = same_hash.iter().map(|(_, row)| *row).collect();
        while left.len() > 1 {
            let first = left[0];
            let (mut same, other): (Vec<usize>, Vec<usize>) =
                left.iter().partition(|row| rows.same_tuples(**row, first));
            decide_tuples(rows, &mut same, &mut fates, &mut counts);
            left = other;
        }
    }
    (fates, counts)
}

/// Decides on the rows of one pair of tuples.
fn decide_tuples<R: Rows + ?Sized>(
    rows: &mut R,
    same: &mut [usize],
    fates: &mut [Fate],
    counts: &mut Reconciled,
) {
    same.sort_by_key(|row| {
        let start = rows.bounds(*row).0;
        (start.earliest(), start.latest(), *row)
    });
    for (at, &later) in same.iter().enumerate() {
        let (start, end) = rows.bounds(later);
        for &earlier in same[..at].iter().rev() {
            let (other_start, other_end) = rows.bounds(earlier);
            if other_start.range() != start.range() {
                break;
            }
            let both_lack_end = !end.is_closed() && !other_end.is_closed();
            let is_equal = start == other_start
                && (both_lack_end || (end == other_end && rows.same_rest(earlier, later)));
            if is_equal && fates[earlier] != Fate::Gone {
                fates[earlier] = Fate::Gone;
                counts.duplicates += 1;
                rows.continue_as(later, earlier);
            }
        }
    }
    let (finals, opens): (Vec<usize>, Vec<usize>) = same
        .iter()
        .filter(|row| fates[**row] != Fate::Gone)
        .partition(|row| rows.bounds(**row).1.is_closed());
    for open in opens {
        let start = rows.bounds(open).0;
        let found =
            finals.iter().find(|row| fates[**row] == Fate::Stays && supersedes(rows.bounds(**row), start));
        if let Some(row) = found {
            fates[*row] = Fate::Supersedes;
            fates[open] = Fate::Gone;
            counts.superseded += 1;
        }
    }
}

/// Is a row without an end and with this start the same flow as one with these bounds, tuples being the same?
fn supersedes((own_start, own_end): (Bound, Bound), start: Bound) -> bool {
    // A sighting at the latest possible start was already of this flow.
    let seen = match start {
        Bound::Unknown | Bound::Open => return true,
        _ if start.latest().is_finite() => start.latest(),
        _ => start.earliest(),
    };
    let is_read = [own_start, own_end, start].iter().any(|b| matches!(b, Bound::Read(_)));
    let to = match (own_start, start) {
        (Bound::Exact(own), Bound::Exact(_)) | (Bound::Read(own), Bound::Read(_)) => own + SLACK,
        _ => own_end.latest() + if is_read { SLACK_READ } else { SLACK },
    };
    own_start.earliest() - SLACK <= seen && seen <= to
}

/// How long after its end a final row can still supersede, in milliseconds.
pub(super) const LONGEST_SLACK: i64 = SLACK_READ.as_millis() as i64;

#[cfg(test)]
mod tests {
    use super::*;
    use unmasq_flow::{Endpoint, Flow, Origin, Protocol, Timestamp};

    const T: i64 = 1_795_000_000_000;

    fn row(start: Bound, end: Bound) -> Row {
        let mut flow = Flow::new(
            Origin::new("gw1", "").shared(),
            Protocol::UDP,
            (Endpoint::v4([10, 0, 0, 1], 4000), Endpoint::v4([198, 51, 100, 7], 53)),
            (Endpoint::v4([198, 51, 100, 7], 53), Endpoint::v4([203, 0, 113, 1], 4000)),
        );
        (flow.start, flow.end) = (start, end);
        Row::new(flow)
    }

    fn exact(after: i64) -> Bound {
        Bound::Exact(Timestamp::from_millis(T + after))
    }

    fn read(after: i64) -> Bound {
        Bound::Read(Timestamp::from_millis(T + after))
    }

    fn left(mut rows: Vec<Row>) -> Vec<Row> {
        reconcile(&mut rows);
        rows
    }

    #[test]
    fn a_final_row_supersedes_the_open_one() {
        let (open, last) = (row(exact(0), Bound::Open), row(exact(0), exact(500)));
        assert_eq!(left(vec![open.clone(), last.clone()]), std::slice::from_ref(&last));
        assert_eq!(left(vec![last.clone(), open]), [last]);
    }

    #[test]
    fn it_supersedes_the_carry_row_too_and_only_one() {
        let carry = Row { continues: true, ..row(exact(-9_000_000), Bound::Open) };
        let last = row(exact(-9_000_000), exact(500));
        let next = row(exact(501), Bound::Open);
        assert_eq!(left(vec![carry, last.clone(), next.clone()]), [last, next]);
    }

    #[test]
    fn a_port_used_again_within_the_slack_is_another_flow() {
        let (last, next) = (row(read(0), read(500)), row(read(20_000), Bound::Open));
        assert_eq!(left(vec![last.clone(), next.clone()]), [last, next]);
    }

    #[test]
    fn a_start_that_was_only_read_may_be_later_than_the_kernel_s() {
        let last = row(exact(0), exact(500));
        assert_eq!(left(vec![row(read(40_000), Bound::Open), last.clone()]), std::slice::from_ref(&last));
        assert_eq!(left(vec![row(read(70_000), Bound::Open), last]).len(), 2);
    }

    #[test]
    fn a_flow_found_in_a_dump_is_superseded_by_its_end() {
        let open = row(Bound::Between(Timestamp::MIN, Timestamp::from_millis(T)), Bound::Open);
        let last = row(exact(-60_000), exact(500));
        assert_eq!(left(vec![open.clone(), last.clone()]), [last]);
        assert_eq!(left(vec![open, row(exact(2), exact(500))]).len(), 2);
    }

    #[test]
    fn equal_rows_are_one_and_other_tuples_are_left_alone() {
        let mut other = row(exact(0), Bound::Open);
        other.flow.client = Endpoint::v4([10, 0, 0, 2], 4000);
        let last = row(exact(0), exact(500));
        assert_eq!(left(vec![last.clone(), last.clone(), other.clone()]), [last, other]);
    }

    #[test]
    fn of_open_and_carry_row_the_later_written_stays_and_continues() {
        let open = Row { continues: true, ..row(exact(0), Bound::Open) };
        let mut later = row(exact(0), Bound::Open);
        later.flow.mark = 7;
        assert_eq!(left(vec![open, later.clone()]), [Row { continues: true, ..later }]);
    }
}
