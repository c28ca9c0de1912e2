//! What is wrong with a text that someone wrote, shown with its line and a marker under it.
//!
//! ```text
//! /etc/unmasq/unmasq.toml:7:1: unknown key "kep" in [record]; did you mean "keep"?
//!   |
//! 7 | kep = "180d"
//!   | ^^^
//! ```

mod hidden;
pub mod units;

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

pub use hidden::is_hidden;

/// Longest part of a line that is shown, in characters.
const SHOWN: usize = 96;

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The text cannot be used.
    Error,
    /// It can be used, but probably does not mean what its author thinks.
    Warning,
}

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Place in the file, in bytes.
    pub span: Range<usize>,
    /// What is wrong and what to do.
    pub message: String,
    /// How bad it is.
    pub severity: Severity,
}

impl Problem {
    /// A problem that makes the text unusable.
    pub fn error(span: Range<usize>, message: impl Into<String>) -> Self {
        Self { span, message: message.into(), severity: Severity::Error }
    }

    /// A problem that the text can be used with.
    pub fn warning(span: Range<usize>, message: impl Into<String>) -> Self {
        Self { span, message: message.into(), severity: Severity::Warning }
    }

    /// Does it make the text unusable?
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}: {reason}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why. Part of the message, so no `source` of its own: a chain would print it twice.
        reason: io::Error,
    },
    /// The file has errors: all of them, in the file's order.
    #[error("{0}")]
    Invalid(Invalid),
}

/// A file with problems, printable.
#[derive(Clone, Debug)]
pub struct Invalid {
    file: PathBuf,
    text: String,
    problems: Vec<Problem>,
}

impl Invalid {
    /// `problems` need not be in order.
    pub fn new(file: &Path, text: &str, mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|p| p.span.start);
        Self { file: file.to_owned(), text: text.to_owned(), problems }
    }

    /// Each with its line and column, both counted from 1; columns in characters.
    pub fn problems(&self) -> impl Iterator<Item = (usize, usize, &Problem)> {
        self.problems.iter().map(|problem| {
            let place = Place::of(&self.text, problem.span.start);
            (place.line, place.column, problem)
        })
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, problem) in self.problems.iter().enumerate() {
            if nth > 0 {
                f.write_str("\n")?;
            }
            self.one(f, problem)?;
        }
        Ok(())
    }
}

/// The line and the column of a byte of a text, both from 1; columns in characters.
pub fn line_and_column(text: &str, byte: usize) -> (usize, usize) {
    let place = Place::of(text, byte);
    (place.line, place.column)
}

impl Invalid {
    fn one(&self, f: &mut fmt::Formatter<'_>, problem: &Problem) -> fmt::Result {
        let place = Place::of(&self.text, problem.span.start);
        let kind = if problem.is_error() { "" } else { "warning: " };
        let (line, column) = (place.line, place.column);
        writeln!(f, "{}:{line}:{column}: {kind}{}", self.file.display(), problem.message)?;
        let (line, before, marked) = place.shown(problem.span.len());
        let number = place.line.to_string();
        let gutter = " ".repeat(number.len());
        writeln!(f, "{gutter} |")?;
        writeln!(f, "{number} | {line}")?;
        writeln!(f, "{gutter} | {before}{}", "^".repeat(marked))
    }
}

/// A place in a text.
struct Place<'t> {
    /// From 1.
    line: usize,
    /// From 1, in characters.
    column: usize,
    /// The whole line, without its end.
    content: &'t str,
}

impl<'t> Place<'t> {
    /// The place of a byte; past the end, the end.
    fn of(text: &'t str, byte: usize) -> Self {
        let mut byte = byte.min(text.len());
        while !text.is_char_boundary(byte) {
            byte -= 1;
        }
        // A file that breaks off is wrong in its last line, not in the empty one behind the line's end.
        if byte == text.len() && text.ends_with('\n') {
            byte -= 1;
        }
        let start = text[..byte].rfind('\n').map_or(0, |newline| newline + 1);
        let end = text[byte..].find('\n').map_or(text.len(), |newline| byte + newline);
        Self {
            line: text[..start].matches('\n').count() + 1,
            column: text[start..byte].chars().count() + 1,
            content: text[start..end].trim_end_matches('\r'),
        }
    }

    /// The part of the line around the place, the blank in front of the marker, and the marker's length.
    ///
    /// Tabs are kept in both, so that the marker stands right; other control characters are replaced, because
    /// the file may be someone else's and a terminal obeys them.
    fn shown(&self, length: usize) -> (String, String, usize) {
        let at = self.column - 1;
        let skipped = at.saturating_sub(SHOWN / 2);
        let visible = |c: char| if c.is_control() && c != '\t' { '\u{fffd}' } else { c };
        let line: String = self.content.chars().skip(skipped).take(SHOWN).map(visible).collect();
        let before = line.chars().take(at - skipped).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        let left = line.chars().count().saturating_sub(at - skipped);
        (line, before, length.min(left).max(1))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(text: &str, span: Range<usize>) -> String {
        let problem = Problem::error(span, "wrong");
        Invalid::new(Path::new("f.toml"), text, vec![problem]).to_string()
    }

    #[test]
    fn the_marker_stands_under_what_is_wrong() {
        assert_eq!(
            shown("[record]\n\té = 5\n", 13..16),
            "f.toml:2:4: wrong\n  |\n2 | \té = 5\n  | \t  ^^^\n"
        );
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert!(!shown("a = \"\u{1b}[2J\"", 0..1).contains('\u{1b}'));
    }

    #[test]
    fn a_place_behind_the_end_is_the_last_line() {
        assert!(shown("a = [\n", 6..6).starts_with("f.toml:1:6: wrong"));
        assert!(shown("", 0..0).starts_with("f.toml:1:1: wrong"));
    }

    proptest! {
        #[test]
        fn no_place_panics(text in "[\\PC\n\t]{0,300}", from in 0usize..400, length in 0usize..400) {
            shown(&text, from..from + length);
        }
    }
}
