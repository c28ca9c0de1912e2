//! What a field can hold: the types that python-systemd gives, which Pyruse's filters see, and those of JSON.

use std::fmt;
use std::time::Duration;

use unmasq_flow::Timestamp;

use crate::entry::{Arena, Stored};

/// The value of a field, borrowed from its entry.
#[derive(Clone, Copy, PartialEq)]
pub enum Value<'e> {
    /// Present, and nothing: JSON's null, a group that took no part in a match.
    Null,
    /// JSON's true and false.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// Another number; JSON only.
    Float(f64),
    /// Text.
    Text(&'e str),
    /// Bytes that are not UTF-8, or binary data.
    Bytes(&'e [u8]),
    /// A moment.
    Time(Timestamp),
    /// A length of time; Python's timedelta.
    Span(Duration),
    /// A moment of the monotonic clock, and the boot it belongs to.
    Monotonic(Duration, [u8; 16]),
    /// A 128-bit identifier.
    Uuid([u8; 16]),
    /// A field that was repeated in the entry, or JSON's array.
    List(Items<'e>),
}

impl<'e> Value<'e> {
    /// The text, if it is one.
    pub fn as_text(self) -> Option<&'e str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// What the type is called in messages to the user.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "true or false",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a number",
            Self::Text(_) => "text",
            Self::Bytes(_) => "bytes",
            Self::Time(_) => "a time",
            Self::Span(_) => "a duration",
            Self::Monotonic(..) => "a monotonic time",
            Self::Uuid(_) => "an identifier",
            Self::List(_) => "a list",
        }
    }
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("Null"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Integer(value) => write!(f, "{value}"),
            Self::Float(value) => write!(f, "{value:?}"),
            Self::Text(value) => write!(f, "{value:?}"),
            Self::Bytes(value) => write!(f, "b\"{}\"", value.escape_ascii()),
            Self::Time(value) => write!(f, "{value:?}"),
            Self::Span(value) => write!(f, "{value:?}"),
            Self::Monotonic(value, _) => write!(f, "monotonic {value:?}"),
            Self::Uuid(value) => write!(f, "uuid {:032x}", u128::from_be_bytes(*value)),
            Self::List(items) => f.debug_list().entries(items.iter()).finish(),
        }
    }
}

/// The values of a list.
#[derive(Clone, Copy)]
pub struct Items<'e> {
    pub(crate) stored: &'e [Stored],
    pub(crate) arena: Arena<'e>,
}

impl<'e> Items<'e> {
    /// In order.
    pub fn iter(self) -> impl ExactSizeIterator<Item = Value<'e>> {
        self.stored.iter().map(move |stored| stored.value(self.arena).unwrap_or(Value::Null))
    }

    /// How many.
    pub fn len(self) -> usize {
        self.stored.len()
    }

    /// None at all?
    pub fn is_empty(self) -> bool {
        self.stored.is_empty()
    }
}

impl PartialEq for Items<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().zip(other.iter()).all(|(a, b)| a == b)
    }
}
