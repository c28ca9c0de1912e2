//! Against the real journald, and sockets that are full, gone, or there again.

use std::fs;
use std::os::unix::net::UnixDatagram;

use unmasq_lab::{Journald, Lab};

use super::*;

fn info(message: &[u8]) -> Record<'_> {
    Record { level: Level::Info, message, chain: None, step: None, again: false }
}

#[test]
fn the_journal_keeps_every_byte_and_field() {
    let lab = Lab::new().unwrap();
    let journald = Journald::start(&lab, "").unwrap();
    let mut log = Log::open("unmasq-watch", &Target::Journal(journald.socket()));
    assert_eq!(log.goes_to(), "the journal");
    // A message cannot add a field: its newlines are inside a value with a length.
    let hostile = b"two\nPRIORITY=0\n\xff\x00\x1b[31m\n";
    log.write(&Record {
        level: Level::Warning,
        message: hostile,
        chain: Some("A\nB=1"),
        step: Some("A[2]"),
        again: false,
    });
    let large = vec![b'x'; 900_000];
    log.write(&info(&large));
    assert_eq!(log.tally(), Tally { written: 2, ..Tally::default() });

    let text = journald.read(&["-o", "json", "--all", "-t", "unmasq-watch"]).unwrap();
    let entries: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[0]["PRIORITY"], "4");
    assert_eq!(entries[0]["UNMASQ_CHAIN"], "A\nB=1");
    assert_eq!(entries[0]["UNMASQ_STEP"], "A[2]");
    // journalctl prints bytes that are not UTF-8 as a list of numbers.
    let bytes: Vec<u8> = serde_json::from_value(entries[0]["MESSAGE"].clone()).unwrap();
    assert_eq!(bytes, hostile);
    assert_eq!(entries[1]["PRIORITY"], "6");
    assert_eq!(entries[1]["MESSAGE"].as_str().map(str::len), Some(large.len()));
}

#[test]
fn a_journald_that_was_started_anew_is_found_again() {
    let lab = Lab::new().unwrap();
    let mut journald = Journald::start(&lab, "").unwrap();
    let mut log = Log::open("unmasq-watch", &Target::Journal(journald.socket()));
    log.write(&info(b"before"));
    journald.sync().unwrap();
    journald.stop().unwrap();
    journald.restart().unwrap();
    log.write(&info(b"after"));
    let text = journald.read(&["-o", "cat", "-t", "unmasq-watch"]).unwrap();
    assert_eq!(text, "before\nafter\n");
}

#[test]
fn a_full_socket_delays_and_then_loses_but_never_blocks() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let reader = UnixDatagram::bind(&path).unwrap();
    reader.set_nonblocking(true).unwrap();
    let mut log = Log::open("w", &Target::Journal(path));
    let mut count = 0;
    while log.tally().lost == 0 {
        count += 1;
        log.write(&info(format!("message {count}").as_bytes()));
    }
    assert_eq!(log.tally().delayed, MOST_QUEUED as u64);
    assert!(log.descriptor().is_some());
    // Each is read once and in order, but for the one that was lost.
    let mut buffer = [0; 4096];
    let mut seen = 0;
    while seen < count - 1 {
        match reader.recv(&mut buffer) {
            Ok(length) => {
                seen += 1;
                let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                assert!(text.ends_with(&format!("MESSAGE=message {seen}\n")), "{seen}: {text}");
            }
            Err(_) => log.flush(),
        }
    }
    assert!(log.descriptor().is_none());
    assert_eq!(log.tally().written, count - 1);
    assert_eq!(log.tally().lost, 1);
}

#[test]
fn without_journald_syslog_has_one_line_and_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let reader = UnixDatagram::bind(&path).unwrap();
    let mut log = Log::open("unmasq watch\n", &Target::Syslog(path.clone()));
    log.write(&Record {
        level: Level::Err,
        message: b"a\nb\xff\x1b",
        chain: Some("C"),
        step: None,
        again: false,
    });
    let mut buffer = [0; 9000];
    let mut line = |reader: &UnixDatagram| {
        let length = reader.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    let text = line(&reader);
    assert!(text.starts_with("<27>"), "{text}");
    let tail = format!(" unmasqwatch[{}]: C: a\\nb\\xff\\u{{1b}}", std::process::id());
    assert!(text.ends_with(&tail), "{text}");

    drop(reader);
    fs::remove_file(&path).unwrap();
    log.write(&info(b"nobody listens: on standard error"));
    assert_eq!(log.goes_to(), "standard error");
    let reader = UnixDatagram::bind(&path).unwrap();
    log.next_look = None;
    log.write(&info(b"again"));
    assert!(line(&reader).ends_with(": again"));
    assert_eq!(log.tally(), Tally { written: 3, ..Tally::default() });
}

#[test]
fn levels_have_pyruses_names_and_syslogs_numbers() {
    assert_eq!(Level::named("WARNING"), Some(Level::Warning));
    assert_eq!(Level::named("warning"), None);
    for (number, (_, level)) in Level::NAMES.iter().enumerate() {
        assert_eq!(*level as usize, number);
    }
}

#[test]
fn a_file_has_time_name_and_level_and_nothing_less_grave() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let mut log = Log::open("DOM", &Target::File(path.clone())).at_least(Level::Info);
    for (level, message) in [(Level::Info, "one\ntwo"), (Level::Debug, "not told"), (Level::Err, "three")] {
        let message = message.as_bytes();
        log.write(&Record { level, message, chain: None, step: None, again: false });
    }
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    // 2026-11-21 08:57:28,761
    let (stamp, rest) = lines[0].split_at(23);
    assert_eq!((&stamp[4..5], &stamp[10..11], &stamp[19..20]), ("-", " ", ","));
    assert_eq!(rest, " DOM INFO one\\ntwo");
    assert!(lines[1].ends_with(" DOM ERROR three"));
}
