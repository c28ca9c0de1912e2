//! The journals of several hosts in one folder, as systemd-journal-remote writes them.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use unmasq_entry::format::Encoding;
use unmasq_source::journal::Hosts;
use unmasq_source::{Source, Start};

use crate::{messages, record, remote, wait_for};

/// Short, as these entries are old: they wait for nobody.
const ALLOWANCE: Option<Duration> = Some(Duration::from_millis(20));

fn open(folder: &Path, start: &Start) -> Hosts {
    Hosts::open(folder, start, Encoding::default(), ALLOWANCE).unwrap()
}

/// Has a host send records, all at once, into its own file.
fn arrive(folder: &Path, host: &str, records: &[(u64, &str)]) {
    let records: Vec<u8> =
        records.iter().flat_map(|(second, message)| record(host, *second, message)).collect();
    remote(&folder.join(format!("remote-{host}.journal")), &records);
}

#[test]
fn the_proxys_line_comes_before_that_of_the_service_on_another_host() {
    let folder = tempfile::tempdir().unwrap();
    arrive(folder.path(), "sshserv", &[(2, "Failed password for ME from 10.0.0.1 port 43210 ssh2")]);
    let proxy = "DNAT/ssh: IN=wan OUT= SRC=12.34.56.78 DST=10.0.0.1 SPT=43210 DPT=22";
    arrive(folder.path(), "dmz", &[(1, proxy), (3, "later")]);
    let mut hosts = Hosts::open(folder.path(), &Start::Head, Encoding::default(), None).unwrap();
    let found = messages(&mut hosts);
    assert!(found[0].starts_with("DNAT") && found[1].starts_with("Failed"), "{found:?}");
    assert_eq!(found.len(), 3);
}

#[test]
fn what_a_host_sends_late_is_not_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    arrive(folder.path(), "a", &[(10, "a10"), (20, "a20")]);
    arrive(folder.path(), "b", &[(5, "b5")]);
    let mut hosts = open(folder.path(), &Start::Head);
    assert_eq!(wait_for(&mut hosts, 3), ["b5", "a10", "a20"]);
    // Older than what was given: the library alone would never give it.
    arrive(folder.path(), "b", &[(15, "b15")]);
    assert_eq!(wait_for(&mut hosts, 1), ["b15"]);
    // A host that was not there.
    arrive(folder.path(), "c", &[(1, "c1")]);
    assert_eq!(wait_for(&mut hosts, 1), ["c1"]);
    assert_eq!(hosts.notice(), None);
}

#[test]
fn rotated_files_of_a_host_are_read_to_their_end() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("remote-a.journal");
    arrive(folder.path(), "a", &[(1, "1")]);
    let mut hosts = open(folder.path(), &Start::Head);
    assert_eq!(wait_for(&mut hosts, 1), ["1"]);
    arrive(folder.path(), "a", &[(2, "2")]);
    fs::rename(&file, folder.path().join("remote-a@0123.journal")).unwrap();
    arrive(folder.path(), "a", &[(3, "3")]);
    assert_eq!(wait_for(&mut hosts, 2), ["2", "3"]);
    // Vacuumed after it was read.
    fs::remove_file(folder.path().join("remote-a@0123.journal")).unwrap();
    arrive(folder.path(), "a", &[(4, "4")]);
    assert_eq!(wait_for(&mut hosts, 1), ["4"]);
    assert_eq!(hosts.notice(), None);
}

#[test]
fn a_restart_reads_on_in_each_host_and_new_hosts_from_their_beginning() {
    let folder = tempfile::tempdir().unwrap();
    let entries: Vec<_> = (0..200).map(|second| (second, second.to_string())).collect();
    let of = |range: std::ops::Range<usize>| -> Vec<(u64, &str)> {
        entries[range].iter().map(|(second, message)| (*second, message.as_str())).collect()
    };
    arrive(folder.path(), "a", &of(0..100));
    arrive(folder.path(), "b", &[(50, "b")]);
    let mut hosts = open(folder.path(), &Start::Head);
    assert_eq!(wait_for(&mut hosts, 101).len(), 101);
    let position = hosts.position().unwrap();
    drop(hosts);
    arrive(folder.path(), "a", &of(100..200));
    arrive(folder.path(), "c", &[(10, "c")]);
    let mut found = wait_for(&mut open(folder.path(), &Start::At(position)), 101);
    assert_eq!(found.len(), 101);
    found.retain(|message| message != "c");
    let expected: Vec<_> = (100..200).map(|number| number.to_string()).collect();
    assert_eq!(found, expected);
}

#[test]
fn a_folder_that_is_empty_at_first_is_waited_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut hosts = open(folder.path(), &Start::Tail);
    assert!(messages(&mut hosts).is_empty());
    arrive(folder.path(), "a", &[(1, "first")]);
    assert_eq!(wait_for(&mut hosts, 1), ["first"]);
    assert!(Hosts::open(&folder.path().join("none"), &Start::Head, Encoding::default(), ALLOWANCE).is_err());
}

#[test]
fn a_file_that_is_being_made_is_read_when_it_is_a_journal() {
    let folder = tempfile::tempdir().unwrap();
    arrive(folder.path(), "a", &[(1, "1")]);
    let position = open(folder.path(), &Start::Tail).position().unwrap();
    let made = folder.path().join("made");
    let file = folder.path().join("remote-b.journal");
    arrive(folder.path(), "b", &[(2, "2")]);
    fs::rename(&file, &made).unwrap();
    // Begun when we are there already, and when we are not.
    for start in [Start::Tail, Start::At(position)] {
        let mut hosts = open(folder.path(), &start);
        fs::write(&file, "").unwrap();
        assert!(messages(&mut hosts).is_empty());
        // In place: the kernel tells of no new name.
        fs::write(&file, fs::read(&made).unwrap()).unwrap();
        assert_eq!(wait_for(&mut hosts, 1), ["2"]);
        assert_eq!(hosts.notice(), None);
        fs::remove_file(&file).unwrap();
    }
}

#[test]
fn a_damaged_file_does_not_hide_the_others_of_its_host() {
    let folder = tempfile::tempdir().unwrap();
    arrive(folder.path(), "a", &[(1, "1")]);
    fs::write(folder.path().join("remote-a@damaged.journal~"), [7; 9000]).unwrap();
    let mut hosts = open(folder.path(), &Start::Head);
    assert_eq!(wait_for(&mut hosts, 1), ["1"]);

    let mut once = Hosts::open(folder.path(), &Start::Head, Encoding::default(), None).unwrap();
    assert_eq!(messages(&mut once), ["1"]);
    assert!(
        once.notice().is_some_and(|notice| notice.is_loss && notice.message.contains("damaged.journal~"))
    );
}

#[test]
fn hosts_that_come_while_it_reads_are_read_from_their_first_entry() {
    let folder = tempfile::tempdir().unwrap();
    let mut hosts = open(folder.path(), &Start::Tail);
    let mut found = thread::scope(|scope| {
        scope.spawn(|| {
            for host in ["a", "b", "c", "d", "e", "f"] {
                arrive(folder.path(), host, &[(1, host), (2, host)]);
            }
        });
        wait_for(&mut hosts, 12)
    });
    found.sort();
    assert_eq!(found.concat(), "aabbccddeeff");
    assert_eq!(hosts.notice(), None);
}
