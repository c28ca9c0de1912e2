//! One section of the file, read key by key.
//!
//! Reading is the definition: each key is named, explained, given its default and read in one place
//! ([`Section::value`] or [`Section::optional`]), and what was asked for is remembered. What is in the file
//! and was not asked for is unknown; what was asked for, in that order, is the table in the documentation.

use std::borrow::Cow;
use std::ops::Range;

use unmasq_diagnostic::Problem;

use super::node::{Entries, Node, Spanned};
use super::toml;

/// What is said about a key.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Key {
    /// Its name in the file.
    pub name: &'static str,
    /// What it means.
    pub help: &'static str,
    /// The value in TOML if the file does not give one; `None` where there is no default.
    pub default: Option<&'static str>,
    /// A value in TOML for the example; the default where there is one.
    pub sample: &'static str,
}

/// What is said about a section.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct About {
    /// Its name, as in `[email.smtp]`; empty for the top of the file.
    pub name: String,
    /// What it is for.
    pub help: &'static str,
    /// Its keys.
    pub keys: Vec<Key>,
}

/// Why a value was refused, and what would be accepted: at least one reason.
pub(super) struct Refused(Vec<(Option<Range<usize>>, String)>);

impl<M: Into<String>> From<M> for Refused {
    fn from(message: M) -> Self {
        Self(vec![(None, message.into())])
    }
}

impl Refused {
    /// Of a part of the value.
    pub(super) fn at(span: &Range<usize>, message: impl Into<String>) -> Self {
        Self(vec![(Some(span.clone()), message.into())])
    }

    /// What has no place of its own is about this part of the value.
    pub(super) fn within(mut self, span: &Range<usize>) -> Self {
        for (place, _) in &mut self.0 {
            place.get_or_insert_with(|| span.clone());
        }
        self
    }

    /// Both.
    pub(super) fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// As problems with the value that stands at `span`.
    pub(super) fn report(self, name: &str, span: &Range<usize>, problems: &mut Vec<Problem>) {
        for (place, message) in self.0 {
            problems
                .push(Problem::error(place.unwrap_or_else(|| span.clone()), format!("{name}: {message}")));
        }
    }
}

/// What the reading of a file gathers.
#[derive(Default)]
pub(super) struct Reading {
    /// What is wrong.
    pub(super) problems: Vec<Problem>,
    /// What was asked for.
    pub(super) about: Vec<About>,
    /// Unknown keys at the top and in Pyruse's own sections are only warned of, as Pyruse ignores them.
    pub(super) is_pyruse: bool,
}

/// A section being read.
pub(super) struct Section<'n, 'r> {
    entries: Cow<'n, [(Spanned<String>, Spanned<Node>)]>,
    /// Names of sections within.
    children: Vec<&'static str>,
    about: usize,
    reading: &'r mut Reading,
}

impl<'n, 'r> Section<'n, 'r> {
    /// The whole file.
    pub(super) fn top(root: &'n Spanned<Node>, help: &'static str, reading: &'r mut Reading) -> Self {
        let entries = match &root.value {
            Node::Map(entries) => Cow::Borrowed(&**entries),
            other => {
                let message =
                    format!("found {} where the file has to hold keys and values", other.describe());
                reading.problems.push(Problem::error(root.span.clone(), message));
                Cow::Borrowed(&[][..])
            }
        };
        Self::begin(entries, String::new(), help, reading)
    }

    fn begin(
        entries: Cow<'n, [(Spanned<String>, Spanned<Node>)]>,
        name: String,
        help: &'static str,
        reading: &'r mut Reading,
    ) -> Self {
        reading.about.push(About { name, help, keys: Vec::new() });
        Self { entries, children: Vec::new(), about: reading.about.len() - 1, reading }
    }

    /// A section within this one, empty if it is not there.
    pub(super) fn child(&mut self, name: &'static str, help: &'static str) -> Section<'_, '_> {
        self.child_or(name, None, help)
    }

    /// As [`Section::child`]; a text in place of the section stands for a section with that one key.
    pub(super) fn child_or(
        &mut self,
        name: &'static str,
        short: Option<&'static str>,
        help: &'static str,
    ) -> Section<'_, '_> {
        self.children.push(name);
        let parent = &self.reading.about[self.about].name;
        let path = if parent.is_empty() { name.to_owned() } else { format!("{parent}.{name}") };
        let given = self.entries.iter().find(|(key, _)| key.value == name);
        let entries = match given.map(|(key, value)| (key, value, &value.value)) {
            None => Cow::Borrowed(&[][..]),
            Some((_, _, Node::Map(entries))) => Cow::Borrowed(&**entries),
            Some((key, value, Node::Text(_))) if let Some(short) = short => {
                Cow::Owned(vec![(Spanned::new(short.to_owned(), key.span.clone()), value.clone())])
            }
            Some((_, value, other)) => {
                let message = format!("{path} is a section of keys and values, not {}", other.describe());
                self.reading.problems.push(Problem::error(value.span.clone(), message));
                Cow::Borrowed(&[][..])
            }
        };
        Section::begin(entries, path, help, self.reading)
    }

    /// Is there anything in it?
    pub(super) fn is_given(&self) -> bool {
        !self.entries.is_empty()
    }

    /// A key with a default, which is written in TOML and read by the same function.
    pub(super) fn value<T>(
        &mut self,
        name: &'static str,
        default: &'static str,
        help: &'static str,
        read: impl Fn(&Node) -> Result<T, Refused>,
    ) -> T {
        self.know(Key { name, help, default: Some(default), sample: default });
        let given = self.given(name, &read);
        given.unwrap_or_else(|| {
            let parsed = toml::read_value(default).and_then(|value| read(&value).ok());
            // The defaults are constants of this program, and a test reads every one of them.
            parsed.expect("a default is a valid value")
        })
    }

    /// A key without a default.
    pub(super) fn optional<T>(
        &mut self,
        name: &'static str,
        sample: &'static str,
        help: &'static str,
        read: impl Fn(&Node) -> Result<T, Refused>,
    ) -> Option<T> {
        self.know(Key { name, help, default: None, sample });
        self.given(name, &read)
    }

    /// The place of a key's value, if the file gives it.
    pub(super) fn place(&self, name: &str) -> Option<Range<usize>> {
        self.find(name).map(|value| value.span.clone())
    }

    /// The place of a section within this one.
    pub(super) fn place_of_child(&self, name: &str) -> Option<Range<usize>> {
        self.entries.iter().find(|(key, _)| key.value == name).map(|(key, _)| key.span.clone())
    }

    /// Is a section within this one without that key?
    pub(super) fn lacks(&self, child: &str, key: &str) -> bool {
        self.find(child).is_none_or(|child| child.value.find(key).is_none())
    }

    /// A problem with this section.
    pub(super) fn report(&mut self, problem: Problem) {
        self.reading.problems.push(problem);
    }

    /// Reports every key that nobody asked for.
    pub(super) fn close(self) {
        let about = &self.reading.about[self.about];
        let is_pyruses = self.reading.is_pyruse && matches!(about.name.as_str(), "" | "email");
        let known = || about.keys.iter().map(|key| key.name).chain(self.children.iter().copied());
        let mut found = Vec::new();
        for (key, _) in self.entries.iter().filter(|(key, _)| known().all(|name| name != key.value)) {
            let name = &key.value;
            let place = if about.name.is_empty() { String::new() } else { format!(" in {:?}", about.name) };
            let advice = nearest(name, known()).map_or_else(
                || format!("there are {}", known().collect::<Vec<_>>().join(", ")),
                |meant| format!("did you mean {meant:?}?"),
            );
            let message = format!("unknown key {:?}{place}; {advice}", cut(name));
            found.push(if is_pyruses {
                Problem::warning(key.span.clone(), message)
            } else {
                Problem::error(key.span.clone(), message)
            });
        }
        self.reading.problems.extend(found);
    }

    fn know(&mut self, key: Key) {
        self.reading.about[self.about].keys.push(key);
    }

    fn find(&self, name: &str) -> Option<&Spanned<Node>> {
        self.entries.iter().find(|(key, _)| key.value == name).map(|(_, value)| value)
    }

    /// What the file gives, if it gives something that can be read.
    fn given<T>(&mut self, name: &str, read: &impl Fn(&Node) -> Result<T, Refused>) -> Option<T> {
        let value = self.find(name)?;
        match read(&value.value) {
            Ok(value) => Some(value),
            Err(refused) => {
                let span = value.span.clone();
                refused.report(name, &span, &mut self.reading.problems);
                None
            }
        }
    }
}

/// The word in `known` that was most likely meant, if one is near enough.
pub(super) fn nearest<'k>(word: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    // "allowFile" and "Masking" are near; "foo" is near nothing.
    let normal = |word: &str| word.to_ascii_lowercase().replace(['-', '_'], "");
    let word = normal(&cut(word));
    known
        .map(|candidate| (strsim::jaro_winkler(&word, &normal(candidate)), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// As much of a word as belongs in a message.
pub(super) fn cut(word: &str) -> String {
    word.chars().take(64).collect()
}

/// The keys and values of a map, or why it is none.
pub(super) fn map(value: &Node) -> Result<&Entries, Refused> {
    match value {
        Node::Map(entries) => Ok(entries),
        other => Err(format!("found {} where keys and values are wanted", other.describe()).into()),
    }
}
