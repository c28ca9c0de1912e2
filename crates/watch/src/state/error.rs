//! What can be wrong with saved state.

use std::io;
use std::path::{Path, PathBuf};

/// Why state could not be read or kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// Another process has the directory.
    #[error("{}: another process keeps its state here; stop it, or give this one a storage of its own", .directory.display())]
    Locked {
        /// The directory.
        directory: PathBuf,
    },
    /// The operating system refused.
    #[error("{}: cannot {doing}: {source}", .path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// With which file or directory.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// A log is damaged, and transactions that were safely on the disk stand behind the damage.
    #[error(
        "{}: damaged at byte {offset}, and whole transactions stand behind that; to go on with the state before it, \
         keep a copy and cut the log there: truncate -s {offset} '{}'",
        .file.display(), .file.display()
    )]
    Damaged {
        /// The log.
        file: PathBuf,
        /// Its first byte that cannot be read.
        offset: u64,
    },
    /// A log does not go on where the one before ends.
    #[error(
        "{}: begins with transaction {found}, and the state before it ends with {last}; to go on without this log, \
         move it out of the directory",
        .file.display()
    )]
    Gap {
        /// The log.
        file: PathBuf,
        /// The last transaction that could be read before it.
        last: u64,
        /// Its own first one.
        found: u64,
    },
    /// No snapshot can be read.
    #[error(
        "{}: damaged or missing, and no older snapshot can take its place; to begin without counters, bans and positions, \
         move the files state-* out of the directory",
        .file.display()
    )]
    NoSnapshot {
        /// The newest snapshot.
        file: PathBuf,
    },
    /// An attempt to save failed a moment ago.
    #[error("{}: the state could not be saved a moment ago, and will be tried again", .directory.display())]
    Unsaved {
        /// The directory.
        directory: PathBuf,
    },
    /// A newer version of the program wrote this.
    #[error("{}: has format {found}, and this program reads up to {known}: use the version that wrote it", .file.display())]
    Version {
        /// The file.
        file: PathBuf,
        /// Its format.
        found: u8,
        /// The newest that is known here.
        known: u8,
    },
    /// What was saved by other parts of the program cannot be read by them any more.
    #[error("saved {what} cannot be read: {source}")]
    Saved {
        /// Which: a source's position, an entry that waits.
        what: String,
        /// Why.
        source: postcard::Error,
    },
}

impl StateError {
    pub(super) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { doing, path, source }
    }
}
