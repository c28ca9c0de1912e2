//! The arguments of a step, read one by one. What is wrong is noted with its place, and what was not asked for is
//! unknown.

use std::ops::Range;
use std::time::Duration;

use unmasq_diagnostic::Problem;
use unmasq_dialect::Template;
use unmasq_entry::{Fields, Slot};

use super::literal::Literal;
use super::source_text::place_within;
use super::suggest::did_you_mean;
use crate::config::{Node, Spanned, Step};
use crate::enforce::{SetKind, SetName};

/// Longest time that an argument may give: a century. Longer ones are mistakes, and sums with them stay in range.
const LONGEST: Duration = Duration::from_secs(100 * 366 * 86_400);

/// What the arguments of all steps have in common.
#[derive(Debug, Default)]
pub(crate) struct Shared<'c> {
    /// The configuration as it was written.
    pub(crate) text: &'c str,
    /// Are unknown arguments errors? Pyruse ignores them.
    pub(crate) is_strict: bool,
    pub(crate) fields: Fields,
    pub(crate) problems: Vec<Problem>,
}

/// The arguments of one step.
pub(crate) struct Args<'c, 's> {
    step: &'c Step,
    entries: &'c [(Spanned<String>, Spanned<Node>)],
    asked: Vec<&'static str>,
    pub(crate) shared: &'s mut Shared<'c>,
    /// Fields that the step reads, and where they are named.
    pub(crate) reads: Vec<(Slot, Range<usize>)>,
    /// Fields that the step sets.
    pub(crate) sets: Vec<Slot>,
    has_error: bool,
}

impl<'c, 's> Args<'c, 's> {
    /// The step's.
    pub(crate) fn new(step: &'c Step, shared: &'s mut Shared<'c>) -> Self {
        let mut args = Self {
            step,
            entries: step.args.value.as_map().unwrap_or_default(),
            asked: Vec::new(),
            shared,
            reads: Vec::new(),
            sets: Vec::new(),
            has_error: false,
        };
        if !matches!(step.args.value, Node::Map(_) | Node::Null) {
            let message = format!("\"args\" is {}, not names with values", step.args.value.describe());
            args.error(&step.args.span, message);
        }
        args
    }

    /// The step's name.
    pub(crate) fn name(&self) -> &'c Spanned<String> {
        &self.step.name
    }

    /// Notes an error.
    pub(crate) fn error(&mut self, span: &Range<usize>, message: impl Into<String>) {
        self.has_error = true;
        self.shared.problems.push(Problem::error(span.clone(), message));
    }

    /// Notes a warning.
    pub(crate) fn warn(&mut self, span: &Range<usize>, message: impl Into<String>) {
        self.shared.problems.push(Problem::warning(span.clone(), message));
    }

    /// The work, if nothing was wrong; and whether there are arguments that nobody asked for.
    pub(crate) fn finish<T>(&mut self, work: Option<T>) -> Option<T> {
        for (key, _) in self.entries {
            if self.asked.contains(&&*key.value) {
                continue;
            }
            let step = &self.step.name.value;
            let advice = match did_you_mean(&key.value, self.asked.iter().copied()) {
                meant if !meant.is_empty() => meant,
                _ if self.asked.is_empty() => "; it takes none".to_owned(),
                _ => format!("; it takes {}", self.asked.join(", ")),
            };
            let message = format!("{step} has no argument {:?}{advice}", cut(&key.value));
            if self.shared.is_strict {
                self.error(&key.span, message);
            } else {
                self.warn(&key.span, format!("{message}; it is ignored"));
            }
        }
        work.filter(|_| !self.has_error)
    }

    /// An argument, if it is there; null is, too.
    pub(crate) fn node(&mut self, name: &'static str) -> Option<&'c Spanned<Node>> {
        self.asked.push(name);
        self.entries.iter().find(|(key, _)| key.value == name).map(|(_, value)| value)
    }

    /// An argument that may be left out; null is as good as nothing.
    pub(crate) fn optional(&mut self, name: &'static str) -> Option<&'c Spanned<Node>> {
        self.node(name).filter(|node| node.value != Node::Null)
    }

    /// An argument that must be there.
    pub(crate) fn needed(&mut self, name: &'static str) -> Option<&'c Spanned<Node>> {
        let node = self.node(name);
        if node.is_none() {
            let step = &self.step.name;
            self.error(&step.span, format!("{} needs the argument {name:?}", step.value));
        }
        node
    }

    /// The text of an argument; anything else is an error.
    pub(crate) fn text_of(&mut self, name: &str, node: &'c Spanned<Node>) -> Option<&'c str> {
        let text = node.value.as_text();
        if text.is_none() {
            self.mistyped(name, node, "text");
        }
        text
    }

    /// Notes that an argument is of another type.
    pub(crate) fn mistyped(&mut self, name: &str, node: &Spanned<Node>, wanted: &str) {
        self.error(&node.span, format!("{name} is {}, not {wanted}", node.value.describe()));
    }

    /// A text that must be there.
    pub(crate) fn needed_text(&mut self, name: &'static str) -> Option<&'c str> {
        let node = self.needed(name)?;
        self.text_of(name, node)
    }

    /// A text that may be left out.
    pub(crate) fn optional_text(&mut self, name: &'static str) -> Option<&'c str> {
        let node = self.optional(name)?;
        self.text_of(name, node)
    }

    /// The field that the step needs.
    pub(crate) fn needed_field(&mut self, name: &'static str) -> Option<Slot> {
        let node = self.needed(name)?;
        let field = self.text_of(name, node)?;
        Some(self.read(field, &node.span))
    }

    /// A field that the step may read.
    pub(crate) fn optional_field(&mut self, name: &'static str) -> Option<Slot> {
        let node = self.optional(name)?;
        let field = self.text_of(name, node)?;
        Some(self.read(field, &node.span))
    }

    /// A field that the step may set; an empty name is as good as none.
    pub(crate) fn saved_field(&mut self, name: &'static str) -> Option<Slot> {
        let field = self.optional_text(name).filter(|field| !field.is_empty())?;
        Some(self.set(field))
    }

    /// The slot of a field that the step reads.
    pub(crate) fn read(&mut self, field: &str, span: &Range<usize>) -> Slot {
        let slot = self.shared.fields.slot(field);
        self.reads.push((slot, span.clone()));
        slot
    }

    /// The slot of a field that the step sets.
    pub(crate) fn set(&mut self, field: &str) -> Slot {
        let slot = self.shared.fields.slot(field);
        self.sets.push(slot);
        slot
    }

    /// A time in seconds that may be left out; zero is as good as nothing, as in Pyruse.
    pub(crate) fn seconds(&mut self, name: &'static str) -> Option<Duration> {
        let node = self.optional(name)?;
        self.seconds_of(name, node).filter(|duration| !duration.is_zero())
    }

    /// A number of seconds, not negative.
    pub(crate) fn seconds_of(&mut self, name: &str, node: &Spanned<Node>) -> Option<Duration> {
        let duration = match node.value {
            Node::Integer(seconds) => u64::try_from(seconds).ok().map(Duration::from_secs),
            Node::Float(seconds) => Duration::try_from_secs_f64(seconds).ok(),
            _ => {
                self.mistyped(name, node, "a number of seconds");
                return None;
            }
        };
        let duration = duration.filter(|duration| *duration <= LONGEST);
        if duration.is_none() {
            let most = LONGEST.as_secs();
            let found = node.value.describe();
            self.error(&node.span, format!("{name} is {found}, but a time is from 0 to {most} seconds"));
        }
        duration
    }

    /// True or false; false if it is left out.
    pub(crate) fn flag(&mut self, name: &'static str) -> bool {
        match self.optional(name) {
            None => false,
            Some(Spanned { value: Node::Bool(flag), .. }) => *flag,
            Some(node) => {
                self.mistyped(name, node, "true or false");
                false
            }
        }
    }

    /// One of several words that may be left out.
    pub(crate) fn choice<T: Copy>(&mut self, name: &'static str, words: &[(&'static str, T)]) -> Option<T> {
        let node = self.optional(name)?;
        let text = self.text_of(name, node)?;
        let chosen = words.iter().find(|(word, _)| *word == text).map(|(_, chosen)| *chosen);
        if chosen.is_none() {
            let known = || words.iter().map(|(word, _)| *word);
            let meant = match did_you_mean(text, known()) {
                meant if meant.is_empty() => {
                    format!("; it is one of {}", known().collect::<Vec<_>>().join(", "))
                }
                meant => meant,
            };
            self.error(&node.span, format!("{name} {:?} is unknown{meant}", cut(text)));
        }
        chosen
    }

    /// A template that must be there.
    pub(crate) fn template(&mut self, name: &'static str) -> Option<Template> {
        let node = self.needed(name)?;
        let text = self.text_of(name, node)?;
        match Template::parse(text, &mut self.shared.fields) {
            Ok(template) => {
                for slot in template.fields() {
                    self.reads.push((slot, node.span.clone()));
                }
                Some(template)
            }
            Err(e) => {
                let place = place_within(self.shared.text, &node.span, e.offset);
                self.error(&place, format!("{name}: {}", e.message));
                None
            }
        }
    }

    /// The name of a set.
    pub(crate) fn set_name(&mut self, name: &'static str, kind: SetKind, is_needed: bool) -> Option<SetName> {
        let node = if is_needed { self.needed(name)? } else { self.optional(name)? };
        let text = self.text_of(name, node)?;
        match SetName::parse(kind, text) {
            Ok(set) => Some(set),
            Err(e) => {
                self.error(&node.span, format!("{name}: {e}"));
                None
            }
        }
    }
}

/// A constant.
pub(crate) fn literal(node: &Node) -> Literal {
    match node {
        Node::Null => Literal::Null,
        Node::Bool(value) => Literal::Bool(*value),
        Node::Integer(value) => Literal::Integer(*value),
        Node::Float(value) => Literal::Float(*value),
        Node::Text(text) => Literal::Text(text.as_str().into()),
        Node::List(items) => Literal::List(items.iter().map(|item| literal(&item.value)).collect()),
        Node::Map(_) => Literal::Table,
    }
}

/// As much of a wrong word as a message needs.
pub(crate) fn cut(text: &str) -> String {
    text.chars().take(80).collect()
}
