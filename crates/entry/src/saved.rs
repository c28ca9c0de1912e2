//! An entry that outlives its turn: written to disk while it waits for a client, or for other hosts' entries.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use unmasq_flow::Timestamp;

use crate::{Entry, Fields, Value};

/// An entry with names and values of its own. The names make it readable after the chains have changed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SavedEntry {
    /// Nanoseconds since the Unix epoch; `None` if the entry has no time.
    pub time: Option<i64>,
    /// Each field that the entry has.
    pub fields: Vec<(String, SavedValue)>,
}

/// A [`Value`] that borrows nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum SavedValue {
    /// [`Value::Null`].
    Null,
    /// [`Value::Bool`].
    Bool(bool),
    /// [`Value::Integer`].
    Integer(i64),
    /// [`Value::Float`].
    Float(f64),
    /// [`Value::Text`].
    Text(String),
    /// [`Value::Bytes`].
    Bytes(Vec<u8>),
    /// [`Value::Time`]: nanoseconds since the Unix epoch.
    Time(i64),
    /// [`Value::Span`]: microseconds.
    Span(u64),
    /// [`Value::Monotonic`]: microseconds, boot.
    Monotonic(u64, [u8; 16]),
    /// [`Value::Uuid`].
    Uuid([u8; 16]),
    /// [`Value::List`].
    List(Vec<SavedValue>),
}

impl SavedEntry {
    /// A copy of an entry.
    pub fn new(entry: &Entry, fields: &Fields) -> Self {
        let named = entry.iter().map(|(slot, value)| (fields.name(slot).to_owned(), value.into()));
        Self { time: entry.time.map(Timestamp::as_nanos), fields: named.collect() }
    }

    /// Puts it into `entry`, which is cleared first; fields that no chain uses any more are left out.
    pub fn restore(&self, entry: &mut Entry, fields: &Fields) {
        entry.clear();
        entry.time = self.time.map(Timestamp::from_nanos);
        for (name, value) in &self.fields {
            if let Some(slot) = fields.find(name) {
                match value.scalar() {
                    Ok(value) => entry.set(slot, value),
                    Err(items) => entry.set_list(slot, flat(items)),
                }
            }
        }
    }

    /// The value of a field.
    pub fn find(&self, name: &str) -> Option<&SavedValue> {
        self.fields.iter().find(|(n, _)| n == name).map(|(_, value)| value)
    }
}

/// The scalars of a list; lists in lists are none of the formats' making, and lose their inner brackets.
fn flat(items: &[SavedValue]) -> impl Iterator<Item = Value<'_>> {
    items.iter().flat_map(|item| match item.scalar() {
        Ok(value) => vec![value],
        Err(inner) => inner.iter().filter_map(|item| item.scalar().ok()).collect(),
    })
}

impl SavedValue {
    /// The value, or the items of the list that it is.
    pub fn scalar(&self) -> Result<Value<'_>, &[SavedValue]> {
        Ok(match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(*value),
            Self::Integer(value) => Value::Integer(*value),
            Self::Float(value) => Value::Float(*value),
            Self::Text(value) => Value::Text(value),
            Self::Bytes(value) => Value::Bytes(value),
            Self::Time(nanos) => Value::Time(Timestamp::from_nanos(*nanos)),
            Self::Span(micros) => Value::Span(Duration::from_micros(*micros)),
            Self::Monotonic(micros, boot) => Value::Monotonic(Duration::from_micros(*micros), *boot),
            Self::Uuid(value) => Value::Uuid(*value),
            Self::List(items) => return Err(items),
        })
    }
}

impl From<Value<'_>> for SavedValue {
    fn from(value: Value<'_>) -> Self {
        let micros = |span: Duration| u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(value),
            Value::Integer(value) => Self::Integer(value),
            Value::Float(value) => Self::Float(value),
            Value::Text(value) => Self::Text(value.to_owned()),
            Value::Bytes(value) => Self::Bytes(value.to_vec()),
            Value::Time(value) => Self::Time(value.as_nanos()),
            Value::Span(value) => Self::Span(micros(value)),
            Value::Monotonic(value, boot) => Self::Monotonic(micros(value), boot),
            Value::Uuid(value) => Self::Uuid(value),
            Value::List(items) => Self::List(items.iter().map(Self::from).collect()),
        }
    }
}
