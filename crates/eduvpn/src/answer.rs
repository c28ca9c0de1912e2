//! The portal's answer to `profile_list`, from JSON to profiles.
//!
//! ```json
//! {"profile_list":{"ok":true,"data":{"internet":{"profileNumber":1,"range":"10.8.0.0/24", … },"office":{ … }}}}
//! {"profile_list":{"ok":false,"error":"…"}}
//! {"error":"invalid authentication information"}          with status 401
//! ```
//!
//! The order of profiles decides who gets which ports, so the order of the JSON text is kept. As in PHP a key that comes
//! twice has its last value at its first place, and an empty list stands for an empty object.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Place;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// The list's name, as part of the address and as the key around the answer.
pub(crate) const LIST: &str = "profile_list";

/// A profile of the portal: what the networks are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Its name.
    pub id: String,
    /// As the portal writes it: `10.8.0.0/24`.
    pub range: String,
    /// How many OpenVPN processes serve it: the entries of `vpnProtoPorts`, or 2 (UDP and TCP) where the portal does not
    /// say.
    pub processes: usize,
}

/// `vpnProtoPorts` that a profile does not have: `udp/1194` and `tcp/1194`.
const DEFAULT_PROCESSES: usize = 2;

/// Why an answer cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum AnswerError {
    /// Nothing but blanks.
    Empty,
    /// No JSON, in the JSON reader's words.
    NotJson(String),
    /// Another shape than the list's.
    Shape {
        /// Path of the key.
        key: String,
        /// What should be there.
        wanted: &'static str,
        /// What is.
        found: &'static str,
    },
    /// `"ok": false`, with the portal's words.
    Failed(String),
    /// The profile of this name has no range.
    NoRange(String),
}

/// Reads a successful answer's body.
pub(crate) fn profiles(body: &[u8]) -> Result<Vec<Profile>, AnswerError> {
    if body.trim_ascii().is_empty() {
        return Err(AnswerError::Empty);
    }
    let whole: Json =
        serde_json::from_slice(body).map_err(|error| AnswerError::NotJson(error.to_string()))?;
    let list = whole.object("the answer")?.require(LIST, LIST)?.object(LIST)?;
    let ok = format!("{LIST}.ok");
    match list.require("ok", &ok)? {
        Json::Bool(true) => {}
        Json::Bool(false) => {
            let key = format!("{LIST}.error");
            return Err(AnswerError::Failed(list.require("error", &key)?.text(&key)?.to_owned()));
        }
        other => return Err(other.is_not("true or false", &ok)),
    }
    let data = format!("{LIST}.data");
    let data_of = list.require("data", &data)?.object(&data)?;
    data_of.0.iter().map(|(id, profile)| self::profile(id, profile, &format!("{data}.{id}"))).collect()
}

fn profile(id: &str, profile: &Json, path: &str) -> Result<Profile, AnswerError> {
    let profile = profile.object(path)?;
    let range = profile.get("range").ok_or_else(|| AnswerError::NoRange(id.to_owned()))?;
    let range = range.text(&format!("{path}.range"))?.to_owned();
    let processes = match profile.get("vpnProtoPorts") {
        None => DEFAULT_PROCESSES,
        Some(ports) => ports.object(&format!("{path}.vpnProtoPorts"))?.0.len(),
    };
    Ok(Profile { id: id.to_owned(), range, processes })
}

/// What the portal says in an answer of status 400 or above, if it says it in its own way.
pub(crate) fn complaint(body: &[u8]) -> Option<String> {
    let whole: Json = serde_json::from_slice(body).ok()?;
    Some(whole.object("").ok()?.get("error")?.text("").ok()?.to_owned())
}

/// JSON whose objects keep their order; lists are objects with numbers for keys, as in PHP.
#[derive(Debug, PartialEq)]
enum Json {
    Null,
    Bool(bool),
    Number,
    Text(String),
    Object(Object),
}

#[derive(Debug, Default, PartialEq)]
struct Object(Vec<(String, Json)>);

impl Json {
    fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "true or false",
            Self::Number => "a number",
            Self::Text(_) => "a string",
            Self::Object(_) => "an object or a list",
        }
    }

    fn is_not(&self, wanted: &'static str, key: &str) -> AnswerError {
        AnswerError::Shape { key: key.to_owned(), wanted, found: self.kind() }
    }

    fn object(&self, key: &str) -> Result<&Object, AnswerError> {
        match self {
            Self::Object(object) => Ok(object),
            other => Err(other.is_not("an object or a list", key)),
        }
    }

    fn text(&self, key: &str) -> Result<&str, AnswerError> {
        match self {
            Self::Text(text) => Ok(text),
            other => Err(other.is_not("a string", key)),
        }
    }
}

impl Object {
    fn get(&self, name: &str) -> Option<&Json> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    fn require(&self, name: &str, path: &str) -> Result<&Json, AnswerError> {
        let shape = || AnswerError::Shape { key: path.to_owned(), wanted: "there", found: "missing" };
        self.get(name).ok_or_else(shape)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Json, E> {
        Ok(Json::Number)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Json, E> {
        Ok(Json::Number)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Json, E> {
        Ok(Json::Number)
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Json, A::Error> {
        let mut object = Object::default();
        while let Some(value) = list.next_element()? {
            object.0.push((object.0.len().to_string(), value));
        }
        Ok(Json::Object(object))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut object = Object::default();
        let mut places = HashMap::<String, usize>::new();
        while let Some((key, value)) = map.next_entry::<String, Json>()? {
            match places.entry(key.clone()) {
                Place::Occupied(nth) => object.0[*nth.get()].1 = value,
                Place::Vacant(new) => {
                    new.insert(object.0.len());
                    object.0.push((key, value));
                }
            }
        }
        Ok(Json::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn profile(id: &str, range: &str, processes: usize) -> Profile {
        Profile { id: id.to_owned(), range: range.to_owned(), processes }
    }

    fn wrong(body: &str) -> String {
        match profiles(body.as_bytes()).unwrap_err() {
            AnswerError::Shape { key, wanted, found } => format!("{key} is {found}, not {wanted}"),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn profiles_come_in_the_portals_order() {
        let body = r#"{"profile_list":{"ok":true,"data":{
            "office":{"profileNumber":2,"range":"10.9.0.0/24","vpnProtoPorts":["udp/1195"],"dns":[],"defaultGateway":true},
            "internet":{"profileNumber":1,"range":"10.8.0.0/24","range6":"fd00::/64"},
            "admin":{"range":"10.7.0.0/24","vpnProtoPorts":[]}}}}"#;
        let wanted = [
            profile("office", "10.9.0.0/24", 1),
            profile("internet", "10.8.0.0/24", 2),
            profile("admin", "10.7.0.0/24", 0),
        ];
        assert_eq!(profiles(body.as_bytes()).unwrap(), wanted);
    }

    #[test]
    fn no_profiles_are_an_empty_list_as_php_writes_it() {
        assert_eq!(profiles(br#"{"profile_list":{"ok":true,"data":[]}}"#), Ok(Vec::new()));
    }

    #[test]
    fn a_key_that_comes_twice_has_its_last_value_at_its_first_place() {
        let body = r#"{"profile_list":{"ok":true,"data":{
            "a":{"range":"10.1.0.0/24"},"b":{"range":"10.2.0.0/24"},"a":{"range":"10.3.0.0/24"}}}}"#;
        let wanted = [profile("a", "10.3.0.0/24", 2), profile("b", "10.2.0.0/24", 2)];
        assert_eq!(profiles(body.as_bytes()).unwrap(), wanted);
    }

    #[test]
    fn another_shape_says_which_key() {
        for (body, message) in [
            ("", "Empty"),
            (" \n", "Empty"),
            ("5", "the answer is a number, not an object or a list"),
            ("{}", "profile_list is missing, not there"),
            (r#"{"profile_list":true}"#, "profile_list is true or false, not an object or a list"),
            (r#"{"profile_list":{}}"#, "profile_list.ok is missing, not there"),
            (r#"{"profile_list":{"ok":"yes"}}"#, "profile_list.ok is a string, not true or false"),
            (r#"{"profile_list":{"ok":false}}"#, "profile_list.error is missing, not there"),
            (r#"{"profile_list":{"ok":false,"error":"x"}}"#, r#"Failed("x")"#),
            (r#"{"profile_list":{"ok":true}}"#, "profile_list.data is missing, not there"),
            (
                r#"{"profile_list":{"ok":true,"data":false}}"#,
                "profile_list.data is true or false, not an object or a list",
            ),
            (
                r#"{"profile_list":{"ok":true,"data":{"a":1}}}"#,
                "profile_list.data.a is a number, not an object or a list",
            ),
            (r#"{"profile_list":{"ok":true,"data":{"a":{}}}}"#, r#"NoRange("a")"#),
            (
                r#"{"profile_list":{"ok":true,"data":{"a":{"range":null}}}}"#,
                "profile_list.data.a.range is null, not a string",
            ),
            (
                r#"{"profile_list":{"ok":true,"data":{"a":{"range":"10.8.0.0/24","vpnProtoPorts":null}}}}"#,
                "profile_list.data.a.vpnProtoPorts is null, not an object or a list",
            ),
        ] {
            assert_eq!(wrong(body), message);
        }
        assert!(wrong("<html>").starts_with("NotJson"));
        assert!(wrong(&"[".repeat(10_000)).starts_with("NotJson"));
    }

    #[test]
    fn the_portals_complaint_is_found() {
        assert_eq!(complaint(br#"{"error":"no"}"#).as_deref(), Some("no"));
        assert_eq!(complaint(b"<html>"), None);
        assert_eq!(complaint(br#"{"error":5}"#), None);
    }

    proptest! {
        #[test]
        fn no_body_panics(body in proptest::collection::vec(any::<u8>(), 0..100), near in "[{}\\[\\]:,\"a-z0-9. ]{0,60}") {
            let _ = profiles(&body);
            let _ = profiles(near.as_bytes());
        }

        #[test]
        fn what_is_printed_is_read_as_the_same(
            wanted in proptest::collection::btree_map("\\PC{1,9}", ("[0-9./]{0,12}", 0usize..5), 0..5)
        ) {
            let text = |s: &str| serde_json::to_string(s).unwrap();
            let body: Vec<String> = wanted.iter().map(|(id, (range, count))| {
                format!("{}:{{\"range\":{},\"vpnProtoPorts\":{:?}}}", text(id), text(range), vec!["udp/1"; *count])
            }).collect();
            let body = format!("{{\"profile_list\":{{\"ok\":true,\"data\":{{{}}}}}}}", body.join(","));
            let wanted: Vec<_> =
                wanted.iter().map(|(id, (range, count))| profile(id, range, *count)).collect();
            prop_assert_eq!(profiles(body.as_bytes()), Ok(wanted));
        }
    }
}
