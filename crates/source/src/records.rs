//! Bytes, as they come, cut into records: lines, or the journal's export records. Hot; guarded by `benches/read.rs`.
//!
//! ```text
//!  read ──► rest (a half line) ──► chunk (whole lines, checked once for UTF-8) ──► Record, borrowed from the chunk
//! ```
//!
//! A chunk that is UTF-8 is kept as a `String`, so that its lines need no check of their own and nothing is copied.

use std::io;
use std::mem;

use unmasq_entry::floor_char_boundary;
use unmasq_entry::format::{Format, Record, export};

use crate::MOST_RECORD;

/// Bytes asked for in one read: large enough that system calls do not count, small enough for the second-level cache.
pub(crate) const READ_BYTES: usize = 256 << 10;

/// Whole records.
#[derive(Debug)]
enum Chunk {
    Text(String),
    Bytes(Vec<u8>),
}

impl Chunk {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }

    fn take(&mut self) -> Vec<u8> {
        match mem::replace(self, Self::Bytes(Vec::new())) {
            Self::Text(text) => text.into_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }
}

/// One record, and whether its rest was left out.
#[derive(Debug)]
pub(crate) struct Found<'r> {
    pub(crate) record: Record<'r>,
    pub(crate) is_cut: bool,
}

/// See the picture at the head of the file.
#[derive(Debug)]
pub(crate) struct Records {
    is_export: bool,
    chunk: Chunk,
    /// Where the next record begins in the chunk.
    at: usize,
    /// What was read after the chunk: no whole record.
    rest: Vec<u8>,
    /// Bytes of the unfinished line that were dropped: those past [`MOST_RECORD`].
    dropped: u64,
    /// Of these, what belongs to the first line of the chunk.
    dropped_first: u64,
    /// A journal record that is too long is being passed over.
    passing: Option<export::Passing>,
    offset: u64,
    line: u64,
}

impl Records {
    /// Of a text in that format, from its `offset`th byte, before which there are `line` lines.
    pub(crate) fn new(format: Format, offset: u64, line: u64) -> Self {
        Self {
            is_export: format == Format::JournalExport,
            chunk: Chunk::Bytes(Vec::new()),
            at: 0,
            rest: Vec::new(),
            dropped: 0,
            dropped_first: 0,
            passing: None,
            offset,
            line,
        }
    }

    /// Forgets what was read, and goes on elsewhere.
    pub(crate) fn restart(&mut self, offset: u64, line: u64) {
        let is_export = self.is_export;
        *self = Self { is_export, ..Self::new(Format::Plain, offset, line) };
    }

    /// Bytes before the end of the last record given.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Lines before the end of the last record given.
    pub(crate) fn line(&self) -> u64 {
        self.line
    }

    /// The place of the next byte to read.
    pub(crate) fn read_offset(&self) -> u64 {
        let unread = self.chunk.bytes().len() - self.at + self.rest.len();
        self.offset + unread as u64 + self.dropped + self.dropped_first
    }

    /// Reads more; only when [`Records::next`] has nothing. `read` adds to a vector and returns how many bytes it added.
    pub(crate) fn fill(&mut self, read: impl FnOnce(&mut Vec<u8>) -> io::Result<usize>) -> io::Result<usize> {
        let old = self.rest.len();
        let count = read(&mut self.rest)?;
        if self.is_export {
            self.cut_export();
            return Ok(count);
        }
        let mut from = old;
        if self.dropped > 0 {
            // `old` bytes of a line that is too long; its end is all that counts of what is new.
            let end = memchr::memchr(b'\n', &self.rest[old..]).unwrap_or(count);
            self.rest.drain(old..old + end);
            self.dropped += end as u64;
            from = old;
        }
        match memchr::memrchr(b'\n', &self.rest[from..]) {
            Some(end) => self.take_whole(from + end + 1),
            None if self.rest.len() > MOST_RECORD => {
                self.dropped += (self.rest.len() - MOST_RECORD) as u64;
                self.rest.truncate(MOST_RECORD);
            }
            None => {}
        }
        Ok(count)
    }

    /// Makes the first bytes of the rest the chunk.
    fn take_whole(&mut self, length: usize) {
        let mut next_rest = self.chunk.take();
        next_rest.clear();
        next_rest.extend_from_slice(&self.rest[length..]);
        self.rest.truncate(length);
        let whole = mem::replace(&mut self.rest, next_rest);
        self.chunk = match String::from_utf8(whole) {
            Ok(text) => Chunk::Text(text),
            Err(error) => Chunk::Bytes(error.into_bytes()),
        };
        self.at = 0;
        self.dropped_first = mem::take(&mut self.dropped);
    }

    /// Export records are cut where they are read; the chunk only gives back what it has not given yet.
    fn cut_export(&mut self) {
        let mut bytes = self.chunk.take();
        if self.at < bytes.len() {
            bytes.drain(..self.at);
            bytes.append(&mut self.rest);
        } else {
            bytes.clear();
            mem::swap(&mut bytes, &mut self.rest);
        }
        self.chunk = Chunk::Bytes(bytes);
        self.at = 0;
    }

    /// The next record. `is_end`: nothing more will come, so that what is there is a record. Empty lines are none.
    pub(crate) fn next(&mut self, is_end: bool) -> Option<Found<'_>> {
        if self.is_export { self.next_export(is_end) } else { self.next_line(is_end) }
    }

    fn next_line(&mut self, is_end: bool) -> Option<Found<'_>> {
        let (line, is_cut) = loop {
            let bytes = self.chunk.bytes();
            if self.at >= bytes.len() {
                if !is_end || self.rest.is_empty() {
                    return None;
                }
                self.take_whole(self.rest.len());
                continue;
            }
            let start = self.at;
            let length = memchr::memchr(b'\n', &bytes[start..]).unwrap_or(bytes.len() - start);
            let after = (start + length + 1).min(bytes.len());
            let dropped = mem::take(&mut self.dropped_first);
            self.offset += (after - start) as u64 + dropped;
            self.line += 1;
            self.at = after;
            let mut end = start + length;
            if end > start && bytes[end - 1] == b'\r' {
                end -= 1;
            }
            if end > start {
                let is_cut = dropped > 0 || end - start > MOST_RECORD;
                break (start..end.min(start + MOST_RECORD), is_cut);
            }
        };
        let record = match &self.chunk {
            Chunk::Bytes(bytes) => Record::Bytes(&bytes[line]),
            Chunk::Text(text) if is_cut => {
                Record::Text(&text[line.start..floor_char_boundary(text, line.end)])
            }
            Chunk::Text(text) => Record::Text(&text[line]),
        };
        Some(Found { record, is_cut })
    }

    fn next_export(&mut self, is_end: bool) -> Option<Found<'_>> {
        if self.passing.is_some() {
            return self.pass_export();
        }
        let unread = &self.chunk.bytes()[self.at..];
        let export::Extent::Record { length, next } = export::extent(unread, is_end) else {
            if unread.len() > MOST_RECORD {
                self.passing = Some(export::Passing::default());
                return self.pass_export();
            }
            return None;
        };
        self.offset += next as u64;
        self.line += memchr::memchr_iter(b'\n', &unread[..next]).count() as u64;
        let start = self.at;
        self.at += next;
        // Too long, and wholly there nevertheless: treated as those of which only a part is.
        let is_cut = length > MOST_RECORD;
        let length = if is_cut { 0 } else { length };
        let record = Record::Bytes(&self.chunk.bytes()[start..start + length]);
        Some(Found { record, is_cut })
    }

    /// A journal record that is too long: nothing of it is kept.
    fn pass_export(&mut self) -> Option<Found<'_>> {
        let unread = &self.chunk.bytes()[self.at..];
        // Blank lines before the record do not end it.
        let is_first = self.dropped_first == 0;
        let blank = unread.iter().take_while(|byte| is_first && **byte == b'\n').count();
        let (passed, is_over) = export::pass(self.passing.as_mut()?, &unread[blank..]);
        let passed = blank + passed;
        self.line += memchr::memchr_iter(b'\n', &unread[..passed]).count() as u64;
        self.at += passed;
        self.dropped_first += passed as u64;
        if !is_over {
            return None;
        }
        self.offset += mem::take(&mut self.dropped_first);
        self.passing = None;
        Some(Found { record: Record::Bytes(&[]), is_cut: true })
    }
}

/// For fuzzing: any bytes, in pieces of any size, give the same records as in one piece.
///
/// # Panics
/// If they do not.
pub fn fuzz_records(data: &[u8]) {
    let Some((&size, data)) = data.split_first() else { return };
    for format in [Format::Plain, Format::JournalExport] {
        let whole = cut(format, data, data.len().max(1));
        let pieces = cut(format, data, usize::from(size).max(1));
        assert_eq!(whole, pieces, "pieces of {size} bytes");
    }
}

/// The records of `data`, read in pieces of `size` bytes, with the place after each.
fn cut(format: Format, data: &[u8], size: usize) -> Vec<(Vec<u8>, u64, u64)> {
    let mut records = Records::new(format, 0, 0);
    let mut found = Vec::new();
    let mut pieces = data.chunks(size);
    loop {
        let piece = pieces.next();
        if let Some(piece) = piece {
            let added = records.fill(|rest| {
                rest.extend_from_slice(piece);
                Ok(piece.len())
            });
            debug_assert!(added.is_ok(), "memory does not fail");
        }
        while let Some(Found { record, .. }) = records.next(piece.is_none()) {
            let bytes = record.bytes().to_vec();
            found.push((bytes, records.offset(), records.line()));
        }
        if piece.is_none() {
            return found;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(data: &[u8], size: usize) -> Vec<String> {
        let found = cut(Format::Plain, data, size);
        found.into_iter().map(|(bytes, ..)| String::from_utf8_lossy(&bytes).into_owned()).collect()
    }

    #[test]
    fn a_line_ends_with_a_line_feed_and_nothing_else() {
        assert_eq!(texts(b"a\r\nb\rc\n\n\r\n\0d\x0b\n\xff\ne", 3), ["a", "b\rc", "\0d\x0b", "\u{fffd}", "e"]);
    }

    #[test]
    fn a_line_of_any_length_is_one_record_and_its_rest_is_dropped() {
        let mut data = vec![b'x'; MOST_RECORD + 700_000];
        data.extend_from_slice(b"\nnext\n");
        for size in [READ_BYTES, data.len()] {
            let found = cut(Format::Plain, &data, size);
            let lengths: Vec<_> =
                found.iter().map(|(bytes, offset, line)| (bytes.len(), *offset, *line)).collect();
            let end = data.len() as u64;
            assert_eq!(lengths, [(MOST_RECORD, end - 5, 1), (4, end, 2)]);
        }
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let mut data = "é".repeat(MOST_RECORD / 2 + 9);
        data.insert(0, 'x');
        data.push('\n');
        let mut records = Records::new(Format::Plain, 0, 0);
        records
            .fill(|rest| {
                rest.extend_from_slice(data.as_bytes());
                Ok(data.len())
            })
            .unwrap();
        let found = records.next(false).unwrap();
        assert!(found.is_cut);
        assert_eq!(found.record.bytes().len(), MOST_RECORD - 1);
    }

    #[test]
    fn a_journal_record_of_any_length_is_passed_over_with_all_that_is_in_it() {
        for (is_binary, long) in [(true, MOST_RECORD), (false, MOST_RECORD), (true, MOST_RECORD + 700_000)] {
            let long = vec![b'x'; long];
            let mut data = b"\n__CURSOR=1\nB".to_vec();
            if is_binary {
                let forged = b"\n\n__CURSOR=2\n\n";
                data.push(b'\n');
                data.extend_from_slice(&((long.len() + forged.len()) as u64).to_le_bytes());
                data.extend_from_slice(&long);
                data.extend_from_slice(forged);
            } else {
                data.push(b'=');
                data.extend_from_slice(&long);
            }
            data.extend_from_slice(b"\nC=1\n\n__CURSOR=3\n\n");
            let found = cut(Format::JournalExport, &data, READ_BYTES);
            let lines = memchr::memchr_iter(b'\n', &data).count() as u64;
            let end = data.len() as u64;
            let lengths: Vec<_> =
                found.iter().map(|(bytes, offset, line)| (bytes.len(), *offset, *line)).collect();
            assert_eq!(lengths, [(0, end - 12, lines - 2), (11, end, lines)]);
        }
    }

    #[test]
    fn a_lying_length_costs_one_record() {
        let record = |length: u64| {
            let mut data = b"__CURSOR=1\nB\n".to_vec();
            data.extend_from_slice(&length.to_le_bytes());
            data.extend_from_slice(b"xyz\n\n__CURSOR=2\n\n");
            cut(Format::JournalExport, &data, 4).len()
        };
        for length in [3, 2, 4, 5, 1000, u64::MAX] {
            assert_eq!(record(length), 2, "length {length}");
        }
    }

    proptest! {
        #[test]
        fn the_size_of_reads_makes_no_difference(
            data in proptest::collection::vec(prop_oneof![
                3 => Just(b'\n'), 2 => Just(b'A'), 2 => Just(b'='), 2 => Just(0u8), 1 => any::<u8>(),
            ], 0..200),
            size in 1usize..40,
        ) {
            for format in [Format::Plain, Format::JournalExport] {
                prop_assert_eq!(cut(format, &data, data.len().max(1)), cut(format, &data, size));
            }
        }
    }
}
