//! One of the words that captures and questions compare.

use std::fmt;
use std::net::IpAddr;

use unmasq_entry::{Value, floor_char_boundary};

/// A value as it is compared: one address has one form, however it is spelled, and 22 is "22".
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Word {
    /// An address; IPv4-mapped IPv6 is IPv4.
    Address(IpAddr),
    /// A port, or another small number.
    Number(u16),
    /// Anything else, such as a marker that a configuration uses in place of an address.
    Text(Box<str>),
}

impl Word {
    /// Longest text that is kept; longer values are compared by their first part.
    pub const LONGEST: usize = 256;

    /// The word that a value is; `None` for what can be no word: null, bytes, lists, times.
    pub fn of(value: Value<'_>) -> Option<Self> {
        match value {
            Value::Text(text) => Some(Self::parse(text)),
            Value::Integer(number) => Some(
                u16::try_from(number).map_or_else(|_| Self::Text(number.to_string().into()), Self::Number),
            ),
            Value::Null
            | Value::Bool(_)
            | Value::Float(_)
            | Value::Bytes(_)
            | Value::Time(_)
            | Value::Span(_)
            | Value::Monotonic(..)
            | Value::Uuid(_)
            | Value::List(_) => None,
        }
    }

    /// The word that a text is.
    pub fn parse(text: &str) -> Self {
        // "022" and "+22" are no ports: a service writes them in one way.
        let is_number = text.len() <= 5 && text.bytes().all(|b| b.is_ascii_digit());
        if is_number
            && (text == "0" || !text.starts_with('0'))
            && let Ok(number) = text.parse()
        {
            return Self::Number(number);
        }
        if text.len() <= 45
            && let Ok(address) = text.parse::<IpAddr>()
        {
            return Self::Address(address.to_canonical());
        }
        Self::Text(text[..floor_char_boundary(text, Self::LONGEST)].into())
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_an_address_are_one_word() {
        assert_eq!(Word::parse("::ffff:192.0.2.1"), Word::parse("192.0.2.1"));
        assert_eq!(Word::parse("2001:DB8:0::1"), Word::parse("2001:db8::1"));
        assert_ne!(Word::parse("192.0.2.1"), Word::parse("192.0.2.10"));
    }

    #[test]
    fn a_number_and_its_text_are_one_word() {
        assert_eq!(Word::of(Value::Integer(22)), Word::of(Value::Text("22")));
        assert_ne!(Word::parse("022"), Word::parse("22"));
        assert_ne!(Word::parse(""), Word::parse("0"));
    }

    #[test]
    fn what_is_no_word_equals_nothing() {
        assert_eq!(Word::of(Value::Null), None);
        assert_eq!(Word::of(Value::Bytes(b"22")), None);
    }
}
