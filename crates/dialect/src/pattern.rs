//! A regular expression of Python's `re`, compiled.

use std::ops::Range;

/// A regular expression.
#[derive(Debug)]
pub struct Pattern {
    regex: regex::Regex,
    names: Vec<(usize, Box<str>)>,
}

/// Which engine a pattern runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Time grows with the length of the text and no faster.
    Linear,
    /// PCRE2 with limits; needed for look-around, back-references, conditionals, atomic groups.
    Backtracking,
}

/// Where the groups of the last match lie; used again for each text.
#[derive(Clone, Debug, Default)]
pub struct Captures {
    groups: Vec<Option<Range<usize>>>,
}

/// What is wrong with a regular expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} at offset {offset} of the pattern")]
pub struct PatternError {
    /// What is wrong, and what to write instead where that is known.
    pub message: String,
    /// In bytes from the start of the pattern.
    pub offset: usize,
}

/// The backtracking engine gave up: neither a match nor none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the pattern takes too many steps on a text of {length} bytes")]
pub struct PatternRunaway {
    /// Of the text, in bytes.
    pub length: usize,
}

impl Pattern {
    /// Compiles what Python's `re.compile` takes.
    pub fn new(python: &str) -> Result<Self, PatternError> {
        let regex =
            regex::Regex::new(python).map_err(|e| PatternError { message: e.to_string(), offset: 0 })?;
        let names = regex.capture_names().enumerate();
        let names = names.filter_map(|(i, name)| Some((i, name?.into()))).collect();
        Ok(Self { regex, names })
    }

    /// How many groups it has, besides the whole match.
    pub fn groups(&self) -> usize {
        self.regex.captures_len() - 1
    }

    /// The named groups in order of their numbers (from 1).
    pub fn group_names(&self) -> impl ExactSizeIterator<Item = (usize, &str)> {
        self.names.iter().map(|(i, name)| (*i, &**name))
    }

    /// Which engine it runs on.
    pub fn engine(&self) -> Engine {
        Engine::Linear
    }

    /// Python's `re.search`: does the pattern match anywhere, and where. Hot; does not allocate.
    pub fn find(&self, text: &str, captures: &mut Captures) -> Result<bool, PatternRunaway> {
        captures.groups.clear();
        let Some(found) = self.regex.captures(text) else { return Ok(false) };
        captures.groups.extend(found.iter().map(|group| group.map(|g| g.range())));
        Ok(true)
    }

    /// Does the pattern match anywhere?
    pub fn is_match(&self, text: &str) -> Result<bool, PatternRunaway> {
        Ok(self.regex.is_match(text))
    }
}

impl Captures {
    /// Room for the groups of the pattern.
    pub fn new(pattern: &Pattern) -> Self {
        Self { groups: Vec::with_capacity(pattern.groups() + 1) }
    }

    /// Where group `number` lies in the text, in bytes; 0 is the whole match. `None` if it took no part in the match,
    /// or there was none.
    pub fn get(&self, number: usize) -> Option<Range<usize>> {
        self.groups.get(number)?.clone()
    }
}

/// Many patterns tried on the same text at once.
#[derive(Debug)]
pub struct PatternSet {
    patterns: Vec<regex::Regex>,
}

/// Which patterns of a set may match the last text.
#[derive(Clone, Debug, Default)]
pub struct Hits {
    hits: Vec<bool>,
}

impl PatternSet {
    /// Of these patterns.
    pub fn new<'p>(patterns: impl IntoIterator<Item = &'p Pattern>) -> Self {
        Self { patterns: patterns.into_iter().map(|p| p.regex.clone()).collect() }
    }

    /// Which patterns can match the text: none that matches is left out, but one that does not may be in (as look-around
    /// is not looked at), so [`Pattern::find`] decides. Hot; does not allocate.
    pub fn matches(&self, text: &str, hits: &mut Hits) {
        hits.hits.clear();
        hits.hits.extend(self.patterns.iter().map(|p| p.is_match(text)));
    }
}

impl Hits {
    /// Room for the answers of the set.
    pub fn new(set: &PatternSet) -> Self {
        Self { hits: Vec::with_capacity(set.patterns.len()) }
    }

    /// May pattern `number` (from 0) match?
    pub fn contains(&self, number: usize) -> bool {
        self.hits.get(number).copied().unwrap_or(false)
    }

    /// The numbers of those that may match, ascending.
    pub fn iter(&self) -> impl Iterator<Item = usize> {
        self.hits.iter().enumerate().filter_map(|(i, hit)| hit.then_some(i))
    }
}
