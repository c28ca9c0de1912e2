//! The journal's export format: `NAME=value` lines, or `NAME`, a length and that many bytes; a blank line ends a record.
//!
//! See <https://systemd.io/JOURNAL_EXPORT_FORMATS/>. The lengths are another program's word: one that leads to no
//! line end makes the record undecodable, and reading goes on after the next blank line.

use std::fmt;

use crate::format::{Encoding, Undecodable};
use crate::journal_fields::{micros, push, time, uuid};
use crate::{Entry, Fields, Value};

/// What is wrong with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A name has other characters than the journal allows.
    Name,
    /// A length is larger than the record, or does not lead to a line end.
    Length,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "a line that is neither NAME=value nor the name of binary data",
            Self::Length => "the length of binary data is not true",
        })
    }
}

/// Where the first record of some bytes ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// It has `length` bytes, and the next one begins at `next`.
    Record {
        /// Bytes of the record, without the blank line.
        length: usize,
        /// Bytes up to the next record, blank lines before and after this one included.
        next: usize,
    },
    /// Its end is not among the bytes.
    More,
}

/// One field of a record, and where the next begins.
struct Field<'r> {
    name: &'r [u8],
    value: &'r [u8],
    next: usize,
}

enum Step<'r> {
    Field(Field<'r>),
    /// The line is empty: the record's end, with the place after it.
    End(usize),
    /// The bytes end within the field.
    More,
    Fault(Fault),
}

/// Reads the field at `at`. `most`: no record has more bytes than this.
fn step(bytes: &[u8], at: usize, most: usize) -> Step<'_> {
    let rest = &bytes[at..];
    // The first of both: a name has no `=`, and the value of a text field has no line end.
    let Some(stop) = memchr::memchr2(b'=', b'\n', rest) else {
        return if rest.len() > MOST_NAME { Step::Fault(Fault::Name) } else { Step::More };
    };
    let name = &rest[..stop];
    if rest[stop] == b'\n' && name.is_empty() {
        return Step::End(at + 1);
    }
    if !is_name(name) {
        return Step::Fault(Fault::Name);
    }
    if rest[stop] == b'=' {
        let value = &rest[stop + 1..];
        return match memchr::memchr(b'\n', value) {
            Some(end) => Step::Field(Field { name, value: &value[..end], next: at + stop + 2 + end }),
            None => Step::More,
        };
    }
    let Some((length, data)) = rest[stop + 1..].split_first_chunk::<8>() else { return Step::More };
    let Some(length) = usize::try_from(u64::from_le_bytes(*length)).ok().filter(|length| *length <= most)
    else {
        return Step::Fault(Fault::Length);
    };
    match data.get(length) {
        Some(b'\n') => Step::Field(Field { name, value: &data[..length], next: at + stop + 9 + length + 1 }),
        Some(_) => Step::Fault(Fault::Length),
        None => Step::More,
    }
}

/// Reads the text fields from `at` on, as many as follow each other, while `each` wants more: the place of what is none,
/// or is not wanted. Hot: nearly all fields are text, and one search finds all their ends.
fn texts<'r>(bytes: &'r [u8], at: usize, mut each: impl FnMut(&'r [u8], &'r [u8]) -> bool) -> usize {
    let mut start = at;
    for end in memchr::memchr_iter(b'\n', &bytes[at..]) {
        let line = &bytes[start..at + end];
        let length = name_length(line);
        if length == 0 || line.get(length) != Some(&b'=') || !each(&line[..length], &line[length + 1..]) {
            return start;
        }
        start = at + end + 1;
    }
    start
}

/// The journal allows 64; room for other writers.
const MOST_NAME: usize = 256;

fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && name_length(name) == name.len()
}

/// How many bytes at the head of a line can be a name's.
fn name_length(line: &[u8]) -> usize {
    let is_allowed = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    line.iter().take(MOST_NAME).take_while(|byte| is_allowed(**byte)).count()
}

/// `NAME=value` at the end of a file, without a line end.
fn last_line(line: &[u8]) -> Option<Field<'_>> {
    let (name, value) = line.split_at(memchr::memchr(b'=', line)?);
    let is_text = is_name(name) && !value.contains(&b'\n');
    is_text.then(|| Field { name, value: &value[1..], next: line.len() })
}

/// Finds the end of the record that begins at the head of `bytes`, where blank lines may stand. `is_all`: no more
/// bytes will come, so that an unfinished record ends with them. `most`: no record has more bytes than this.
pub fn extent(bytes: &[u8], is_all: bool, most: usize) -> Extent {
    let blank = bytes.iter().take_while(|byte| **byte == b'\n').count();
    let mut at = blank;
    let (mut has_cursor, mut has_second) = (false, false);
    loop {
        at = texts(bytes, at, |name, _| {
            if name == b"__CURSOR" {
                has_second = has_cursor;
                has_cursor = true;
            }
            !has_second
        });
        // A length that is one too large has swallowed the blank line; no record has two cursors.
        if has_second {
            return Extent::Record { length: at, next: at };
        }
        match step(bytes, at, most) {
            Step::Field(field) => at = field.next,
            Step::End(next) => return Extent::Record { length: at, next },
            Step::More if !is_all => return Extent::More,
            Step::More if at >= bytes.len() => {
                let is_record = at > blank;
                return if is_record { Extent::Record { length: at, next: at } } else { Extent::More };
            }
            // The length may have swallowed what follows: only the blank line can be trusted.
            Step::More | Step::Fault(_) => {
                return match memchr::memmem::find(&bytes[at..], b"\n\n") {
                    Some(end) => Extent::Record { length: at + end + 1, next: at + end + 2 },
                    None if is_all => Extent::Record { length: bytes.len(), next: bytes.len() },
                    None => Extent::More,
                };
            }
        }
    }
}

/// Fills an entry from one record.
pub(super) fn parse(
    record: &[u8],
    encoding: Encoding,
    entry: &mut Entry,
    fields: &Fields,
) -> Result<(), Undecodable> {
    let mut at = record.iter().take_while(|byte| **byte == b'\n').count();
    let mut clocks = Clocks::new(fields);
    let mut fill = |name: &[u8], value: &[u8]| {
        let name = str::from_utf8(name).unwrap_or_default();
        clocks.note(name, value);
        if let Some(slot) = fields.find(name) {
            push(entry, slot, fields.journal_kind(slot), value, encoding);
        }
        true
    };
    loop {
        at = texts(record, at, &mut fill);
        if at >= record.len() {
            break;
        }
        match step(record, at, record.len()) {
            Step::Field(field) => {
                fill(field.name, field.value);
                at = field.next;
            }
            Step::End(next) => at = next,
            Step::Fault(what) => return Err(Undecodable::Export { what, at }),
            Step::More => match last_line(&record[at..]) {
                Some(field) => {
                    fill(field.name, field.value);
                    at = record.len();
                }
                None => return Err(Undecodable::Export { what: Fault::Length, at }),
            },
        }
    }
    clocks.finish(entry, fields);
    Ok(())
}

/// What an entry's own time, and its monotonic one, are made of.
#[derive(Default)]
pub(super) struct Clocks {
    time: Option<unmasq_flow::Timestamp>,
    monotonic: Option<std::time::Duration>,
    boot: Option<[u8; 16]>,
    /// A chain uses the field that needs two.
    is_monotonic_wanted: bool,
}

impl Clocks {
    pub(super) fn new(fields: &Fields) -> Self {
        Self { is_monotonic_wanted: fields.find("__MONOTONIC_TIMESTAMP").is_some(), ..Self::default() }
    }

    /// The fields that it takes.
    pub(super) const NAMES: [&'static str; 3] = ["__REALTIME_TIMESTAMP", "__MONOTONIC_TIMESTAMP", "_BOOT_ID"];

    /// Takes what it needs.
    pub(super) fn note(&mut self, name: &str, value: &[u8]) {
        if !name.starts_with('_') {
            return;
        }
        match name {
            "__REALTIME_TIMESTAMP" => self.time = time(value),
            "__MONOTONIC_TIMESTAMP" if self.is_monotonic_wanted => self.monotonic = micros(value),
            "_BOOT_ID" if self.is_monotonic_wanted => self.boot = uuid(value),
            _ => {}
        }
    }

    /// Sets the time, and the field that needs two.
    pub(super) fn finish(self, entry: &mut Entry, fields: &Fields) {
        entry.time = self.time;
        if let (Some(monotonic), Some(slot)) = (self.monotonic, fields.find("__MONOTONIC_TIMESTAMP")) {
            entry.set(slot, Value::Monotonic(monotonic, self.boot.unwrap_or_default()));
        }
    }
}
