//! Python's `str.format`, compiled.

use jiff::tz::TimeZone;
use unmasq_entry::{Entry, Fields, Slot, Value};

/// A format string.
#[derive(Clone, Debug)]
pub struct Template {
    pieces: Vec<(String, Option<Slot>)>,
}

/// What is wrong with a format string.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} at offset {offset} of the template")]
pub struct TemplateError {
    /// What is wrong, and what to write instead where that is known.
    pub message: String,
    /// In bytes from the start of the template.
    pub offset: usize,
}

/// A value that cannot be shown as the template asks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{{{field}}}`: {message}")]
pub struct RenderError {
    /// The replacement field, as it stands in the template.
    pub field: String,
    /// Why not.
    pub message: String,
}

impl Template {
    /// Compiles a format string; the fields that it names get slots.
    pub fn parse(python: &str, fields: &mut Fields) -> Result<Self, TemplateError> {
        let mut pieces = vec![];
        let mut rest = python;
        while let Some(open) = rest.find('{') {
            let offset = python.len() - rest.len() + open;
            let close = rest[open..].find('}');
            let close = close.ok_or(TemplateError { message: "`{` without `}`".into(), offset })? + open;
            pieces.push((rest[..open].to_owned(), Some(fields.slot(&rest[open + 1..close]))));
            rest = &rest[close + 1..];
        }
        pieces.push((rest.to_owned(), None));
        Ok(Self { pieces })
    }

    /// The fields that it shows, in order; one that stands twice comes twice.
    pub fn fields(&self) -> impl Iterator<Item = Slot> {
        self.pieces.iter().filter_map(|(_, slot)| *slot)
    }

    /// Appends the text for an entry. Times are shown in `zone`. A field that the entry does not have is `None`, as in
    /// Pyruse. On an error nothing is appended.
    pub fn render(&self, entry: &Entry, zone: &TimeZone, out: &mut String) -> Result<(), RenderError> {
        for (literal, slot) in &self.pieces {
            out.push_str(literal);
            if let Some(slot) = slot {
                out.push_str(&python_str(entry.get(*slot).unwrap_or(Value::Null), zone));
            }
        }
        Ok(())
    }
}

/// What Python's `str()` gives for a value; times are shown in `zone`, without naming it.
pub fn python_str(value: Value<'_>, _zone: &TimeZone) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Text(text) => text.to_owned(),
        other => format!("{other:?}"),
    }
}
