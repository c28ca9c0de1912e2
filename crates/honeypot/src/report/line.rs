//! A line as the report needs it: an attempt or a connection, ours or pshitt's.
//!
//! [`crate::record::Record`] is the whole line. This reads the few keys that are counted and passes over the rest, without a copy of
//! what has no escapes; text is bytes, so that a writer that left something that is no UTF-8 in its line is read as well.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv6Addr};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Deserializer, Error as _, Visitor};
use serde::{Deserialize, Serialize};

use super::moment::Moment;
use crate::record::EventKind;

/// Why a line is not counted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, thiserror::Error)]
#[serde(rename_all = "kebab-case", tag = "kind", content = "what")]
#[non_exhaustive]
pub enum LineError {
    /// It is no JSON object, or has a known key of another type.
    #[error("no record of an attempt: {0}")]
    NotARecord(String),
    /// Its `src_ip` is missing or no address.
    #[error("src_ip is no address: {0}")]
    Address(String),
    /// Its `timestamp` is missing or no time.
    #[error("timestamp is no time as 2026-11-29T10:00:00.000000Z: {0}")]
    Time(String),
    /// Bytes that are said to be Base64 and are not.
    #[error("{0} is not Base64")]
    Base64(&'static str),
    /// It is longer than lines of a honeypot are.
    #[error("longer than {0} bytes")]
    TooLong(usize),
}

/// A password, or what stands in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Secret<'a> {
    /// Its bytes.
    Plain(Cow<'a, [u8]>),
    /// A keyed hash of it, the same for the same password (`password_hash`).
    Hashed(Cow<'a, [u8]>),
}

/// What is counted of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// What happened.
    pub event: EventKind,
    /// When.
    pub moment: Moment,
    /// Who did it.
    pub source: IpAddr,
    /// From which port; 0 if it is not told.
    pub port: u16,
    /// The connection, where lines name it.
    pub session: Option<Cow<'a, [u8]>>,
    /// The user name's bytes.
    pub user: Option<Cow<'a, [u8]>>,
    /// The password.
    pub secret: Option<Secret<'a>>,
    /// The client's software.
    pub software: Option<Cow<'a, [u8]>>,
    /// The client's HASSH.
    pub hassh: Option<Cow<'a, [u8]>>,
    /// The fingerprint of a public key.
    pub key_fingerprint: Option<Cow<'a, [u8]>>,
}

/// The keys that are read, as they stand in the line.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Keys<'a> {
    event: EventKind,
    #[serde(borrow)]
    timestamp: Option<Text<'a>>,
    #[serde(borrow)]
    src_ip: Option<Text<'a>>,
    src_port: u16,
    #[serde(borrow)]
    session: Option<Text<'a>>,
    #[serde(borrow)]
    username: Option<Text<'a>>,
    #[serde(borrow)]
    username_raw: Option<Text<'a>>,
    #[serde(borrow)]
    password: Option<Text<'a>>,
    #[serde(borrow)]
    password_raw: Option<Text<'a>>,
    #[serde(borrow)]
    password_hash: Option<Text<'a>>,
    #[serde(borrow)]
    software_version: Option<Text<'a>>,
    #[serde(borrow)]
    hassh: Option<Text<'a>>,
    #[serde(borrow)]
    key_fingerprint: Option<Text<'a>>,
}

/// A string's bytes, borrowed where it has no escapes (`Option<Cow<str>>` would always copy).
struct Text<'a>(Cow<'a, [u8]>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl<'de> Visitor<'de> for Bytes {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_bytes<E: serde::de::Error>(self, bytes: &'de [u8]) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(bytes)))
            }

            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(bytes.to_vec())))
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
                // serde_json offers arrays as bytes, too.
                Err(A::Error::custom("a list where a string belongs"))
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

impl Line<'_> {
    /// Does the client's software have this in its name?
    pub fn is_of_software(&self, part: &[u8]) -> bool {
        let software = self.software.as_deref().unwrap_or_default();
        part.is_empty() || software.windows(part.len()).any(|window| window == part)
    }
}

impl<'a> Line<'a> {
    /// Reads a line, with or without its line feed.
    pub fn parse(line: &'a [u8]) -> Result<Self, LineError> {
        // A list of values in the order of our keys is no record.
        if line.trim_ascii_start().first() != Some(&b'{') {
            return Err(LineError::NotARecord("it is no JSON object".to_owned()));
        }
        let keys: Keys<'a> =
            serde_json::from_slice(line).map_err(|error| LineError::NotARecord(error.to_string()))?;
        let moment = keys.timestamp.as_ref().and_then(|text| Moment::parse(&text.0));
        let moment = moment.ok_or_else(|| LineError::Time(cut(keys.timestamp.as_ref())))?;
        let source = keys.src_ip.as_ref().and_then(|text| address(&text.0));
        let source = source.ok_or_else(|| LineError::Address(cut(keys.src_ip.as_ref())))?;
        let secret = match keys.password_hash {
            Some(hash) => Some(Secret::Hashed(hash.0)),
            None => raw_or(keys.password_raw, keys.password, "password_raw")?.map(Secret::Plain),
        };
        Ok(Self {
            event: keys.event,
            moment,
            source,
            port: keys.src_port,
            session: keys.session.map(|text| text.0),
            user: raw_or(keys.username_raw, keys.username, "username_raw")?,
            secret,
            software: keys.software_version.map(|text| text.0),
            hassh: keys.hassh.map(|text| text.0),
            key_fingerprint: keys.key_fingerprint.map(|text| text.0),
        })
    }
}

/// The exact bytes if the line has them, else the text's.
fn raw_or<'a>(
    raw: Option<Text<'a>>,
    text: Option<Text<'a>>,
    key: &'static str,
) -> Result<Option<Cow<'a, [u8]>>, LineError> {
    let Some(raw) = raw else { return Ok(text.map(|text| text.0)) };
    STANDARD.decode(&raw.0).map(|bytes| Some(Cow::Owned(bytes))).map_err(|_| LineError::Base64(key))
}

/// An address; of an IPv4 address written as IPv6, and of one with a zone, the address alone.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    match text.split_once('%') {
        Some((address, _zone)) => address.parse().ok().map(Ipv6Addr::into),
        None => text.parse().ok().map(|address: IpAddr| address.to_canonical()),
    }
}

/// The beginning of a text for an error, with nothing hidden in it.
fn cut(text: Option<&Text<'_>>) -> String {
    let Some(Text(bytes)) = text else { return "there is none".to_owned() };
    format!("\"{}\"", super::visible::visible(&bytes[..bytes.len().min(64)]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Record;

    const PSHITT: &[u8] = br#"{"username": "admin", "src_ip": "116.10.191.236", "password": "passw0rd", "src_port": 36221, "timestamp": "2014-06-26T10:48:05.799316"}"#;

    #[test]
    fn a_line_of_pshitt_is_read_without_a_copy() {
        let line = Line::parse(PSHITT).unwrap();
        assert_eq!(line.event, EventKind::Password);
        assert_eq!(line.source.to_string(), "116.10.191.236");
        assert_eq!(line.moment.seconds(), 1_403_779_685);
        assert!(matches!(&line.user, Some(Cow::Borrowed(b"admin"))));
        assert!(matches!(&line.secret, Some(Secret::Plain(Cow::Borrowed(b"passw0rd")))));
    }

    #[test]
    fn what_pshitt_writes_is_read() {
        // Made by pshitt itself: tests/data/README.md says how.
        let lines = include_str!("../../tests/data/pshitt.json").lines();
        let lines: Vec<Line<'_>> = lines.map(|line| Line::parse(line.as_bytes()).unwrap()).collect();
        let mut tried: Vec<&[u8]> = Vec::new();
        for line in &lines {
            let Some(Secret::Plain(password)) = &line.secret else { panic!("{line:?}") };
            tried.push(password);
            assert_eq!(
                (line.user.as_deref(), line.software.as_deref(), line.session.as_deref()),
                (Some(&b"root"[..]), Some(&b"libssh_0.10.6"[..]), None)
            );
        }
        assert_eq!(tried, [b"b", b"c", b"d", b"a"]);
        assert_eq!(lines[0].moment.seconds(), 1_795_914_416);
    }

    #[test]
    fn a_record_is_read_with_its_exact_bytes() {
        let record = Record {
            username: Some("m\u{fffd}".into()),
            username_raw: Some("beQ=".into()),
            password: Some("p\u{fffd}ss".into()),
            password_raw: Some("cORzcw==".into()),
            src_ip: "::ffff:192.0.2.7".into(),
            timestamp: "2026-11-29T00:00:00.000001Z".into(),
            event: EventKind::KeyboardInteractive,
            session: Some("a1".into()),
            ..Record::default()
        };
        let text = serde_json::to_vec(&record).unwrap();
        let line = Line::parse(&text).unwrap();
        assert_eq!(line.event, EventKind::KeyboardInteractive);
        assert_eq!(line.source.to_string(), "192.0.2.7");
        assert_eq!(line.user.as_deref(), Some(&b"m\xe4"[..]));
        assert_eq!(line.secret, Some(Secret::Plain(b"p\xe4ss".to_vec().into())));
        assert_eq!(line.session.as_deref(), Some(&b"a1"[..]));
    }

    #[test]
    fn a_hash_stands_in_the_place_of_the_password() {
        let line = br#"{"src_ip":"fe80::1%eth0","timestamp":"2026-11-29T00:00:00Z","username":"u","password_hash":"3fa9"}"#;
        let line = Line::parse(line).unwrap();
        assert_eq!(line.source.to_string(), "fe80::1");
        assert_eq!(line.secret, Some(Secret::Hashed(b"3fa9".into())));
    }

    #[test]
    fn bytes_that_are_no_utf_8_are_read_as_they_are() {
        let line = Line::parse(
            b"{\"src_ip\":\"192.0.2.1\",\"timestamp\":\"2026-11-29T00:00:00Z\",\"password\":\"p\xe4\"}",
        )
        .unwrap();
        assert_eq!(line.secret, Some(Secret::Plain(b"p\xe4".into())));
    }

    #[test]
    fn what_is_wrong_with_a_line_is_told() {
        let told = |line: &str| Line::parse(line.as_bytes()).unwrap_err().to_string();
        assert!(told("{").starts_with("no record of an attempt: EOF"));
        assert_eq!(told("[]"), "no record of an attempt: it is no JSON object");
        assert!(told(r#"{"username":["a"]}"#).starts_with("no record of an attempt: "));
        assert_eq!(told(r#"{"timestamp":"2026-11-29T00:00:00Z"}"#), "src_ip is no address: there is none");
        assert!(told(r#"{"src_ip":"192.0.2.1","timestamp":"\u001b[2J"}"#).ends_with("\"\\u{1b}[2J\""));
        assert_eq!(
            told(r#"{"src_ip":"192.0.2.1","timestamp":"2026-11-29T00:00:00Z","password_raw":"?"}"#),
            "password_raw is not Base64"
        );
    }
}
