//! A regular expression of Python's `re`, compiled.
//!
//! ```text
//!  text ──parse──► Node ──suits an automaton?──► Linear        (regex-automata)
//!                                          └──► Backtracking  (an automaton in front of PCRE2 with limits)
//! ```

mod ast;
mod backtracking;
mod chars;
mod class;
mod escape;
mod flags;
mod linear;
mod names;
mod parse;
mod set;
mod tokens;

use std::ops::Range;

use regex_automata::util::primitives::NonMaxUsize;

pub use set::{Hits, PatternSet};

use ast::Node;
use backtracking::Backtracking;
use linear::Linear;

/// A regular expression.
#[derive(Debug)]
pub struct Pattern {
    program: Program,
    groups: usize,
    names: Vec<(usize, Box<str>)>,
}

#[derive(Debug)]
enum Program {
    Linear(Box<Linear>),
    Backtracking(Box<Backtracking>),
}

/// Which engine a pattern runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Time grows with the length of the text and no faster.
    Linear,
    /// PCRE2 with limits; for look-around, back-references, conditionals, atomic groups, and groups in a
    /// repetition that can be empty.
    Backtracking,
}

/// Where the groups of the last match lie; used again for each text.
#[derive(Clone, Debug)]
pub struct Captures {
    /// Start and end of each group, the whole match first.
    slots: Vec<Option<NonMaxUsize>>,
}

/// What is wrong with a regular expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} (at offset {offset} of the pattern)")]
pub struct PatternError {
    /// What is wrong, and what to write instead where that is known.
    pub message: String,
    /// In bytes from the start of the pattern.
    pub offset: usize,
}

/// The backtracking engine gave up, as the text is too long for it or takes too many steps: neither a match
/// nor none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the pattern takes too many steps on this text of {length} bytes, or it is too long for such a pattern"
)]
pub struct PatternRunaway {
    /// Of the text, in bytes.
    pub length: usize,
}

impl Pattern {
    /// Longest text that a pattern on [`Engine::Backtracking`] is tried on, in bytes.
    pub const LONGEST_BACKTRACKED: usize = backtracking::LONGEST;

    /// Compiles what Python's `re.compile` takes.
    pub fn new(python: &str) -> Result<Self, PatternError> {
        let parsed = parse::parse(python)?;
        let too_large = || PatternError {
            message: "the pattern is too large; large numbers of repetitions make it so".into(),
            offset: 0,
        };
        let program = if linear::suits(&parsed.node) {
            Program::Linear(Box::new(Linear::new(parsed.node).ok_or_else(too_large)?))
        } else {
            let made = Backtracking::new(parsed.node);
            let made = made.map_err(|words| PatternError {
                message: format!("the pattern needs PCRE2, which refuses it: {words}"),
                offset: 0,
            })?;
            Program::Backtracking(Box::new(made))
        };
        Ok(Self { program, groups: parsed.groups, names: parsed.names })
    }

    /// How many groups it has, besides the whole match.
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// The named groups in order of their numbers (from 1).
    pub fn group_names(&self) -> impl ExactSizeIterator<Item = (usize, &str)> {
        self.names.iter().map(|(i, name)| (*i, &**name))
    }

    /// Which engine it runs on.
    pub fn engine(&self) -> Engine {
        match self.program {
            Program::Linear(_) => Engine::Linear,
            Program::Backtracking(_) => Engine::Backtracking,
        }
    }

    /// Python's `re.search`: does the pattern match anywhere, and where. Without a match, what the captures
    /// hold is of no meaning. Hot: does not allocate; guarded by `benches/find.rs`.
    pub fn find(&self, text: &str, captures: &mut Captures) -> Result<bool, PatternRunaway> {
        captures.slots.resize(2 * (self.groups + 1), None);
        self.search(text, &mut captures.slots)
    }

    /// Does the pattern match anywhere?
    pub fn is_match(&self, text: &str) -> Result<bool, PatternRunaway> {
        self.search(text, &mut [])
    }

    fn search(&self, text: &str, slots: &mut [Option<NonMaxUsize>]) -> Result<bool, PatternRunaway> {
        let is_ascii = text.is_ascii();
        match &self.program {
            Program::Linear(linear) => Ok(linear.find(text, is_ascii, slots)),
            Program::Backtracking(backtracking) => backtracking.find(text, is_ascii, slots),
        }
    }

    fn node(&self) -> &Node {
        match &self.program {
            Program::Linear(linear) => linear.node(),
            Program::Backtracking(backtracking) => backtracking.node(),
        }
    }
}

impl Captures {
    /// Room for the groups of the pattern.
    pub fn new(pattern: &Pattern) -> Self {
        Self { slots: vec![None; 2 * (pattern.groups() + 1)] }
    }

    /// Where group `number` lies in the text, in bytes; 0 is the whole match. `None` if it took no part in
    /// the match.
    pub fn get(&self, number: usize) -> Option<Range<usize>> {
        let start = self.slots.get(2 * number).copied().flatten()?.get();
        let end = self.slots.get(2 * number + 1).copied().flatten()?.get();
        Some(start..end)
    }
}
