//! What can go wrong with a ledger, with the file and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use crate::run::RunError;

/// An error of the ledger. Every variant names the file it is about.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// The operating system refused.
    #[error("cannot {doing} {}: {source}{}", path.display(), remedy(source))]
    Io {
        /// What was being done, as a verb: `write`, `open`, `rename`.
        doing: &'static str,
        /// To which file or directory.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// Another writer holds the stream.
    #[error(
        "{} is being written by process {holder}; stop that one first, or give this one a stream of its own (--stream NAME)",
        path.display()
    )]
    Locked {
        /// The stream's directory.
        path: PathBuf,
        /// The holder's process id as it wrote it down, or `unknown`.
        holder: String,
    },
    /// The directory is no ledger.
    #[error("{} is not a ledger: {what}", path.display())]
    NotALedger {
        /// The directory.
        path: PathBuf,
        /// What is missing or wrong.
        what: String,
    },
    /// A newer program made it.
    #[error(
        "{} has format version {found}; this program reads versions up to {supported}: use a newer unmasq",
        path.display()
    )]
    Version {
        /// The file that says so.
        path: PathBuf,
        /// The version found.
        found: u32,
        /// The newest that is understood here.
        supported: u32,
    },
    /// A setting file of the ledger does not parse.
    #[error("{}: {message}", path.display())]
    Settings {
        /// The file.
        path: PathBuf,
        /// What is wrong, with line and column where known.
        message: String,
    },
    /// A stream's name that cannot be a directory name.
    #[error(
        "{0:?} cannot be the name of a stream: use 1 to 64 letters, digits, dots, dashes or underscores, not beginning with a dot"
    )]
    StreamName(String),
    /// The stream was made for something else.
    #[error("{} {what}", path.display())]
    StreamKind {
        /// The stream's settings file.
        path: PathBuf,
        /// What does not agree, and what to do.
        what: String,
    },
    /// A run is damaged or unreadable.
    #[error(transparent)]
    Run(#[from] RunError),
    /// Other damage.
    #[error("{} is damaged: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where and how.
        what: String,
    },
    /// The background thread is gone; the journal holds what was accepted.
    #[error("the sealing of {} has stopped: {what}", path.display())]
    Sealer {
        /// The stream's directory.
        path: PathBuf,
        /// Why, if it said.
        what: String,
    },
}

impl LedgerError {
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing, path: path.to_owned(), source }
    }

    /// Is the disk (or the quota) full? Such an error passes when there is room again.
    pub fn is_disk_full(&self) -> bool {
        matches!(self, Self::Io { source, .. } if matches!(
            source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
        ))
    }
}

fn remedy(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; free some space, or keep less (--keep, --max-size)"
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            "; mount the file system read-write, or choose another directory (--ledger DIR)"
        }
        io::ErrorKind::PermissionDenied => "; run as root, or give this user the right to write there",
        io::ErrorKind::NotFound => "; check the path",
        _ => "",
    }
}
