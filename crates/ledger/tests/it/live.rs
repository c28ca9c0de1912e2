//! Readers and a writer at once.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use unmasq_flow::{DestinationPolicy, Flow, Period};
use unmasq_ledger::{Ledger, LedgerError, Writer, WriterOptions};

use crate::common::{alive, at, ended, find, flow, masked, start};

fn numbered(number: u64) -> Flow {
    flow(1, u16::try_from(number).unwrap(), at(0) + Duration::from_millis(number * 10))
}

#[test]
fn a_flow_is_never_missed_nor_doubled_while_it_is_sealed_and_merged() {
    let directory = tempfile::tempdir().unwrap();
    let options = WriterOptions { rotate_records: 60, ..WriterOptions::default() };
    let (mut writer, _) = Writer::open(directory.path(), "gw1", options).unwrap();
    let flushed = AtomicU64::new(0);
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let ledger = Ledger::open(directory.path()).unwrap();
            let (mut seed, mut asked) = (7u64, 0u64);
            while !is_done.load(Ordering::Acquire) || asked < 200 {
                let count = flushed.load(Ordering::Acquire);
                if count == 0 {
                    std::thread::yield_now();
                    continue;
                }
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let flow = numbered((seed >> 33) % count);
                let period = Period::at(flow.start.earliest());
                let found = find(&ledger, flow.masked, period);
                assert_eq!(found.damage, Vec::<String>::new());
                let clients: Vec<_> = found.hits.iter().map(|hit| hit.flow.client).collect();
                assert_eq!(clients, [flow.client], "of {count} flows");
                asked += 1;
            }
        });
        start(&mut writer, at(0));
        for number in 0..6_000 {
            writer.opened(&numbered(number));
            if number >= 20 {
                let old = numbered(number - 20);
                writer.ended(&ended(&old, at(0) + Duration::from_millis(number * 10)), true);
            }
            if number % 10 == 9 {
                alive(&mut writer, at(0) + Duration::from_millis(number * 10));
                writer.flush().unwrap();
                flushed.store(number + 1, Ordering::Release);
            }
            // The threads that seal have their turn while there is still more to come.
            let began = Instant::now();
            while number == 3_000 && writer.stats().run_bytes == 0 {
                assert!(began.elapsed() < Duration::from_secs(120), "nothing is sealed");
                writer.flush().unwrap();
                std::thread::yield_now();
            }
            if reader.is_finished() {
                break;
            }
        }
        is_done.store(true, Ordering::Release);
    });
}

#[test]
fn a_second_writer_is_refused_and_a_reader_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let (mut writer, _) = Writer::open(directory.path(), "gw1", WriterOptions::default()).unwrap();
    let refused = Writer::open(directory.path(), "gw1", WriterOptions::default()).unwrap_err();
    assert!(matches!(refused, LedgerError::Locked { .. }), "{refused}");
    assert!(refused.to_string().contains(&std::process::id().to_string()), "{refused}");
    Writer::open(directory.path(), "gw2", WriterOptions::default()).unwrap();
    writer.opened(&flow(1, 7, at(0)));
    writer.flush().unwrap();
    let ledger = Ledger::open(directory.path()).unwrap();
    assert_eq!(find(&ledger, masked(7), Period::at(at(1))).hits.len(), 1);
    writer.finish().unwrap();
    Writer::open(directory.path(), "gw1", WriterOptions::default()).unwrap();
}

#[test]
fn an_import_and_a_recorder_do_not_share_a_stream() {
    let directory = tempfile::tempdir().unwrap();
    Writer::open(directory.path(), "gw1", WriterOptions::default()).unwrap();
    let import = WriterOptions { is_import: true, ..WriterOptions::default() };
    let refused = Writer::open(directory.path(), "gw1", import).unwrap_err();
    assert!(refused.to_string().contains("import into another one"), "{refused}");
}

#[test]
fn a_flow_that_begins_and_ends_in_one_flush_is_one_record() {
    let size = |is_apart: bool| {
        let directory = tempfile::tempdir().unwrap();
        let (mut writer, _) = Writer::open(directory.path(), "gw1", WriterOptions::default()).unwrap();
        for port in 0..100 {
            let flow = flow(1, port, at(0));
            writer.opened(&flow);
            if is_apart {
                writer.flush().unwrap();
            }
            writer.ended(&ended(&flow, at(1)), true);
        }
        writer.flush().unwrap();
        let ledger = Ledger::open(directory.path()).unwrap();
        assert_eq!(find(&ledger, masked(7), Period::at(at(1))).hits.len(), 1);
        assert_eq!(find(&ledger, masked(7), Period::at(at(2))).hits.len(), 0);
        writer.stats().journal_bytes
    };
    assert!(size(false) * 2 < size(true));
}

#[test]
fn destinations_are_hashed_or_left_out_as_asked() {
    for (policy, is_checkable) in [(DestinationPolicy::Hash, true), (DestinationPolicy::Drop, false)] {
        let directory = tempfile::tempdir().unwrap();
        let options = WriterOptions { destinations: policy, ..WriterOptions::default() };
        let (mut writer, _) = Writer::open(directory.path(), "gw1", options).unwrap();
        let whole = flow(1, 7, at(0));
        writer.opened(&whole);
        writer.flush().unwrap();
        writer.ended(&ended(&whole, at(9)), true);
        writer.finish_sealed().unwrap();
        let ledger = Ledger::open(directory.path()).unwrap();
        let hits = find(&ledger, masked(7), Period::at(at(1))).hits;
        assert_eq!(hits.len(), 1);
        assert_eq!(hits[0].flow.server.endpoint(), None);
        assert_eq!(hits[0].flow.target.endpoint(), None);
        let key = ledger.streams()[0].destination_key().unwrap();
        let server = whole.server.endpoint().unwrap();
        let answer = key.and_then(|key| key.can_be(hits[0].flow.server, server));
        assert_eq!(answer, is_checkable.then_some(true));
    }
}
