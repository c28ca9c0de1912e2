//! One section of the file, read key by key.
//!
//! Reading is the definition: each key is named, explained, given its default and read in one place (`value`
//! or `optional`), and the section remembers what it was asked for. What is in the file and was not asked for
//! is unknown; what was asked for, in that order, is the commented example and the table in the
//! documentation.

use std::ops::Range;

use serde::Serialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use unmasq_diagnostic::Problem;

/// What is said about a key.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Key {
    /// Its name in the file.
    pub(crate) name: &'static str,
    /// What it means; several lines are fine.
    pub(crate) help: &'static str,
    /// The value in TOML if the file does not give one; `None` where there is no default.
    pub(crate) default: Option<&'static str>,
    /// A value in TOML for the example; the default where there is one.
    pub(crate) sample: &'static str,
}

/// What is said about a section.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct About {
    /// Its name, as in `[name]`.
    pub(crate) name: &'static str,
    /// What it is for.
    pub(crate) help: &'static str,
    /// Its keys, in the order of the example.
    pub(crate) keys: Vec<Key>,
}

/// A value that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    /// Why, and what would be accepted.
    pub(super) message: String,
    /// A part of the value that is meant; `None` for all of it.
    pub(super) span: Option<Range<usize>>,
}

impl<M: Into<String>> From<M> for Refused {
    fn from(message: M) -> Self {
        Self { message: message.into(), span: None }
    }
}

/// A section being read.
pub(super) struct Section<'t, 'p> {
    about: About,
    table: Option<&'t DeTable<'t>>,
    problems: &'p mut Vec<Problem>,
}

impl<'t, 'p> Section<'t, 'p> {
    /// The section of that name in the document, empty if it is not there.
    pub(super) fn open(
        document: &'t DeTable<'t>,
        name: &'static str,
        help: &'static str,
        problems: &'p mut Vec<Problem>,
    ) -> Self {
        let table = document.get(name).and_then(|entry| match entry.get_ref() {
            DeValue::Table(table) => Some(table),
            other => {
                let message = format!(
                    "{name} is a section, not a {}; write [{name}] on a line of its own",
                    other.type_str()
                );
                problems.push(Problem::error(entry.span(), message));
                None
            }
        });
        Self { about: About { name, help, keys: Vec::new() }, table, problems }
    }

    /// A key with a default, which is TOML like the file's and read by the same function.
    pub(super) fn value<T>(
        &mut self,
        name: &'static str,
        default: &'static str,
        help: &'static str,
        read: impl Fn(&DeValue<'_>) -> Result<T, Refused>,
    ) -> T {
        self.about.keys.push(Key { name, help, default: Some(default), sample: default });
        let given = self.given(name, &read);
        given.unwrap_or_else(|| {
            let parsed = DeValue::parse(default).ok().and_then(|value| read(value.get_ref()).ok());
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
        read: impl Fn(&DeValue<'_>) -> Result<T, Refused>,
    ) -> Option<T> {
        self.about.keys.push(Key { name, help, default: None, sample });
        self.given(name, &read)
    }

    /// Adds a problem if a key is not there that another needs.
    pub(super) fn need(&mut self, name: &str, because: &str) {
        let Some(table) = self.table else { return };
        if table.get(name).is_none()
            && let Some(other) = table.get(because)
        {
            self.problems.push(Problem::error(other.span(), format!("{because} needs {name} as well")));
        }
    }

    /// What the file gives, if it gives something that can be read.
    fn given<T>(&mut self, name: &str, read: &impl Fn(&DeValue<'_>) -> Result<T, Refused>) -> Option<T> {
        let entry: &Spanned<DeValue<'_>> = self.table?.get(name)?;
        match read(entry.get_ref()) {
            Ok(value) => Some(value),
            Err(refused) => {
                let span = refused.span.unwrap_or_else(|| entry.span());
                self.problems.push(Problem::error(span, format!("{name}: {}", refused.message)));
                None
            }
        }
    }

    /// Ends the reading. What is left to say about unknown keys is said by [`unknown`], which needs all
    /// sections.
    pub(super) fn close(self) -> About {
        self.about
    }
}

/// Adds a problem for every section and key that nobody asked for.
pub(super) fn unknown(document: &DeTable<'_>, sections: &[About], problems: &mut Vec<Problem>) {
    for (key, entry) in document {
        let name = key.get_ref().as_ref();
        let Some(section) = sections.iter().find(|s| s.name == name) else {
            let advice = owner_of(name, sections).unwrap_or_else(|| {
                nearest(name, sections.iter().map(|s| s.name), |n| format!("did you mean [{n}]?"))
                    .unwrap_or_else(|| {
                        format!("there are {}", listed(sections.iter().map(|s| format!("[{}]", s.name))))
                    })
            });
            let what = if entry.get_ref().is_table() { "section" } else { "key" };
            let message = format!("unknown {what} {name:?}; {advice}");
            problems.push(Problem::error(key.span(), message));
            continue;
        };
        let DeValue::Table(table) = entry.get_ref() else { continue };
        for key in
            table.keys().filter(|key| section.keys.iter().all(|known| known.name != key.get_ref().as_ref()))
        {
            let name = key.get_ref().as_ref();
            let advice = owner_of(name, sections).unwrap_or_else(|| {
                nearest(name, section.keys.iter().map(|k| k.name), |n| format!("did you mean {n:?}?"))
                    .unwrap_or_else(|| {
                        format!("there are {}", listed(section.keys.iter().map(|k| k.name.to_owned())))
                    })
            });
            let message = format!("unknown key {name:?} in [{}]; {advice}", section.name);
            problems.push(Problem::error(key.span(), message));
        }
    }
}

/// The word in `known` that was most likely meant, if one is near enough.
pub(super) fn nearest<'k>(
    word: &str,
    known: impl Iterator<Item = &'k str>,
    say: impl Fn(&str) -> String,
) -> Option<String> {
    // "netns_list" and "Keep" are near; "foo" is near nothing.
    let normal = word.to_ascii_lowercase().replace('-', "_");
    known
        .map(|candidate| (strsim::jaro_winkler(&normal, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| say(candidate))
}

fn owner_of(key: &str, sections: &[About]) -> Option<String> {
    let owner = sections.iter().find(|s| s.keys.iter().any(|known| known.name == key))?;
    Some(format!("it belongs under [{}]", owner.name))
}

fn listed(words: impl Iterator<Item = String>) -> String {
    words.collect::<Vec<_>>().join(", ")
}
