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
        if is_broken_pipe(&self.error) {
            return ExitCode::SUCCESS;
        }
        // Nothing is left to tell if standard error is gone too.
        let _ = writeln!(anstream::stderr(), "unmasq: {}", told(&self.error));
        ExitCode::from(self.exit)
    }
}

/// Did whoever reads the output close it? Also where JSON was being written, whose errors carry only the kind.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let kind = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        let of_json = || cause.downcast_ref::<serde_json::Error>().and_then(serde_json::Error::io_error_kind);
        kind.or_else(of_json) == Some(io::ErrorKind::BrokenPipe)
    })
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
    fn a_pipe_that_was_closed_is_no_error_also_in_the_middle_of_json() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let error = serde_json::to_writer(Closed, &[1, 2, 3]).unwrap_err();
        assert!(is_broken_pipe(&anyhow::Error::from(error).context("printing")));
        assert!(is_broken_pipe(&io::Error::from(io::ErrorKind::BrokenPipe).into()));
        assert!(!is_broken_pipe(&io::Error::other("full").into()));
    }

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
