//! Patterns on automata: time grows with the length of the text and no faster, whatever the text.
//!
//! Most lines are ASCII, and then small automata do: `\w` is 63 characters, `\b` needs no table. So each
//! pattern is compiled twice, for ASCII texts and, when the first other one comes, for those.
//!
//! Python's engine differs in few things that an automaton cannot do: `$` before a last line feed, its idea
//! of `\b` for a few characters, `\B` in an empty text. The few texts where that can matter are left to
//! PCRE2; if it needs more than a few steps, the automaton's answer counts, so that a pattern of this kind
//! always has an answer, in linear time.

use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use regex_automata::Input;
use regex_automata::meta;
use regex_automata::util::primitives::NonMaxUsize;
use regex_syntax::hir::{Capture, Class, Dot, Hir, Look, Repetition};

use super::ast::{Mode, Node, Place, Repeat};
use super::backtracking::Backtracking;
use super::chars;

/// Largest automaton, in bytes; what needs more is refused.
const LARGEST: usize = 10 << 20;
/// Most memory for states of a lazy automaton that were built while matching.
const MOST_CACHE: usize = 512 << 10;

/// A pattern without anything that needs backtracking.
#[derive(Debug)]
pub(super) struct Linear {
    node: Node,
    ascii: meta::Regex,
    unicode: OnceLock<Option<meta::Regex>>,
    /// The same for PCRE2, made when it is first needed.
    twin: OnceLock<Backtracking>,
    /// Did PCRE2 ever take too many steps for what the automaton had found?
    is_twin_slow: AtomicBool,
    peculiar: Peculiar,
}

/// Where Python's meaning and that of an automaton part.
#[derive(Clone, Copy, Debug)]
struct Peculiar {
    /// It has `$` alone: texts with a line feed at their end.
    end: bool,
    /// It has `\b` or `\B`, not only for ASCII: texts with characters that are disputed.
    word: bool,
    /// It has `\B`: empty texts, in which Python never finds it.
    not_word: bool,
}

impl Linear {
    /// `None` if the automaton would be too large.
    pub(super) fn new(node: Node) -> Option<Self> {
        let ascii = compile(&[hir(&node, Text::Ascii)])?;
        let peculiar = Peculiar {
            end: node.any(&|n| matches!(n, Node::Place(Place::EndOrLastNewline))),
            word: node.any(&|n| matches!(n, Node::Place(Place::Word { ascii: false, .. }))),
            not_word: node.any(&|n| matches!(n, Node::Place(Place::Word { negated: true, .. }))),
        };
        Some(Self {
            node,
            ascii,
            unicode: OnceLock::new(),
            twin: OnceLock::new(),
            is_twin_slow: AtomicBool::new(false),
            peculiar,
        })
    }

    pub(super) fn node(&self) -> &Node {
        &self.node
    }

    /// The first match; writes where groups lie, as far as there are slots. Hot.
    ///
    /// An automaton says quickly that and where there is a match, and slowly where the groups lie; PCRE2 is
    /// five times as fast at that, if it knows where to begin. Where it does not find it in a few steps, the
    /// automaton goes on alone, for this pattern for ever: nobody can make it slow by what he writes into a
    /// log.
    pub(super) fn find(&self, text: &str, is_ascii: bool, slots: &mut [Option<NonMaxUsize>]) -> bool {
        if self.is_peculiar(text, is_ascii)
            && let Some(found) = self.twin().find_quickly(text, is_ascii, 0, slots)
        {
            return found;
        }
        let Some(regex) = self.regex(is_ascii) else { return false };
        let input = Input::new(text);
        if slots.len() <= 2 || text.len() > Backtracking::QUICK || self.is_twin_slow.load(Relaxed) {
            return regex.search_slots(&input, slots).is_some();
        }
        let Some(found) = regex.search(&input) else { return false };
        if self.twin().find_quickly(text, is_ascii, found.start(), slots) == Some(true) {
            return true;
        }
        self.is_twin_slow.store(true, Relaxed);
        regex.search_slots(&input, slots).is_some()
    }

    fn regex(&self, is_ascii: bool) -> Option<&meta::Regex> {
        if is_ascii {
            return Some(&self.ascii);
        }
        self.unicode.get_or_init(|| compile(&[hir(&self.node, Text::Unicode)])).as_ref()
    }

    fn twin(&self) -> &Backtracking {
        self.twin.get_or_init(|| Backtracking::behind_automaton(self.node.clone()))
    }

    /// Can Python's meaning differ from the automaton's in this text?
    fn is_peculiar(&self, text: &str, is_ascii: bool) -> bool {
        (self.peculiar.end && text.ends_with('\n'))
            || (self.peculiar.not_word && text.is_empty())
            || (self.peculiar.word && !is_ascii && chars::has_disputed_word_character(text))
    }
}

/// Can an automaton find what Python finds, groups included?
pub(super) fn suits(node: &Node) -> bool {
    !node.any(&|part| match part {
        Node::Look { .. } | Node::Reference { .. } | Node::Conditional { .. } | Node::Atomic(_) => true,
        Node::Repeat(repeat) => {
            repeat.mode == Mode::Possessive
                // What can be empty and is repeated: Python goes round once more for the empty match, an
                // automaton does not. That shows in groups, and where the empty match is preferred.
                || (repeat.max.is_none_or(|max| max > 1)
                    && repeat.node.width(&[]).min == 0
                    && (repeat.mode != Mode::Greedy
                        || repeat.node.any(&|n| matches!(n, Node::Group(..)))
                        || !is_empty_last(&repeat.node)))
        }
        _ => false,
    })
}

/// Is the empty match the last that is tried?
fn is_empty_last(node: &Node) -> bool {
    match node {
        Node::Alternate(nodes) => {
            let (last, others) = nodes.split_last().expect("alternatives are at least two");
            others.iter().all(|n| n.width(&[]).min > 0) && is_empty_last(last)
        }
        Node::Concat(nodes) => nodes.iter().all(is_empty_last),
        Node::Group(_, node) => is_empty_last(node),
        Node::Repeat(repeat) => repeat.mode == Mode::Greedy && is_empty_last(&repeat.node),
        _ => true,
    }
}

/// What texts an automaton is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Text {
    Ascii,
    Unicode,
}

/// An automaton that finds the patterns; `None` if it would be too large.
pub(super) fn compile(hirs: &[Hir]) -> Option<meta::Regex> {
    let config =
        meta::Config::new().utf8_empty(false).nfa_size_limit(Some(LARGEST)).hybrid_cache_capacity(MOST_CACHE);
    meta::Builder::new().configure(config).build_many_from_hir(hirs).ok()
}

/// What an automaton is made from. What needs backtracking becomes something that matches wherever it can
/// match, and elsewhere too.
pub(super) fn hir(node: &Node, text: Text) -> Hir {
    match node {
        Node::Set(set) => {
            let mut set = set.clone();
            if text == Text::Ascii {
                set.intersect(&chars::ranges([('\0', '\x7f')]));
            }
            Hir::class(Class::Unicode(set))
        }
        Node::Char(c) => Hir::literal(c.encode_utf8(&mut [0; 4]).as_bytes()),
        Node::Any { newline } => Hir::dot(match (newline, text) {
            (true, Text::Ascii) => Dot::AnyByte,
            (false, Text::Ascii) => Dot::AnyByteExceptLF,
            (true, Text::Unicode) => Dot::AnyChar,
            (false, Text::Unicode) => Dot::AnyCharExceptLF,
        }),
        Node::Place(place) => Hir::look(match (place, text) {
            (Place::Start, _) => Look::Start,
            (Place::LineStart, _) => Look::StartLF,
            (Place::End | Place::EndOrLastNewline, _) => Look::End,
            (Place::LineEnd, _) => Look::EndLF,
            (Place::Word { negated: false, ascii: false }, Text::Unicode) => Look::WordUnicode,
            (Place::Word { negated: true, ascii: false }, Text::Unicode) => Look::WordUnicodeNegate,
            (Place::Word { negated: false, .. }, _) => Look::WordAscii,
            (Place::Word { negated: true, .. }, _) => Look::WordAsciiNegate,
        }),
        Node::Group(number, node) => {
            let index = u32::try_from(*number).unwrap_or(u32::MAX);
            Hir::capture(Capture { index, name: None, sub: Box::new(hir(node, text)) })
        }
        Node::Concat(nodes) => Hir::concat(nodes.iter().map(|n| hir(n, text)).collect()),
        Node::Alternate(nodes) => Hir::alternation(nodes.iter().map(|n| hir(n, text)).collect()),
        Node::Repeat(repeat) => Hir::repetition(Repetition {
            min: repeat.min,
            max: repeat.max,
            greedy: repeat.mode != Mode::Lazy,
            sub: Box::new(hir(&repeat.node, text)),
        }),
        Node::Atomic(_) | Node::Look { .. } | Node::Reference { .. } | Node::Conditional { .. } => {
            hir(&widened(node, text), text)
        }
    }
}

/// A node that an automaton can match wherever Python matches this one, and elsewhere too: without
/// look-around, with anything for a back-reference.
pub(super) fn widened(node: &Node, text: Text) -> Node {
    let all = |nodes: &[Node]| nodes.iter().map(|n| widened(n, text)).collect();
    match node {
        Node::Place(Place::EndOrLastNewline) => Node::Place(Place::LineEnd),
        // Its meaning differs for a few characters.
        Node::Place(Place::Word { ascii: false, .. }) if text == Text::Unicode => Node::EMPTY,
        Node::Look { .. } => Node::EMPTY,
        Node::Set(_) | Node::Char(_) | Node::Any { .. } | Node::Place(_) => node.clone(),
        Node::Group(_, node) | Node::Atomic(node) => widened(node, text),
        Node::Concat(nodes) => Node::Concat(all(nodes)),
        Node::Alternate(nodes) => Node::Alternate(all(nodes)),
        Node::Repeat(repeat) => {
            let mode = if repeat.mode == Mode::Lazy { Mode::Lazy } else { Mode::Greedy };
            Node::Repeat(Box::new(Repeat { mode, node: widened(&repeat.node, text), ..**repeat }))
        }
        Node::Reference { .. } => {
            let node = Node::Any { newline: true };
            Node::Repeat(Box::new(Repeat { min: 0, max: None, mode: Mode::Greedy, node }))
        }
        Node::Conditional { yes, no, .. } => Node::Alternate(vec![widened(yes, text), widened(no, text)]),
    }
}

/// A part of the way to an answer for patterns that need backtracking: an automaton for the widened pattern,
/// so that most texts never come to PCRE2, and it starts where a match can begin.
#[derive(Debug)]
pub(super) struct Prefilter {
    ascii: meta::Regex,
    unicode: OnceLock<Option<meta::Regex>>,
}

impl Prefilter {
    /// `None` where it would let everything pass, or be too large.
    pub(super) fn new(node: &Node) -> Option<Self> {
        if node.width(&[]).min == 0 {
            return None;
        }
        Some(Self { ascii: compile_widened(node, Text::Ascii)?, unicode: OnceLock::new() })
    }

    /// Where a match of the node that it was made for can start at the earliest; `None` if there can be none.
    pub(super) fn start(&self, node: &Node, text: &str, is_ascii: bool) -> Option<usize> {
        let regex = if is_ascii {
            Some(&self.ascii)
        } else {
            self.unicode.get_or_init(|| compile_widened(node, Text::Unicode)).as_ref()
        };
        let Some(regex) = regex else { return Some(0) };
        regex.search(&Input::new(text)).map(|found| found.start())
    }
}

fn compile_widened(node: &Node, text: Text) -> Option<meta::Regex> {
    compile(&[hir(&widened(node, text), text)])
}
