//! A full disk, a read-only one, and one where this user may not write. Each test runs in a mount namespace of its own,
//! in a child process, so that nothing is left behind however it ends. Needs root.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use unmasq_flow::{GapReason, Period};
use unmasq_ledger::{Ledger, LedgerError, Writer, WriterOptions};

use crate::common::{alive, at, find, flow, masked, start};

const MOUNT: &str = "UNMASQ_TEST_MOUNT";

/// Runs a test of this module again in a child, with a small file system of its own mounted on a directory.
fn in_a_small_file_system(test: &str) {
    let directory = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=2m unmasq-test \"$1\" && exec \"$2\" --exact \"$3\" --nocapture";
    let done = Command::new("unshare")
        .args(["--mount", "sh", "-c", script, "sh"])
        .arg(directory.path())
        .arg(std::env::current_exe().unwrap())
        .arg(format!("full_disk::{test}"))
        .env(MOUNT, directory.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{text}\n(this test needs root)");
}

fn mount() -> Option<std::path::PathBuf> {
    std::env::var_os(MOUNT).map(Into::into)
}

fn fill(directory: &Path) -> std::path::PathBuf {
    let path = directory.join("filler");
    // Until not even a page is left.
    let mut file = fs::File::create(&path).unwrap();
    while std::io::Write::write(&mut file, &[0; 4096]).is_ok_and(|count| count > 0) {}
    path
}

#[test]
fn a_full_disk_is_told_waited_for_and_stated() {
    let Some(mount) = mount() else {
        return in_a_small_file_system("a_full_disk_is_told_waited_for_and_stated");
    };
    let ledger = mount.join("ledger");
    let options = WriterOptions { buffer_bytes: 64 << 10, ..WriterOptions::default() };
    let (mut writer, _) = Writer::open(&ledger, "gw1", options).unwrap();
    start(&mut writer, at(0));
    writer.opened(&flow(1, 1, at(1)));
    writer.flush().unwrap();
    let filler = fill(&mount);
    // What the page that the journal has already can hold may still be written; then it is refused, and waits.
    let mut refused = None;
    for port in 100..300 {
        writer.opened(&flow(1, port, at(2)));
        alive(&mut writer, at(2));
        refused = writer.flush().err().or(refused);
    }
    let refused = refused.expect("a disk this full refuses");
    assert!(refused.is_disk_full());
    let text = refused.to_string();
    assert!(text.contains("journal.000001") && text.contains("free some space"), "{text}");
    assert_eq!(writer.stats().dropped, 0);
    fs::remove_file(&filler).unwrap();
    writer.flush().unwrap();
    let reader = Ledger::open(&ledger).unwrap();
    for port in [1, 100, 200, 299] {
        assert_eq!(find(&reader, masked(port), Period::at(at(3))).hits.len(), 1, "flow {port} waited");
    }
    assert!(reader.streams()[0].coverage(Period::new(at(0), at(2))).unwrap().is_complete());
    // Full for so long that not all can wait: it is dropped, and said so.
    let filler = fill(&mount);
    for port in 1000..6000 {
        writer.opened(&flow(1, port, at(10)));
        if port % 100 == 0 {
            alive(&mut writer, at(10));
            let _ = writer.flush();
        }
    }
    let stats = writer.stats();
    assert!(stats.dropped > 0 && stats.waiting_bytes < 128 << 10, "{stats:?}");
    fs::remove_file(&filler).unwrap();
    alive(&mut writer, at(20));
    writer.flush().unwrap();
    writer.opened(&flow(1, 7000, at(21)));
    alive(&mut writer, at(22));
    writer.flush().unwrap();
    assert_eq!(find(&reader, masked(7000), Period::at(at(22))).hits.len(), 1);
    let answer = find(&reader, masked(1000), Period::at(at(10)));
    assert!(!answer.coverage[0].1.is_complete(), "what was dropped is not covered");
    let gaps = &answer.coverage[0].1.gaps;
    let says = |gap: &unmasq_flow::Gap| matches!(&gap.reason, GapReason::Failed(why) if why.contains("records were dropped"));
    assert!(gaps.iter().any(says), "{gaps:?}");
    assert!(reader.streams()[0].coverage(Period::new(at(21), at(22))).unwrap().is_complete());
    assert_eq!(answer.damage, Vec::<String>::new());
    // Sealing, too, comes to an end when there is room again.
    writer.finish_sealed().unwrap();
    assert_eq!(find(&reader, masked(7000), Period::at(at(22))).hits.len(), 1);
}

#[test]
fn a_journal_that_cannot_be_sealed_waits_for_room() {
    let Some(mount) = mount() else {
        return in_a_small_file_system("a_journal_that_cannot_be_sealed_waits_for_room");
    };
    let ledger = mount.join("ledger");
    let (mut writer, _) = Writer::open(&ledger, "gw1", WriterOptions::default()).unwrap();
    start(&mut writer, at(0));
    for port in 0..500 {
        writer.opened(&flow(1, port, at(1)));
    }
    writer.sync().unwrap();
    let filler = fill(&mount);
    let refused = writer.seal_all().unwrap_err();
    assert!(refused.is_disk_full(), "{refused}");
    let reader = Ledger::open(&ledger).unwrap();
    assert_eq!(find(&reader, masked(7), Period::at(at(3))).hits.len(), 1);
    fs::remove_file(&filler).unwrap();
    writer.finish_sealed().unwrap();
    assert_eq!(find(&reader, masked(7), Period::at(at(3))).hits.len(), 1);
}

#[test]
fn a_read_only_file_system_is_named_with_its_remedy() {
    let Some(mount) = mount() else {
        return in_a_small_file_system("a_read_only_file_system_is_named_with_its_remedy");
    };
    let ledger = mount.join("ledger");
    let (mut writer, _) = Writer::open(&ledger, "gw1", WriterOptions::default()).unwrap();
    writer.opened(&flow(1, 1, at(1)));
    writer.finish().unwrap();
    let remounted = Command::new("mount").args(["-o", "remount,ro"]).arg(&mount).status().unwrap();
    assert!(remounted.success());
    let refused = Writer::open(&ledger, "gw1", WriterOptions::default()).unwrap_err().to_string();
    assert!(refused.contains("read-write") && refused.contains("ledger/gw1"), "{refused}");
    let reader = Ledger::open(&ledger).unwrap();
    assert_eq!(find(&reader, masked(1), Period::at(at(3))).hits.len(), 1, "reading needs no writing");
}

#[test]
fn a_directory_of_somebody_else_is_named_with_its_remedy() {
    if let Some(ledger) = mount() {
        let refused = Writer::open(&ledger.join("ledger"), "gw1", WriterOptions::default()).unwrap_err();
        assert!(matches!(refused, LedgerError::Io { .. }));
        let text = refused.to_string();
        assert!(text.contains("ledger") && text.contains("run as root"), "{text}");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("test");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let mode = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode;
    fs::set_permissions(directory.path(), mode(0o755)).unwrap();
    fs::set_permissions(&program, mode(0o755)).unwrap();
    let done = Command::new(&program)
        .args(["--exact", "full_disk::a_directory_of_somebody_else_is_named_with_its_remedy", "--nocapture"])
        .env(MOUNT, directory.path())
        .uid(65_534)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{text}\n(this test needs root)");
}
