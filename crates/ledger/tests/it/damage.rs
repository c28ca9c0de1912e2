//! Damaged and missing files: what they cost, and that it is told.

use std::fs;
use std::path::{Path, PathBuf};

use unmasq_flow::{GapReason, Period};
use unmasq_ledger::run::Filter;
use unmasq_ledger::{Hash, HeadCheck, Ledger, Problem, VerifyOptions, Writer, WriterOptions};

use crate::common::{alive, all, at, ended, find, flow, masked, start};

fn files(directory: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path.file_name().unwrap().to_string_lossy().contains(ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn flip(path: &Path, byte: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[byte] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

/// Two hours with fifty flows each, sealed.
fn two_hours(directory: &Path) {
    let (mut writer, _) = Writer::open(directory, "gw1", WriterOptions::default()).unwrap();
    start(&mut writer, at(0));
    for hour in 0..2 {
        writer.carry(at(hour * 3600).hour(), &[]).unwrap();
        for port in 0..50 {
            let flow = flow(u8::try_from(hour).unwrap(), port, at(hour * 3600 + 10));
            writer.ended(&ended(&flow, at(hour * 3600 + 20)), false);
        }
        alive(&mut writer, at(hour * 3600 + 30));
    }
    writer.finish_sealed().unwrap();
}

fn problems(ledger: &Ledger) -> Vec<Problem> {
    ledger.verify(&VerifyOptions::default(), &mut |_| {}).unwrap().streams.remove(0).problems
}

#[test]
fn one_bad_byte_in_a_run_costs_its_hour_at_most_and_is_told() {
    let directory = tempfile::tempdir().unwrap();
    two_hours(directory.path());
    let run = files(directory.path(), ".run").remove(0);
    let length = fs::read(&run).unwrap().len();
    for byte in [10, length / 2, length - 10] {
        flip(&run, byte);
        let ledger = Ledger::open(directory.path()).unwrap();
        assert_ne!(problems(&ledger), [], "byte {byte} of {length}");
        assert_eq!(find(&ledger, masked(7), Period::at(at(3615))).hits.len(), 1);
        let answer = find(&ledger, masked(7), Period::at(at(15)));
        assert!(answer.hits.len() == 1 || !answer.damage.is_empty(), "byte {byte}: a silent loss");
        flip(&run, byte);
    }
    assert_eq!(problems(&Ledger::open(directory.path()).unwrap()), []);
}

#[test]
fn a_missing_run_is_told_from_a_pruned_hour() {
    let directory = tempfile::tempdir().unwrap();
    two_hours(directory.path());
    let runs = files(directory.path(), ".run");
    fs::remove_file(&runs[0]).unwrap();
    let ledger = Ledger::open(directory.path()).unwrap();
    let found = problems(&ledger);
    assert!(matches!(&found[..], [Problem::Missing { path, .. }] if *path == runs[0]), "{found:?}");
    assert!(found[0].to_string().contains("2026/11/21/08"), "{}", found[0]);
}

#[test]
fn a_run_that_was_exchanged_or_smuggled_in_is_found() {
    let directory = tempfile::tempdir().unwrap();
    two_hours(directory.path());
    let other = tempfile::tempdir().unwrap();
    let (mut writer, _) = Writer::open(other.path(), "gw1", WriterOptions::default()).unwrap();
    writer.ended(&ended(&flow(9, 9, at(1)), at(2)), false);
    writer.finish_sealed().unwrap();
    let forged = files(other.path(), ".run").remove(0);
    let run = files(directory.path(), ".run").remove(0);
    let genuine = fs::read(&run).unwrap();
    fs::copy(&forged, &run).unwrap();
    let ledger = Ledger::open(directory.path()).unwrap();
    assert_eq!(problems(&ledger), [Problem::Changed { path: run.clone() }]);
    fs::write(&run, genuine).unwrap();
    let extra = run.with_file_name("000000.run");
    fs::copy(&forged, &extra).unwrap();
    assert_eq!(problems(&ledger), [Problem::Unchained { path: extra }]);
}

#[test]
fn a_head_kept_elsewhere_is_found_in_the_chain_or_not() {
    let directory = tempfile::tempdir().unwrap();
    two_hours(directory.path());
    let ledger = Ledger::open(directory.path()).unwrap();
    let head = ledger.verify(&VerifyOptions::default(), &mut |_| {}).unwrap().streams[0].head;
    let (mut writer, _) = Writer::open(directory.path(), "gw1", WriterOptions::default()).unwrap();
    writer.ended(&ended(&flow(3, 3, at(4000)), at(4001)), false);
    writer.finish_sealed().unwrap();
    let check = |head: Hash| ledger.verify(&VerifyOptions { head: Some(head) }, &mut |_| {}).unwrap();
    assert!(
        matches!(check(head).head, Some(HeadCheck::Found { runs: 1, merges: 1, prunes: 0, .. })),
        "{:?}",
        check(head)
    );
    assert!(check(head).is_sound());
    assert_eq!(check(Hash([7; 32])).head, Some(HeadCheck::NotFound));
    assert!(!check(Hash([7; 32])).is_sound());
    // A chain that was written anew without one of its lines no longer has the head.
    let path = directory.path().join("gw1/chain");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replacen(" run ", " ran ", 1)).unwrap();
    assert!(matches!(problems(&ledger)[..], [Problem::Chain { line: 1, .. }, ..]));
}

/// A journal of twenty frames, with a statement about coverage behind each.
fn unsealed(directory: &Path) -> PathBuf {
    let (mut writer, _) = Writer::open(directory, "gw1", WriterOptions::default()).unwrap();
    start(&mut writer, at(0));
    for port in 0..20 {
        writer.opened(&flow(1, port, at(i64::from(port))));
        writer.flush().unwrap();
        alive(&mut writer, at(i64::from(port)));
    }
    writer.finish().unwrap();
    files(directory, "journal.").into_iter().find(|path| fs::metadata(path).unwrap().len() > 0).unwrap()
}

#[test]
fn a_damaged_tail_of_a_journal_costs_what_was_in_it_and_no_more() {
    for cut in 1..120 {
        let directory = tempfile::tempdir().unwrap();
        let journal = unsealed(directory.path());
        let bytes = fs::read(&journal).unwrap();
        fs::write(&journal, &bytes[..bytes.len() - cut]).unwrap();
        let (_writer, recovery) = Writer::open(directory.path(), "gw1", WriterOptions::default()).unwrap();
        assert!(recovery.open.len() >= 18 && recovery.open.len() <= 20, "{} flows", recovery.open.len());
        let ledger = Ledger::open(directory.path()).unwrap();
        let last = recovery.last_alive.unwrap().wall;
        let is_covered = |port| ledger.streams()[0].coverage(Period::at(at(port))).unwrap().is_complete();
        for port in 0..19 {
            let is_there =
                recovery.open.iter().any(|flow| flow.client.selector.number() == u16::try_from(port).ok());
            assert!(
                is_there || !is_covered(port),
                "cut {cut}: flow {port} is missing and covered, alive {last}"
            );
        }
    }
}

#[test]
fn damage_in_the_middle_of_a_journal_is_told_and_the_rest_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let journal = unsealed(directory.path());
    let middle = fs::read(&journal).unwrap().len() / 2;
    flip(&journal, middle);
    let ledger = Ledger::open(directory.path()).unwrap();
    assert!(matches!(problems(&ledger)[..], [Problem::Damaged { .. }]));
    let answer = find(&ledger, masked(19), Period::at(at(19)));
    assert_eq!(answer.hits.len(), 1, "behind the damage");
    assert_eq!(answer.damage.len(), 1);
    let (_writer, recovery) = Writer::open(directory.path(), "gw1", WriterOptions::default()).unwrap();
    assert!(recovery.open.len() >= 19);
    assert_eq!(recovery.damage.len(), 1);
    assert_eq!(all(&ledger, &Filter::default()).len(), recovery.open.len());
    let gaps = ledger.streams()[0].coverage(Period::new(at(0), at(19))).unwrap().gaps;
    assert!(
        matches!(&gaps[..], [gap] if matches!(&gap.reason, GapReason::Damaged(what) if what.contains("journal.000001"))),
        "{gaps:?}"
    );
}

#[test]
fn damage_in_the_coverage_file_makes_a_gap_and_no_silence() {
    let directory = tempfile::tempdir().unwrap();
    two_hours(directory.path());
    let path = directory.path().join("gw1/coverage");
    let ledger = Ledger::open(directory.path()).unwrap();
    let whole = Period::new(at(5), at(3605));
    assert!(ledger.streams()[0].coverage(whole).unwrap().is_complete());
    let length = fs::read(&path).unwrap().len();
    // The first and the last frame, of 13 bytes each, state nothing but which journals were sealed.
    for byte in 13..length - 13 {
        flip(&path, byte);
        assert!(!ledger.streams()[0].coverage(whole).unwrap().is_complete(), "byte {byte} of {length}");
        flip(&path, byte);
    }
}
