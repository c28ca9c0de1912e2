//! What was written comes back, by every way of asking.

use std::ops::ControlFlow;

use proptest::prelude::*;
use unmasq_flow::{Bound, Period, Protocol, Selector, Timestamp};

use super::generate::{Files, HOUR, row, sorted};
use crate::run::{AddressRange, Filter, Row, Run, WriteOptions, reconcile, write};

pub(super) fn all(run: &Run) -> Vec<Row> {
    let mut rows = Vec::new();
    let damage = run.scan(&Filter::default(), &mut |row, place| {
        assert_eq!(place, rows.len() as u64);
        rows.push(row);
        ControlFlow::Continue(())
    });
    assert_eq!(damage, []);
    rows
}

fn scan(run: &Run, filter: &Filter) -> Vec<Row> {
    let mut rows = Vec::new();
    let damage = run.scan(filter, &mut |row, _| {
        rows.push(row);
        ControlFlow::Continue(())
    });
    assert_eq!(damage, []);
    rows
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn rows_come_back(rows in prop::collection::vec(row(), 0..300), block_rows in 1_usize..100) {
        let mut files = Files::new();
        let (run, summary) = files.write(&rows, block_rows);
        let mut expected = rows;
        prop_assert_eq!(reconcile(&mut expected), summary.reconciled);
        prop_assert_eq!(run.header().rows, expected.len() as u64);
        prop_assert_eq!(run.header().sha256, summary.sha256);
        let min = expected.iter().map(|r| r.flow.start.earliest()).min().unwrap_or(Timestamp::MAX);
        let max = expected.iter().map(|r| r.flow.start.latest()).max().unwrap_or(Timestamp::MIN);
        prop_assert_eq!((run.header().min_start, run.header().max_start), (min, max));
        prop_assert_eq!(sorted(all(&run)), sorted(expected));
        prop_assert_eq!(run.verify(), []);
    }

    #[test]
    fn rows_are_sorted(rows in prop::collection::vec(row(), 0..300), block_rows in 1_usize..100) {
        let mut files = Files::new();
        let rows = all(&files.write(&rows, block_rows).0);
        prop_assert!(rows.is_sorted_by_key(|r| (r.flow.masked.address, r.flow.protocol, r.flow.masked.selector)));
    }

    #[test]
    fn find_gives_what_a_linear_scan_gives(
        rows in prop::collection::vec(row(), 1..300), block_rows in 1_usize..100, asked in row(), n: prop::sample::Index,
        any_protocol: bool, any_selector: bool, known: bool,
    ) {
        let mut files = Files::new();
        let run = files.write(&rows, block_rows).0;
        let asked = if known { n.get(&rows) } else { &asked };
        let mut masked = asked.flow.masked;
        if any_selector {
            masked.selector = Selector::None;
        }
        let protocol = if any_protocol { None } else { Some(asked.flow.protocol) };
        let period = Period::new(asked.flow.start.earliest(), asked.flow.end.latest());
        let expected: Vec<(Row, u64)> = all(&run).into_iter().zip(0..).filter(|(r, _)| {
            masked.covers(r.flow.masked) && protocol.is_none_or(|p| p == r.flow.protocol) && r.flow.overlaps(period)
        }).collect();
        let mut found = Vec::new();
        prop_assert_eq!(run.find(masked, protocol, period, &mut |row, place| found.push((row, place))), []);
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn a_filtered_scan_gives_what_a_linear_one_gives(
        rows in prop::collection::vec(row(), 1..300), block_rows in 1_usize..100, n: prop::sample::Index, length in 0_u8..34,
        by_client: bool, by_server: bool, by_masked: bool,
    ) {
        let mut files = Files::new();
        let run = files.write(&rows, block_rows).0;
        let asked = &n.get(&rows).flow;
        let range = |address| AddressRange::prefix(address, length);
        let filter = Filter {
            client: by_client.then(|| range(asked.client.address)),
            server: by_server.then(|| asked.server.endpoint().map(|e| range(e.address))).flatten(),
            masked: by_masked.then(|| range(asked.masked.address)),
            ..Filter::default()
        };
        let expected: Vec<Row> = all(&run).into_iter().filter(|r| filter.matches(&r.flow)).collect();
        prop_assert_eq!(scan(&run, &filter), expected);
    }

    #[test]
    fn neighbours_are_the_nearest_starts(rows in prop::collection::vec(row(), 1..300), n: prop::sample::Index, at in 0_i64..3_600_000) {
        let mut files = Files::new();
        let run = files.write(&rows, 64).0;
        let (masked, at) = (n.get(&rows).flow.masked, Timestamp::from_millis(HOUR * 3_600_000 + at));
        let mut damage = Vec::new();
        let found = run.neighbours(masked, None, at, &mut damage);
        prop_assert_eq!(damage, []);
        let starts = || all(&run).into_iter().filter(|r| masked.covers(r.flow.masked)).map(|r| r.flow.start.earliest()).collect::<Vec<_>>();
        let start = |found: Option<(Row, u64)>| found.map(|(row, _)| row.flow.start.earliest());
        prop_assert_eq!(start(found.before), starts().into_iter().filter(|s| *s <= at).max());
        prop_assert_eq!(start(found.after), starts().into_iter().filter(|s| *s > at).min());
    }
}

#[test]
fn a_key_that_spans_blocks_is_found_in_all_of_them() {
    let mut rows = Vec::new();
    for n in 0..100 {
        let mut row = super::merging::final_row(n * 1000, n * 1000 + 10);
        row.flow.mark = n as u32;
        rows.push(row);
    }
    let mut files = Files::new();
    let run = files.write(&rows, 7).0;
    let mut found = Vec::new();
    let masked = rows[0].flow.masked;
    assert_eq!(run.find(masked, Some(Protocol::UDP), Period::ALWAYS, &mut |row, _| found.push(row)), []);
    assert_eq!(found, rows);
}

#[test]
fn a_scan_stops_when_it_is_told_to() {
    let rows: Vec<Row> = (0..100).map(|n| super::merging::final_row(n * 1000, n * 1000 + 10)).collect();
    let mut files = Files::new();
    let run = files.write(&rows, 7).0;
    let mut count = 0;
    let damage = run.scan(&Filter::default(), &mut |_, _| {
        count += 1;
        if count == 10 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!((count, damage), (10, vec![]));
}

#[test]
fn a_callback_may_read_the_run_again() {
    let rows: Vec<Row> = (0..20).map(|n| super::merging::final_row(n * 1000, n * 1000 + 10)).collect();
    let mut files = Files::new();
    let run = files.write(&rows, 7).0;
    let mut count = 0;
    let damage = run.scan(&Filter::default(), &mut |_, _| {
        count += all(&run).len();
        ControlFlow::Continue(())
    });
    assert_eq!((count, damage), (400, vec![]));
}

#[test]
fn an_empty_run_has_no_rows() {
    let mut files = Files::new();
    let run = files.write(&[], 7).0;
    assert_eq!(all(&run), []);
    assert_eq!(run.verify(), []);
}

#[test]
fn times_are_rounded_down_to_milliseconds() {
    let mut row = super::merging::final_row(0, 10);
    row.flow.start = Bound::Exact(Timestamp::from_nanos(-1));
    row.flow.kernel_id = Some(7);
    let mut bytes = Vec::new();
    write([row], HOUR, &WriteOptions::default(), &mut bytes).unwrap();
    let mut files = Files::new();
    let path = files.path();
    std::fs::write(&path, bytes).unwrap();
    let back = all(&Run::open(&path, "other").unwrap()).remove(0).flow;
    assert_eq!(back.start, Bound::Exact(Timestamp::from_millis(-1)));
    assert_eq!((back.kernel_id, &*back.origin.stream), (None, "other"));
}
