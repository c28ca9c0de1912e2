//! nft's language, as far as it must be known to find macros: words, quotes, comments, and where names are declared.

use std::ops::Range;

use crate::macros::words::is_of_word;

/// Kinds of addresses that can stand before a table's name.
const FAMILIES: [&str; 6] = ["arp", "bridge", "inet", "ip", "ip6", "netdev"];

/// Commands, behind which what they are about is named.
const COMMANDS: [&str; 10] =
    ["add", "create", "delete", "destroy", "flush", "get", "insert", "list", "replace", "reset"];

/// Something that was found.
pub(super) enum Seen<'t> {
    /// A comment; its place, without the line's end.
    Comment(Range<usize>),
    /// A word.
    Word(Site<'t>),
    /// A set is opened, maybe in another one.
    Set,
    /// An element of a set is over; its place.
    Element(Range<usize>),
    /// A quote that is not closed; its place.
    UnclosedQuote(Range<usize>),
    /// The first line end that is not nft's; its place.
    CarriageReturn(Range<usize>),
}

/// A word and what is around it.
pub(super) struct Site<'t> {
    /// All that nft reads as one word: with `/`, `-`, `.` and `*`.
    pub(super) text: &'t str,
    /// Where it begins.
    pub(super) start: usize,
    /// The word or sign before it; nothing at the begin of a line.
    pub(super) before: &'t str,
    /// The sign that follows, 0 if none does in this line.
    pub(super) after: u8,
    /// Does it stand where a table, chain, set, map or flowtable is named?
    pub(super) is_name: bool,
    /// Is it a variable that is being defined?
    pub(super) is_defined: bool,
    /// Is it in the braces of a set or map?
    pub(super) is_in_set: bool,
}

impl Site<'_> {
    /// Its place.
    pub(super) fn span(&self) -> Range<usize> {
        self.start..self.start + self.text.len()
    }
}

/// Goes through a ruleset.
pub(super) struct Scan<'t> {
    text: &'t str,
    at: usize,
    before: &'t str,
    statement: Statement,
    /// Does the next brace open a block, not a set?
    opens_block: bool,
    /// Sets that are open.
    sets: usize,
    /// Where the element that is being read begins and, so far, ends.
    element: Option<Range<usize>>,
    has_seen_carriage_return: bool,
}

/// Where in a statement we are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Statement {
    /// At its begin.
    Start,
    /// Behind a command.
    Command,
    /// So many names are to come.
    Names(u8),
    /// A variable's name is to come.
    Define,
    /// Further on.
    Body,
}

impl<'t> Scan<'t> {
    /// From its begin.
    pub(super) fn new(text: &'t str) -> Self {
        Self {
            text,
            at: 0,
            before: "",
            statement: Statement::Start,
            opens_block: false,
            sets: 0,
            element: None,
            has_seen_carriage_return: false,
        }
    }

    /// The word that begins here.
    fn word(&mut self) -> Site<'t> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        while self.at < bytes.len() && is_of_string(bytes[self.at]) {
            self.at += 1;
        }
        let text = &self.text[start..self.at];
        let behind = bytes[self.at..].iter().find(|byte| **byte != b' ' && **byte != b'\t');
        let after = behind.copied().filter(|byte| *byte != b'\n').unwrap_or_default();
        let statement = self.statement;
        self.opens_block |= statement.opens_block_with(text);
        self.statement = statement.behind(text);
        self.extend_element(start);
        Site {
            text,
            start,
            before: std::mem::replace(&mut self.before, text),
            after,
            is_name: matches!(statement, Statement::Names(_)),
            is_defined: statement == Statement::Define,
            is_in_set: self.sets > 0,
        }
    }

    /// What stands from there to here belongs to the element.
    fn extend_element(&mut self, start: usize) {
        let first = self.element.as_ref().map_or(start, |element| element.start);
        self.element = (self.sets > 0).then_some(first..self.at);
    }

    /// Takes a sign, which ends statements, elements or nothing.
    fn sign(&mut self, sign: u8) -> Option<Seen<'t>> {
        let start = self.at;
        self.at += 1;
        self.before = if sign == b'\n' { "" } else { &self.text[start..self.at] };
        match sign {
            b'{' if !self.opens_block => {
                self.sets += 1;
                self.element = None;
                self.statement = Statement::Body;
                return Some(Seen::Set);
            }
            b',' if self.sets > 0 => return self.element.take().map(Seen::Element),
            b'}' if self.sets > 0 => {
                self.sets -= 1;
                return self.element.take().map(Seen::Element);
            }
            // An element can go on in the next line.
            b'\n' if self.sets > 0 => {}
            b'\n' | b';' | b'{' | b'}' => {
                self.statement = Statement::Start;
                self.opens_block = false;
            }
            _ => {
                self.statement = self.statement.behind_sign(sign);
                self.extend_element(start);
            }
        }
        None
    }

    /// Is there a line's end behind the backslash here? Then the statement goes on.
    fn goes_on(&self) -> bool {
        self.text.as_bytes().get(self.at + 1) == Some(&b'\n')
    }
}

impl<'t> Iterator for Scan<'t> {
    type Item = Seen<'t>;

    fn next(&mut self) -> Option<Seen<'t>> {
        let bytes = self.text.as_bytes();
        while let Some(byte) = bytes.get(self.at).copied() {
            let start = self.at;
            match byte {
                b' ' | b'\t' => self.at += 1,
                b'\\' if self.goes_on() => self.at += 2,
                b'\r' if bytes.get(start + 1) == Some(&b'\n') => {
                    self.at += 1;
                    if !std::mem::replace(&mut self.has_seen_carriage_return, true) {
                        return Some(Seen::CarriageReturn(start..start + 1));
                    }
                }
                b'#' => {
                    let rest = &self.text[start..];
                    let length = rest.find('\n').unwrap_or(rest.len());
                    self.at += rest[..length].trim_end_matches('\r').len();
                    return Some(Seen::Comment(start..self.at));
                }
                b'"' => {
                    let Some(length) = self.text[start + 1..].find('"') else {
                        self.at = bytes.len();
                        return Some(Seen::UnclosedQuote(start..start + 1));
                    };
                    self.at += length + 2;
                    self.before = &self.text[start..self.at];
                    self.statement = Statement::Body;
                    self.extend_element(start);
                }
                byte if is_of_string(byte) => return Some(Seen::Word(self.word())),
                // A sign, all of which are ASCII: other letters are of words.
                _ => {
                    if let Some(seen) = self.sign(byte) {
                        return Some(seen);
                    }
                }
            }
        }
        None
    }
}

impl Statement {
    /// Does this word name something whose braces have statements in them?
    fn opens_block_with(self, word: &str) -> bool {
        match self {
            Self::Start | Self::Command => matches!(word, "table" | "chain" | "set" | "map" | "flowtable"),
            Self::Names(_) | Self::Define | Self::Body => false,
        }
    }

    /// Where we are behind a word.
    fn behind(self, word: &str) -> Self {
        match (self, word) {
            (Self::Start, "define" | "redefine" | "undefine") => Self::Define,
            // In a block, `set s {`; a rule does not begin with these words.
            (Self::Start | Self::Command, "table") | (Self::Start, "chain" | "set" | "map" | "flowtable") => {
                Self::Names(1)
            }
            (Self::Start, "rename") => Self::Names(3),
            (Self::Start, command) if COMMANDS.contains(&command) => Self::Command,
            (Self::Command, "chain" | "set" | "map" | "flowtable" | "element" | "rule") => Self::Names(2),
            (Self::Names(left), word) if FAMILIES.contains(&word) => Self::Names(left),
            (Self::Names(left @ 2..), _) => Self::Names(left - 1),
            (Self::Start | Self::Command | Self::Names(_) | Self::Define | Self::Body, _) => Self::Body,
        }
    }

    /// Where we are behind a sign that ends no statement.
    fn behind_sign(self, sign: u8) -> Self {
        // `define $X` is no definition, but `add rule inet $T input` still names.
        if sign == b'$' || sign == b'@' { self } else { Self::Body }
    }
}

/// Is it a character of what nft reads as one word? An asterisk may end it: `eth*`.
const fn is_of_string(byte: u8) -> bool {
    is_of_word(byte) || matches!(byte, b'/' | b'-' | b'.' | b'*')
}
