//! Reads format strings.

use unmasq_entry::Fields;

use super::spec::{Spec, SpecError};
use super::{Conversion, Piece, Template, TemplateError};

/// Reads a format string.
pub(super) fn parse(python: &str, fields: &mut Fields) -> Result<Template, TemplateError> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut at = 0;
    while let Some(found) = python[at..].find(['{', '}']) {
        literal.push_str(&python[at..at + found]);
        at += found;
        let brace = &python[at..=at];
        at += 1;
        if python[at..].starts_with(brace) {
            literal.push_str(brace);
            at += 1;
            continue;
        }
        if brace == "}" {
            return Err(error(at - 1, "a single `}`; one that is meant is written `}}`"));
        }
        let field = Field::read(python, at)?;
        let literal = std::mem::take(&mut literal).into_boxed_str();
        pieces.push(field.piece(literal, fields)?);
        at = field.end;
    }
    literal.push_str(&python[at..]);
    Ok(Template { pieces, tail: literal.into_boxed_str() })
}

/// A replacement field, cut into its parts.
struct Field<'t> {
    /// Of its name, in the template.
    offset: usize,
    name: &'t str,
    conversion: Option<Conversion>,
    spec: &'t str,
    spec_offset: usize,
    source: &'t str,
    /// After its `}`.
    end: usize,
}

impl<'t> Field<'t> {
    /// From after its `{`, which is at `offset - 1`.
    fn read(python: &'t str, offset: usize) -> Result<Self, TemplateError> {
        let unclosed = || error(offset - 1, "a `{` without its `}`; one that is meant is written `{{`");
        let rest = &python[offset..];
        let name_length = rest.find(['{', '}', ':', '!']).ok_or_else(unclosed)?;
        let name = &rest[..name_length];
        let mut at = name_length;
        let mut conversion = None;
        if rest[at..].starts_with('!') {
            let letter = rest[at + 1..].chars().next().ok_or_else(unclosed)?;
            conversion = Some(match letter {
                's' => Conversion::Str,
                'r' => Conversion::Repr,
                'a' => Conversion::Ascii,
                _ => return Err(error(offset + at, "after `!` comes `s`, `r` or `a`")),
            });
            at += 2;
            if !rest[at..].starts_with([':', '}']) {
                return Err(error(offset + at, "after the conversion comes `:` or `}`"));
            }
        }
        let mut spec = at..at;
        if rest[at..].starts_with(':') {
            let length = rest[at + 1..].find(['{', '}']).ok_or_else(unclosed)?;
            spec = at + 1..at + 1 + length;
            at = spec.end;
        }
        if rest[at..].starts_with('{') {
            let message = "a field within a field cannot be; one that needs computing is not for templates";
            return Err(error(offset + at, message));
        }
        let spec_offset = offset + spec.start;
        Ok(Self {
            offset,
            name,
            conversion,
            spec: &rest[spec],
            spec_offset,
            source: &rest[..at],
            end: offset + at + 1,
        })
    }

    fn piece(&self, literal: Box<str>, fields: &mut Fields) -> Result<Piece, TemplateError> {
        let wrong = match self.name {
            "" => Some("the name of a field is missing in `{}`"),
            name if name.bytes().all(|b| b.is_ascii_digit()) => Some("fields have names, not numbers"),
            name if name.contains(['.', '[']) => {
                Some("`.` and `[` lead into a value in Python, and entries' values have nothing in them")
            }
            _ => None,
        };
        if let Some(message) = wrong {
            return Err(error(self.offset, message));
        }
        let spec = match Spec::parse(self.spec) {
            Ok(spec) => Ok(spec),
            Err(SpecError::TooWide) => {
                let message = format!("a width or precision is at most {}", Template::WIDEST);
                return Err(TemplateError { message, offset: self.spec_offset });
            }
            Err(SpecError::Wrong(message)) => Err(message),
        };
        Ok(Piece {
            literal,
            slot: fields.slot(self.name),
            conversion: self.conversion,
            spec_text: self.spec.into(),
            spec,
            source: self.source.into(),
        })
    }
}

fn error(offset: usize, message: &str) -> TemplateError {
    TemplateError { message: message.into(), offset }
}
