//! Why a setting could not be read or written.

use std::io;

/// A setting that could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingError {
    /// The kernel has no such setting: its module is not loaded, or it was built without.
    #[error("{file} does not exist")]
    Absent {
        /// The file that would hold it.
        file: String,
    },
    /// The file is there, but reading or writing it failed.
    #[error("{file}: {reason}")]
    File {
        /// The file.
        file: String,
        /// The kernel's reason. Part of the message, so no `source` of its own: a chain would print it twice.
        reason: io::Error,
    },
    /// The file holds something unexpected.
    #[error("{file} holds {value:?}, not {expected}")]
    Value {
        /// The file.
        file: String,
        /// What it holds, cut to 64 characters.
        value: String,
        /// What was expected.
        expected: &'static str,
    },
    /// A system call failed.
    #[error("{call}: {reason}")]
    System {
        /// Its name.
        call: &'static str,
        /// The kernel's reason. Part of the message, so no `source` of its own: a chain would print it twice.
        reason: io::Error,
    },
    /// A program is not installed.
    #[error("{program} is not installed (apt-get install {package})")]
    NotInstalled {
        /// Its name.
        program: &'static str,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// A program could not be run, or ended with an error.
    #[error("{command}: {reason}")]
    Program {
        /// The command, as one would type it.
        command: String,
        /// What it said, or why it could not be run; cut to 200 characters.
        reason: String,
    },
}

impl SettingError {
    /// Reading or writing `file` failed.
    pub(super) fn file(file: &str, reason: io::Error) -> Self {
        if reason.kind() == io::ErrorKind::NotFound {
            return Self::Absent { file: file.to_owned() };
        }
        Self::File { file: file.to_owned(), reason }
    }

    /// `file` holds something else than `expected`.
    pub(super) fn value(file: &str, value: &str, expected: &'static str) -> Self {
        Self::Value { file: file.to_owned(), value: value.chars().take(64).collect(), expected }
    }
}
