//! Constants of a configuration, compared with an entry's values as Python compares them.
//!
//! Nothing is converted: `1 == 1.0 == true`, but `"1" != 1`; and what has no order (text and a number, null and null)
//! is an error, which a filter takes for "no".

use std::cmp::Ordering;

use unmasq_entry::Value;

/// A constant.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Literal {
    /// JSON's null.
    Null,
    /// True or false; equal to 1 and 0.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// Another number.
    Float(f64),
    /// Text.
    Text(Box<str>),
    /// A list, equal only to a field that was repeated.
    List(Vec<Literal>),
    /// A table, which equals no value that an entry can have.
    Table,
}

impl Literal {
    /// What the type is called in messages to the user.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "true or false",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a number",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Table => "a table",
        }
    }

    /// As the value of a field; `None` for what no field can hold, and for lists, which nothing asks for.
    pub(crate) fn value(&self) -> Option<Value<'_>> {
        match self {
            Self::Null => Some(Value::Null),
            Self::Bool(value) => Some(Value::Bool(*value)),
            Self::Integer(value) => Some(Value::Integer(*value)),
            Self::Float(value) => Some(Value::Float(*value)),
            Self::Text(text) => Some(Value::Text(text)),
            Self::List(_) | Self::Table => None,
        }
    }

    /// Python's `value == literal`.
    pub(crate) fn equals(&self, value: Value<'_>) -> bool {
        match (self, value) {
            (Self::Text(a), Value::Text(b)) => **a == *b,
            (Self::Null, Value::Null) => true,
            (Self::List(a), Value::List(b)) => {
                a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| a.equals(b))
            }
            _ => match (self.number(), number(value)) {
                (Some(a), Some(b)) => a.compare(b) == Some(Ordering::Equal),
                _ => false,
            },
        }
    }

    /// How `value` stands to this: Python's `value < literal` and its kin. `Ok(None)` where both are numbers and one of
    /// them is not comparable (NaN).
    pub(crate) fn order(&self, value: Value<'_>) -> Result<Option<Ordering>, Unordered> {
        let unordered = Unordered { value: value.kind(), literal: self.kind() };
        match (value, self) {
            (Value::Text(a), Self::Text(b)) => Ok(Some(a.cmp(b))),
            (Value::List(a), Self::List(b)) => {
                // As Python has it: the first two that differ decide, else the lengths.
                match a.iter().zip(b).find(|(a, b)| !b.equals(*a)) {
                    Some((a, b)) => b.order(a),
                    None => Ok(Some(a.len().cmp(&b.len()))),
                }
            }
            _ => match (number(value), self.number()) {
                (Some(a), Some(b)) => Ok(a.compare(b)),
                _ => Err(unordered),
            },
        }
    }

    fn number(&self) -> Option<Number> {
        match *self {
            Self::Bool(value) => Some(Number::Integer(value.into())),
            Self::Integer(value) => Some(Number::Integer(value)),
            Self::Float(value) => Some(Number::Float(value)),
            Self::Null | Self::Text(_) | Self::List(_) | Self::Table => None,
        }
    }
}

/// Two values that have no order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{value} cannot be compared with {literal}")]
pub(crate) struct Unordered {
    value: &'static str,
    literal: &'static str,
}

#[derive(Clone, Copy)]
enum Number {
    Integer(i64),
    Float(f64),
}

fn number(value: Value<'_>) -> Option<Number> {
    match value {
        Value::Bool(value) => Some(Number::Integer(value.into())),
        Value::Integer(value) => Some(Number::Integer(value)),
        Value::Float(value) => Some(Number::Float(value)),
        Value::Null
        | Value::Text(_)
        | Value::Bytes(_)
        | Value::Time(_)
        | Value::Span(_)
        | Value::Monotonic(..)
        | Value::Uuid(_)
        | Value::List(_) => None,
    }
}

impl Number {
    /// Exact, as in Python: no integer is rounded on the way.
    fn compare(self, other: Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Integer(a), Self::Integer(b)) => Some(a.cmp(&b)),
            (Self::Float(a), Self::Float(b)) => a.partial_cmp(&b),
            (Self::Integer(a), Self::Float(b)) => integer_and_float(a, b),
            (Self::Float(a), Self::Integer(b)) => integer_and_float(b, a).map(Ordering::reverse),
        }
    }
}

fn integer_and_float(integer: i64, float: f64) -> Option<Ordering> {
    /// 2^63, the first float past all 64-bit integers.
    const PAST: f64 = 9_223_372_036_854_775_808.0;
    if float.is_nan() {
        None
    } else if float >= PAST {
        Some(Ordering::Less)
    } else if float < -PAST {
        Some(Ordering::Greater)
    } else {
        let whole = float.trunc();
        let by_whole = integer.cmp(&(whole as i64));
        Some(by_whole.then_with(|| whole.partial_cmp(&float).unwrap_or(Ordering::Equal)))
    }
}

#[cfg(test)]
mod tests {
    use unmasq_entry::{Entry, Fields};

    use super::*;

    fn text(text: &str) -> Literal {
        Literal::Text(text.into())
    }

    #[test]
    fn numbers_and_booleans_are_equal_across_types_and_texts_are_not() {
        for literal in [Literal::Integer(1), Literal::Float(1.0), Literal::Bool(true)] {
            for value in [Value::Integer(1), Value::Float(1.0), Value::Bool(true)] {
                assert!(literal.equals(value), "{literal:?} {value:?}");
            }
            assert!(!literal.equals(Value::Text("1")));
            assert!(!literal.equals(Value::Null));
        }
        assert!(text("a").equals(Value::Text("a")));
        assert!(!text("a").equals(Value::Bytes(b"a")));
        assert!(!Literal::Null.equals(Value::Integer(0)));
        assert!(Literal::Null.equals(Value::Null));
        assert!(!text("").equals(Value::Uuid([0; 16])));
        assert!(!Literal::Table.equals(Value::Null));
    }

    #[test]
    fn large_integers_are_not_rounded() {
        let big = (1 << 53) + 1;
        assert!(!Literal::Float(9_007_199_254_740_992.0).equals(Value::Integer(big)));
        assert_eq!(
            Literal::Float(9_007_199_254_740_992.0).order(Value::Integer(big)),
            Ok(Some(Ordering::Greater))
        );
        assert_eq!(Literal::Float(f64::INFINITY).order(Value::Integer(i64::MAX)), Ok(Some(Ordering::Less)));
        assert_eq!(Literal::Float(-0.5).order(Value::Integer(0)), Ok(Some(Ordering::Greater)));
        assert_eq!(Literal::Float(-0.5).order(Value::Integer(-1)), Ok(Some(Ordering::Less)));
        assert_eq!(Literal::Integer(0).order(Value::Float(f64::NAN)), Ok(None));
    }

    #[test]
    fn texts_are_ordered_by_character_and_mixtures_not_at_all() {
        assert_eq!(text("10").order(Value::Text("9")), Ok(Some(Ordering::Greater)));
        assert_eq!(text("é").order(Value::Text("z")), Ok(Some(Ordering::Less)));
        assert!(text("4").order(Value::Integer(4)).is_err());
        assert!(Literal::Integer(4).order(Value::Text("4")).is_err());
        assert!(Literal::Null.order(Value::Null).is_err());
        assert!(text("a").order(Value::Bytes(b"a")).is_err());
    }

    #[test]
    fn lists_are_compared_by_their_first_difference() {
        let mut fields = Fields::default();
        let slot = fields.slot("A");
        let mut entry = Entry::new(&fields);
        entry.push(slot, Value::Text("a"));
        entry.push(slot, Value::Text("b"));
        let value = entry.get(slot).expect("just set");
        let list = |texts: &[&str]| Literal::List(texts.iter().map(|t| text(t)).collect());
        assert!(list(&["a", "b"]).equals(value));
        assert!(!list(&["a"]).equals(value));
        assert_eq!(list(&["a", "c"]).order(value), Ok(Some(Ordering::Less)));
        assert_eq!(list(&["a"]).order(value), Ok(Some(Ordering::Greater)));
        assert!(Literal::List(vec![Literal::Integer(1)]).order(value).is_err());
        assert!(text("a").order(value).is_err());
    }
}
