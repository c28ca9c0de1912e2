//! What a counter counts for: a field's value in 24 bytes.
//!
//! Values that Python finds equal are one key: `1`, `1.0` and `true`. Addresses, which are nearly all keys there are,
//! stand as they are; of what does not fit, 128 bits of its SHA-256 do.

use std::fmt;

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use unmasq_entry::Value;

/// Bytes behind the tag.
const ROOM: usize = 23;

/// Tags: 0 to 23 is text of that length, 32 to 55 bytes of that length less 32.
const BYTES: u8 = 32;
const NULL: u8 = 64;
const INTEGER: u8 = 65;
const FLOAT: u8 = 66;
const TIME: u8 = 67;
const SPAN: u8 = 68;
const UUID: u8 = 69;
/// Text that is the canonical spelling of an IPv6 address.
const IPV6: u8 = 70;
const LONG_TEXT: u8 = 71;
const LONG_BYTES: u8 = 72;
const MONOTONIC: u8 = 73;
/// No key: a place that is free.
const VACANT: u8 = 255;

/// The value that a counter counts for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// What it is, and for short ones how long.
    tag: u8,
    /// Zero behind what is used.
    room: [u8; ROOM],
}

impl Key {
    /// Marks a place that is free.
    pub(crate) const VACANT: Self = Self { tag: VACANT, room: [0; ROOM] };

    /// Of a field's value; `None` for a list, which cannot be a key in Python either.
    pub fn new(value: Value<'_>) -> Option<Self> {
        Some(match value {
            Value::Null => Self::with(NULL, &[]),
            Value::Bool(value) => Self::with(INTEGER, &i64::from(value).to_le_bytes()),
            Value::Integer(value) => Self::with(INTEGER, &value.to_le_bytes()),
            Value::Float(value) => Self::float(value),
            Value::Text(text) => Self::text(text),
            Value::Bytes(bytes) if bytes.len() <= ROOM => Self::with(BYTES + bytes.len() as u8, bytes),
            Value::Bytes(bytes) => Self::hashed(LONG_BYTES, bytes),
            Value::Time(time) => Self::with(TIME, &time.as_nanos().to_le_bytes()),
            Value::Span(span) => Self::with(SPAN, &span.as_nanos().to_le_bytes()),
            Value::Monotonic(span, boot) => {
                let mut both = [0; 32];
                both[..16].copy_from_slice(&span.as_nanos().to_le_bytes());
                both[16..].copy_from_slice(&boot);
                Self::hashed(MONOTONIC, &both)
            }
            Value::Uuid(uuid) => Self::with(UUID, &uuid),
            Value::List(_) => return None,
        })
    }

    /// Of text. Hot: once for each raise of a counter.
    pub fn text(text: &str) -> Self {
        if text.len() <= ROOM {
            return Self::with(text.len() as u8, text.as_bytes());
        }
        if text.len() <= 39
            && let Ok(address) = text.parse::<std::net::Ipv6Addr>()
            && address.to_string() == text
        {
            return Self::with(IPV6, &address.octets());
        }
        Self::hashed(LONG_TEXT, text.as_bytes())
    }

    pub(crate) fn is_vacant(&self) -> bool {
        self.tag == VACANT
    }

    fn float(value: f64) -> Self {
        // Whole numbers within 2^53 are the integers that Python finds equal to them; beyond, few floats are integers
        // that anybody counts for, and they stay floats.
        if value.fract() == 0.0 && value.abs() <= 9_007_199_254_740_992.0 {
            return Self::with(INTEGER, &(value as i64).to_le_bytes());
        }
        let value = if value.is_nan() { f64::NAN } else { value };
        Self::with(FLOAT, &value.to_bits().to_le_bytes())
    }

    fn with(tag: u8, bytes: &[u8]) -> Self {
        let mut room = [0; ROOM];
        room[..bytes.len()].copy_from_slice(bytes);
        Self { tag, room }
    }

    fn hashed(tag: u8, bytes: &[u8]) -> Self {
        Self::with(tag, &Sha256::digest(bytes)[..16])
    }

    /// How many bytes of the room a tag uses; `None` for one that is not known.
    fn used(tag: u8) -> Option<usize> {
        Some(match tag {
            0..=23 => usize::from(tag),
            BYTES..=55 => usize::from(tag - BYTES),
            NULL => 0,
            INTEGER | FLOAT | TIME => 8,
            SPAN | UUID | IPV6 | LONG_TEXT | LONG_BYTES | MONOTONIC => 16,
            _ => return None,
        })
    }

    fn part(&self) -> &[u8] {
        &self.room[..Self::used(self.tag).unwrap_or(ROOM)]
    }

    fn half(&self) -> [u8; 8] {
        self.room[..8].try_into().unwrap_or_default()
    }

    fn whole(&self) -> [u8; 16] {
        self.room[..16].try_into().unwrap_or_default()
    }
}

impl fmt::Display for Key {
    /// The value, or `#` and the hash of what was too long to be kept.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.tag {
            0..=23 => f.write_str(std::str::from_utf8(self.part()).unwrap_or_default()),
            NULL => f.write_str("None"),
            INTEGER => write!(f, "{}", i64::from_le_bytes(self.half())),
            FLOAT => write!(f, "{:?}", f64::from_bits(u64::from_le_bytes(self.half()))),
            TIME => {
                write!(f, "{}", unmasq_flow::Timestamp::from_nanos(i64::from_le_bytes(self.half())))
            }
            SPAN => write!(f, "{} ns", u128::from_le_bytes(self.whole())),
            UUID => write!(f, "{:032x}", u128::from_be_bytes(self.whole())),
            IPV6 => write!(f, "{}", std::net::Ipv6Addr::from(self.whole())),
            LONG_TEXT | LONG_BYTES | MONOTONIC => write!(f, "#{:032x}", u128::from_be_bytes(self.whole())),
            _ => write!(f, "b\"{}\"", self.part().escape_ascii()),
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({self})")
    }
}

/// The tag and the used part, as bytes.
impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = [0; ROOM + 1];
        let part = self.part();
        bytes[0] = self.tag;
        bytes[1..=part.len()].copy_from_slice(part);
        serializer.serialize_bytes(&bytes[..=part.len()])
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;

        impl<'de> Visitor<'de> for Bytes {
            type Value = Key;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a counter's key")
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Key, E> {
                let wrong = || E::invalid_length(bytes.len(), &self);
                let (tag, part) = bytes.split_first().ok_or_else(wrong)?;
                let is_text = *tag > 23 || std::str::from_utf8(part).is_ok();
                if Key::used(*tag) != Some(part.len()) || !is_text {
                    return Err(wrong());
                }
                Ok(Key::with(*tag, part))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Key, A::Error> {
                let mut bytes = Vec::new();
                while let Some(byte) = items.next_element()? {
                    bytes.push(byte);
                }
                self.visit_bytes(&bytes)
            }
        }

        deserializer.deserialize_bytes(Bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_python_finds_equal_is_one_key() {
        let keys = [Value::Integer(1), Value::Float(1.0), Value::Bool(true)].map(Key::new);
        assert_eq!(keys[0], keys[1]);
        assert_eq!(keys[0], keys[2]);
        assert_ne!(keys[0], Key::new(Value::Text("1")));
        assert_ne!(Key::new(Value::Text("1")), Key::new(Value::Bytes(b"1")));
        assert_ne!(Key::new(Value::Null), Key::new(Value::Text("")));
        assert_eq!(Key::new(Value::Float(0.0)), Key::new(Value::Float(-0.0)));
        assert_ne!(Key::new(Value::Float(0.5)), Key::new(Value::Integer(0)));
    }

    #[test]
    fn addresses_are_kept_whole_and_spellings_stay_apart() {
        let long = "2001:db8:1234:5678:9abc:def0:1234:5678";
        assert_eq!(Key::text(long).to_string(), long);
        assert_eq!(Key::text("203.0.113.254").to_string(), "203.0.113.254");
        // Another spelling is another text, as for Pyruse.
        assert_ne!(Key::text("2001:0db8:1234:5678:9abc:def0:1234:5678"), Key::text(long));
        assert!(Key::text(&"x".repeat(1000)).to_string().starts_with('#'));
    }

    proptest! {
        #[test]
        fn different_texts_are_different_keys_and_all_are_read_back(a in ".{0,60}", b in ".{0,60}") {
            prop_assert_eq!(Key::text(&a) == Key::text(&b), a == b);
            let bytes = postcard::to_stdvec(&Key::text(&a)).unwrap();
            prop_assert_eq!(postcard::from_bytes::<Key>(&bytes).unwrap(), Key::text(&a));
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = postcard::from_bytes::<Key>(&bytes);
        }
    }
}
