//! What goes, what stays, and what is said about it.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use unmasq_flow::{GapReason, Period};
use unmasq_ledger::run::Filter;
use unmasq_ledger::storage::{Appender, Disk, Storage};
use unmasq_ledger::{HeadCheck, Hold, Ledger, Retention, VerifyOptions, Writer, WriterOptions};

use crate::common::{alive, all, at, directory_in_memory, ended, find, flow, masked, start};

const HOUR: i64 = 3600;

/// One flow an hour for ten hours, sealed.
fn ten_hours(directory: &Path) -> Writer {
    hours(directory, 10)
}

fn hours(directory: &Path, count: u16) -> Writer {
    let (mut writer, _) = Writer::open(directory, "gw1", WriterOptions::default()).unwrap();
    start(&mut writer, at(0));
    for hour in 0..count {
        let now = at(i64::from(hour) * HOUR + 60);
        writer.carry(now.hour(), &[]).unwrap();
        let flow = flow(1, hour, now);
        writer.ended(&ended(&flow, now + Duration::from_secs(5)), false);
        alive(&mut writer, now + Duration::from_secs(10));
    }
    writer.seal_all().unwrap();
    writer
}

#[test]
fn hours_past_their_time_go_and_a_held_one_stays() {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = ten_hours(directory.path());
    let ledger = Ledger::open(directory.path()).unwrap();
    let head = writer.stats().head;
    let hold = Hold {
        name: "case-7".to_owned(),
        period: Period::at(at(2 * HOUR + 62)),
        masked: Some(masked(2).address),
        client: None,
        reason: "court order".to_owned(),
        who: "legal".to_owned(),
        since: at(0),
    };
    ledger.streams()[0].hold(&hold).unwrap();
    writer.set_retention(Retention { keep: Some(Duration::from_secs(4 * 3600)), max_size: None });
    writer.seal_all().unwrap();
    let left = |ledger: &Ledger| {
        let mut ports: Vec<u16> = all(ledger, &Filter::default())
            .iter()
            .filter_map(|hit| hit.flow.client.selector.number())
            .collect();
        ports.sort_unstable();
        ports
    };
    assert_eq!(left(&ledger), [2, 5, 6, 7, 8, 9]);
    assert_eq!(writer.stats().pruned_hours, 4);
    for (hour, is_pruned) in [(0, true), (1, true), (2, false), (3, true), (4, true), (5, false)] {
        let answer = find(&ledger, masked(9), Period::at(at(hour * HOUR + 62)));
        let says_so = answer.coverage[0].1.gaps.iter().any(|gap| gap.reason == GapReason::Pruned);
        assert_eq!(says_so, is_pruned, "hour {hour}: {:?}", answer.coverage);
        assert_eq!(answer.coverage[0].1.is_complete(), !is_pruned, "hour {hour}");
    }
    let report = ledger.verify(&VerifyOptions { head: Some(head) }, &mut |_| {}).unwrap();
    assert!(report.is_sound(), "{report:?}");
    assert_eq!(report.streams[0].pruned_hours, 4);
    assert!(matches!(report.head, Some(HeadCheck::Found { prunes: 4, .. })), "{:?}", report.head);
    assert!(ledger.streams()[0].release("case-7").unwrap());
    writer.seal_all().unwrap();
    assert_eq!(left(&ledger), [5, 6, 7, 8, 9]);
    assert!(!directory.path().join("gw1/2026/11/21/10").exists());
}

#[test]
fn an_hour_that_goes_while_it_is_asked_is_never_called_complete_and_empty() {
    const COUNT: u16 = 300;
    let directory = directory_in_memory();
    let mut writer = hours(directory.path(), COUNT);
    std::thread::scope(|scope| {
        // At the edge all the time: the oldest hour that is still there.
        let reader = scope.spawn(|| {
            let ledger = Ledger::open(directory.path()).unwrap();
            for hour in 0..COUNT - 5 {
                loop {
                    let found = find(&ledger, masked(hour), Period::at(at(i64::from(hour) * HOUR + 62)));
                    assert_eq!(found.damage, Vec::<String>::new());
                    let gaps = &found.coverage[0].1.gaps;
                    let is_pruned = gaps.iter().any(|gap| gap.reason == GapReason::Pruned);
                    assert!(is_pruned || found.hits.len() == 1, "hour {hour}: {found:?}");
                    if is_pruned {
                        break;
                    }
                }
            }
        });
        writer.set_retention(Retention { keep: Some(Duration::from_secs(4 * 3600)), max_size: None });
        writer.seal_all().unwrap();
        reader.join().unwrap();
    });
}

#[test]
fn the_oldest_hours_go_when_the_ledger_is_too_large() {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = ten_hours(directory.path());
    let bytes = writer.stats().run_bytes;
    writer.set_retention(Retention { keep: None, max_size: Some(bytes / 2) });
    writer.seal_all().unwrap();
    let stats = writer.stats();
    assert!(stats.run_bytes <= bytes / 2 && stats.run_bytes >= bytes / 4, "{stats:?}");
    let ledger = Ledger::open(directory.path()).unwrap();
    let newest = find(&ledger, masked(9), Period::at(at(9 * HOUR + 62)));
    assert_eq!(newest.hits.len(), 1);
    assert!(newest.coverage[0].1.is_complete());
    assert!(find(&ledger, masked(0), Period::at(at(62))).hits.is_empty());
}

#[test]
fn a_hold_that_does_not_parse_stops_all_pruning_and_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = ten_hours(directory.path());
    std::fs::create_dir(directory.path().join("gw1/hold")).unwrap();
    std::fs::write(directory.path().join("gw1/hold/typo.toml"), "form = 1").unwrap();
    writer.set_retention(Retention { keep: Some(Duration::from_secs(3600)), max_size: None });
    let error = writer.seal_all().unwrap_err().to_string();
    assert!(error.contains("typo.toml"), "{error}");
    let ledger = Ledger::open(directory.path()).unwrap();
    assert_eq!(all(&ledger, &Filter::default()).len(), 10);
}

/// A disk on which no run can be removed: where a kill just before that leaves things.
#[derive(Debug)]
struct Stubborn;

impl Storage for Stubborn {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn Appender>> {
        Disk.create(path)
    }

    fn append(&self, path: &Path) -> io::Result<Arc<dyn Appender>> {
        Disk.append(path)
    }

    fn truncate(&self, path: &Path, length: u64) -> io::Result<()> {
        Disk.truncate(path, length)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        Disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        if path.extension().is_some_and(|e| e == "run") {
            Err(io::ErrorKind::ReadOnlyFilesystem.into())
        } else {
            Disk.remove(path)
        }
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        Disk.create_dir(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        Disk.remove_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        Disk.sync_dir(path)
    }
}

#[test]
fn an_hour_whose_pruning_was_cut_short_is_never_missing_and_called_complete() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = ten_hours(directory.path()).stats().run_bytes;
    let retention = Retention { keep: None, max_size: Some(bytes - 1) };
    let options = WriterOptions { retention, ..WriterOptions::default() };
    let (mut writer, _) = Writer::open_on(Arc::new(Stubborn), directory.path(), "gw1", options).unwrap();
    writer.seal_all().unwrap_err();
    drop(writer);
    let oldest = || find(&Ledger::open(directory.path()).unwrap(), masked(0), Period::at(at(62)));
    assert!(!oldest().coverage[0].1.is_complete());
    let (writer, _) = Writer::open(directory.path(), "gw1", WriterOptions::default()).unwrap();
    drop(writer);
    let answer = oldest();
    assert!(answer.hits.is_empty(), "it was pruned by the chain, so the rest goes");
    assert!(answer.coverage[0].1.gaps.iter().any(|gap| gap.reason == GapReason::Pruned), "{answer:?}");
}
