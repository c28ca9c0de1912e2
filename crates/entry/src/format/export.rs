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

/// Reads the field at `at`.
fn step(bytes: &[u8], at: usize) -> Step<'_> {
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
    let length = u64::from_le_bytes(*length);
    if length > MOST_DATA {
        return Step::Fault(Fault::Length);
    }
    let length = length as usize;
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

/// The longest data that a length is believed of: the journal itself takes 768 MiB.
const MOST_DATA: u64 = 1 << 30;

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

/// Where in a record one is that is too long to be kept, and is passed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Passing {
    /// At a field's beginning.
    #[default]
    Field,
    /// Within a line.
    Line,
    /// Before so many bytes of binary data, its line end included.
    Data(u64),
}

/// Passes over what there is of a record: how many bytes, and whether they end it. Binary data is passed over by its
/// length, as it can hold anything, the likeness of other records too.
pub fn pass(state: &mut Passing, bytes: &[u8]) -> (usize, bool) {
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        match *state {
            Passing::Data(left) => {
                let passed = rest.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                let left = left - passed as u64;
                *state = if left == 0 { Passing::Field } else { Passing::Data(left) };
                at += passed;
            }
            Passing::Line => match memchr::memchr(b'\n', rest) {
                Some(end) => {
                    *state = Passing::Field;
                    at += end + 1;
                }
                None => at = bytes.len(),
            },
            Passing::Field if rest[0] == b'\n' => return (at + 1, true),
            Passing::Field => {
                let name = name_length(rest);
                match (
                    rest.get(name),
                    rest.get(name + 1..name + 9).and_then(|length| length.first_chunk::<8>()),
                ) {
                    (None, _) if name < MOST_NAME => return (at, false),
                    (Some(b'\n'), None) => return (at, false),
                    (Some(b'\n'), Some(length)) if u64::from_le_bytes(*length) <= MOST_DATA => {
                        *state = Passing::Data(u64::from_le_bytes(*length) + 1);
                        at += name + 9;
                    }
                    _ => *state = Passing::Line,
                }
            }
        }
    }
    (at, false)
}

/// `NAME=value` at the end of a file, without a line end.
fn last_line(line: &[u8]) -> Option<Field<'_>> {
    let (name, value) = line.split_at(memchr::memchr(b'=', line)?);
    let is_text = is_name(name) && !value.contains(&b'\n');
    is_text.then(|| Field { name, value: &value[1..], next: line.len() })
}

/// Finds the end of the record that begins at the head of `bytes`, where blank lines may stand. `is_all`: no more
/// bytes will come, so that an unfinished record ends with them.
pub fn extent(bytes: &[u8], is_all: bool) -> Extent {
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
        match step(bytes, at) {
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
        match step(record, at) {
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
