//! Logs and snapshots that are cut short or damaged.

use std::fs;

use super::*;
use crate::state::frame::{HEADER, Kind};
use crate::state::keeper::{generations, path};
use crate::state::recover::{Found, read};
use crate::state::store::lock;

/// A directory with one log of transactions, each of which raises a counter once; `synced` is what each says of the one
/// before. Ends of the transactions.
fn log_of(directory: &Path, generation: u64, first: u64, synced: &[usize]) -> Vec<usize> {
    let mut bytes = frame::header(Kind::Log, generation).to_vec();
    let mut ends = Vec::new();
    for (nth, synced) in synced.iter().enumerate() {
        let start = bytes.len();
        frame::begin(&mut bytes);
        let clock = Timestamp::from_seconds(1000);
        append(&mut bytes, &(first + nth as u64, *synced as u64, clock));
        if first == 1 && nth == 0 {
            append(&mut bytes, &Change::Category("sshd"));
        }
        append(&mut bytes, &Change::Raise { category: SSHD, key: Key::text("192.0.2.7"), keep: None });
        frame::close(&mut bytes, start);
        ends.push(bytes.len());
    }
    fs::write(path(directory, Kind::Log, generation), bytes).expect("the log is written");
    ends
}

fn count(found: &Found) -> u64 {
    found.core.counters.count(SSHD, &Key::text("192.0.2.7"), found.core.clock)
}

#[test]
fn a_log_cut_anywhere_gives_its_whole_transactions() {
    let directory = tempfile::tempdir().unwrap();
    let mut run = Run::with(directory.path(), Limits::default());
    let log = path(directory.path(), Kind::Log, 1);
    // The state at each length that the log had; of nothing at all first.
    let mut states = vec![(0, digest(&Core::new(Limits::default()), &[]))];
    loop {
        let length = fs::metadata(&log).unwrap().len() as usize;
        states.push((length, digest(&run.state.core, &run.captures)));
        if run.next == 90 {
            break;
        }
        let next = run.next + 1 + scatter(run.next) % 7;
        run.go(next.min(90), || ());
    }
    drop(run);
    let whole = fs::read(&log).unwrap();
    assert_eq!(states.last().unwrap().0, whole.len());
    for length in 0..=whole.len() {
        fs::write(&log, &whole[..length]).unwrap();
        let found = read(directory.path(), Limits::default()).unwrap();
        let (end, expected) = states.iter().rfind(|(end, _)| *end <= length).unwrap();
        let state = digest(&found.core, &found.captures);
        assert!(state == *expected, "cut at {length}: {state} is not {expected}");
        let is_clean = length == *end || length == HEADER;
        assert_eq!(found.cut.is_none(), is_clean, "cut at {length}");
    }
}

#[test]
fn a_cut_log_opens_and_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let ends = log_of(directory.path(), 1, 1, &[0, 0, 0]);
    let log = path(directory.path(), Kind::Log, 1);
    let bytes = fs::read(&log).unwrap();
    fs::write(&log, &bytes[..ends[2] - 1]).unwrap();
    for round in 0..3 {
        let (mut state, recovered) = State::open(directory.path(), Limits::default()).unwrap();
        assert_eq!(recovered.notes.len(), usize::from(round == 0), "{:?}", recovered.notes);
        state.bind_categories(&["sshd"]);
        assert_eq!(
            state.raise(SSHD, &Key::text("192.0.2.7"), None, Timestamp::from_seconds(1000)),
            3 + round
        );
        state.commit::<u64>(&[], []).unwrap();
    }
}

#[test]
fn damage_before_what_was_safe_is_an_error_that_says_where() {
    let directory = tempfile::tempdir().unwrap();
    let log = path(directory.path(), Kind::Log, 1);
    let ends = log_of(directory.path(), 1, 1, &[0, 0, 0]);
    let ends = log_of(directory.path(), 1, 1, &[HEADER, ends[0], ends[0], ends[0]]);
    let whole = fs::read(&log).unwrap();
    for place in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[place] ^= 0x40;
        fs::write(&log, &bytes).unwrap();
        let start =
            [0, HEADER].into_iter().chain(ends.iter().copied()).rfind(|start| *start <= place).unwrap();
        match read(directory.path(), Limits::default()) {
            // The version: a file of a later program.
            Err(StateError::Version { found, .. }) => assert_eq!((place, found), (9, 1 ^ 0x40)),
            Err(error @ StateError::Damaged { offset, .. }) => {
                assert!(start < ends[0], "{place}");
                assert_eq!(offset as usize, start);
                assert!(
                    error.to_string().contains(&format!("truncate -s {start} '{}'", log.display())),
                    "{error}"
                );
            }
            Err(error) => panic!("{error}"),
            // Behind what was synced: as after a power cut.
            Ok(found) => {
                assert!(start >= ends[0], "{place}");
                assert_eq!(found.cut, Some((log.clone(), start as u64)));
                assert_eq!(count(&found), ends.iter().filter(|end| **end <= start).count() as u64);
            }
        }
    }
}

#[test]
fn a_log_that_does_not_go_on_is_dropped_if_it_was_never_safe() {
    let directory = tempfile::tempdir().unwrap();
    let (first, second) = (path(directory.path(), Kind::Log, 1), path(directory.path(), Kind::Log, 2));
    let ends = log_of(directory.path(), 1, 1, &[0, 0, 0]);
    log_of(directory.path(), 2, 4, &[0, 0]);
    assert_eq!(count(&read(directory.path(), Limits::default()).unwrap()), 5);
    let bytes = fs::read(&first).unwrap();
    // The power went before the end of the first log was on the disk.
    fs::write(&first, &bytes[..ends[2] - 1]).unwrap();
    let found = read(directory.path(), Limits::default()).unwrap();
    assert_eq!((count(&found), &found.dropped), (2, &vec![second.clone()]));
    found.tidy().unwrap();
    assert!(!second.exists());
    assert_eq!(fs::metadata(&first).unwrap().len() as usize, ends[1]);
    // The same, though the second was safe: the disk lost what it had.
    fs::write(&first, &bytes[..ends[2] - 1]).unwrap();
    log_of(directory.path(), 2, 4, &[0, HEADER]);
    assert!(matches!(read(directory.path(), Limits::default()), Err(StateError::Damaged { .. })));
    fs::write(&first, &bytes[..ends[1]]).unwrap();
    assert!(matches!(
        read(directory.path(), Limits::default()),
        Err(StateError::Gap { last: 2, found: 4, .. })
    ));
}

#[test]
fn a_damaged_snapshot_is_replaced_by_the_one_before_and_its_log() {
    let directory = tempfile::tempdir().unwrap();
    let mut run = Run::open(directory.path());
    run.go(400, || ());
    drop(run);
    drop(Run::open(directory.path()));
    let mut run = Run::open(directory.path());
    run.go(450, || ());
    let expected = digest(&run.state.core, &run.captures);
    drop(run);
    let snapshots = generations(directory.path(), Kind::Snapshot).unwrap();
    assert_eq!(snapshots.len(), 2);
    let newest = path(directory.path(), Kind::Snapshot, snapshots[1]);
    let bytes = fs::read(&newest).unwrap();
    for place in [0, HEADER + 2, bytes.len() / 2, bytes.len() - 1] {
        let mut damaged = bytes.clone();
        damaged[place] ^= 1;
        fs::write(&newest, &damaged).unwrap();
        let found = read(directory.path(), Limits::default()).unwrap();
        assert_eq!(digest(&found.core, &found.captures), expected, "damaged at {place}");
        assert_eq!(found.notes.len(), 1);
        assert!(found.notes[0].contains(newest.to_str().unwrap()));
    }
    // And if that one is damaged too, nothing is made up.
    let older = path(directory.path(), Kind::Snapshot, snapshots[0]);
    fs::write(&older, b"nothing").unwrap();
    let error = State::open(directory.path(), Limits::default()).unwrap_err();
    assert!(matches!(&error, StateError::NoSnapshot { file } if *file == newest), "{error}");
}

#[test]
fn files_do_not_pile_up() {
    let directory = tempfile::tempdir().unwrap();
    for round in 1..8 {
        Run::open(directory.path()).go(round * 300, || ());
    }
    for kind in [Kind::Snapshot, Kind::Log] {
        let files = generations(directory.path(), kind).unwrap();
        assert!(files.len() <= 3, "{files:?}");
    }
}

#[test]
fn a_directory_has_one_owner() {
    let directory = tempfile::tempdir().unwrap();
    let (state, _) = State::open(directory.path(), Limits::default()).unwrap();
    assert!(matches!(State::open(directory.path(), Limits::default()), Err(StateError::Locked { .. })));
    drop(state);
    State::open(directory.path(), Limits::default()).unwrap();
}

#[test]
fn an_owner_that_leaves_is_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let (state, _) = State::open(directory.path(), Limits::default()).unwrap();
    assert!(matches!(lock(directory.path(), Duration::ZERO), Err(StateError::Locked { .. })));
    std::thread::spawn(move || drop(state));
    // For as long as a busy machine takes to run that thread.
    lock(directory.path(), Duration::from_secs(120)).unwrap();
}

proptest::proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
        fuzz_state(&bytes);
    }
}

/// Bytes that nearly are a snapshot or a transaction.
#[test]
fn nearly_right_bytes_do_not_panic() {
    let directory = tempfile::tempdir().unwrap();
    // All in the first log, however long it takes.
    let mut run = Run::with(directory.path(), Limits::default());
    run.go(200, || ());
    let mut snapshot = Vec::new();
    run.state.core.save(7, &run.captures, &mut snapshot);
    drop(run);
    let log = fs::read(path(directory.path(), Kind::Log, 1)).unwrap();
    let payload = &log[frame::read(&log, HEADER).unwrap()];
    for whole in [&snapshot, payload] {
        for nth in 0..3000u64 {
            let mut bytes = whole.to_vec();
            let place = scatter(nth) as usize % bytes.len();
            bytes[place] = scatter(nth + 7) as u8;
            fuzz_state(&bytes);
        }
    }
}
