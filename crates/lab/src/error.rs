//! What can go wrong in the lab: a command, a system call, or a wait that was not answered.

use std::io;
use std::time::Duration;

/// Why the lab could not do something.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LabError {
    /// A program said no, or could not be started.
    #[error("`{command}` failed ({status}): {stderr}")]
    Command {
        /// The command line.
        command: String,
        /// Its exit status, or why it did not start.
        status: String,
        /// What it wrote to its standard error, trimmed.
        stderr: String,
    },
    /// A system call said no. The lab needs root.
    #[error("{doing}: {source}")]
    System {
        /// What was being done, to what.
        doing: String,
        /// The reason.
        source: io::Error,
    },
    /// Something expected did not happen in time.
    #[error("waited {after:?} for {event}, in vain")]
    Timeout {
        /// What was awaited, and what had come by then.
        event: String,
        /// For how long.
        after: Duration,
    },
}

/// Names what was being done when a system call failed.
pub(crate) trait Doing<T> {
    /// Adds it.
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, LabError>;
}

impl<T, E: Into<io::Error>> Doing<T> for Result<T, E> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, LabError> {
        self.map_err(|error| LabError::System { doing: what(), source: error.into() })
    }
}
