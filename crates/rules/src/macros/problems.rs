//! What is wrong in the two files, collected on the way and shown together.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use unmasq_diagnostic::{Invalid, Problem};

use super::Source;

/// So many are shown of each file: a file of another kind has one in each line.
const MOST_SHOWN: usize = 50;

/// What is wrong in one file, while it is read.
#[derive(Default)]
pub(super) struct Findings {
    shown: Vec<Problem>,
    more: usize,
    has_errors: bool,
}

impl Findings {
    /// Something makes the text unusable. The message is made only if it is shown.
    pub(super) fn error(&mut self, span: Range<usize>, message: impl FnOnce() -> String) {
        self.has_errors = true;
        self.add(|| Problem::error(span, message()));
    }

    /// Something probably does not mean what its author thinks.
    pub(super) fn warning(&mut self, span: Range<usize>, message: impl FnOnce() -> String) {
        self.add(|| Problem::warning(span, message()));
    }

    fn add(&mut self, problem: impl FnOnce() -> Problem) {
        if self.shown.len() < MOST_SHOWN {
            self.shown.push(problem());
        } else {
            self.more += 1;
        }
    }

    /// Is one of them an error?
    pub(super) fn has_errors(&self) -> bool {
        self.has_errors
    }
}

/// All that is wrong in a template and its macros: those of the macros first, each file's in its order.
#[derive(Clone, Debug, thiserror::Error)]
pub struct Problems {
    files: Vec<(PathBuf, Invalid)>,
    more: usize,
}

/// A problem and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'p> {
    /// In this file.
    pub file: &'p Path,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// What is wrong and what to do.
    pub message: &'p str,
    /// Can no ruleset be made because of it? Else it is a warning.
    pub is_error: bool,
}

impl Problems {
    pub(super) fn new(files: [(Source<'_>, Findings); 2]) -> Self {
        let more = files.iter().map(|(_, findings)| findings.more).sum();
        let with_problems = files.into_iter().filter(|(_, findings)| !findings.shown.is_empty());
        let invalid = |(source, findings): (Source<'_>, Findings)| {
            (source.file.to_owned(), Invalid::new(source.file, source.text, findings.shown))
        };
        Self { files: with_problems.map(invalid).collect(), more }
    }

    /// Is nothing wrong?
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Each with its place. Of very many only the first.
    pub fn places(&self) -> impl Iterator<Item = Place<'_>> {
        self.files.iter().flat_map(|(file, invalid)| {
            invalid.problems().map(move |(line, column, problem)| Place {
                file,
                line,
                column,
                message: &problem.message,
                is_error: problem.is_error(),
            })
        })
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, (_, invalid)) in self.files.iter().enumerate() {
            let between = if nth > 0 { "\n" } else { "" };
            write!(f, "{between}{invalid}")?;
        }
        match self.more {
            0 => Ok(()),
            more => writeln!(f, "\nand {more} more"),
        }
    }
}
