//! The values of the fields: as python-systemd gives them, and as the export format's parser does.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use unmasq_entry::format::{Context, Encoding, Format};
use unmasq_entry::saved::SavedEntry;
use unmasq_entry::{Entry, Fields, Value};
use unmasq_journal::Where;
use unmasq_lab::{Journald, Lab};
use unmasq_source::journal::{Journal, Options};
use unmasq_source::{Once, Read, Source, Start};

use crate::{open, remote};

const EXPORT: &[u8] = include_bytes!("../data/gateway.journal.export");

/// All that `gateway.journal.export` has, but the cursor: it is of the file that the entry is in.
const NAMES: [&str; 22] = [
    "MESSAGE",
    "PRIORITY",
    "SYSLOG_FACILITY",
    "SYSLOG_IDENTIFIER",
    "SYSLOG_PID",
    "SYSLOG_TIMESTAMP",
    "_BOOT_ID",
    "_CAP_EFFECTIVE",
    "_CMDLINE",
    "_COMM",
    "_EXE",
    "_GID",
    "_HOSTNAME",
    "_MACHINE_ID",
    "_PID",
    "_RUNTIME_SCOPE",
    "_SOURCE_MONOTONIC_TIMESTAMP",
    "_SOURCE_REALTIME_TIMESTAMP",
    "_TRANSPORT",
    "_UID",
    "__MONOTONIC_TIMESTAMP",
    "__REALTIME_TIMESTAMP",
];

fn fields(names: &[&str]) -> Fields {
    let mut fields = Fields::default();
    for name in names {
        fields.slot(name);
    }
    fields
}

fn all(source: &mut impl Source, fields: &Fields) -> Vec<SavedEntry> {
    let mut entry = Entry::new(fields);
    let mut found = Vec::new();
    loop {
        entry.clear();
        match source.read(&mut entry, fields).unwrap() {
            Read::Entry => found.push(SavedEntry::new(&entry, fields)),
            Read::Idle | Read::End => return found,
        }
    }
}

#[test]
fn a_journal_file_gives_what_its_export_gives() {
    let folder = tempfile::tempdir().unwrap();
    remote(&folder.path().join("remote-gateway.journal"), EXPORT);
    let fields = fields(&NAMES);
    let from_file = all(&mut open(folder.path(), Start::Head, false), &fields);

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/gateway.journal.export");
    let mut export = Once::open(&path, Some(Format::JournalExport), Context::default()).unwrap();
    let from_text = all(&mut export, &fields);
    assert_eq!(from_file.len(), 208);
    for (number, (file, text)) in from_file.iter().zip(&from_text).enumerate() {
        assert_eq!(file, text, "entry {number}");
    }
    assert_eq!(from_file.len(), from_text.len());
}

/// Fields of all kinds of values, good ones and such as the converters refuse.
const SENT: [(&str, &[u8]); 15] = [
    ("MESSAGE", b"of all kinds"),
    ("SYSLOG_IDENTIFIER", b"kinds"),
    ("PRIORITY", b"6"),
    ("SYSLOG_PID", b" 7 "),
    ("ERRNO", b"no number"),
    ("CODE_LINE", b"-12"),
    ("EXIT_STATUS", b"1_000"),
    ("MESSAGE_ID", b"fc2e22bc6ee647b6b90729ab34a250b1"),
    ("COREDUMP_TIMESTAMP", b"1795251448169580"),
    ("COREDUMP", b"text, yet bytes"),
    ("TEXT", "na\u{ef}ve".as_bytes()),
    ("NOT_TEXT", b"na\xefve"),
    ("EMPTY", b""),
    ("TWICE", b"one"),
    ("TWICE", b"two"),
];

/// What they are to python-systemd: a line `NAME type value` for each.
const PYTHON: &str = r"
import sys
from systemd import journal
reader = journal.Reader(path=sys.argv[1])
entry = [entry for entry in reader if entry.get('SYSLOG_IDENTIFIER') == 'kinds'][0]
for name in sys.argv[2:]:
    value = entry.get(name)
    kind = type(value).__name__
    if kind == 'datetime':
        value = round(value.timestamp() * 1000000)
    if kind == 'Monotonic':
        value = f'{round(value.timestamp.total_seconds() * 1000000)} {value.bootid.hex}'
    if kind == 'timedelta':
        value = round(value.total_seconds() * 1000000)
    if kind == 'list':
        value = '+'.join(sorted(value))
    if kind == 'bytes':
        value = value.hex()
    if kind == 'UUID':
        value = value.hex
    print(name, kind, value)
";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// As [`PYTHON`] prints it.
fn as_python(value: Value<'_>) -> String {
    match value {
        Value::Null => "NoneType None".into(),
        Value::Bool(value) => format!("bool {value}"),
        Value::Integer(value) => format!("int {value}"),
        Value::Float(value) => format!("float {value}"),
        Value::Text(value) => format!("str {value}"),
        Value::Bytes(value) => format!("bytes {}", hex(value)),
        Value::Time(value) => format!("datetime {}", value.as_nanos() / 1000),
        Value::Span(value) => format!("timedelta {}", value.as_micros()),
        Value::Monotonic(since, boot) => {
            format!("Monotonic {} {:032x}", since.as_micros(), u128::from_be_bytes(boot))
        }
        Value::Uuid(value) => format!("UUID {:032x}", u128::from_be_bytes(value)),
        Value::List(items) => {
            let mut texts: Vec<_> = items.iter().filter_map(Value::as_text).collect();
            texts.sort_unstable();
            format!("list {}", texts.join("+"))
        }
    }
}

#[test]
fn the_types_are_those_of_python_systemd() {
    let journald = Journald::start(&Lab::new().unwrap(), "").unwrap();
    journald.send(&SENT).unwrap();
    journald.sync().unwrap();
    let mut names: Vec<_> = SENT.iter().map(|(name, _)| *name).collect();
    names.dedup();
    names.extend([
        "__REALTIME_TIMESTAMP",
        "__MONOTONIC_TIMESTAMP",
        "__CURSOR",
        "_SOURCE_REALTIME_TIMESTAMP",
        "_BOOT_ID",
        "_MACHINE_ID",
        "_PID",
        "_UID",
        "_COMM",
        "_TRANSPORT",
    ]);
    let python = python(&journald.directory(), &names);

    let fields = fields(&names);
    let mut source = open(&journald.directory(), Start::Head, false);
    let mut entry = Entry::new(&fields);
    loop {
        entry.clear();
        assert_eq!(source.read(&mut entry, &fields).unwrap(), Read::Entry);
        if entry.text(fields.find("SYSLOG_IDENTIFIER").unwrap()) == Some("kinds") {
            break;
        }
    }
    let ours: Vec<_> =
        entry.iter().map(|(slot, value)| format!("{} {}", fields.name(slot), as_python(value))).collect();
    assert_eq!(ours, python);
}

fn python(folder: &Path, names: &[&str]) -> Vec<String> {
    let output =
        Command::new("/usr/bin/python3").args(["-c", PYTHON]).arg(folder).args(names).output().unwrap();
    assert!(output.status.success(), "python3-systemd: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn entries_with_no_message_with_two_and_with_one_of_other_bytes_are_entries() {
    let journald = Journald::start(&Lab::new().unwrap(), "").unwrap();
    let of = ("SYSLOG_IDENTIFIER", b"test".as_slice());
    journald.send(&[of, ("TEXT", b"no message")]).unwrap();
    journald.send(&[of, ("MESSAGE", b"one"), ("MESSAGE", b"two")]).unwrap();
    journald.send(&[of, ("MESSAGE", b"10 \xa4")]).unwrap();
    journald.sync().unwrap();
    let fields = fields(&["MESSAGE", "SYSLOG_IDENTIFIER"]);
    let mut source = Journal::open(Options {
        place: Where::Directory(journald.directory()),
        start: Start::Head,
        encoding: Encoding::named("iso-8859-15").unwrap(),
        follow: true,
    })
    .unwrap();
    let (message, identifier) = (fields.find("MESSAGE").unwrap(), fields.find("SYSLOG_IDENTIFIER").unwrap());
    let mut found = Vec::new();
    let mut entry = Entry::new(&fields);
    while source.read(&mut entry, &fields).unwrap() == Read::Entry {
        if entry.text(identifier) == Some("test") {
            found.push(entry.get(message).map_or("nothing".to_owned(), as_python));
        }
        entry.clear();
    }
    assert_eq!(found, ["nothing", "list one+two", "str 10 \u{20ac}"]);
}
