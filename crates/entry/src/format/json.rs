//! JSON lines: the members of an object, and of the objects in it, as fields.
//!
//! Only what a chain uses is decoded; the rest is passed over, however deep it is. A member of an inner object is
//! `outer.inner`; members of objects in an array are one repeated field. Of members with the same name the last counts.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use unmasq_flow::Timestamp;

use super::Undecodable;
use super::stamp::Stamps;
use crate::{Entry, Fields, Slot, Value};

/// Fills an entry from one object. `name` is scratch space.
pub(super) fn parse(
    line: &str,
    stamps: &mut Stamps,
    name: &mut String,
    entry: &mut Entry,
    fields: &Fields,
) -> Result<(), Undecodable> {
    name.clear();
    let mut sink = Sink { entry, fields, name, time: None };
    let mut json = serde_json::Deserializer::from_str(line);
    Members { sink: &mut sink, depth: 0, is_in_list: false }
        .deserialize(&mut json)
        .map_err(|e| undecodable(&e))?;
    let time = sink.time.and_then(|time| time.timestamp(stamps));
    json.end().map_err(|e| undecodable(&e))?;
    entry.time = time;
    Ok(())
}

pub(super) fn undecodable(error: &serde_json::Error) -> Undecodable {
    let mut what = error.to_string();
    if let Some(place) = what.rfind(" at line ") {
        what.truncate(place);
    }
    Undecodable::Json { what, column: error.column() }
}

/// Where values go.
struct Sink<'s> {
    entry: &'s mut Entry,
    fields: &'s Fields,
    /// Of the object that is being read; empty for the outermost.
    name: &'s mut String,
    time: Option<Written>,
}

/// What the line says of its own time.
enum Written {
    Text([u8; 40], usize),
    Number(f64),
}

impl Written {
    fn timestamp(self, stamps: &mut Stamps) -> Option<Timestamp> {
        match self {
            Self::Text(bytes, length) => {
                let text = str::from_utf8(&bytes[..length]).ok()?;
                let (time, rest) = stamps.rfc3339(text)?;
                rest.is_empty().then_some(time)
            }
            Self::Number(number) => from_number(number),
        }
    }
}

/// Seconds, milliseconds, microseconds or nanoseconds since the epoch: whichever gives a year from 1973 to 5138.
fn from_number(number: f64) -> Option<Timestamp> {
    let nanos = match number {
        n if n < 1e8 => return None,
        n if n < 1e11 => n * 1e9,
        n if n < 1e14 => n * 1e6,
        n if n < 1e17 => n * 1e3,
        n if n < 9e18 => n,
        _ => return None,
    };
    (nanos < 9.2e18).then(|| Timestamp::from_nanos(nanos as i64))
}

/// Names under which programs write when it happened.
fn is_time(name: &str) -> bool {
    matches!(name, "timestamp" | "@timestamp" | "time" | "ts")
}

/// The members of an object.
struct Members<'s, 'e> {
    sink: &'s mut Sink<'e>,
    depth: usize,
    /// Values are added to what the field has already.
    is_in_list: bool,
}

impl<'de> DeserializeSeed<'de> for Members<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Members<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let Self { sink, depth, is_in_list } = self;
        let length = sink.name.len();
        loop {
            let key = Key { sink, depth };
            let Some(member) = members.next_key_seed(key)? else { return Ok(()) };
            if member.is_wanted() {
                if let (Some(slot), false) = (member.slot, is_in_list) {
                    sink.entry.remove(slot);
                }
                members.next_value_seed(Content { sink, member, depth, is_in_list, is_item: false })?;
            } else {
                members.next_value::<IgnoredAny>()?;
            }
            sink.name.truncate(length);
        }
    }
}

/// What is known of a member by its name.
#[derive(Clone, Copy)]
struct Member {
    slot: Option<Slot>,
    has_within: bool,
    is_time: bool,
}

impl Member {
    fn is_wanted(self) -> bool {
        self.slot.is_some() || self.has_within || self.is_time
    }
}

/// A member's name. Leaves the whole name in the sink if something within it is wanted.
struct Key<'s, 'e> {
    sink: &'s mut Sink<'e>,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Key<'_, '_> {
    type Value = Member;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Member, D::Error> {
        json.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_, '_> {
    type Value = Member;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, key: &str) -> Result<Member, E> {
        let Sink { fields, name, .. } = self.sink;
        if self.depth == 0 {
            // The name need not be put together to be looked up.
            let has_within = fields.has_within(key);
            if has_within {
                name.push_str(key);
            }
            return Ok(Member { slot: fields.find(key), has_within, is_time: is_time(key) });
        }
        name.push('.');
        name.push_str(key);
        Ok(Member { slot: fields.find(name), has_within: fields.has_within(name), is_time: false })
    }
}

/// The value of a wanted member.
struct Content<'s, 'e> {
    sink: &'s mut Sink<'e>,
    member: Member,
    depth: usize,
    is_in_list: bool,
    /// It stands in an array, so that the field is a list already.
    is_item: bool,
}

impl Content<'_, '_> {
    fn put(self, value: Value<'_>) {
        if let Some(slot) = self.member.slot {
            if self.is_in_list || self.is_item {
                self.sink.entry.push(slot, value);
            } else {
                self.sink.entry.set(slot, value);
            }
        }
    }
}

impl<'de> DeserializeSeed<'de> for Content<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Content<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.put(Value::Null);
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.put(Value::Bool(value));
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        if self.member.is_time {
            self.sink.time = Some(Written::Number(value as f64));
        }
        self.put(Value::Integer(value));
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        match i64::try_from(value) {
            Ok(value) => self.visit_i64(value),
            Err(_) => self.visit_f64(value as f64),
        }
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        if self.member.is_time {
            self.sink.time = Some(Written::Number(value));
        }
        self.put(Value::Float(value));
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        if self.member.is_time {
            let mut bytes = [0; 40];
            if let Some(room) = bytes.get_mut(..value.len()) {
                room.copy_from_slice(value.as_bytes());
                self.sink.time = Some(Written::Text(bytes, value.len()));
            }
        }
        self.put(Value::Text(value));
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        if let (Some(slot), false) = (self.member.slot, self.is_in_list || self.is_item) {
            self.sink.entry.set_list(slot, []);
        }
        // A time is one value.
        let member = Member { is_time: false, ..self.member };
        let (depth, is_in_list) = (self.depth, self.is_in_list);
        loop {
            let item = Content { sink: self.sink, member, depth, is_in_list, is_item: true };
            if items.next_element_seed(item)?.is_none() {
                return Ok(());
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        if self.member.has_within {
            let is_in_list = self.is_in_list || self.is_item;
            return Members { sink: self.sink, depth: self.depth + 1, is_in_list }.visit_map(members);
        }
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::format::{Context, Format, Parser, Record, Undecodable};
    use crate::saved::{SavedEntry, SavedValue};
    use crate::{Entry, Fields};

    fn parsed(names: &[&str], line: &str) -> Result<SavedEntry, Undecodable> {
        let mut fields = Fields::default();
        for name in names {
            fields.slot(name);
        }
        let mut entry = Entry::new(&fields);
        let mut parser = Parser::new(Format::JsonLines, Context::default());
        parser.parse(Record::Text(line), &mut entry, &fields)?;
        Ok(SavedEntry::new(&entry, &fields))
    }

    fn value(name: &str, line: &str) -> Option<SavedValue> {
        parsed(&[name], line).expect("JSON").find(name).cloned()
    }

    fn text(text: &str) -> SavedValue {
        SavedValue::Text(text.to_owned())
    }

    #[test]
    fn members_have_jsons_types() {
        let line = r#"{"s":"\u00e9","i":-3,"f":1.5,"t":true,"n":null,"big":18446744073709551615}"#;
        assert_eq!(value("s", line), Some(text("é")));
        assert_eq!(value("i", line), Some(SavedValue::Integer(-3)));
        assert_eq!(value("f", line), Some(SavedValue::Float(1.5)));
        assert_eq!(value("t", line), Some(SavedValue::Bool(true)));
        assert_eq!(value("n", line), Some(SavedValue::Null));
        assert_eq!(value("big", line), Some(SavedValue::Float(18_446_744_073_709_551_615.0)));
        assert_eq!(value("other", line), None);
    }

    #[test]
    fn a_suricata_event_gives_its_inner_members() {
        let line = r#"{"timestamp":"2026-11-21T08:57:28.761000+0100","event_type":"ssh","src_ip":"203.0.113.5",
            "ssh":{"client":{"proto_version":"2.0","software_version":"libssh_0.9.6"},"server":{}},
            "dns":{"answers":[{"rrname":"a.example","ttl":5},{"rrname":"b.example"}]}}"#;
        assert_eq!(value("ssh.client.software_version", line), Some(text("libssh_0.9.6")));
        assert_eq!(value("ssh.client", line), None);
        let names = SavedValue::List(vec![
            SavedValue::Text("a.example".to_owned()),
            SavedValue::Text("b.example".to_owned()),
        ]);
        assert_eq!(value("dns.answers.rrname", line), Some(names));
        let entry = parsed(&["event_type"], line).unwrap();
        assert_eq!(entry.time, Some(1_795_247_848_761_000_000));
    }

    #[test]
    fn arrays_are_lists_even_of_one_item() {
        assert_eq!(value("a", r#"{"a":[1]}"#), Some(SavedValue::List(vec![SavedValue::Integer(1)])));
        assert_eq!(value("a", r#"{"a":[]}"#), Some(SavedValue::List(vec![])));
        let items = ["1", "2"].map(text).to_vec();
        assert_eq!(value("a", r#"{"a":[["1"],"2"]}"#), Some(SavedValue::List(items)));
    }

    #[test]
    fn the_last_of_equal_names_counts() {
        assert_eq!(value("a", r#"{"a":[1],"a":"x","a":2}"#), Some(SavedValue::Integer(2)));
        assert_eq!(value("a.b", r#"{"a":{"b":1},"a":{"b":2}}"#), Some(SavedValue::Integer(2)));
        assert_eq!(value("a.b", r#"{"a.b":1}"#), Some(SavedValue::Integer(1)));
    }

    #[test]
    fn depth_is_bounded_where_it_is_wanted_and_passed_over_elsewhere() {
        let deep =
            |name: &str| format!(r#"{{"{name}":{}{},"b":1}}"#, "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(value("b", &deep("a")), Some(SavedValue::Integer(1)));
        assert!(matches!(parsed(&["a"], &deep("a")), Err(Undecodable::Json { .. })));
    }

    #[test]
    fn what_is_no_object_is_refused_with_the_place() {
        for line in
            ["", "[1]", "7", r#"{"a":1"#, r#"{"a":1} x"#, r#"{"a":1e999}"#, "{\"a\":\"\n\"}", "{'a':1}"]
        {
            assert!(matches!(parsed(&["a"], line), Err(Undecodable::Json { .. })), "{line:?}");
        }
        assert_eq!(
            parsed(&["a"], r#"{"a":1,}"#),
            Err(Undecodable::Json { what: "trailing comma".to_owned(), column: 8 })
        );
    }

    #[test]
    fn times_are_numbers_too() {
        for (line, nanos) in [
            (r#"{"ts":1795251448.5}"#, Some(1_795_251_448_500_000_000)),
            (r#"{"ts":1795251448500}"#, Some(1_795_251_448_500_000_000)),
            (r#"{"time":"2026-11-21T08:57:28Z"}"#, Some(1_795_251_448_000_000_000)),
            (r#"{"time":"soon"}"#, None),
            (r#"{"ts":-1}"#, None),
            (r#"{"ts":1e300}"#, None),
        ] {
            assert_eq!(parsed(&[], line).unwrap().time, nanos, "{line}");
        }
    }
}
