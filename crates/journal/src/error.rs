//! What can go wrong between us and libsystemd.

use std::io;
use std::path::PathBuf;

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The library is missing or refused something.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The library could not be loaded.
    #[error(
        "cannot load libsystemd.so.0, which reads the journal: {reason}; install it (package libsystemd0 or \
         systemd-libs), or read a file or a syslog socket instead"
    )]
    NoLibrary {
        /// What the loader says.
        reason: String,
    },
    /// The library lacks a function.
    #[error(
        "libsystemd.so.0 has no {function}: it is older than systemd 246, which is needed to read the journal"
    )]
    OldLibrary {
        /// Its name.
        function: &'static str,
    },
    /// A name or path cannot be handed to the library.
    #[error("{what} {value:?} has a zero byte in it")]
    ZeroByte {
        /// What it is.
        what: &'static str,
        /// The value.
        value: PathBuf,
    },
    /// The journal could not be opened.
    #[error("cannot open {journal}: {source}")]
    Open {
        /// Which one.
        journal: String,
        /// The library's reason.
        source: io::Error,
    },
    /// The system allows no further inotify instance or watch.
    #[error(
        "cannot watch {journal}: {source}; raise fs.inotify.max_user_instances and fs.inotify.max_user_watches"
    )]
    Watch {
        /// Which one.
        journal: String,
        /// The library's reason.
        source: io::Error,
    },
    /// A cursor was refused.
    #[error("{journal}: {cursor:?} is not a cursor of a journal")]
    BadCursor {
        /// Which journal.
        journal: String,
        /// The cursor, cut.
        cursor: String,
    },
    /// A call failed.
    #[error("{journal}: {doing}: {source}")]
    Call {
        /// Which journal.
        journal: String,
        /// What was being done.
        doing: &'static str,
        /// The library's reason.
        source: io::Error,
    },
}
