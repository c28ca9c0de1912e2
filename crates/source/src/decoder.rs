//! What all sources of bytes have in common: records, their parser, and what is counted and told on the way.

use std::collections::VecDeque;
use std::io;

use memchr::memmem::Finder;
use unmasq_entry::format::{Context, Format, Parser, Record};
use unmasq_entry::{Entry, Fields};
use unmasq_flow::Timestamp;

use crate::records::Records;
use crate::{Counts, Notice};

/// What waits to be told; the oldest is dropped for a new one when nobody asks.
#[derive(Debug, Default)]
pub(crate) struct Notices(VecDeque<Notice>);

impl Notices {
    const MOST: usize = 32;

    pub(crate) fn push(&mut self, notice: Notice) {
        if self.0.back() == Some(&notice) {
            return;
        }
        if self.0.len() == Self::MOST {
            self.0.pop_front();
        }
        self.0.push_back(notice);
    }

    pub(crate) fn pop(&mut self) -> Option<Notice> {
        self.0.pop_front()
    }
}

/// Bytes to entries.
#[derive(Debug)]
pub(crate) struct Decoder {
    pub(crate) records: Records,
    pub(crate) meter: Meter,
    parser: Parser,
    /// Lines without any of these are passed over: the text, and the escape that could stand for a part of it.
    needles: Option<[Finder<'static>; 2]>,
}

/// Counts, and what is to be told.
#[derive(Debug)]
pub(crate) struct Meter {
    pub(crate) name: String,
    pub(crate) counts: Counts,
    pub(crate) notices: Notices,
}

impl Meter {
    pub(crate) fn new(name: String) -> Self {
        Self { name, counts: Counts::default(), notices: Notices::default() }
    }

    /// A record gave no entry. The first is told, then ever fewer: the cause is mostly the same.
    pub(crate) fn undecodable(&mut self, reason: &dyn std::fmt::Display, place: &str) {
        self.counts.undecodable += 1;
        if self.counts.undecodable.is_power_of_two() {
            let message = format!(
                "{}{place}: {reason}; it is left out ({} so far)",
                self.name, self.counts.undecodable
            );
            self.notices.push(Notice::loss(message));
        }
    }

    /// A record's rest was left out.
    pub(crate) fn cut(&mut self, place: &str) {
        self.counts.cut += 1;
        if self.counts.cut.is_power_of_two() {
            let message =
                format!("{}{place}: too long, the rest is left out ({} so far)", self.name, self.counts.cut);
            self.notices.push(Notice::loss(message));
        }
    }

    /// Parses one record, and counts what comes of it.
    pub(crate) fn parse(
        &mut self,
        parser: &mut Parser,
        record: Record<'_>,
        place: impl FnOnce() -> String,
        entry: &mut Entry,
        fields: &Fields,
    ) -> bool {
        match parser.parse(record, entry, fields) {
            Ok(()) => {
                self.counts.entries += 1;
                true
            }
            Err(reason) => {
                self.undecodable(&reason, &place());
                false
            }
        }
    }
}

impl Decoder {
    pub(crate) fn new(name: String, format: Format, context: Context) -> Self {
        Self {
            records: Records::new(format, 0, 0),
            meter: Meter::new(name),
            parser: Parser::new(format, context),
            needles: None,
        }
    }

    /// Passes over the lines that have this text nowhere, undecoded. A line with an escape of JSON's could have it in
    /// another spelling, and is decoded.
    pub(crate) fn set_containing(&mut self, text: Option<&str>) {
        self.needles = text.map(|text| [Finder::new(text).into_owned(), Finder::new(b"\\u")]);
    }

    /// Fills the entry with the next record that can be decoded; false: there is none. Hot.
    pub(crate) fn next(&mut self, is_end: bool, entry: &mut Entry, fields: &Fields) -> bool {
        loop {
            let line = self.records.line() + 1;
            let Some(found) = self.records.next(is_end) else { return false };
            let place = || format!(", line {line}");
            if found.is_cut {
                self.meter.cut(&place());
            }
            // A journal record that is too long is passed over as a whole.
            if found.record.bytes().is_empty() {
                continue;
            }
            let bytes = found.record.bytes();
            if let Some(needles) = &self.needles
                && needles.iter().all(|needle| needle.find(bytes).is_none())
            {
                continue;
            }
            if self.meter.parse(&mut self.parser, found.record, place, entry, fields) {
                return true;
            }
        }
    }

    /// See [`Records::fill`]. `latest`: the newest that the records can be.
    pub(crate) fn fill(
        &mut self,
        latest: Timestamp,
        read: impl FnOnce(&mut Vec<u8>) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let count = self.records.fill(read)?;
        if count > 0 {
            self.parser.set_latest(latest);
            self.meter.counts.bytes += count as u64;
        }
        Ok(count)
    }
}
