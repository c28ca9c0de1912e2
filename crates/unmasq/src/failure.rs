//! How a command fails: what was being done, what was wrong, and the exit status it documents.

use std::io::{self, Write};
use std::process::ExitCode;

/// The outcome of a command: the exit status it documents, or a failure.
pub(crate) type Outcome = Result<ExitCode, Failure>;

/// A command that could not do its work.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: u8,
    error: anyhow::Error,
}

impl Failure {
    /// A failure with the exit status that the command documents for it.
    pub(crate) fn with_exit(exit: u8, error: impl Into<anyhow::Error>) -> Self {
        Self { exit, error: error.into() }
    }

    /// Prints the chain to standard error. A broken pipe is no error: whoever closed it has read enough.
    pub(crate) fn report(self) -> ExitCode {
        let is_broken_pipe = self
            .error
            .chain()
            .any(|e| e.downcast_ref::<io::Error>().is_some_and(|io| io.kind() == io::ErrorKind::BrokenPipe));
        if is_broken_pipe {
            return ExitCode::SUCCESS;
        }
        // Nothing is left to tell if standard error is gone too.
        let _ = writeln!(anstream::stderr(), "unmasq: {}", told(&self.error));
        ExitCode::from(self.exit)
    }
}

/// An error and its causes in one line. Some errors tell their cause themselves; nothing is said twice.
pub(crate) fn told(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    /// Usage, configuration or environment: exit status 2.
    fn from(error: E) -> Self {
        Self::with_exit(2, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn a_cause_is_told_once() {
        let cause = io::Error::other("no such thing");
        let error =
            Err::<(), _>(cause).context("cannot open x: no such thing; mend it").context("cannot start");
        assert_eq!(told(&error.unwrap_err()), "cannot start: cannot open x: no such thing; mend it");
        let error = Err::<(), _>(io::Error::other("full")).context("cannot write").unwrap_err();
        assert_eq!(told(&error), "cannot write: full");
    }
}
