//! The file of macros: `#define NAME word word …`.
//!
//! Like C, though less: a line goes on behind a backslash at its end, words in double quotes stay together, and all other
//! lines with `#` are comments. What the C preprocessor would obey and we do not is refused: as a comment it would say one
//! thing and do another.

use std::collections::HashMap;
use std::ops::Range;

use unmasq_diagnostic::line_and_column;

use super::Source;
use super::problems::Findings;
use super::words::{end_of_quote, is_blank, is_name, is_of_word};

/// Directives of C that are none here.
const REFUSED: [&str; 10] =
    ["elif", "elifdef", "elifndef", "else", "endif", "if", "ifdef", "ifndef", "include", "undef"];

/// A macro as it is written.
pub(super) struct Definition<'t> {
    /// Its name.
    pub(super) name: &'t str,
    /// The place of the name.
    pub(super) span: Range<usize>,
    /// Its words, with their quotes; at least one.
    pub(super) words: Vec<Word<'t>>,
}

/// One of a macro's words.
pub(super) struct Word<'t> {
    /// As it is written.
    pub(super) text: &'t str,
    /// Where it begins.
    pub(super) start: usize,
}

/// Does the line define a macro, or try to?
pub(super) fn is_definition(line: &str) -> bool {
    line.strip_prefix("#define").is_some_and(|rest| rest.bytes().next().is_none_or(is_blank))
}

/// Reads all definitions.
pub(super) fn parse<'t>(vars: Source<'t>, findings: &mut Findings) -> Vec<Definition<'t>> {
    let mut reader = Reader { vars, findings, definitions: Vec::new(), known: HashMap::new() };
    // Windows' editors put a byte order mark there.
    let mut at = if vars.text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    while at < vars.text.len() {
        at = reader.line(at);
    }
    reader.definitions
}

struct Reader<'t, 'f> {
    vars: Source<'t>,
    findings: &'f mut Findings,
    definitions: Vec<Definition<'t>>,
    /// Their names, also of those that were refused, with the place of the first.
    known: HashMap<&'t str, usize>,
}

impl<'t> Reader<'t, '_> {
    /// Reads the line that begins here, with those in which it goes on; where the next one begins.
    fn line(&mut self, start: usize) -> usize {
        let (line, next) = line_at(self.vars.text, start);
        let trimmed = line.trim_start_matches([' ', '\t']);
        let indent = start + line.len() - trimmed.len();
        if let Some(rest) = trimmed.strip_prefix('#') {
            return self.directive(indent, rest).unwrap_or_else(|| self.behind_comment(line, next));
        }
        if !trimmed.trim_end().is_empty() {
            self.findings.error(indent..start + line.trim_end().len(), || {
                "this is no definition and no comment: write `#define NAME word …`, or `#` before a comment; a definition goes on \
                 only behind a backslash at the end of its line"
                    .to_owned()
            });
        }
        next
    }

    /// Reads what follows a `#`: `None` if it is a comment, else where the next line begins.
    fn directive(&mut self, hash: usize, rest: &'t str) -> Option<usize> {
        let length = rest.bytes().position(|byte| !byte.is_ascii_alphabetic()).unwrap_or(rest.len());
        let (directive, behind) = rest.split_at(length);
        let span = hash..hash + 1 + length;
        let ends_here = behind.bytes().next().is_none_or(|byte| is_blank(byte) || byte == b'\\');
        if directive == "define" && ends_here {
            return Some(self.definition(span));
        }
        if directive.eq_ignore_ascii_case("define") && ends_here {
            self.findings.error(span, || "write `#define`, in small letters".to_owned());
        } else if REFUSED.contains(&directive) && is_directive(behind) {
            self.findings.error(span, || {
                format!(
                    "`#{directive}` is not understood here, only `#define` is; for a comment, put a blank behind the `#`"
                )
            });
        } else if directive.is_empty() && is_name_in_capitals_defined(behind) {
            self.findings.warning(span, || {
                "this is a comment: to define a macro, write `#define` without a blank".to_owned()
            });
        }
        None
    }

    /// A comment goes on behind a backslash, as in C, so that a definition of several lines can be taken out by one `#`; but
    /// never over the next `#`, where in a C file a whole definition can be lost.
    fn behind_comment(&self, line: &str, next: usize) -> usize {
        let (mut line, mut next) = (line, next);
        while line.trim_end().ends_with('\\') && next < self.vars.text.len() {
            let (following, behind) = line_at(self.vars.text, next);
            if following.trim_start().starts_with('#') {
                break;
            }
            (line, next) = (following, behind);
        }
        next
    }

    /// Reads a definition whose `#define` is at a place; where the next line begins.
    fn definition(&mut self, directive: Range<usize>) -> usize {
        let text = self.vars.text;
        let mut cursor = Cursor { text, at: directive.end };
        let Some(name) = cursor.word() else {
            self.findings
                .error(directive, || "a name and its words are missing: `#define NAME word …`".to_owned());
            return cursor.at;
        };
        let Ok(name) = name else {
            self.findings.error(cursor.at..cursor.at + 1, || "a macro's name has no quotes".to_owned());
            return cursor.rest();
        };
        let name_span = name.start..name.start + name.text.len();
        let mut words = Vec::new();
        let is_named = self.check_name(&name);
        while let Some(word) = cursor.word() {
            let Ok(word) = word else {
                let at = cursor.at;
                self.findings.error(at..at + 1, || "this quote is not closed in its line".to_owned());
                return cursor.rest();
            };
            if is_comment(word.text) {
                self.findings.error(word.start..word.start + word.text.len(), || {
                    "a comment stands in a line of its own, behind a `#`; to have this as a word of the macro, put it in quotes. \
                     Is there a backslash too many at the end of the line above?"
                        .to_owned()
                });
                return cursor.rest();
            }
            words.push(word);
        }
        if words.is_empty() {
            self.findings.error(name_span.clone(), || {
                format!(
                    "{} has no words, so each rule that uses it would vanish: give it one, or take it out with the rules that use it",
                    name.text
                )
            });
        }
        if is_named && !words.is_empty() {
            self.definitions.push(Definition { name: name.text, span: name_span, words });
        }
        cursor.at
    }

    /// Can a macro be called so? A name that was refused counts as known, lest one mistake is told twice.
    fn check_name(&mut self, name: &Word<'t>) -> bool {
        let span = name.start..name.start + name.text.len();
        if let Some(arguments) = name.text.find('(').filter(|at| is_name(&name.text[..*at])) {
            self.findings.error(span.start + arguments..span.end, || "macros have no arguments".to_owned());
            return false;
        }
        if !is_name(name.text) {
            self.findings.error(span, || {
                format!(
                    "{:?} cannot be a macro's name: it has letters, digits and `_` only, and begins with none of the digits",
                    name.text
                )
            });
            return false;
        }
        let first = *self.known.entry(name.text).or_insert(span.start);
        if first == span.start {
            return true;
        }
        let vars = self.vars;
        self.findings.error(span, || {
            let (line, column) = line_and_column(vars.text, first);
            let file = vars.file.display();
            format!(
                "{} is defined already, at {file}:{line}:{column}; write all its words there, or give this one another name",
                name.text
            )
        });
        false
    }
}

/// The line that begins at a place, without its end, and where the next begins.
fn line_at(text: &str, start: usize) -> (&str, usize) {
    let end = text[start..].find('\n').map_or(text.len(), |length| start + length);
    let line = &text[start..end];
    (line.strip_suffix('\r').unwrap_or(line), (end + 1).min(text.len()))
}

/// Is the word before this a directive of C? `#include<x>` has one, `#if-up` and `#if_office` do not.
fn is_directive(behind: &str) -> bool {
    behind.bytes().next().is_none_or(|byte| !is_of_word(byte) && byte != b'-')
}

/// Is it a comment that was meant as a definition? `# define your networks here` is not, `# define LAN 10.0.0.0/8` probably.
fn is_name_in_capitals_defined(behind: &str) -> bool {
    let mut words = behind.split_ascii_whitespace();
    let is_capital = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    words.next() == Some("define")
        && words.next().is_some_and(|name| is_name(name) && name.bytes().all(is_capital))
        && words.next().is_some()
}

/// Does a comment begin with this word, in the manner of a shell or of C?
fn is_comment(word: &str) -> bool {
    word.starts_with('#') || word.starts_with("//") || word.starts_with("/*")
}

/// A place in a definition.
struct Cursor<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Cursor<'t> {
    /// The next word of the definition; `None` at its end, with the cursor behind the line's end. `Err` is a quote that is not
    /// closed, at the cursor.
    fn word(&mut self) -> Option<Result<Word<'t>, ()>> {
        let bytes = self.text.as_bytes();
        loop {
            match *bytes.get(self.at)? {
                byte if is_blank(byte) => self.at += 1,
                b'\n' => {
                    self.at += 1;
                    return None;
                }
                b'\r' if self.is_at_end_of_line(self.at + 1) => self.at += 1,
                b'\\' => match self.behind_backslash(self.at) {
                    Some(next) => self.at = next,
                    None => break,
                },
                _ => break,
            }
        }
        let start = self.at;
        let mut at = start;
        while let Some(byte) = bytes.get(at).copied() {
            match byte {
                b'\n' | b' ' | b'\t' => break,
                // Elsewhere it is a character of the word.
                b'\r' if self.is_at_end_of_line(at + 1) => break,
                b'\\' if self.behind_backslash(at).is_some() => break,
                b'"' => {
                    let Some(end) = end_of_quote(bytes, at) else {
                        self.at = at;
                        return Some(Err(()));
                    };
                    at = end;
                }
                _ => at += 1,
            }
        }
        self.at = at;
        Some(Ok(Word { text: &self.text[start..at], start }))
    }

    /// Does the line, or the text, end here?
    fn is_at_end_of_line(&self, at: usize) -> bool {
        self.text.as_bytes().get(at).is_none_or(|byte| *byte == b'\n')
    }

    /// Where the next line begins, if nothing but blanks stands between the backslash there and the line's end. Blanks there
    /// cannot be seen in an editor; C takes them so too.
    fn behind_backslash(&self, backslash: usize) -> Option<usize> {
        let (rest, next) = line_at(self.text, backslash + 1);
        rest.bytes().all(is_blank).then_some(next)
    }

    /// Where the line behind the definition begins, when the rest of it is not read.
    fn rest(&self) -> usize {
        let mut at = self.at;
        loop {
            let (line, next) = line_at(self.text, at);
            if !line.trim_end().ends_with('\\') || next >= self.text.len() {
                return next;
            }
            at = next;
        }
    }
}
