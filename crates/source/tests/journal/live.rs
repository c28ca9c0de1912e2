//! While journald writes, rotates and vacuums, and across restarts of ours.

use std::fs;
use std::thread;

use unmasq_entry::Entry;
use unmasq_lab::{Journald, Lab};
use unmasq_source::{Position, Read, Source, Start};

use crate::{fields, messages, open, record, remote, send, wait_for};

#[test]
fn a_journal_is_read_to_its_end_and_on() {
    let journald = Journald::start(&Lab::new().unwrap(), "").unwrap();
    send(&journald, 1..=3);
    let mut all = open(&journald.directory(), Start::Head, true);
    let mut new = open(&journald.directory(), Start::Tail, true);
    let mut ending = open(&journald.directory(), Start::Head, false);
    assert_eq!(messages(&mut all), ["1", "2", "3"]);
    assert!(messages(&mut new).is_empty());
    send(&journald, 4..=5);
    assert_eq!(wait_for(&mut all, 2), ["4", "5"]);
    assert_eq!(wait_for(&mut new, 2), ["4", "5"]);
    assert_eq!(messages(&mut ending), ["1", "2", "3", "4", "5"]);
    assert!(all.counts().entries >= 5 && all.counts().bytes > 0);
    assert_eq!(all.notice(), None);
}

#[test]
fn what_was_written_while_nobody_read_is_read_then() {
    let journald = Journald::start(&Lab::new().unwrap(), "").unwrap();
    send(&journald, 1..=3);
    let mut source = open(&journald.directory(), Start::Head, true);
    assert_eq!(messages(&mut source).len(), 3);
    let position = source.position().unwrap();
    // Read, but not committed: as with SIGKILL, only the position is left.
    send(&journald, 4..=5);
    assert_eq!(wait_for(&mut source, 2).len(), 2);
    drop(source);
    journald.rotate().unwrap();
    send(&journald, 6..=7);
    journald.rotate().unwrap();
    send(&journald, 8..=9);

    let mut source = open(&journald.directory(), Start::At(position), true);
    assert_eq!(messages(&mut source), ["4", "5", "6", "7", "8", "9"]);
    assert_eq!(source.notice(), None);
    // Nothing was read since: the place stays.
    let position = source.position().unwrap();
    let mut source = open(&journald.directory(), Start::At(position.clone()), true);
    assert_eq!(source.position().unwrap(), position);
    assert!(messages(&mut source).is_empty());
    send(&journald, [10]);
    assert_eq!(wait_for(&mut source, 1), ["10"]);
}

#[test]
fn a_start_at_the_end_has_a_place_before_anything_is_read() {
    let journald = Journald::start(&Lab::new().unwrap(), "").unwrap();
    send(&journald, [1]);
    let position = open(&journald.directory(), Start::Tail, true).position().unwrap();
    send(&journald, [2]);
    assert_eq!(messages(&mut open(&journald.directory(), Start::At(position), true)), ["2"]);

    let empty = tempfile::tempdir().unwrap();
    let position = open(empty.path(), Start::Tail, true).position().unwrap();
    assert_eq!(position, Position::Beginning);
    assert_eq!(messages(&mut open(&journald.directory(), Start::At(position), true)), ["1", "2"]);
}

#[test]
fn rotations_make_no_difference_to_a_reader() {
    const NUMBER: usize = 3000;
    // By size too, again and again.
    let journald = Journald::start(&Lab::new().unwrap(), "SystemMaxFileSize=512K").unwrap();
    send(&journald, ["0"]);
    let mut source = open(&journald.directory(), Start::Head, true);
    let padding = [b'x'; 400];
    let found = thread::scope(|scope| {
        scope.spawn(|| {
            for number in 1..=NUMBER {
                let message = number.to_string();
                let fields = [
                    ("MESSAGE", message.as_bytes()),
                    ("SYSLOG_IDENTIFIER", b"test"),
                    ("PADDING", &[&padding[..], message.as_bytes()].concat()),
                ];
                journald.send(&fields).unwrap();
                if number % 500 == 0 {
                    journald.rotate().unwrap();
                }
            }
        });
        wait_for(&mut source, NUMBER + 1)
    });
    let expected: Vec<_> = (0..=NUMBER).map(|number| number.to_string()).collect();
    assert_eq!(found, expected);
    assert_eq!(source.notice(), None);
    let files = fs::read_dir(journald.directory()).unwrap().count();
    assert!(files > 7, "{files} files");
}

#[test]
fn a_position_that_was_vacuumed_away_goes_on_with_the_next_entry_and_says_so() {
    let journald = Journald::start(&Lab::new().unwrap(), "").unwrap();
    send(&journald, ["gone"]);
    let mut source = open(&journald.directory(), Start::Head, true);
    assert_eq!(messages(&mut source), ["gone"]);
    let position = source.position().unwrap();
    drop(source);
    send(&journald, ["gone unread"]);
    journald.rotate().unwrap();
    send(&journald, ["there"]);
    journald.rotate().unwrap();
    send(&journald, ["new"]);
    journald.journalctl(&["--vacuum-files=2"]).unwrap();

    let mut source = open(&journald.directory(), Start::At(position), true);
    assert_eq!(messages(&mut source), ["there", "new"]);
    let notice = source.notice().unwrap();
    assert!(notice.is_loss && notice.message.contains("may have been removed unread"), "{notice}");
    assert_eq!(source.notice(), None);
}

#[test]
fn the_entry_after_a_removed_position_is_not_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let entries = |seconds: [u64; 2]| seconds.map(|second| record("a", second, &second.to_string())).concat();
    remote(&folder.path().join("a@old.journal"), &entries([1, 2]));
    remote(&folder.path().join("a.journal"), &entries([3, 4]));
    let mut source = open(folder.path(), Start::Head, true);
    let fields = fields();
    assert_eq!(source.read(&mut Entry::new(&fields), &fields).unwrap(), Read::Entry);
    let position = source.position().unwrap();
    fs::remove_file(folder.path().join("a@old.journal")).unwrap();
    // Who has the file open reads it to its end.
    assert_eq!(wait_for(&mut source, 3), ["2", "3", "4"]);
    assert_eq!(source.notice(), None);
    let mut source = open(folder.path(), Start::At(position), true);
    assert_eq!(messages(&mut source), ["3", "4"]);
    assert!(source.notice().is_some_and(|notice| notice.is_loss));
}

#[test]
fn vacuuming_what_was_read_is_no_loss_to_a_reader() {
    let journald = Journald::start(&Lab::new().unwrap(), "").unwrap();
    send(&journald, 1..=2);
    let mut source = open(&journald.directory(), Start::Head, true);
    assert_eq!(messages(&mut source).len(), 2);
    journald.rotate().unwrap();
    journald.journalctl(&["--vacuum-files=1"]).unwrap();
    assert!(messages(&mut source).is_empty());
    let position = source.position().unwrap();
    send(&journald, 3..=4);
    assert_eq!(wait_for(&mut source, 2), ["3", "4"]);
    assert_eq!(messages(&mut open(&journald.directory(), Start::At(position), true)), ["3", "4"]);
}

#[test]
fn a_journal_that_was_emptied_or_exchanged_is_read_from_now_on() {
    let journald = Journald::start(&Lab::new().unwrap(), "").unwrap();
    send(&journald, ["old"]);
    // Of another journal, and of the year 2106.
    let cursor = format!("s={:032x};i=99;b={:032x};m=3;t=f4865700000000;x=4", 1, 2);
    let mut source = open(&journald.directory(), Start::At(Position::Cursor(cursor)), true);
    assert!(messages(&mut source).is_empty());
    assert!(source.notice().unwrap().message.contains("from now on"));
    send(&journald, ["new"]);
    assert_eq!(wait_for(&mut source, 1), ["new"]);
}
