//! The command that loads the rules: a line as one types it, split into words and run without a shell.
//!
//! The script gives it to a shell. What only a shell can do is refused when the line is read, before anything is
//! written: `&&` among a program's arguments would be worse than no command.

use std::fmt;
use std::io::ErrorKind;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::str::FromStr;

/// A program and its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CommandLine {
    text: String,
    program: String,
    arguments: Vec<String>,
}

/// Why a text is no such line.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotCommand {
    #[error("it is empty; to run nothing: true")]
    Empty,
    #[error("a quote is not closed, or a backslash stands at its end")]
    Open,
    #[error("no shell is called, and {0:?} outside of quotes needs one; write a script, or: sh -c '…'")]
    Shell(char),
    #[error("no shell is called, and to set a variable needs one; write: env {0} …")]
    Variable(String),
}

impl CommandLine {
    /// The script's.
    pub(super) const DEFAULT: &str = "service netfilter-persistent restart";

    /// Runs it with our own standard input and outputs. Its exit status, as a shell would give it.
    pub(super) fn run(&self) -> u8 {
        match Command::new(&self.program).args(&self.arguments).status() {
            Ok(status) => match (status.code(), status.signal()) {
                (Some(code), _) => code as u8,
                (None, signal) => 128 + signal.unwrap_or_default() as u8,
            },
            Err(error) => {
                super::say("Error", format_args!("cannot run {}: {error}", self.program));
                if error.kind() == ErrorKind::NotFound { 127 } else { 126 }
            }
        }
    }
}

impl FromStr for CommandLine {
    type Err = NotCommand;

    fn from_str(text: &str) -> Result<Self, NotCommand> {
        if let Some(character) = shells_own(text) {
            return Err(NotCommand::Shell(character));
        }
        let mut words = shlex::split(text).ok_or(NotCommand::Open)?.into_iter();
        let program = words.next().filter(|program| !program.is_empty()).ok_or(NotCommand::Empty)?;
        if program.contains('=') {
            return Err(NotCommand::Variable(program));
        }
        Ok(Self { text: text.to_owned(), program, arguments: words.collect() })
    }
}

impl fmt::Display for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The first character that means more to a shell than itself, a space or a quote: an operator, an expansion, a pattern
/// (POSIX, XCU 2.2).
fn shells_own(text: &str) -> Option<char> {
    let mut quote = None;
    let mut begins_word = true;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (Some(open), close) if open == close => quote = None,
            (None, '\'' | '"') => quote = Some(character),
            (None | Some('"'), '\\') => drop(characters.next()),
            (None | Some('"'), '$' | '`')
            | (None, '|' | '&' | ';' | '<' | '>' | '(' | ')' | '*' | '?' | '[' | '\n') => {
                return Some(character);
            }
            (None, '~') if begins_word => return Some(character),
            _ => {}
        }
        begins_word = quote.is_none() && character.is_whitespace();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        let line: CommandLine = text.parse().unwrap();
        assert_eq!(line.to_string(), text);
        std::iter::once(line.program).chain(line.arguments).collect()
    }

    #[test]
    fn a_line_is_split_as_a_shell_splits_it() {
        assert_eq!(words(CommandLine::DEFAULT), ["service", "netfilter-persistent", "restart"]);
        assert_eq!(
            words(r#" sh -c 'a && b > $c' "x y"\ z "\$" "#),
            ["sh", "-c", "a && b > $c", "x y z", "$"]
        );
        assert_eq!(words("a --to=b~ c~ ''"), ["a", "--to=b~", "c~", ""]);
    }

    #[test]
    fn what_needs_a_shell_is_refused() {
        let refused = |text: &str| text.parse::<CommandLine>().unwrap_err();
        for (text, character) in [
            ("a && b", '&'),
            ("a; b", ';'),
            ("a 'b' | c", '|'),
            ("a >b", '>'),
            ("a $b", '$'),
            ("a \"$b\"", '$'),
            ("a `b`", '`'),
            ("a *", '*'),
            ("a\nb", '\n'),
            ("~/a", '~'),
            ("(a)", '('),
        ] {
            assert_eq!(refused(text), NotCommand::Shell(character), "{text}");
        }
        assert_eq!(refused("A=b c"), NotCommand::Variable("A=b".to_owned()));
        for text in ["", "  ", "# a", "'' a"] {
            assert_eq!(refused(text), NotCommand::Empty, "{text}");
        }
        for text in ["a 'b", "a \"b", "a \\"] {
            assert_eq!(refused(text), NotCommand::Open, "{text}");
        }
    }

    #[test]
    fn the_status_is_the_one_that_a_shell_gives() {
        for (text, status) in [
            ("true", 0),
            ("sh -c 'exit 7'", 7),
            ("sh -c 'kill -TERM $$'", 143),
            ("/nonexistent/program", 127),
            ("/dev/null", 126),
        ] {
            assert_eq!(text.parse::<CommandLine>().unwrap().run(), status, "{text}");
        }
    }
}
