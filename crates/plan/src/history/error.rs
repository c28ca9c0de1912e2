//! What can be wrong with a history.

use std::io;
use std::path::{Path, PathBuf};

use unmasq_flow::Timestamp;

use crate::rules::RulesError;

/// A history that cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// The system refused.
    #[error("{doing} {}: {source}{}", path.display(), remedy(source))]
    Io {
        /// `reading`, `writing`, …
        doing: &'static str,
        /// Which file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The folder holds neither a history nor rules of eduVPN's script.
    #[error("{} holds no plan: neither a file \"index\" nor files rules.v4.<unix time>", path.display())]
    NoPlan {
        /// The folder.
        path: PathBuf,
    },
    /// A later version of unmasq wrote it.
    #[error("{} is of version {found}; this unmasq reads version {known}: use a later one", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The one that is known here.
        known: u32,
    },
    /// What it holds is not what was written.
    #[error("{} is damaged at byte {offset}: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where, from 0.
        offset: u64,
        /// What is wrong.
        what: String,
    },
    /// A file of rules cannot be read.
    #[error("{}: {source}", path.display())]
    Rules {
        /// The file.
        path: PathBuf,
        /// Why.
        source: RulesError,
    },
    /// Somebody else writes it.
    #[error("another unmasq is changing the plans in {}; try again when it has finished", path.display())]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// Files to be adopted are not older than the revisions that are there.
    #[error(
        "{} was in force while this history has revisions of its own (since {since}); adopt a folder before the first apply, or into another --history",
        file.display()
    )]
    NotOlder {
        /// The file.
        file: PathBuf,
        /// The time of the first own revision.
        since: String,
    },
    /// A file to be adopted is named after a time that is yet to come.
    #[error(
        "{} is named after {}, which is yet to come; put the clock of this machine right, or name the file after the time at which it was loaded",
        file.display(),
        when.to_millis_text().map_or_else(|| "a time past the year 2262".to_owned(), |text| format!("{text} UTC"))
    )]
    YetToCome {
        /// The file.
        file: PathBuf,
        /// The time in its name.
        when: Timestamp,
    },
    /// A revision was removed because of its age.
    #[error("revision {number} was pruned: who had what then is not kept any more")]
    Pruned {
        /// The number.
        number: u64,
    },
    /// A revision of that number does not exist.
    #[error("there is no revision {number}; there are {first} to {last}")]
    NoRevision {
        /// The number.
        number: u64,
        /// The oldest.
        first: u64,
        /// The newest.
        last: u64,
    },
}

impl HistoryError {
    pub(super) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { doing, path, source }
    }

    /// Is a file gone that was there when the history was opened? It can have been pruned meanwhile: open it again.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    pub(super) fn damaged(path: &Path, offset: usize, what: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), offset: offset as u64, what: what.into() }
    }
}

fn remedy(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; free some space, or remove old plans (unmasq plan history --prune)"
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            "; mount the file system read-write, or choose another folder (--history DIR)"
        }
        io::ErrorKind::PermissionDenied => "; run as root, or give this user the right to do it",
        io::ErrorKind::NotFound => "; check the path",
        _ => "",
    }
}
