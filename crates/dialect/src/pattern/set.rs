//! Many patterns tried on one text at once.

use std::sync::OnceLock;

use regex_automata::{Input, meta};

use super::Pattern;
use super::ast::Node;
use super::linear::{self, Text};

/// Many patterns tried on the same text at once, by one automaton.
#[derive(Debug)]
pub struct PatternSet {
    nodes: Vec<Node>,
    ascii: Option<meta::Regex>,
    unicode: OnceLock<Option<meta::Regex>>,
}

/// Which patterns of a set may match the last text.
#[derive(Clone, Debug)]
pub struct Hits {
    hits: regex_automata::PatternSet,
}

impl PatternSet {
    /// Of these patterns.
    pub fn new<'p>(patterns: impl IntoIterator<Item = &'p Pattern>) -> Self {
        let nodes: Vec<Node> = patterns.into_iter().map(|pattern| pattern.node().clone()).collect();
        let ascii = compile(&nodes, Text::Ascii);
        Self { nodes, ascii, unicode: OnceLock::new() }
    }

    /// Which patterns can match the text: none that matches is left out, but one that does not may be in (as
    /// look-around is not looked at), so [`Pattern::find`] decides. Hot; does not allocate.
    pub fn matches(&self, text: &str, hits: &mut Hits) {
        hits.hits.clear();
        let regex = if text.is_ascii() {
            self.ascii.as_ref()
        } else {
            self.unicode.get_or_init(|| compile(&self.nodes, Text::Unicode)).as_ref()
        };
        match regex {
            Some(regex) => regex.which_overlapping_matches(&Input::new(text), &mut hits.hits),
            None => (0..self.nodes.len()).for_each(|number| {
                hits.hits.insert(regex_automata::PatternID::must(number));
            }),
        }
    }
}

/// `None` where the automaton would be too large: then every pattern is tried.
fn compile(nodes: &[Node], text: Text) -> Option<meta::Regex> {
    let hirs: Vec<_> = nodes.iter().map(|node| linear::hir(&linear::widened(node, text), text)).collect();
    linear::compile(&hirs)
}

impl Hits {
    /// Room for the answers of the set.
    pub fn new(set: &PatternSet) -> Self {
        Self { hits: regex_automata::PatternSet::new(set.nodes.len()) }
    }

    /// May pattern `number` (from 0) match?
    pub fn contains(&self, number: usize) -> bool {
        regex_automata::PatternID::new(number).is_ok_and(|id| self.hits.contains(id))
    }

    /// The numbers of those that may match, ascending.
    pub fn iter(&self) -> impl Iterator<Item = usize> {
        self.hits.iter().map(|id| id.as_usize())
    }
}
