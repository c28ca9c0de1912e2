//! A file that is written, renamed, emptied and removed while it is followed, step by step.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use unmasq_source::{Position, Source, SourceError, Start};

use crate::support::follow;

fn append(path: &Path, text: &str) {
    let mut file = OpenOptions::new().create(true).append(true).open(path).expect("a log file");
    file.write_all(text.as_bytes()).expect("written");
}

#[test]
fn lines_come_as_they_are_written_and_half_ones_wait() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log");
    append(&path, "old\nhal");
    let mut reader = follow(&path, Start::Tail);
    assert!(reader.messages_now().is_empty());
    append(&path, "f\nnew\nha");
    assert_eq!(reader.messages(2), ["half", "new"]);
    assert!(reader.messages_now().is_empty());
    append(&path, "lf\n");
    assert_eq!(reader.messages(1), ["half"]);
}

#[test]
fn a_file_that_is_not_there_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("later");
    let path = directory.join("a.log");
    let mut reader = follow(&path, Start::Tail);
    assert!(reader.messages_now().is_empty());
    assert!(reader.notices()[0].contains("is not there"), "told");
    let before = reader.position();
    fs::create_dir(&directory).unwrap();
    append(&path, "first\n");
    assert_eq!(reader.messages(1), ["first"]);
    // A restart before it was there reads it from its beginning, too, though it was renamed since.
    fs::rename(&path, directory.join("a.log.1")).unwrap();
    append(&path, "second\n");
    assert_eq!(follow(&path, Start::At(before)).messages(2), ["first", "second"]);
}

#[test]
fn a_renamed_file_is_read_to_its_end_before_the_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log");
    append(&path, "1\n");
    let mut reader = follow(&path, Start::Head);
    assert_eq!(reader.messages_now(), ["1"]);
    let mut old = OpenOptions::new().append(true).open(&path).unwrap();
    fs::rename(&path, folder.path().join("a.log.1")).unwrap();
    old.write_all(b"2\n").unwrap();
    File::create(&path).unwrap();
    assert_eq!(reader.messages(1), ["2"]);
    // Its writer has not come over yet.
    old.write_all(b"3\nhalf").unwrap();
    assert_eq!(reader.messages(1), ["3"]);
    append(&path, "4\n");
    assert_eq!(reader.messages(2), ["half", "4"]);
    append(&path, "5\n");
    assert_eq!(reader.messages(1), ["5"]);
}

#[test]
fn several_rotations_while_nobody_reads_are_read_in_order() {
    for names in [["a.log.3", "a.log.2", "a.log.1"], ["a.log-20261119", "a.log-20261120", "a.log-20261121"]] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        append(&path, "1\n2\n");
        let mut reader = follow(&path, Start::Head);
        assert_eq!(reader.messages(1), ["1"]);
        let position = reader.position();
        let live = reader;
        fs::rename(&path, folder.path().join(names[0])).unwrap();
        for (name, text) in [(names[1], "3\n"), (names[2], "4\n")] {
            fs::write(folder.path().join(name), text).unwrap();
            // Coarse clocks: the order of dated names is that of their last change.
            let time = fs::FileTimes::new().set_modified(std::time::SystemTime::now());
            File::options().write(true).open(folder.path().join(name)).unwrap().set_times(time).unwrap();
        }
        append(&path, "5\n");
        fs::write(folder.path().join("a.log.bak"), "other\n").unwrap();
        fs::write(folder.path().join("a.logs"), "other\n").unwrap();
        for mut reader in [live, follow(&path, Start::At(position))] {
            assert_eq!(reader.messages(4), ["2", "3", "4", "5"], "{}", names[0]);
            assert!(reader.messages_now().is_empty());
            assert_eq!(reader.position().to_string(), "line 1");
        }
    }
}

#[test]
fn an_emptied_file_is_read_from_its_beginning_after_its_copy() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log");
    append(&path, "1\n2\n3\n");
    let mut reader = follow(&path, Start::Head);
    assert_eq!(reader.messages(1), ["1"]);
    let position = reader.position();
    // The rest is in memory already; this comes after it.
    append(&path, "4\n");
    fs::copy(&path, folder.path().join("a.log.1")).unwrap();
    File::options().write(true).truncate(true).open(&path).unwrap();
    append(&path, "5\n");
    for mut reader in [reader, follow(&path, Start::At(position))] {
        assert_eq!(reader.messages(4), ["2", "3", "4", "5"]);
        assert!(reader.messages_now().is_empty());
    }
}

#[test]
fn an_emptied_file_that_has_grown_past_the_place_is_noticed_by_its_head() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log");
    append(&path, "1\n");
    let mut reader = follow(&path, Start::Head);
    assert_eq!(reader.messages_now(), ["1"]);
    let position = reader.position();
    fs::write(&path, "2\n3\n4\n").unwrap();
    for mut reader in [reader, follow(&path, Start::At(position))] {
        assert_eq!(reader.messages(3), ["2", "3", "4"]);
    }
}

#[test]
fn a_file_that_is_gone_is_told_and_the_next_is_read_from_its_beginning() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log");
    // Older than the place: written to before it.
    append(&folder.path().join("a.log.7"), "0\n");
    append(&path, "1\n2\n");
    let mut reader = follow(&path, Start::Head);
    assert_eq!(reader.messages(2), ["1", "2"]);
    let position = reader.position();
    fs::remove_file(&path).unwrap();
    append(&path, "3\n");
    let mut reader = follow(&path, Start::At(position));
    assert_eq!(reader.messages(1), ["3"]);
    assert!(reader.messages_now().is_empty());
    assert!(reader.notices()[0].contains("is gone"), "told");
}

#[test]
fn a_directory_that_is_removed_and_made_again_is_followed_on() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("log");
    let path = directory.join("a.log");
    fs::create_dir(&directory).unwrap();
    append(&path, "1\n");
    let mut reader = follow(&path, Start::Head);
    assert_eq!(reader.messages(1), ["1"]);
    fs::remove_dir_all(&directory).unwrap();
    assert!(reader.messages_now().is_empty());
    assert!(reader.notices().iter().any(|notice| notice.contains("is not there")), "told");
    fs::create_dir(&directory).unwrap();
    append(&path, "2\n");
    assert_eq!(reader.messages(1), ["2"]);
    append(&path, "3\n");
    assert_eq!(reader.messages(1), ["3"]);
}

#[test]
fn a_position_goes_on_exactly_after_the_last_line_given() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log");
    append(&path, "1\n\n2\n3\nhal");
    let mut reader = follow(&path, Start::Head);
    for expected in ["1", "2", "3", "half"] {
        let position: Position =
            serde_json::from_str(&serde_json::to_string(&reader.position()).unwrap()).unwrap();
        if expected == "half" {
            append(&path, "f\n");
        }
        assert_eq!(follow(&path, Start::At(position)).messages(1), [expected]);
        assert_eq!(reader.messages(1), [expected]);
    }
    assert_eq!(reader.position().to_string(), "line 5");
    assert_eq!(reader.source.counts().entries, 4);
}

#[test]
fn a_place_in_a_journal_is_refused() {
    let start = Start::At(Position::Cursor("s=1".to_owned()));
    let context = unmasq_entry::format::Context::default();
    let path = Path::new("/nonexistent");
    let refused = unmasq_source::Followed::open(path, unmasq_entry::format::Format::Plain, context, start);
    assert!(matches!(refused, Err(SourceError::Position { .. })));
}
