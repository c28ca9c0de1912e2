//! Merging gives the reconciled union.

use proptest::prelude::*;
use unmasq_flow::{Bound, Endpoint, Flow, Origin, Protocol, Timestamp};

use super::generate::{Files, HOUR, row, sorted};
use super::reading::all;
use crate::run::{Row, Run, RunError, WriteOptions, merge, reconcile, write};

/// A flow of one pair of tuples, with times in milliseconds after the beginning of the hour.
pub(super) fn final_row(start: i64, end: i64) -> Row {
    let mut flow = Flow::new(
        Origin::new("gw1", "").shared(),
        Protocol::UDP,
        (Endpoint::v4([10, 0, 0, 1], 4000), Endpoint::v4([198, 51, 100, 7], 53)),
        (Endpoint::v4([198, 51, 100, 7], 53), Endpoint::v4([203, 0, 113, 1], 4000)),
    );
    let time = |ms| Bound::Exact(Timestamp::from_millis(HOUR * 3_600_000 + ms));
    (flow.start, flow.end) = (time(start), time(end));
    Row::new(flow)
}

fn open_row(start: i64) -> Row {
    let mut row = final_row(start, start);
    row.flow.end = Bound::Open;
    row
}

fn merged(files: &mut Files, inputs: &[Run], block_rows: usize) -> Run {
    let path = files.path();
    let mut bytes = Vec::new();
    let summary = merge(inputs, &WriteOptions { block_rows }, &mut bytes).unwrap();
    std::fs::write(&path, bytes).unwrap();
    let run = Run::open(&path, "gw1").unwrap();
    assert_eq!(run.header().rows, summary.rows);
    assert_eq!(run.verify(), []);
    run
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_merged_run_is_the_reconciled_union(
        parts in prop::collection::vec(prop::collection::vec(row(), 0..120), 1..5), block_rows in 1_usize..100,
    ) {
        let mut files = Files::new();
        let inputs: Vec<Run> = parts.iter().map(|rows| files.write(rows, block_rows).0).collect();
        let run = merged(&mut files, &inputs, block_rows);
        let mut expected: Vec<Row> = inputs.iter().flat_map(all).collect();
        reconcile(&mut expected);
        prop_assert_eq!(sorted(all(&run)), sorted(expected));
    }

    #[test]
    fn opens_carries_and_ends_in_any_runs_become_one_row_each(
        starts in prop::collection::btree_set(0_i64..600, 1..40), places in prop::collection::vec(0_usize..4, 80),
    ) {
        // Flows of one pair of tuples, one after the other.
        let starts: Vec<i64> = starts.into_iter().map(|s| s * 6000).collect();
        let mut parts = vec![Vec::new(); 4];
        let mut expected = Vec::new();
        for (n, start) in starts.iter().enumerate() {
            parts[places[n]].push(open_row(*start));
            if n % 3 < 2 {
                parts[places[n + 40]].push(final_row(*start, start + 5000));
                expected.push(final_row(*start, start + 5000));
            } else {
                expected.push(open_row(*start));
            }
        }
        let mut files = Files::new();
        let inputs: Vec<Run> = parts.iter().map(|rows| files.write(rows, 8).0).collect();
        let run = merged(&mut files, &inputs, 8);
        prop_assert_eq!(all(&run), expected);
    }
}

#[test]
fn a_key_with_very_many_rows_is_reconciled_bit_by_bit() {
    // More rows on one endpoint than are held at once. Every second one has an end in the other run, which started 40 s
    // earlier by the kernel than it was read: many rows of other clients lie between the two.
    let of_client = |n: i64, mut row: Row| {
        row.flow.client = Endpoint::v4([10, 0, (n >> 8) as u8, n as u8], 4000);
        row
    };
    let read = |ms| Bound::Read(Timestamp::from_millis(HOUR * 3_600_000 + ms));
    let mut opens: Vec<Row> = (0..5_000).map(|n| of_client(n, open_row(n * 700))).collect();
    for (row, n) in opens.iter_mut().zip(0..) {
        row.flow.start = read(n * 700 + 40_000);
    }
    let ends = (0..5_000).step_by(2).map(|n| of_client(n, final_row(n * 700, n * 700 + 50_000)));
    let ends: Vec<Row> = ends.collect();
    let mut files = Files::new();
    let inputs = [files.write(&opens, 512).0, files.write(&ends, 512).0];
    let run = merged(&mut files, &inputs, 512);
    let opens = all(&run).iter().filter(|row| !row.is_final()).count();
    assert_eq!((run.header().rows, opens), (5_000, 2_500));
}

#[test]
fn runs_of_two_hours_are_not_merged() {
    let mut files = Files::new();
    let here = files.write(&[final_row(0, 1)], 8).0;
    let path = files.path();
    let mut bytes = Vec::new();
    write([final_row(0, 1)], HOUR + 1, &WriteOptions::default(), &mut bytes).unwrap();
    std::fs::write(&path, bytes).unwrap();
    let there = Run::open(&path, "gw1").unwrap();
    let refused = merge(&[here, there], &WriteOptions::default(), &mut Vec::new());
    assert!(matches!(refused, Err(RunError::OtherHour { found, .. }) if found == HOUR + 1));
}
