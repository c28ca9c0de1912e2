//! YAML 1.2 with its core schema, as a tree. Aliases are followed up to a bound, so that a small text cannot
//! become a large tree; a key that stands twice is an error.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};
use unmasq_diagnostic::Problem;

use super::node::{Entries, Node, Spanned};

/// Deepest nesting.
const DEEPEST: usize = 128;
/// Most that aliases may add to the tree, in bytes of text, each value counting as [`VALUE`].
const MOST_ALIASED: usize = 4 << 20;
/// What a value counts as at least.
const VALUE: usize = 64;

/// The tree, if the text is YAML.
pub(super) fn read(text: &str, problems: &mut Vec<Problem>) -> Option<Spanned<Node>> {
    let mut reader = Reader {
        places: Places::new(text),
        open: Vec::new(),
        anchors: HashMap::new(),
        aliased: 0,
        root: None,
    };
    let mut documents = 0;
    for event in Parser::new_from_str(text) {
        let read = match event {
            Ok((Event::DocumentStart(_), span)) => {
                documents += 1;
                if documents > 1 {
                    Err(Wrong(
                        reader.places.span(&span),
                        "a second document; a configuration is one".to_owned(),
                    ))
                } else {
                    Ok(())
                }
            }
            Ok((event, span)) => reader.event(event, &span),
            Err(error) => {
                let at = reader.places.byte(error.marker().index());
                Err(Wrong(at..at + 1, format!("not YAML: {}", error.info())))
            }
        };
        if let Err(Wrong(span, message)) = read {
            problems.push(Problem::error(span, message));
            return None;
        }
    }
    Some(reader.root.unwrap_or_else(|| Spanned::new(Node::Map(Vec::new()), 0..0)))
}

struct Wrong(Range<usize>, String);

/// A list or a map that has not ended.
struct Open {
    kind: Kind,
    start: usize,
    /// 0 for none.
    anchor: usize,
}

enum Kind {
    List(Vec<Spanned<Node>>),
    Map { entries: Entries, keys: HashSet<String>, key: Option<Spanned<String>> },
}

struct Reader<'t> {
    places: Places<'t>,
    open: Vec<Open>,
    /// What complete values with an anchor hold, and what they count as.
    anchors: HashMap<usize, (Node, usize)>,
    aliased: usize,
    root: Option<Spanned<Node>>,
}

impl Reader<'_> {
    fn event(&mut self, event: Event<'_>, span: &Span) -> Result<(), Wrong> {
        let place = self.places.span(span);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let node =
                    scalar(&text, style, tag.as_deref()).map_err(|message| Wrong(place.clone(), message))?;
                // A key is a text, whatever it looks like.
                let node = if self.wants_key() { Node::Text(text.into_owned()) } else { node };
                self.add(Spanned::new(node, place), anchor)
            }
            Event::Alias(anchor) => {
                let Some((node, weight)) = self.anchors.get(&anchor) else {
                    return Err(Wrong(place, "an alias within what it stands for".to_owned()));
                };
                self.aliased += weight;
                if self.aliased > MOST_ALIASED {
                    return Err(Wrong(
                        place,
                        "the aliases of this file stand for too much; write it out".to_owned(),
                    ));
                }
                let node = node.clone();
                self.add(Spanned::new(node, place), 0)
            }
            Event::SequenceStart(anchor, tag) => {
                self.open(Kind::List(Vec::new()), anchor, tag.as_deref(), "seq", place)
            }
            Event::MappingStart(anchor, tag) => {
                let kind = Kind::Map { entries: Vec::new(), keys: HashSet::new(), key: None };
                self.open(kind, anchor, tag.as_deref(), "map", place)
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(Open { kind, start, anchor }) = self.open.pop() else {
                    return Err(Wrong(place, "not YAML: an end without a beginning".to_owned()));
                };
                let node = match kind {
                    Kind::List(elements) => Node::List(elements),
                    Kind::Map { entries, .. } => Node::Map(entries),
                };
                // A block ends where the next thing begins, lines later.
                let end = self.places.without_space(start, place.start.max(start));
                self.add(Spanned::new(node, start..end.max(start + 1)), anchor)
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Ok(()),
        }
    }

    fn open(
        &mut self,
        kind: Kind,
        anchor: usize,
        tag: Option<&Tag>,
        wanted: &str,
        place: Range<usize>,
    ) -> Result<(), Wrong> {
        if let Some(tag) = tag.filter(|tag| !(tag.is_yaml_core_schema() && tag.suffix == wanted)) {
            return Err(Wrong(place, format!("the tag {tag} is not known; take it away")));
        }
        if self.wants_key() {
            return Err(Wrong(place, "a key must be a text".to_owned()));
        }
        if self.open.len() >= DEEPEST {
            return Err(Wrong(place, format!("nested deeper than {DEEPEST} levels")));
        }
        self.open.push(Open { kind, start: place.start, anchor });
        Ok(())
    }

    fn wants_key(&self) -> bool {
        matches!(self.open.last(), Some(Open { kind: Kind::Map { key: None, .. }, .. }))
    }

    /// A complete value goes to where it belongs.
    fn add(&mut self, node: Spanned<Node>, anchor: usize) -> Result<(), Wrong> {
        if anchor != 0 {
            // What is anchored is copied once here: that is at most the file's size for each level of
            // nesting.
            let weight = weight(&node.value);
            self.aliased += weight;
            if self.aliased > MOST_ALIASED {
                return Err(Wrong(node.span, "the anchors of this file stand for too much".to_owned()));
            }
            self.anchors.insert(anchor, (node.value.clone(), weight));
        }
        match self.open.last_mut().map(|open| &mut open.kind) {
            None => self.root = Some(node),
            Some(Kind::List(elements)) => elements.push(node),
            Some(Kind::Map { entries, keys, key }) => {
                if let Some(name) = key.take() {
                    entries.push((name, node));
                    return Ok(());
                }
                let Node::Text(name) = node.value else {
                    return Err(Wrong(node.span, "a key must be a text".to_owned()));
                };
                if name == "<<" {
                    let message =
                        "merge keys are no part of YAML 1.2; write the keys out, or use an alias as a value";
                    return Err(Wrong(node.span, message.to_owned()));
                }
                if !keys.insert(name.clone()) {
                    return Err(Wrong(node.span, format!("{name:?} stands twice here; take one away")));
                }
                *key = Some(Spanned::new(name, node.span));
            }
        }
        Ok(())
    }
}

/// What a value counts as.
fn weight(node: &Node) -> usize {
    VALUE
        + match node {
            Node::Text(text) => text.len(),
            Node::List(elements) => elements.iter().map(|element| weight(&element.value)).sum(),
            Node::Map(entries) => {
                entries.iter().map(|(key, value)| key.value.len() + weight(&value.value)).sum()
            }
            Node::Null | Node::Bool(_) | Node::Integer(_) | Node::Float(_) => 0,
        }
}

/// A scalar by the core schema (YAML 1.2.2, section 10.3.2).
fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Node, String> {
    let plain = style == ScalarStyle::Plain;
    let Some(tag) = tag else {
        return if plain { resolve(text) } else { Ok(Node::Text(text.to_owned())) };
    };
    let unknown = || format!("the tag {tag} is not known; take it away");
    if tag.handle.is_empty() && tag.suffix == "!" {
        return Ok(Node::Text(text.to_owned()));
    }
    if !tag.is_yaml_core_schema() {
        return Err(unknown());
    }
    let node = resolve(text)?;
    match (tag.suffix.as_str(), node) {
        ("str", _) => Ok(Node::Text(text.to_owned())),
        ("null", node @ Node::Null) | ("bool", node @ Node::Bool(_)) | ("int", node @ Node::Integer(_)) => {
            Ok(node)
        }
        ("float", node @ Node::Float(_)) => Ok(node),
        ("float", Node::Integer(number)) => Ok(Node::Float(number as f64)),
        ("null" | "bool" | "int" | "float", _) => Err(format!("{text:?} is not of the tag's kind")),
        _ => Err(unknown()),
    }
}

fn resolve(text: &str) -> Result<Node, String> {
    Ok(match text {
        "" | "~" | "null" | "Null" | "NULL" => Node::Null,
        "true" | "True" | "TRUE" => Node::Bool(true),
        "false" | "False" | "FALSE" => Node::Bool(false),
        ".nan" | ".NaN" | ".NAN" => Node::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Node::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => Node::Float(f64::NEG_INFINITY),
        _ => number(text)?.unwrap_or_else(|| Node::Text(text.to_owned())),
    })
}

fn number(text: &str) -> Result<Option<Node>, String> {
    let too_large = |_| format!("{text:?} is too large: whole numbers go from -2^63 to 2^63-1");
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    for (prefix, radix) in [("0o", 8), ("0x", 16)] {
        if let Some(rest) = text.strip_prefix(prefix)
            && !rest.is_empty()
            && rest.chars().all(|c| c.is_digit(radix))
        {
            return i64::from_str_radix(rest, radix).map(|n| Some(Node::Integer(n))).map_err(too_large);
        }
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits(unsigned) {
        return text.parse().map(|n| Some(Node::Integer(n))).map_err(too_large);
    }
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let none_or_digits = |text: &str| text.is_empty() || digits(text);
    let is_float = digits(exponent.strip_prefix(['-', '+']).unwrap_or(exponent))
        && none_or_digits(whole)
        && none_or_digits(fraction)
        && (digits(whole) || digits(fraction));
    Ok(if is_float { text.parse().ok().map(Node::Float) } else { None })
}

/// Where the parser's characters are among the bytes.
struct Places<'t> {
    text: &'t str,
    /// The byte of every 256th character.
    marks: Vec<usize>,
}

impl<'t> Places<'t> {
    const STEP: usize = 256;

    fn new(text: &'t str) -> Self {
        Self { text, marks: text.char_indices().step_by(Self::STEP).map(|(byte, _)| byte).collect() }
    }

    /// The byte of a character; past the end, the end.
    fn byte(&self, character: usize) -> usize {
        let Some(mark) = self.marks.get(character / Self::STEP) else { return self.text.len() };
        let mut rest = self.text[*mark..].char_indices();
        rest.nth(character % Self::STEP).map_or(self.text.len(), |(byte, _)| mark + byte)
    }

    fn span(&self, span: &Span) -> Range<usize> {
        let start = self.byte(span.start.index());
        start..self.byte(span.end.index()).max(start)
    }

    /// The end of what stands between two places, without blank space behind it.
    fn without_space(&self, start: usize, end: usize) -> usize {
        self.text.get(start..end).map_or(end, |part| start + part.trim_end().len())
    }
}
