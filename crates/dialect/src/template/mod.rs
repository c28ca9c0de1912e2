//! Python's `str.format`, compiled.
//!
//! ```text
//!  "from {ip:>15}: {n:^9d}" ──parse──► literals and fields (slot, conversion, Spec) ──render(entry)──► text
//! ```

mod float;
mod integer;
mod parse;
mod repr;
mod spec;
mod strftime;
mod text;

use jiff::tz::TimeZone;
use unmasq_entry::{Entry, Fields, Slot, Value};

use spec::Spec;

pub use repr::python_str;

/// A format string.
#[derive(Clone, Debug)]
pub struct Template {
    pieces: Vec<Piece>,
    /// After the last piece.
    tail: Box<str>,
}

/// Literal text, and the field after it.
#[derive(Clone, Debug)]
struct Piece {
    literal: Box<str>,
    slot: Slot,
    conversion: Option<Conversion>,
    /// After the colon, as it stands there; empty if there is nothing.
    spec_text: Box<str>,
    /// What that says if it is no time's; an error is for whoever has such a value.
    spec: Result<Spec, String>,
    /// As it stands in the template, for messages.
    source: Box<str>,
}

/// What is made of a value before it is formatted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Conversion {
    /// `!s`
    Str,
    /// `!r`
    Repr,
    /// `!a`
    Ascii,
}

/// What is wrong with a format string.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} (at offset {offset} of the template)")]
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
    /// Greatest width and precision, in characters: a template is not to fill the memory.
    pub const WIDEST: usize = 10_000;

    /// Compiles a format string; the fields that it names get slots.
    pub fn parse(python: &str, fields: &mut Fields) -> Result<Self, TemplateError> {
        parse::parse(python, fields)
    }

    /// The fields that it shows, in order; one that stands twice comes twice.
    pub fn fields(&self) -> impl Iterator<Item = Slot> {
        self.pieces.iter().map(|piece| piece.slot)
    }

    /// Appends the text for an entry. Times are shown in `zone`. A field that the entry does not have is
    /// `None`, as in Pyruse. On an error nothing is appended.
    pub fn render(&self, entry: &Entry, zone: &TimeZone, out: &mut String) -> Result<(), RenderError> {
        let before = out.len();
        for piece in &self.pieces {
            out.push_str(&piece.literal);
            let value = entry.get(piece.slot).unwrap_or(Value::Null);
            if let Err(message) = piece.render(value, zone, out) {
                out.truncate(before);
                return Err(RenderError { field: piece.source.to_string(), message });
            }
        }
        out.push_str(&self.tail);
        Ok(())
    }
}

impl Piece {
    fn render(&self, value: Value<'_>, zone: &TimeZone, out: &mut String) -> Result<(), String> {
        if let Some(conversion) = self.conversion {
            let mut converted = String::new();
            match conversion {
                Conversion::Str => repr::write_str(&mut converted, value, zone),
                Conversion::Repr => repr::write_repr(&mut converted, value, zone),
                Conversion::Ascii => {
                    let mut text = String::new();
                    repr::write_repr(&mut text, value, zone);
                    repr::write_ascii(&mut converted, &text);
                }
            }
            return self.format(Value::Text(&converted), zone, out);
        }
        self.format(value, zone, out)
    }

    fn format(&self, value: Value<'_>, zone: &TimeZone, out: &mut String) -> Result<(), String> {
        if self.spec_text.is_empty() {
            repr::write_str(out, value, zone);
            return Ok(());
        }
        let spec = || self.spec.as_ref().map_err(Clone::clone);
        match value {
            Value::Text(text) => text::write(out, text, spec()?),
            Value::Bool(value) => integer::write(out, i64::from(value), spec()?),
            Value::Integer(value) => integer::write(out, value, spec()?),
            Value::Float(value) => float::write(out, value, spec()?),
            Value::Time(time) => strftime::write(out, &repr::local(time, zone), &self.spec_text),
            Value::Null => Err("the field has no value here, so nothing can be said of its format".into()),
            other => Err(format!("{} takes no format; `!s` makes it text first", other.kind())),
        }
    }
}
