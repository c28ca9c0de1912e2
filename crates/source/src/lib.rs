//! Where log entries come from: journals, followed files, syslog sockets, standard input, and packets of SSH connections.
//!
//! ```text
//!  bytes ──► Records (cut at line ends, or where a journal record ends) ──► format::Parser ──► Entry
//!                                                                                   │
//!  Position ◄── after the last record that was given                                ▼
//!                                                                     the engine, one thread for all sources
//! ```
//!
//! A source never blocks: [`Source::read`] gives an entry or says [`Read::Idle`]; then [`Source::descriptors`] and
//! [`Source::wake`] say what to wait for.
//!
//! ```
//! use unmasq_entry::format::Context;
//! use unmasq_entry::{Entry, Fields};
//! use unmasq_source::{Once, Read, Source};
//!
//! # let folder = tempfile::tempdir().unwrap();
//! # let path = folder.path().join("auth.log");
//! # std::fs::write(&path, "Nov 21 08:57:28 gw sshd[7]: Invalid user admin from 192.0.2.7\n").unwrap();
//! let mut fields = Fields::default();
//! let message = fields.slot("MESSAGE");
//! let mut entry = Entry::new(&fields);
//! let mut log = Once::open(&path, None, Context::default()).unwrap();
//! assert_eq!(log.read(&mut entry, &fields).unwrap(), Read::Entry);
//! assert_eq!(entry.text(message), Some("Invalid user admin from 192.0.2.7"));
//! assert_eq!(log.position().unwrap().to_string(), "line 1");
//! ```

mod decoder;
mod file;
pub mod journal;
pub mod merge;
mod once;
mod position;
mod records;
pub mod sensor;
mod stdin;
mod syslog;

pub use file::Followed;
pub use journal::Journal;
pub use merge::Merge;
pub use once::Once;
pub use position::{FilePosition, MemberPosition, Position, Start};
pub use records::fuzz_records;
pub use stdin::Stdin;
pub use syslog::{Address, BadAddress, Datagrams, Streams, fuzz_stream, listen};

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::time::Duration;

use unmasq_entry::{Entry, Fields};

/// Something that gives entries.
pub trait Source: Send {
    /// Fills `entry`, which is cleared already, with the next record. Never blocks, but for [`Once`]. Hot.
    fn read(&mut self, entry: &mut Entry, fields: &Fields) -> Result<Read, SourceError>;

    /// The place after the last record that [`Source::read`] gave: reading from there gives the next one. Cheap enough
    /// for each commit, not for each entry.
    fn position(&mut self) -> Result<Position, SourceError>;

    /// The place of the record that [`Source::read`] gave last, for people and to know it again by: the same whenever that
    /// record is read. `None` if the source has no places.
    fn last_place(&mut self) -> Result<Option<String>, SourceError> {
        Ok(Some(self.position()?).filter(|place| *place != Position::None).map(|place| place.to_string()))
    }

    /// What to poll for reading while it is idle.
    fn descriptors(&self) -> Vec<BorrowedFd<'_>>;

    /// Read again after this long, though no descriptor is ready; `None`: only the descriptors tell.
    fn wake(&self) -> Option<Duration> {
        None
    }

    /// What it is, for messages and metrics: `journal`, `file /var/log/auth.log`.
    fn name(&self) -> &str;

    /// The chains use other fields from now on: entries that the source keeps back are fitted to them.
    fn refit(&mut self, _old: &Fields, _new: &Fields) {}

    /// How much there still is to read, where that is known without searching.
    fn behind(&self) -> Option<Behind> {
        None
    }

    /// What it has met since it was made.
    fn counts(&self) -> Counts {
        Counts::default()
    }

    /// The oldest thing worth telling the user that was not told yet.
    fn notice(&mut self) -> Option<Notice> {
        None
    }
}

/// What [`Source::read`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// The entry is filled.
    Entry,
    /// Nothing now; more may come.
    Idle,
    /// Nothing more will ever come.
    End,
}

/// How far a source is behind what is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behind {
    /// The time between the last entry read and the newest written.
    Time(Duration),
    /// Bytes that are written and not read.
    Bytes(u64),
}

/// What a source has met since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records given as entries.
    pub entries: u64,
    /// Bytes read, of records and what lies between them.
    pub bytes: u64,
    /// Records that could not be understood, and gave no entry.
    pub undecodable: u64,
    /// Records longer than [`MOST_RECORD`]: the rest of lines was cut off, journal records were left out.
    pub cut: u64,
    /// Records that were lost before they could be read, as far as the kernel tells.
    pub lost: u64,
}

/// Most bytes of one record; the rest of a longer line is left out, a longer record of the journal's wholly.
pub const MOST_RECORD: usize = 16 << 20;

/// Something that the user may want to know, though reading goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Notice {
    /// Was something lost, or may it be?
    pub is_loss: bool,
    /// What happened, in words, with the place.
    pub message: String,
}

impl Notice {
    /// All is well, and this happened.
    pub fn note(message: impl Into<String>) -> Self {
        Self { is_loss: false, message: message.into() }
    }

    /// Something is missing.
    pub fn loss(message: impl Into<String>) -> Self {
        Self { is_loss: true, message: message.into() }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// A source that cannot be read (any more).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// It cannot be opened.
    #[error("{}: cannot be opened", path.display())]
    Open {
        /// The file or directory.
        path: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },
    /// It cannot be read on.
    #[error("{name}: cannot be read")]
    Read {
        /// The source's name.
        name: String,
        /// The kernel's reason.
        source: io::Error,
    },
    /// Nothing can be received there.
    #[error("{address}: cannot be listened on")]
    Listen {
        /// The socket's address, as configured.
        address: String,
        /// The kernel's reason.
        source: io::Error,
    },
    /// Packets cannot be captured (any more).
    #[error("{name}")]
    Capture {
        /// The source's name.
        name: String,
        /// The reason, with the remedy.
        source: unmasq_netfilter::Error,
    },
    /// A position of another kind of source.
    #[error(
        "{name}: a position of another kind of source was saved for it ({position}); remove it to begin anew"
    )]
    Position {
        /// The source's name.
        name: String,
        /// The position.
        position: Position,
    },
    /// The journal's library refuses.
    #[error("{name}: {what}")]
    Journal {
        /// The source's name.
        name: String,
        /// What it said, with the remedy.
        what: String,
    },
}
