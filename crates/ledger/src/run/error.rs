//! What can be wrong with a run.

use std::fmt;
use std::path::{Path, PathBuf};

use super::FORMAT_VERSION;

/// A run that cannot be opened, or not be merged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The operating system refused.
    #[error("{path}: cannot {doing}", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was being done: `open it`, `read 16 bytes at 0`.
        doing: String,
        /// Why not.
        source: std::io::Error,
    },
    /// It does not begin and end like a run.
    #[error("{path}: is no run, or is cut off ({what})", path = .path.display())]
    NotARun {
        /// The file.
        path: PathBuf,
        /// What was missing.
        what: &'static str,
    },
    /// It was written by a later version of this program.
    #[error("{path}: has format version {version}, this program reads up to {FORMAT_VERSION}; use a newer unmasq", path = .path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// The version that it states.
        version: u16,
    },
    /// A part of it that everything else needs is damaged, or a run to be merged has a damaged part.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// Runs of different hours cannot be merged.
    #[error("{path}: is of hour {found}, not {expected} (hours since the Unix epoch)", path = .path.display())]
    OtherHour {
        /// The file.
        path: PathBuf,
        /// Its hour.
        found: i64,
        /// The hour of the runs before it.
        expected: i64,
    },
}

impl RunError {
    pub(super) fn io(path: &Path, doing: impl Into<String>, source: std::io::Error) -> Self {
        Self::Io { path: path.to_owned(), doing: doing.into(), source }
    }
}

/// A part of a run that cannot be read. The other parts can.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// Which block, counted from 0; `None` if it is not one of the blocks of rows.
    pub block: Option<usize>,
    /// Where the part begins in the file, in bytes.
    pub offset: u64,
    /// How long it is, in bytes.
    pub length: u64,
    /// How many rows cannot be read because of it.
    pub rows: u64,
    /// What is wrong with it.
    pub what: String,
}

impl std::error::Error for Damage {}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.path.display())?;
        match self.block {
            Some(block) => write!(f, "block {block}")?,
            None => f.write_str("index or dictionary")?,
        }
        write!(f, " at byte {} ({} bytes, {} rows): {}", self.offset, self.length, self.rows, self.what)
    }
}
