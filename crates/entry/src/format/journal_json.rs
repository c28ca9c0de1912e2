//! `journalctl -o json`: every value is a string; bytes are an array of numbers, a repeated field is an array of these.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::export::Clocks;
use super::json::undecodable;
use super::{Encoding, Undecodable};
use crate::journal_fields::push;
use crate::{Entry, Fields, Slot, Value};

/// Fills an entry from one object.
pub(super) fn parse(
    line: &str,
    encoding: Encoding,
    entry: &mut Entry,
    fields: &Fields,
) -> Result<(), Undecodable> {
    let mut json = serde_json::Deserializer::from_str(line);
    let mut sink = Sink { entry, fields, encoding, clocks: Clocks::new(fields) };
    json.deserialize_map(Members(&mut sink)).map_err(|e| undecodable(&e))?;
    let clocks = sink.clocks;
    json.end().map_err(|e| undecodable(&e))?;
    clocks.finish(entry, fields);
    Ok(())
}

struct Sink<'s> {
    entry: &'s mut Entry,
    fields: &'s Fields,
    encoding: Encoding,
    clocks: Clocks,
}

struct Members<'s, 'e>(&'s mut Sink<'e>);

impl<'de> Visitor<'de> for Members<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let sink = self.0;
        loop {
            let Some(member) = members.next_key_seed(Key { fields: sink.fields })? else { return Ok(()) };
            if member.slot.is_none() && member.clock.is_none() {
                members.next_value::<IgnoredAny>()?;
                continue;
            }
            if let Some(slot) = member.slot {
                // Of two with the same name the last counts; the journal itself repeats a field in an array.
                sink.entry.remove(slot);
            }
            members.next_value_seed(Content { sink, member, is_item: false })?;
        }
    }
}

/// What is known of a member by its name.
#[derive(Clone, Copy)]
struct Member {
    slot: Option<Slot>,
    clock: Option<&'static str>,
}

struct Key<'s> {
    fields: &'s Fields,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = Member;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Member, D::Error> {
        json.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = Member;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, key: &str) -> Result<Member, E> {
        Ok(Member { slot: self.fields.find(key), clock: Clocks::NAMES.into_iter().find(|name| *name == key) })
    }
}

/// A value, or one of several.
struct Content<'s, 'e> {
    sink: &'s mut Sink<'e>,
    member: Member,
    is_item: bool,
}

impl Content<'_, '_> {
    fn put(self, raw: &[u8]) {
        let sink = self.sink;
        if let Some(clock) = self.member.clock {
            sink.clocks.note(clock, raw);
        }
        if let Some(slot) = self.member.slot {
            push(sink.entry, slot, sink.fields.journal_kind(slot), raw, sink.encoding);
        }
    }
}

impl<'de> DeserializeSeed<'de> for Content<'_, '_> {
    /// A number in an array is a byte of a value that is not text.
    type Value = Option<u8>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Option<u8>, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Content<'_, '_> {
    type Value = Option<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text, an array of bytes or an array of these")
    }

    fn visit_str<E>(self, value: &str) -> Result<Option<u8>, E> {
        self.put(value.as_bytes());
        Ok(None)
    }

    /// Longer than the journal's printer was asked to show.
    fn visit_unit<E>(self) -> Result<Option<u8>, E> {
        if let Some(slot) = self.member.slot {
            self.sink.entry.push(slot, Value::Null);
        }
        Ok(None)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Option<u8>, E> {
        self.put(if value { b"true" } else { b"false" });
        Ok(None)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Option<u8>, E> {
        if self.is_item {
            return Err(E::custom("a byte is from 0 to 255"));
        }
        self.put(value.to_string().as_bytes());
        Ok(None)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Option<u8>, E> {
        if self.is_item {
            return u8::try_from(value).map(Some).map_err(|_| E::custom("a byte is from 0 to 255"));
        }
        self.put(value.to_string().as_bytes());
        Ok(None)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Option<u8>, E> {
        if self.is_item {
            return Err(E::custom("a byte is from 0 to 255"));
        }
        self.put(value.to_string().as_bytes());
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Option<u8>, A::Error> {
        let Self { sink, member, .. } = self;
        let mut bytes = Vec::new();
        loop {
            match items.next_element_seed(Content { sink, member, is_item: true })? {
                Some(Some(byte)) => bytes.push(byte),
                Some(None) => {}
                None => break,
            }
        }
        if !bytes.is_empty() {
            Content { sink, member, is_item: true }.put(&bytes);
        }
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<Option<u8>, A::Error> {
        Err(A::Error::custom("the journal has no objects in entries"))
    }
}
