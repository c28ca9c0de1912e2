//! The formats that entries are written in: one record in, at most one entry out.
//!
//! ```text
//!  Record (a line, a datagram, a journal record) ──► Parser ──► Entry, or Undecodable with the reason
//! ```
//!
//! | format | fields |
//! | --- | --- |
//! | [`Format::Plain`] | `MESSAGE` |
//! | [`Format::Syslog`] | `PRIORITY` `SYSLOG_FACILITY` `SYSLOG_TIMESTAMP` `_HOSTNAME` `SYSLOG_IDENTIFIER` `SYSLOG_PID` `MSGID` `SD_<id>_<name>` `MESSAGE` |
//! | [`Format::JsonLines`] | the object's members; those of inner objects as `outer.inner` |
//! | [`Format::JournalExport`], [`Format::JournalJson`] | the journal's, with the types of [`crate::journal_fields`] |
//!
//! Only fields that some chain uses are filled in. A line that is not UTF-8 is decoded as a whole with the
//! 8-bit encoding of the [`Context`].
//!
//! ```
//! use unmasq_entry::format::{Context, Format, Parser, Record};
//! use unmasq_entry::{Entry, Fields, Value};
//!
//! let mut fields = Fields::default();
//! let (host, pid) = (fields.slot("_HOSTNAME"), fields.slot("SYSLOG_PID"));
//! let mut entry = Entry::new(&fields);
//! let mut parser = Parser::new(Format::Syslog, Context::default());
//! parser.parse(Record::Text("<38>Nov 21 08:57:28 gw sshd[7]: Invalid user"), &mut entry, &fields).unwrap();
//! assert_eq!(entry.text(host), Some("gw"));
//! assert_eq!(entry.get(pid), Some(Value::Integer(7)));
//! ```

mod encoding;
pub mod export;
mod journal_json;
mod json;
mod stamp;
mod syslog;

pub use encoding::Encoding;

use jiff::tz::TimeZone;
use unmasq_flow::Timestamp;

use crate::{Entry, Fields, Value};
use stamp::Stamps;

/// Lines that [`Format::guess`] looks at.
const GUESSED: usize = 64;

/// How records are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// A line is the message.
    Plain,
    /// A JSON object on each line.
    JsonLines,
    /// Syslog: RFC 5424, RFC 3164, or a log file's lines; recognised line by line.
    Syslog,
    /// `journalctl -o export`: a record has several lines, and can hold binary data.
    JournalExport,
    /// `journalctl -o json`: a journal entry on each line.
    JournalJson,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Plain, Self::JsonLines, Self::Syslog, Self::JournalExport, Self::JournalJson];

    /// The name in configurations and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::JsonLines => "json",
            Self::Syslog => "syslog",
            Self::JournalExport => "journal-export",
            Self::JournalJson => "journal-json",
        }
    }

    /// The format of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    /// The format that data is most likely in, by its first bytes; for a user who did not say.
    pub fn guess(start: &[u8]) -> Self {
        let line = start.split(|&byte| byte == b'\n').next().unwrap_or_default();
        let is_json = line.first() == Some(&b'{');
        if is_json && memchr::memmem::find(line, b"\"__REALTIME_TIMESTAMP\"").is_some() {
            Self::JournalJson
        } else if is_json {
            Self::JsonLines
        } else if line.starts_with(b"__CURSOR=") || line.starts_with(b"__REALTIME_TIMESTAMP=") {
            Self::JournalExport
        } else if start.split(|&byte| byte == b'\n').take(GUESSED).any(syslog::is_likely) {
            // A log may begin with a comment or with the rest of a message. Lines without a header are
            // messages as a whole in this format, too, so nothing is lost.
            Self::Syslog
        } else {
            Self::Plain
        }
    }

    /// The names that the format itself can give; `None`: any name.
    pub fn field_names(self) -> Option<&'static [&'static str]> {
        match self {
            Self::Plain => Some(&["MESSAGE"]),
            Self::Syslog => Some(&syslog::FIELDS),
            Self::JsonLines | Self::JournalExport | Self::JournalJson => None,
        }
    }
}

/// What a record does not say itself.
#[derive(Clone, Debug)]
pub struct Context {
    /// What text that is not UTF-8 is taken for.
    pub encoding: Encoding,
    /// The zone of times that name none.
    pub zone: TimeZone,
    /// The newest that a record can be: a time without a year is of the last year that puts it no more than a
    /// day after this. The wall clock for what is written now, the file's last change for an old one.
    pub latest: Timestamp,
}

impl Default for Context {
    /// ISO 8859-1, UTC; years are those before 1971.
    fn default() -> Self {
        Self { encoding: Encoding::default(), zone: TimeZone::UTC, latest: Timestamp::default() }
    }
}

/// One record, without the line end.
#[derive(Clone, Copy, Debug)]
pub enum Record<'r> {
    /// Known to be UTF-8.
    Text(&'r str),
    /// Not looked at yet.
    Bytes(&'r [u8]),
}

impl<'r> Record<'r> {
    /// Its bytes.
    pub fn bytes(self) -> &'r [u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }
}

/// Why a record gave no entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Undecodable {
    /// It is not a JSON object.
    #[error("not a JSON object: {what} (column {column})")]
    Json {
        /// What the parser says.
        what: String,
        /// Where, in bytes from 1; 0: not known.
        column: usize,
    },
    /// It is not a record of the journal's export format.
    #[error("not a record of the journal's export format: {what} (byte {at})")]
    Export {
        /// What is wrong.
        what: export::Fault,
        /// Where, in bytes from the record's beginning.
        at: usize,
    },
}

/// Makes entries of records of one format.
#[derive(Debug)]
pub struct Parser {
    format: Format,
    encoding: Encoding,
    stamps: Stamps,
    /// A line that was not UTF-8, decoded.
    decoded: String,
    /// For names that are put together: `outer.inner`.
    name: String,
}

impl Parser {
    /// A parser of records of that format.
    pub fn new(format: Format, context: Context) -> Self {
        Self {
            format,
            encoding: context.encoding,
            stamps: Stamps::new(context.zone, context.latest),
            decoded: String::new(),
            name: String::new(),
        }
    }

    /// Its format.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The newest that the next records can be; see [`Context::latest`]. Once per batch is enough.
    pub fn set_latest(&mut self, latest: Timestamp) {
        self.stamps.set_latest(latest);
    }

    /// Fills `entry`, which is cleared already, with what the record says. On an error it is empty. Hot;
    /// guarded by `benches/read.rs` of `unmasq-source`.
    pub fn parse(
        &mut self,
        record: Record<'_>,
        entry: &mut Entry,
        fields: &Fields,
    ) -> Result<(), Undecodable> {
        let result = self.parse_into(record, entry, fields);
        if result.is_err() {
            entry.clear();
        }
        result
    }

    fn parse_into(
        &mut self,
        record: Record<'_>,
        entry: &mut Entry,
        fields: &Fields,
    ) -> Result<(), Undecodable> {
        let line = match record {
            // Binary data is among it.
            _ if self.format == Format::JournalExport => "",
            Record::Text(text) => text,
            Record::Bytes(bytes) => {
                if let Ok(text) = str::from_utf8(bytes) {
                    text
                } else {
                    self.decoded.clear();
                    self.encoding.decode_into(bytes, &mut self.decoded);
                    &self.decoded
                }
            }
        };
        match self.format {
            Format::Plain => {
                if let Some(slot) = fields.find("MESSAGE") {
                    entry.set(slot, Value::Text(line));
                }
                Ok(())
            }
            Format::Syslog => {
                syslog::parse(line, &mut self.stamps, &mut self.name, entry, fields);
                Ok(())
            }
            Format::JsonLines => json::parse(line, &mut self.stamps, &mut self.name, entry, fields),
            Format::JournalJson => journal_json::parse(line, self.encoding, entry, fields),
            Format::JournalExport => export::parse(record.bytes(), self.encoding, entry, fields),
        }
    }
}

/// For fuzzing: no bytes make a parser panic, whatever its format.
pub fn fuzz_format(data: &[u8]) {
    let mut fields = Fields::default();
    for name in
        ["MESSAGE", "PRIORITY", "SYSLOG_PID", "a", "a.b", "_BOOT_ID", "__MONOTONIC_TIMESTAMP", "SD_x_y"]
    {
        fields.slot(name);
    }
    let mut entry = Entry::new(&fields);
    for format in Format::ALL {
        let mut parser = Parser::new(format, Context::default());
        entry.clear();
        // Refusals are what is expected of most data.
        let _ = parser.parse(Record::Bytes(data), &mut entry, &fields);
        let _ = Format::guess(data);
    }
    let _ = export::pass(&mut export::Passing::default(), data);
    let mut from = 0;
    while let export::Extent::Record { next, .. } = export::extent(&data[from..], true) {
        from += next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_is_guessed_from_the_first_lines() {
        for (start, format) in [
            ("{\"a\":1}\n", Format::JsonLines),
            ("{\"__REALTIME_TIMESTAMP\":\"1\"}\n", Format::JournalJson),
            ("__CURSOR=s=1\n", Format::JournalExport),
            ("<38>sshd[7]: text\n", Format::Syslog),
            ("# a comment\n\nNov 21 08:57:28 gw sshd[7]: text\n", Format::Syslog),
            ("192.0.2.1 - - [21/Nov/2026:08:57:28 +0000] \"GET / HTTP/1.1\" 200 1\n", Format::Plain),
            ("", Format::Plain),
        ] {
            assert_eq!(Format::guess(start.as_bytes()), format, "{start}");
        }
    }
}
