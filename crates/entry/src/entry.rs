//! The entry itself. Hot: it is filled and emptied once for every log record.

use std::ops::Range;
use std::time::Duration;

use unmasq_flow::Timestamp;

use crate::value::{Items, Value};
use crate::{Fields, Slot};

/// A log entry: see the picture at the head of the crate.
#[derive(Clone, Debug)]
pub struct Entry {
    slots: Vec<Stored>,
    texts: String,
    bytes: Vec<u8>,
    lists: Vec<Vec<Stored>>,
    /// When it was written, as its source says; `None` where it does not.
    pub time: Option<Timestamp>,
}

/// A place among the texts, or among the bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    start: u32,
    length: u32,
}

impl Part {
    fn range(self) -> Range<usize> {
        self.start as usize..self.start as usize + self.length as usize
    }
}

/// What stored values point into.
#[derive(Clone, Copy)]
pub(crate) struct Arena<'e> {
    texts: &'e str,
    bytes: &'e [u8],
    lists: &'e [Vec<Stored>],
}

impl Arena<'_> {
    fn fixed<const N: usize>(self, start: u32) -> [u8; N] {
        let bytes = &self.bytes[start as usize..][..N];
        bytes.try_into().unwrap_or([0; N])
    }
}

/// A value as it is kept: 16 bytes. Text parts lie on character boundaries.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stored {
    Missing,
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(Part),
    Bytes(Part),
    Time(Timestamp),
    /// Microseconds.
    Span(u64),
    /// Among the bytes: microseconds (8, native order), boot (16).
    Monotonic(u32),
    /// Among the bytes: 16.
    Uuid(u32),
    /// Number of the list.
    List(u32),
}

const _: () = assert!(size_of::<Stored>() == 16);

impl Stored {
    pub(crate) fn value(self, arena: Arena<'_>) -> Option<Value<'_>> {
        Some(match self {
            Self::Missing => return None,
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(value),
            Self::Integer(value) => Value::Integer(value),
            Self::Float(value) => Value::Float(value),
            Self::Text(part) => Value::Text(&arena.texts[part.range()]),
            Self::Bytes(part) => Value::Bytes(&arena.bytes[part.range()]),
            Self::Time(value) => Value::Time(value),
            Self::Span(micros) => Value::Span(Duration::from_micros(micros)),
            Self::Monotonic(start) => {
                let micros = u64::from_ne_bytes(arena.fixed(start));
                Value::Monotonic(Duration::from_micros(micros), arena.fixed(start + 8))
            }
            Self::Uuid(start) => Value::Uuid(arena.fixed(start)),
            Self::List(number) => Value::List(Items { stored: &arena.lists[number as usize], arena }),
        })
    }
}

impl Entry {
    /// Most bytes that the values of one entry can have together; what is longer is cut by [`Entry::set`].
    pub const MOST_BYTES: usize = 1 << 30;

    /// An empty entry with a slot for each field.
    pub fn new(fields: &Fields) -> Self {
        Self {
            slots: vec![Stored::Missing; fields.len()],
            texts: String::new(),
            bytes: Vec::new(),
            lists: Vec::new(),
            time: None,
        }
    }

    /// Empties it for the next record.
    pub fn clear(&mut self) {
        self.slots.fill(Stored::Missing);
        self.texts.clear();
        self.bytes.clear();
        self.lists.clear();
        self.time = None;
    }

    /// The value of a field; `None` if the entry does not have it.
    #[inline]
    pub fn get(&self, slot: Slot) -> Option<Value<'_>> {
        self.slots[slot.index()].value(self.arena())
    }

    /// The text of a field, if it has it and it is text.
    #[inline]
    pub fn text(&self, slot: Slot) -> Option<&str> {
        // Not by `get`: most filters ask for text, and for nothing else.
        match self.slots[slot.index()] {
            Stored::Text(part) => Some(&self.texts[part.range()]),
            _ => None,
        }
    }

    /// Does the entry have the field?
    #[inline]
    pub fn has(&self, slot: Slot) -> bool {
        !matches!(self.slots[slot.index()], Stored::Missing)
    }

    /// Sets a field, in place of what it had.
    pub fn set(&mut self, slot: Slot, value: Value<'_>) {
        self.slots[slot.index()] = self.store(value);
    }

    /// Adds a value to a field: a field that has one already becomes a list, as python-systemd has it.
    #[inline]
    pub fn push(&mut self, slot: Slot, value: Value<'_>) {
        let added = self.store(value);
        match self.slots[slot.index()] {
            Stored::Missing => self.slots[slot.index()] = added,
            Stored::List(number) => self.lists[number as usize].push(added),
            first => {
                self.slots[slot.index()] = Stored::List(self.lists.len() as u32);
                self.lists.push(vec![first, added]);
            }
        }
    }

    /// Sets a field to a list, in place of what it had, be it of one item or of none.
    pub fn set_list<'v>(&mut self, slot: Slot, items: impl IntoIterator<Item = Value<'v>>) {
        let list = items.into_iter().map(|item| self.store(item)).collect();
        self.lists.push(list);
        self.slots[slot.index()] = Stored::List(self.lists.len() as u32 - 1);
    }

    /// Takes a field away.
    pub fn remove(&mut self, slot: Slot) {
        self.slots[slot.index()] = Stored::Missing;
    }

    /// Sets a field to a part of another's text, or of its own, without copying. `range` is in bytes; where it is not
    /// within the text, on its character boundaries, or the other field has no text, the field is set to null.
    pub fn set_part(&mut self, slot: Slot, of: Slot, range: Range<usize>) {
        let part = match self.slots[of.index()] {
            Stored::Text(whole) if self.text(of).is_some_and(|t| t.get(range.clone()).is_some()) => {
                Stored::Text(Part {
                    start: whole.start + range.start as u32,
                    length: (range.end - range.start) as u32,
                })
            }
            _ => Stored::Null,
        };
        self.slots[slot.index()] = part;
    }

    /// About how many bytes of memory its values take.
    pub fn size(&self) -> usize {
        let lists = self.lists.iter().map(Vec::len).sum::<usize>();
        self.texts.len() + self.bytes.len() + (self.slots.len() + lists) * size_of::<Stored>()
    }

    /// The fields it has.
    pub fn iter(&self) -> impl Iterator<Item = (Slot, Value<'_>)> {
        let values = self.slots.iter().enumerate();
        values.filter_map(|(i, stored)| Some((Slot(i as u16), stored.value(self.arena())?)))
    }

    #[inline]
    fn store(&mut self, value: Value<'_>) -> Stored {
        match value {
            Value::Null => Stored::Null,
            Value::Bool(value) => Stored::Bool(value),
            Value::Integer(value) => Stored::Integer(value),
            Value::Float(value) => Stored::Float(value),
            Value::Text(text) => Stored::Text(self.append_text(text)),
            Value::Bytes(bytes) => Stored::Bytes(self.append(bytes)),
            Value::Time(value) => Stored::Time(value),
            Value::Span(value) => Stored::Span(u64::try_from(value.as_micros()).unwrap_or(u64::MAX)),
            Value::Monotonic(value, boot) => {
                let micros = u64::try_from(value.as_micros()).unwrap_or(u64::MAX);
                let start = self.append(&micros.to_ne_bytes()).start;
                self.append(&boot);
                Stored::Monotonic(start)
            }
            Value::Uuid(value) => Stored::Uuid(self.append(&value).start),
            Value::List(items) => {
                let list = items.iter().map(|item| self.store(item)).collect();
                self.lists.push(list);
                Stored::List(self.lists.len() as u32 - 1)
            }
        }
    }

    fn arena(&self) -> Arena<'_> {
        Arena { texts: &self.texts, bytes: &self.bytes, lists: &self.lists }
    }

    /// Cut at [`Entry::MOST_BYTES`], so that places fit in 32 bits.
    #[inline]
    fn append_text(&mut self, text: &str) -> Part {
        let start = self.texts.len();
        let cut = floor_char_boundary(text, Self::MOST_BYTES.saturating_sub(start));
        self.texts.push_str(&text[..cut]);
        Part { start: start as u32, length: cut as u32 }
    }

    /// As [`Entry::append_text`]; what has a fixed length always fits.
    #[inline]
    fn append(&mut self, bytes: &[u8]) -> Part {
        let start = self.bytes.len();
        let cut = bytes.len().min(Self::MOST_BYTES.saturating_sub(start).max(64));
        self.bytes.extend_from_slice(&bytes[..cut]);
        Part { start: start as u32, length: cut as u32 }
    }
}

/// The last character boundary at or before a byte; `str::floor_char_boundary` is younger than our oldest compiler.
pub fn floor_char_boundary(text: &str, byte: usize) -> usize {
    if byte >= text.len() {
        return text.len();
    }
    (0..=byte).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}
