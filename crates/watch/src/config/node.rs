//! A configuration as it was written, whatever the spelling: a tree of values, each with its place in the
//! text.

use std::ops::Range;

/// Something, and where it stands in the file. Two of them are equal if what they hold is: a configuration
/// means the same wherever its parts stand.
#[derive(Clone, Debug)]
pub struct Spanned<T> {
    /// What was written.
    pub value: T,
    /// Its place, in bytes.
    pub span: Range<usize>,
}

impl<T> Spanned<T> {
    /// A value at a place.
    pub fn new(value: T, span: Range<usize>) -> Self {
        Self { value, span }
    }
}

impl<T: PartialEq> PartialEq for Spanned<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

/// Keys and values in the file's order.
pub type Entries = Vec<(Spanned<String>, Spanned<Node>)>;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// JSON's and YAML's null. TOML has none.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A number that is written with a fraction or an exponent; TOML and YAML have infinities too.
    Float(f64),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Spanned<Node>>),
    /// Keys, each once, and values in the file's order.
    Map(Entries),
}

impl Node {
    /// What it is called in messages to the user: "the number 5", "a list".
    pub fn describe(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Integer(value) => format!("the number {value}"),
            Self::Float(value) => format!("the number {value}"),
            Self::Text(_) => "a text".to_owned(),
            Self::List(_) => "a list".to_owned(),
            Self::Map(_) => "a section of keys and values".to_owned(),
        }
    }

    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The elements, if it is a list.
    pub fn as_list(&self) -> Option<&[Spanned<Self>]> {
        match self {
            Self::List(elements) => Some(elements),
            _ => None,
        }
    }

    /// The keys and values, if it has any.
    pub fn as_map(&self) -> Option<&[(Spanned<String>, Spanned<Self>)]> {
        match self {
            Self::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// The value of a key, if it is a map and has it.
    pub fn find(&self, key: &str) -> Option<&Spanned<Self>> {
        self.as_map()?.iter().find(|(name, _)| name.value == key).map(|(_, value)| value)
    }
}
