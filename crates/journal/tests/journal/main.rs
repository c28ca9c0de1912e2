//! Against real journals: systemd-journald writes, this crate reads. Needs root (the lab) and systemd.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::fs;
use std::path::Path;
use std::time::Duration;

use unmasq_journal::{Changed, Cursor, Error, Journal, Where};
use unmasq_lab::{Journald, Lab};

fn open(journald: &Journald) -> Journal {
    Journal::open(&Where::Directory(journald.directory())).unwrap()
}

fn send(journald: &Journald, messages: &[&str]) {
    for message in messages {
        journald.send(&[("MESSAGE", message.as_bytes()), ("SYSLOG_IDENTIFIER", b"test")]).unwrap();
    }
    journald.sync().unwrap();
}

/// The messages from where it stands on, of those that [`send`] sent.
fn rest(journal: &mut Journal) -> Vec<String> {
    let mut messages = Vec::new();
    while journal.next().unwrap() {
        if journal.field(c"SYSLOG_IDENTIFIER").unwrap() == Some(b"test") {
            let message = journal.field(c"MESSAGE").unwrap().unwrap();
            messages.push(String::from_utf8(message.to_vec()).unwrap());
        }
    }
    messages
}

#[test]
fn fields_of_any_bytes_are_read_one_by_one_and_all_together() {
    let journald = Journald::start(&Lab::new().unwrap(), "").unwrap();
    let long = vec![b'x'; 100_000];
    let sent: [(&str, &[u8]); 5] =
        [("MESSAGE", b"a=b\n\xff\0"), ("EMPTY", b""), ("TWICE", b"one"), ("TWICE", b"two"), ("LONG", &long)];
    journald.send(&sent).unwrap();
    journald.sync().unwrap();

    let mut journal = open(&journald);
    journal.seek_tail().unwrap();
    while journal.field(c"LONG").unwrap().is_none() {
        assert!(journal.previous().unwrap());
    }
    assert_eq!(journal.field(c"MESSAGE").unwrap(), Some(b"a=b\n\xff\0".as_slice()));
    assert_eq!(journal.field(c"LONG").unwrap().map(<[u8]>::len), Some(100_000));
    assert_eq!(journal.field(c"MESSAG").unwrap(), None);
    let mut fields = Vec::new();
    journal.each_field(|name, value| fields.push((name.to_vec(), value.to_vec()))).unwrap();
    for (name, value) in sent {
        assert!(fields.contains(&(name.into(), value.into())), "{name}");
    }
    assert_eq!(fields.iter().filter(|(name, _)| name == b"TWICE").count(), 2);
    assert_eq!(journal.refused(), 0);

    let cursor: Cursor = journal.cursor().unwrap().parse().unwrap();
    assert_eq!(journal.realtime().unwrap(), cursor.written());
    let (monotonic, boot) = journal.monotonic().unwrap();
    assert_eq!((monotonic, boot), (Duration::from_micros(cursor.monotonic), cursor.boot.to_be_bytes()));
}

#[test]
fn it_stands_where_it_was_sent() {
    let journald = Journald::start(&Lab::new().unwrap(), "").unwrap();
    send(&journald, &["1", "2", "3"]);
    let mut journal = open(&journald);
    assert_eq!(rest(&mut journal), ["1", "2", "3"], "a journal begins before its first entry");
    journal.seek_head().unwrap();
    assert!(journal.next().unwrap());
    let first = journal.cursor().unwrap();
    journal.seek_tail().unwrap();
    send(&journald, &["4"]);
    assert_eq!(rest(&mut journal), ["4"]);
    let last = journal.cursor().unwrap();
    assert!(journal.is_at(&last).unwrap() && !journal.is_at(&first).unwrap());

    journal.seek_cursor(&last).unwrap();
    assert_eq!(rest(&mut journal), ["4"]);
    journal.seek_cursor(&first).unwrap();
    assert_eq!(journal.next_skip(1).unwrap(), 1);
    assert_eq!(journal.cursor().unwrap(), first);
    let written = journal.realtime().unwrap();
    journal.seek_realtime(written).unwrap();
    assert!(journal.next().unwrap() && journal.is_at(&first).unwrap());

    for nonsense in ["", "s=1", "x", "s=\0"] {
        let error = journal.seek_cursor(nonsense).unwrap_err();
        assert!(matches!(error, Error::BadCursor { .. }), "{nonsense:?}: {error}");
    }
}

#[test]
fn the_end_of_an_empty_journal_is_before_its_first_entry() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(&Where::Directory(folder.path().to_owned())).unwrap();
    journal.watch().unwrap();
    journal.seek_tail().unwrap();
    assert!(!journal.next().unwrap());

    let journald = Journald::start(&Lab::new().unwrap(), "").unwrap();
    send(&journald, &["first"]);
    fs::copy(journald.directory().join("system.journal"), folder.path().join("system.journal")).unwrap();
    assert_eq!(journal.process().unwrap(), Changed::Invalidated);
    assert_eq!(rest(&mut journal), ["first"]);
}

#[test]
fn a_rotated_journal_is_read_on_and_vacuumed_files_are_let_go() {
    let journald = Journald::start(&Lab::new().unwrap(), "").unwrap();
    send(&journald, &["1"]);
    let mut journal = open(&journald);
    journal.watch().unwrap();
    assert_eq!(rest(&mut journal), ["1"]);
    send(&journald, &["2"]);
    journald.rotate().unwrap();
    send(&journald, &["3"]);
    assert_eq!(journal.process().unwrap(), Changed::Invalidated);
    assert_eq!(rest(&mut journal), ["2", "3"]);

    assert!(open_files(&journald.directory()) >= 2);
    journald.journalctl(&["--vacuum-files=1"]).unwrap();
    assert_eq!(journal.process().unwrap(), Changed::Invalidated);
    assert_eq!(open_files(&journald.directory()), 1);
    send(&journald, &["4"]);
    assert_eq!(rest(&mut journal), ["4"]);
}

/// How many files of a folder this process has open, removed ones included.
fn open_files(folder: &Path) -> usize {
    let open = fs::read_dir("/proc/self/fd").unwrap().flatten();
    open.filter(|fd| {
        fs::read_link(fd.path())
            .is_ok_and(|file| file.starts_with(folder) && file.to_string_lossy().contains(".journal"))
    })
    .count()
}

#[test]
fn what_cannot_be_opened_is_named() {
    let missing = Where::Directory("/nonexistent/journal".into());
    let error = Journal::open(&missing).unwrap_err().to_string();
    assert!(error.contains("/nonexistent/journal") && error.contains("No such file"), "{error}");
    let error = Journal::open(&Where::Files(vec!["a\0b".into()])).unwrap_err();
    assert!(matches!(error, Error::ZeroByte { .. }), "{error}");
}
