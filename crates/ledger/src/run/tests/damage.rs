//! One bad byte costs one block at most, and says which; no bytes do worse.

use std::ops::ControlFlow;
use std::path::Path;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::generate::{Files, row, sorted};
use super::reading::all;
use crate::run::{Filter, Row, Run, WriteOptions, fuzz_open, merge};

fn many_rows() -> Vec<Row> {
    let mut runner = TestRunner::deterministic();
    (0..600).map(|_| row().new_tree(&mut runner).unwrap().current()).collect()
}

/// Rows that can be read, and damage.
fn read(path: &Path) -> (Vec<(Row, u64)>, Vec<crate::run::Damage>) {
    let run = Run::open(path, "gw1").unwrap();
    let mut rows = Vec::new();
    let damage = run.scan(&Filter::default(), &mut |row, place| {
        rows.push((row, place));
        ControlFlow::Continue(())
    });
    (rows, damage)
}

#[test]
fn one_flipped_byte_costs_one_block_at_most_and_is_named() {
    let mut files = Files::new();
    let (run, _) = files.write(&many_rows(), 100);
    let expected: Vec<(Row, u64)> = all(&run).into_iter().zip(0..).collect();
    let good = std::fs::read(run.path()).unwrap();
    let path = files.path();
    for at in (0..good.len()).step_by(61).chain(good.len() - 140..good.len()).chain(0..20) {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        std::fs::write(&path, bad).unwrap();
        let (rows, damage) = read(&path);
        assert!(damage.len() <= 1, "byte {at}: {damage:?}");
        let lost: u64 = damage.iter().map(|d| d.rows).sum();
        assert!(lost <= 100, "byte {at}");
        assert_eq!(rows.len() as u64 + lost, expected.len() as u64, "byte {at}");
        let mut expected = expected.iter();
        assert!(rows.iter().all(|row| expected.any(|e| e == row)), "byte {at}");
        let named = Run::open(&path, "gw1").unwrap().verify();
        assert!(!named.is_empty(), "byte {at}");
        let names = |d: &crate::run::Damage| (d.offset..d.offset + d.length).contains(&(at as u64));
        assert!(named.iter().any(names), "byte {at}: {named:?}");
    }
}

#[test]
fn a_damaged_run_is_not_merged() {
    let mut files = Files::new();
    let (run, _) = files.write(&many_rows(), 100);
    let mut bytes = std::fs::read(run.path()).unwrap();
    bytes[500] ^= 1;
    std::fs::write(run.path(), bytes).unwrap();
    let message = merge(&[run], &WriteOptions::default(), &mut Vec::new()).unwrap_err().to_string();
    assert!(message.contains("block 0 at byte 16"), "{message}");
}

#[test]
fn a_file_that_was_cut_off_is_refused() {
    let mut files = Files::new();
    let (run, _) = files.write(&many_rows(), 100);
    let good = std::fs::read(run.path()).unwrap();
    let path = files.path();
    for length in (0..good.len()).step_by(97) {
        std::fs::write(&path, &good[..length]).unwrap();
        assert!(Run::open(&path, "gw1").is_err(), "{length} bytes");
    }
}

#[test]
fn a_changed_file_with_right_checksums_is_noticed() {
    let mut files = Files::new();
    let rows = many_rows();
    let (one, _) = files.write(&rows[..300], 100);
    let (other, _) = files.write(&rows[300..], 100);
    let (one, other) = (std::fs::read(one.path()).unwrap(), std::fs::read(other.path()).unwrap());
    // The other run, with the first one's hash in its trailers and their checksums made good.
    let mut forged = other;
    let hash = &one[one.len() - 64 + 28..one.len() - 4];
    for trailer in [forged.len() - 128, forged.len() - 64] {
        forged[trailer + 28..trailer + 60].copy_from_slice(hash);
        let sum = crc32fast::hash(&forged[trailer..trailer + 60]);
        forged[trailer + 60..trailer + 64].copy_from_slice(&sum.to_le_bytes());
    }
    let path = files.path();
    std::fs::write(&path, forged).unwrap();
    let damage = Run::open(&path, "gw1").unwrap().verify();
    assert!(damage.len() == 1 && damage[0].what.contains("SHA-256"), "{damage:?}");
}

#[test]
fn the_golden_file_of_version_1_reads_as_ever() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let run = Run::open(&folder.join("run-v1.run"), "gw1").unwrap();
    assert_eq!((run.header().version, run.verify()), (1, vec![]));
    let rows: Vec<String> = sorted(all(&run)).iter().map(|row| format!("{row:?}")).collect();
    let expected = std::fs::read_to_string(folder.join("run-v1.rows")).unwrap();
    assert_eq!(rows, expected.lines().collect::<Vec<_>>());
}

/// Makes the golden file. To be run once for each version of the format: see the README beside it.
#[test]
#[ignore = "writes the golden file of a new version"]
fn write_golden_file() {
    let mut files = Files::new();
    let (run, _) = files.write(&many_rows()[..60], 16);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    std::fs::copy(run.path(), folder.join("run-v1.run")).unwrap();
    let rows: Vec<String> = sorted(all(&run)).iter().map(|row| format!("{row:?}\n")).collect();
    std::fs::write(folder.join("run-v1.rows"), rows.concat()).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        fuzz_open(&bytes);
    }
}

#[test]
fn mutated_runs_with_right_checksums_do_not_panic() {
    let mut files = Files::new();
    let (run, _) = files.write(&many_rows()[..200], 100);
    let good = std::fs::read(run.path()).unwrap();
    let mut runner = TestRunner::deterministic();
    let any_place = (0..good.len(), any::<u8>());
    for _ in 0..300 {
        let mut bad = good.clone();
        for _ in 0..3 {
            let (at, byte) = any_place.new_tree(&mut runner).unwrap().current();
            bad[at] = byte;
        }
        fuzz_open(&bad);
    }
}
