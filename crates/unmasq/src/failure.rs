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
        let _ = writeln!(anstream::stderr(), "unmasq: {:#}", self.error);
        ExitCode::from(self.exit)
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    /// Usage, configuration or environment: exit status 2.
    fn from(error: E) -> Self {
        Self::with_exit(2, error)
    }
}
