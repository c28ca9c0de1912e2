//! Patterns on PCRE2: look-around, back-references, conditionals, atomic groups. It tries one way after the
//! other, which can take for ever, so that its steps are limited; and it is slow on texts that do not match,
//! so that an automaton looks first where that is possible.
//!
//! PCRE2 counts steps from each place of the text anew, and a step can look at much of the text. So there are
//! few steps for each place, and fewer the longer the text ([`Length`]). Where they are not enough, the
//! places are tried one by one, and [`MOST_HARD`] of them with many steps. Texts of more than [`LONGEST`]
//! bytes are refused.

use std::fmt::Write as _;
use std::sync::{Mutex, OnceLock};

use pcre2::bytes::{CaptureLocations, Regex, RegexBuilder};
use regex_automata::util::primitives::NonMaxUsize;
use regex_syntax::hir::ClassUnicode;

use super::PatternRunaway;
use super::ast::{Mode, Node, Place, Repeat};
use super::chars;
use super::linear::{Prefilter, Text};

/// Longest text, in bytes.
pub(super) const LONGEST: usize = 64 << 10;
/// Most memory for the way back, of one match, in bytes.
const STACK: usize = 1 << 20;
/// From how many places of a text a match is tried with many steps.
const MOST_HARD: usize = 8;

/// How long a text is, and how many steps it may take from one place.
#[derive(Clone, Copy, Debug)]
struct Length {
    /// Longest, in bytes.
    bytes: usize,
    few: u32,
    many: u32,
}

const LENGTHS: [Length; 4] = [
    Length { bytes: 1 << 10, few: 2_000, many: 200_000 },
    Length { bytes: 4 << 10, few: 500, many: 50_000 },
    Length { bytes: 16 << 10, few: 200, many: 16_000 },
    Length { bytes: LONGEST, few: 100, many: 4_000 },
];

/// What a program does.
#[derive(Clone, Copy, Debug)]
enum Task {
    /// Searches from a place on, with few steps from each.
    Search,
    /// Looks for a match at one place, with few steps.
    Try,
    /// The same with many steps.
    TryHard,
}

/// A pattern for PCRE2.
#[derive(Debug)]
pub(super) struct Backtracking {
    node: Node,
    prefilter: Option<Prefilter>,
    /// For ASCII, then for other texts; by length; by task. Each is made when it is first needed.
    programs: [[[OnceLock<Option<Program>>; 3]; LENGTHS.len()]; 2],
}

#[derive(Debug)]
struct Program {
    regex: Regex,
    /// Taken while in use; who finds none makes one.
    idle: Mutex<Vec<CaptureLocations>>,
}

impl Backtracking {
    /// An error is PCRE2's words for what it cannot do.
    pub(super) fn new(node: Node) -> Result<Self, String> {
        // What PCRE2 refuses it refuses now. Most texts are ASCII, so only that program is kept.
        compile(&node, Text::Unicode, LENGTHS[0], Task::Search)?;
        let program = compile(&node, Text::Ascii, LENGTHS[0], Task::Search)?;
        let mut made = Self::behind_automaton(node);
        made.prefilter = Prefilter::new(&made.node);
        made.programs[Text::Ascii as usize][0][Task::Search as usize] = OnceLock::from(Some(program));
        Ok(made)
    }

    /// For patterns that an automaton looks for anyway; nothing is made yet.
    pub(super) fn behind_automaton(node: Node) -> Self {
        Self { node, prefilter: None, programs: Default::default() }
    }

    pub(super) fn node(&self) -> &Node {
        &self.node
    }

    /// The first match; writes where groups lie, as far as there are slots. Hot.
    pub(super) fn find(
        &self,
        text: &str,
        is_ascii: bool,
        slots: &mut [Option<NonMaxUsize>],
    ) -> Result<bool, PatternRunaway> {
        let start = match &self.prefilter {
            None => 0,
            Some(prefilter) => match prefilter.start(&self.node, text, is_ascii) {
                Some(start) => start,
                None => return Ok(false),
            },
        };
        let text = Subject { text, is_ascii };
        match self.run(Task::Search, text, start, slots) {
            Outcome::Found => Ok(true),
            Outcome::Nothing => Ok(false),
            Outcome::GaveUp => self.find_stepwise(text, start, slots),
        }
    }

    /// Longest text for [`Backtracking::find_quickly`], in bytes.
    pub(super) const QUICK: usize = LENGTHS[1].bytes;

    /// The first match from `start` on, if a few steps from each place are enough to say. Hot.
    pub(super) fn find_quickly(
        &self,
        text: &str,
        is_ascii: bool,
        start: usize,
        slots: &mut [Option<NonMaxUsize>],
    ) -> Option<bool> {
        match self.run(Task::Search, Subject { text, is_ascii }, start, slots) {
            Outcome::Found => Some(true),
            Outcome::Nothing => Some(false),
            Outcome::GaveUp => None,
        }
    }

    /// As [`Backtracking::find`], where a few steps from each place were not enough.
    #[cold]
    fn find_stepwise(
        &self,
        text: Subject<'_>,
        start: usize,
        slots: &mut [Option<NonMaxUsize>],
    ) -> Result<bool, PatternRunaway> {
        let mut hard = 0;
        for place in (start..=text.text.len()).filter(|&place| text.text.is_char_boundary(place)) {
            let mut outcome = self.run(Task::Try, text, place, slots);
            if outcome == Outcome::GaveUp && hard < MOST_HARD {
                hard += 1;
                outcome = self.run(Task::TryHard, text, place, slots);
            }
            match outcome {
                Outcome::Found => return Ok(true),
                Outcome::Nothing => {}
                Outcome::GaveUp => return Err(PatternRunaway { length: text.text.len() }),
            }
        }
        Ok(false)
    }

    fn run(&self, task: Task, text: Subject<'_>, start: usize, slots: &mut [Option<NonMaxUsize>]) -> Outcome {
        let kind = if text.is_ascii { Text::Ascii } else { Text::Unicode };
        let Some(length) = LENGTHS.iter().position(|length| text.text.len() <= length.bytes) else {
            return Outcome::GaveUp;
        };
        let program = self.programs[kind as usize][length][task as usize]
            .get_or_init(|| compile(&self.node, kind, LENGTHS[length], task).ok());
        let Some(program) = program else { return Outcome::GaveUp };
        let mut groups = program.take();
        let outcome = match program.regex.captures_read_at(&mut groups, text.text.as_bytes(), start) {
            Ok(Some(_)) => Outcome::Found,
            Ok(None) => Outcome::Nothing,
            Err(_) => Outcome::GaveUp,
        };
        if outcome == Outcome::Found {
            for (number, pair) in slots.chunks_exact_mut(2).enumerate() {
                let place = groups.get(number);
                pair[0] = place.and_then(|(start, _)| NonMaxUsize::new(start));
                pair[1] = place.and_then(|(_, end)| NonMaxUsize::new(end));
            }
        }
        program.put(groups);
        outcome
    }
}

/// A text, and whether it is ASCII.
#[derive(Clone, Copy, Debug)]
struct Subject<'t> {
    text: &'t str,
    is_ascii: bool,
}

/// What came of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Found,
    Nothing,
    /// A limit was hit.
    GaveUp,
}

impl Program {
    fn take(&self) -> CaptureLocations {
        let idle = self.idle.lock().ok().and_then(|mut idle| idle.pop());
        idle.unwrap_or_else(|| self.regex.capture_locations())
    }

    fn put(&self, groups: CaptureLocations) {
        if let Ok(mut idle) = self.idle.lock() {
            idle.push(groups);
        }
    }
}

fn compile(node: &Node, text: Text, length: Length, task: Task) -> Result<Program, String> {
    let steps = if matches!(task, Task::TryHard) { length.many } else { length.few };
    // Depth and heap are for machines without a compiler in PCRE2; with it, the stack is what is limited.
    let mut pattern = format!("(*LIMIT_MATCH={steps})(*LIMIT_DEPTH={steps})(*LIMIT_HEAP=65536)(*LF)");
    // With atomic groups, PCRE2 10.42's own making of such is wrong: it overlooks that `[ab]?(?:_)?+[ab]`
    // matches `a`.
    let is_atomic = |node: &Node| match node {
        Node::Atomic(_) => true,
        Node::Repeat(repeat) => repeat.mode == Mode::Possessive,
        _ => false,
    };
    if node.any(&is_atomic) {
        pattern.push_str("(*NO_AUTO_POSSESS)");
    }
    if matches!(task, Task::Try | Task::TryHard) {
        // At the place where the search begins, and nowhere else.
        pattern.push_str(r"\G");
    }
    Writer { out: &mut pattern, text }.group("(?:", node, ")");
    let mut builder = RegexBuilder::new();
    builder.utf(text == Text::Unicode).jit_if_available(true).max_jit_stack_size(Some(STACK));
    let regex = builder.build(&pattern).map_err(|e| e.to_string())?;
    Ok(Program { regex, idle: Mutex::default() })
}

/// Writes a node as PCRE2 reads it.
struct Writer<'o> {
    out: &'o mut String,
    text: Text,
}

impl Writer<'_> {
    fn node(&mut self, node: &Node) {
        match node {
            Node::Set(set) => self.set(set),
            Node::Char(c) if self.text == Text::Ascii && !c.is_ascii() => self.out.push_str("(?!)"),
            Node::Char(c) => self.char(*c),
            Node::Any { newline: true } => self.out.push_str("(?s:.)"),
            Node::Any { newline: false } => self.out.push('.'),
            Node::Place(place) => self.place(*place),
            Node::Group(_, node) => self.group("(", node, ")"),
            Node::Atomic(node) => self.group("(?>", node, ")"),
            Node::Look { behind, negative, node } => {
                let opening = match (behind, negative) {
                    (false, false) => "(?=",
                    (false, true) => "(?!",
                    (true, false) => "(?<=",
                    (true, true) => "(?<!",
                };
                self.group(opening, node, ")");
            }
            Node::Concat(nodes) => nodes.iter().for_each(|node| self.one(node)),
            Node::Alternate(nodes) => {
                for (i, node) in nodes.iter().enumerate() {
                    if i > 0 {
                        self.out.push('|');
                    }
                    self.node(node);
                }
            }
            Node::Repeat(repeat) => {
                if repeat.node.width(&[]).max == Some(0) {
                    return self.times_nothing(repeat);
                }
                if repeat.mode == Mode::Possessive {
                    self.out.push_str("(?>");
                }
                if matches!(repeat.node, Node::Set(_) | Node::Any { newline: false } | Node::Group(..)) {
                    self.node(&repeat.node);
                } else {
                    self.group("(?:", &repeat.node, ")");
                }
                // Writing to a string does not fail.
                let _ = match (repeat.min, repeat.max) {
                    (0, None) => write!(self.out, "*"),
                    (1, None) => write!(self.out, "+"),
                    (0, Some(1)) => write!(self.out, "?"),
                    (min, None) => write!(self.out, "{{{min},}}"),
                    (min, Some(max)) => write!(self.out, "{{{min},{max}}}"),
                };
                self.out.push_str(match repeat.mode {
                    Mode::Greedy => "",
                    Mode::Lazy => "?",
                    Mode::Possessive => ")",
                });
            }
            Node::Reference { group, ignore_case } => {
                let _ = match ignore_case {
                    true => write!(self.out, r"(?i:\g{{{group}}})"),
                    false => write!(self.out, r"\g{{{group}}}"),
                };
            }
            Node::Conditional { group, yes, no } => {
                let _ = write!(self.out, "(?({group})");
                self.group("(?:", yes, ")");
                self.out.push('|');
                self.group("(?:", no, ")");
                self.out.push(')');
            }
        }
    }

    /// A repetition of what takes no characters: once is enough. In a look-behind PCRE2 would not take it
    /// otherwise.
    fn times_nothing(&mut self, repeat: &Repeat) {
        match (repeat.min, repeat.max, repeat.mode) {
            (_, Some(0), _) => self.group("(?:", &repeat.node, "){0}"),
            (0, _, Mode::Lazy) => self.group("(?:|", &repeat.node, ")"),
            (0, _, Mode::Greedy) => self.group("(?:(?:", &repeat.node, ")|)"),
            (0, _, Mode::Possessive) => self.group("(?>(?:", &repeat.node, ")|)"),
            (_, _, Mode::Possessive) => self.group("(?>", &repeat.node, ")"),
            _ => self.group("(?:", &repeat.node, ")"),
        }
    }

    fn group(&mut self, opening: &str, node: &Node, closing: &str) {
        self.out.push_str(opening);
        self.node(node);
        self.out.push_str(closing);
    }

    /// As a part of a sequence.
    fn one(&mut self, node: &Node) {
        match node {
            Node::Alternate(_) => self.group("(?:", node, ")"),
            _ => self.node(node),
        }
    }

    fn char(&mut self, c: char) {
        if c.is_ascii_alphanumeric() || matches!(c, '_' | ' ' | ':' | '/' | '=' | ',' | ';' | '@' | '<' | '>')
        {
            self.out.push(c);
        } else {
            let _ = write!(self.out, r"\x{{{:x}}}", u32::from(c));
        }
    }

    fn place(&mut self, place: Place) {
        self.out.push_str(match place {
            Place::Start => r"\A",
            // Its own does not hold after a line feed that ends the text.
            Place::LineStart => r"(?:\A|(?<=\n))",
            Place::End => r"\z",
            Place::EndOrLastNewline => "$",
            Place::LineEnd => "(?m:$)",
            Place::Word { negated, ascii } => {
                let unicode = !ascii && self.text == Text::Unicode;
                match (negated, unicode) {
                    (false, false) => r"\b",
                    // Python finds none in an empty text.
                    (true, false) => r"(?!\A\z)\B",
                    (false, true) => {
                        r"(?:(?<=[\p{L}\p{N}_])(?![\p{L}\p{N}_])|(?<![\p{L}\p{N}_])(?=[\p{L}\p{N}_]))"
                    }
                    (true, true) => {
                        r"(?!\A\z)(?:(?<=[\p{L}\p{N}_])(?=[\p{L}\p{N}_])|(?<![\p{L}\p{N}_])(?![\p{L}\p{N}_]))"
                    }
                }
            }
        });
    }

    fn set(&mut self, set: &ClassUnicode) {
        let mut set = set.clone();
        if self.text == Text::Ascii {
            let ascii = chars::ranges([('\0', '\x7f')]);
            set.intersect(&ascii);
            let mut complement = ascii;
            complement.difference(&set);
            let negated = complement.ranges().len() < set.ranges().len();
            return self.ranges(if negated { &complement } else { &set }, negated, "");
        }
        let mut complement = set.clone();
        complement.negate();
        let (plain, plain_words) = without_words(set);
        let (inverse, inverse_words) = without_words(complement);
        if inverse.ranges().len() < plain.ranges().len() {
            self.ranges(&inverse, true, inverse_words);
        } else {
            self.ranges(&plain, false, plain_words);
        }
    }

    fn ranges(&mut self, set: &ClassUnicode, negated: bool, words: &str) {
        if set.ranges().is_empty() && words.is_empty() {
            self.out.push_str(if negated { "(?s:.)" } else { "(?!)" });
            return;
        }
        self.out.push_str(if negated { "[^" } else { "[" });
        self.out.push_str(words);
        for range in set.ranges() {
            let _ = write!(self.out, r"\x{{{:x}}}", u32::from(range.start()));
            if range.start() != range.end() {
                let _ = write!(self.out, r"-\x{{{:x}}}", u32::from(range.end()));
            }
        }
        self.out.push(']');
    }
}

/// A set without the hundreds of ranges of `\w` or `\d`, and PCRE2's words for those, where it has them all.
fn without_words(mut set: ClassUnicode) -> (ClassUnicode, &'static str) {
    for (known, words) in [(chars::word(false), r"\p{L}\p{N}_"), (chars::digit(false), r"\p{Nd}")] {
        let mut rest = known.clone();
        rest.difference(&set);
        if rest.ranges().is_empty() {
            set.difference(&known);
            return (set, words);
        }
    }
    (set, "")
}
