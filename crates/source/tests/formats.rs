//! Whole files in each format.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use unmasq_entry::format::{Context, Format};
use unmasq_entry::saved::{SavedEntry, SavedValue};
use unmasq_source::{Once, Source, Stdin};

use crate::support::{Reader, data, message, once, text};

const JOURNAL: [&str; 14] = [
    "__CURSOR",
    "__REALTIME_TIMESTAMP",
    "__MONOTONIC_TIMESTAMP",
    "_SOURCE_REALTIME_TIMESTAMP",
    "_SOURCE_MONOTONIC_TIMESTAMP",
    "_BOOT_ID",
    "_MACHINE_ID",
    "PRIORITY",
    "SYSLOG_FACILITY",
    "SYSLOG_IDENTIFIER",
    "SYSLOG_PID",
    "SYSLOG_RAW",
    "_CMDLINE",
    "MESSAGE",
];

#[test]
fn both_forms_of_the_journal_give_the_same_entries() {
    let export = once(&data("gateway.journal.export"), None, &JOURNAL).now();
    let json = once(&data("gateway.journal.json"), None, &JOURNAL).now();
    assert_eq!(export.len(), 208);
    assert_eq!(json.len(), 208);
    for (export, json) in export.iter().zip(&json) {
        assert_eq!(export, json);
    }
    let first = &export[0];
    assert_eq!(first.time, Some(1_795_251_448_169_580_000));
    assert_eq!(first.find("PRIORITY"), Some(&SavedValue::Integer(4)));
    assert_eq!(first.find("__REALTIME_TIMESTAMP"), Some(&SavedValue::Time(1_795_251_448_169_580_000)));
    let boot = 0xe206_869e_d117_4622_a80e_3fb5_95ec_0d7a_u128.to_be_bytes();
    assert_eq!(first.find("_BOOT_ID"), Some(&SavedValue::Uuid(boot)));
    assert_eq!(first.find("__MONOTONIC_TIMESTAMP"), Some(&SavedValue::Monotonic(989_832_572, boot)));
    assert_eq!(first.find("_SOURCE_MONOTONIC_TIMESTAMP"), Some(&SavedValue::Span(989_831_689)));
    // The binary field of HAProxy's lines.
    let raw = export.iter().find_map(|entry| entry.find("SYSLOG_RAW")).expect("one with it");
    assert!(matches!(raw, SavedValue::Text(text) if text.contains("haproxy[11698]")), "{raw:?}");
}

#[test]
fn the_lines_of_a_journal_file_are_counted() {
    let mut reader = once(&data("gateway.journal.json"), None, &["MESSAGE"]);
    reader.now();
    assert_eq!(reader.position().to_string(), "line 208");
    assert_eq!(reader.source.counts().bytes, fs::metadata(data("gateway.journal.json")).unwrap().len());
}

#[test]
fn what_a_field_repeats_or_cannot_say_as_text_is_read_in_both_forms() {
    let folder = tempfile::tempdir().unwrap();
    let (export, json) = (folder.path().join("export"), folder.path().join("json"));
    let mut bytes = b"__REALTIME_TIMESTAMP=5\nA=1\nA=2\nMESSAGE\n\x03\0\0\0\0\0\0\0\xe9\nx\nB\n\x02\0\0\0\0\0\0\0\xff\0\n".to_vec();
    bytes.extend_from_slice(b"PRIORITY=x\nCOREDUMP=c\n");
    fs::write(&export, &bytes).unwrap();
    let line = r#"{"__REALTIME_TIMESTAMP":"5","A":["1","2"],"MESSAGE":[233,10,120],"B":[255,0],"PRIORITY":"x","COREDUMP":"c"}"#;
    fs::write(&json, line).unwrap();
    let names = ["A", "MESSAGE", "B", "PRIORITY", "COREDUMP"];
    let export = once(&export, None, &names).now();
    let json = once(&json, Some(Format::JournalJson), &names).now();
    assert_eq!(export, json);
    let expected = SavedEntry {
        time: Some(5000),
        fields: vec![
            (
                "A".to_owned(),
                SavedValue::List(vec![SavedValue::Text("1".into()), SavedValue::Text("2".into())]),
            ),
            ("MESSAGE".to_owned(), SavedValue::Text("é\nx".into())),
            ("B".to_owned(), SavedValue::Bytes(vec![255, 0])),
            ("PRIORITY".to_owned(), SavedValue::Bytes(b"x".to_vec())),
            ("COREDUMP".to_owned(), SavedValue::Bytes(b"c".to_vec())),
        ],
    };
    assert_eq!(export, [expected]);
}

#[test]
fn an_undecodable_record_is_counted_and_told_and_the_next_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("eve.json");
    fs::write(&path, "{\"MESSAGE\":\"a\"}\n{\"MESSAGE\":\"b\"\n[1]\n\0\n{\"MESSAGE\":\"c\"}").unwrap();
    let mut reader = once(&path, Some(Format::JsonLines), &["MESSAGE"]);
    assert_eq!(reader.messages_now(), ["a", "c"]);
    assert_eq!(reader.source.counts().undecodable, 3);
    let notices = reader.notices();
    assert!(notices[0].contains("line 2: not a JSON object: EOF while parsing an object"), "{notices:?}");
}

#[test]
fn a_lying_length_does_not_swallow_the_next_entry() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("export");
    let mut bytes = b"MESSAGE=a\nB\n".to_vec();
    bytes.extend_from_slice(&1_000_000u64.to_le_bytes());
    bytes.extend_from_slice(b"x\n\nMESSAGE=b\n\n");
    fs::write(&path, bytes).unwrap();
    let mut reader = once(&path, Some(Format::JournalExport), &["MESSAGE"]);
    assert_eq!(reader.messages_now(), ["b"]);
    assert_eq!(reader.source.counts().undecodable, 1);
}

#[test]
fn a_line_that_is_not_utf8_is_decoded_and_the_others_are_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    fs::write(&path, b"caf\xc3\xa9\ncaf\xe9 \x80\0\ncaf\xc3\xa9\n").unwrap();
    assert_eq!(
        once(&path, Some(Format::Plain), &["MESSAGE"]).messages_now(),
        ["café", "café \u{80}\0", "café"]
    );
}

#[test]
fn compressed_files_are_read_and_their_format_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let plain = fs::read(data("gateway.journal.json")).unwrap();
    let gzip = folder.path().join("journal.gz");
    let mut encoder =
        flate2::write::GzEncoder::new(fs::File::create(&gzip).unwrap(), flate2::Compression::fast());
    encoder.write_all(&plain).unwrap();
    encoder.finish().unwrap();
    let zstd = folder.path().join("journal.zst");
    fs::write(&zstd, zstd::encode_all(&plain[..], 1).unwrap()).unwrap();
    for path in [gzip, zstd] {
        let mut reader = once(&path, None, &["MESSAGE"]);
        assert_eq!(reader.source.format(), Format::JournalJson);
        assert_eq!(reader.now().len(), 208, "{}", path.display());
    }
}

#[test]
fn a_file_that_ends_within_its_compression_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.zst");
    let whole = zstd::encode_all(&b"line\n".repeat(100_000)[..], 1).unwrap();
    fs::write(&path, &whole[..whole.len() - 3]).unwrap();
    let result = Once::open(&path, None, Context::default()).and_then(|mut once| {
        let fields = unmasq_entry::Fields::default();
        let mut entry = unmasq_entry::Entry::new(&fields);
        while once.read(&mut entry, &fields)? == unmasq_source::Read::Entry {}
        Ok(())
    });
    assert!(result.is_err());
}

#[test]
fn a_stream_gives_its_lines_as_they_come_and_the_last_one_without_its_end() {
    let mut writer = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let stream = writer.stdout.take().unwrap().into();
    let stdin = Stdin::of(stream, "pipe", Format::Syslog, Context::default());
    let mut reader = Reader::new(Box::new(stdin), &["MESSAGE", "SYSLOG_IDENTIFIER"]);
    assert!(reader.now().is_empty());
    let mut input = writer.stdin.take().unwrap();
    input.write_all(b"<13>su: a\n<13>su:").unwrap();
    let first = reader.wait().unwrap();
    assert_eq!((message(&first), text(&first, "SYSLOG_IDENTIFIER")), ("a".to_owned(), "su".to_owned()));
    assert!(reader.now().is_empty());
    input.write_all(b" b").unwrap();
    drop(input);
    assert_eq!(message(&reader.wait().unwrap()), "b");
    assert_eq!(reader.wait(), None);
    writer.wait().unwrap();
}
