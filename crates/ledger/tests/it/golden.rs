//! A ledger of each version of the format, as the program of its time left it: it must be read for ever.

use std::fs;
use std::path::{Path, PathBuf};

use unmasq_flow::Period;
use unmasq_ledger::run::Filter;
use unmasq_ledger::{CoverageEvent, Ledger, VerifyOptions, Writer, WriterOptions};

use crate::common::{alive, all, at, clock, ended, find, flow, masked, start};

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/ledger-v1")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// What the ledger holds: client, masked, start, end, line by line.
fn lines(ledger: &Ledger) -> Vec<String> {
    let mut lines: Vec<String> = all(ledger, &Filter::default())
        .iter()
        .map(|hit| format!("{} {} {:?} {:?}", hit.flow.client, hit.flow.masked, hit.flow.start, hit.flow.end))
        .collect();
    lines.sort();
    lines
}

/// The ledger as it was made: three hours, the first two sealed, flows across them, a gap, and a journal.
fn make(directory: &Path) {
    let (mut writer, _) = Writer::open(directory, "gw1", WriterOptions::default()).unwrap();
    start(&mut writer, at(0));
    let long: Vec<_> = (0..5).map(|port| flow(1, port, at(i64::from(port)))).collect();
    for flow in &long {
        writer.opened(flow);
    }
    for port in 100..150 {
        writer.ended(&ended(&flow(2, port, at(60)), at(70)), false);
    }
    alive(&mut writer, at(3000));
    writer.cover(CoverageEvent::Gap(unmasq_flow::Gap {
        period: Period::new(at(100), at(110)),
        namespace: None,
        reason: unmasq_flow::GapReason::Overrun { lost: Some(7) },
    }));
    alive(&mut writer, at(3600));
    writer.carry(at(3600).hour(), &long).unwrap();
    writer.ended(&ended(&long[0], at(3700)), true);
    alive(&mut writer, at(3800));
    writer.seal_all().unwrap();
    alive(&mut writer, at(7200));
    writer.carry(at(7200).hour(), &long[1..]).unwrap();
    writer.ended(&ended(&long[1], at(7300)), true);
    writer.opened(&flow(3, 300, at(7310)));
    writer.cover(CoverageEvent::Stopped { namespace: None, clock: clock(at(7400)) });
    writer.finish().unwrap();
}

/// Makes the golden ledger anew when `UNMASQ_MAKE_GOLDEN` is set: only before a version is released, never after.
#[test]
fn a_ledger_of_version_1_is_read_and_continued() {
    if std::env::var_os("UNMASQ_MAKE_GOLDEN").is_some() {
        let _ = fs::remove_dir_all(data());
        make(&data());
        for entry in fs::read_dir(data().join("gw1")).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() && (path.ends_with("lock") || fs::metadata(&path).unwrap().len() == 0) {
                fs::remove_file(path).unwrap();
            }
        }
    }
    let fresh = tempfile::tempdir().unwrap();
    make(fresh.path());
    let expected = lines(&Ledger::open(fresh.path()).unwrap());
    assert_eq!(expected.len(), 56);
    let directory = tempfile::tempdir().unwrap();
    copy(&data(), directory.path());
    let ledger = Ledger::open(directory.path()).unwrap();
    assert_eq!(lines(&ledger), expected);
    assert!(ledger.verify(&VerifyOptions::default(), &mut |_| {}).unwrap().is_sound());
    let answer = find(&ledger, masked(1), Period::at(at(200)));
    assert_eq!(answer.hits[0].flow.end, ended(&flow(1, 1, at(1)), at(7300)).end, "across three hours");
    assert!(answer.coverage[0].1.is_complete());
    assert_eq!(find(&ledger, masked(1), Period::at(at(105))).coverage[0].1.gaps.len(), 1);
    let (writer, recovery) = Writer::open(directory.path(), "gw1", WriterOptions::default()).unwrap();
    assert_eq!(recovery.open.len(), 4);
    assert_eq!(recovery.last_alive, Some(clock(at(7400))));
    writer.finish_sealed().unwrap();
    assert_eq!(lines(&ledger), expected);
}
