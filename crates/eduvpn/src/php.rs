//! A PHP file that returns an array of literals, as eduVPN's configuration files are. Nothing is evaluated.
//!
//! ```
//! use unmasq_eduvpn::php::{self, Value};
//!
//! let text = "<?php\n// the node\nreturn ['apiUser' => 'node', 'profileList' => array(\"office\")];";
//! let Value::Array(array) = php::parse(text.as_bytes())? else { unreachable!() };
//! assert_eq!(array.value("apiUser"), Some(&Value::String("node".to_owned())));
//! # Ok::<(), php::PhpError>(())
//! ```
//!
//! What it takes: `<?php`, comments, `declare(strict_types=1);`, `return`, arrays in both spellings, strings in single and
//! double quotes, whole and broken numbers, `true`, `false`, `null`. Anything else (a constant, a function call, `.`
//! between strings, `$variable`) is an error with its place. Keys become whole numbers, count on and overwrite as in PHP 8,
//! so that the order of entries is that of PHP.
//!
//! Messages never quote the file: a password may stand at the place that is wrong.

mod lexer;

use std::collections::HashMap;
use std::collections::hash_map::Entry as Place;
use std::fmt;

use lexer::{Lexer, Token};

/// Deepest nesting of arrays. Real files have three.
const DEPTH: usize = 32;

/// A value of PHP.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A broken number, or a whole one that PHP's integers cannot hold.
    Float(f64),
    /// A text. PHP's strings are bytes; those that are no UTF-8 are refused.
    String(String),
    /// A list or a map: PHP makes no difference.
    Array(Array),
}

impl Value {
    /// What it is, for a message.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "true or false",
            Self::Int(_) | Self::Float(_) => "a number",
            Self::String(_) => "a string",
            Self::Array(_) => "an array",
        }
    }
}

/// The key of an entry. A string that is a whole number in its shortest form (`'8'`) is a number, as in PHP.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// `8 =>`, `'8' =>`, or counted on.
    Int(i64),
    /// `'name' =>`
    String(String),
}

impl Key {
    fn of(text: String) -> Self {
        match text.parse::<i64>() {
            Ok(number) if number.to_string() == text => Self::Int(number),
            _ => Self::String(text),
        }
    }
}

/// One entry of an array.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its key.
    pub key: Key,
    /// Its value.
    pub value: Value,
    /// Where the value stands in the file, in bytes.
    pub at: usize,
}

/// Two entries are equal wherever they stand.
impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key && self.value == other.value
    }
}

/// An array, in PHP's order: that in which the keys appeared first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Array {
    /// Each key once.
    pub entries: Vec<Entry>,
}

impl Array {
    /// The entry of a name.
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| matches!(&entry.key, Key::String(key) if key == name))
    }

    /// The value of a name.
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.entry(name).map(|entry| &entry.value)
    }
}

/// A file that is no array of literals.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at byte {at}: {message}")]
pub struct PhpError {
    /// Place in the file, in bytes from 0.
    pub at: usize,
    /// What is wrong and what to do. Quotes nothing of the file.
    pub message: &'static str,
}

/// Reads a file's bytes: the value that it returns.
pub fn parse(bytes: &[u8]) -> Result<Value, PhpError> {
    let mut parser = Parser { lexer: Lexer::new(bytes)? };
    parser.file()
}

/// Recursive descent, with one token of look-ahead asked of the lexer.
struct Parser<'t> {
    lexer: Lexer<'t>,
}

impl Parser<'_> {
    fn file(&mut self) -> Result<Value, PhpError> {
        if self.word("declare")? {
            self.declaration()?;
        }
        let at = self.lexer.place()?;
        if !self.word("return")? {
            let message = "expected return and an array: other statements are not understood";
            return Err(PhpError { at, message });
        }
        let value = self.value(0)?;
        match self.lexer.next()? {
            (_, Token::Symbol(b';')) => {}
            (_, Token::Close) => return Ok(value),
            (at, _) => {
                return Err(PhpError {
                    at,
                    message: "expected ; after the array: expressions are not evaluated",
                });
            }
        }
        match self.lexer.next()? {
            (_, Token::End | Token::Close) => Ok(value),
            (at, _) => Err(PhpError { at, message: "expected the end of the file after the returned array" }),
        }
    }

    /// `declare(strict_types=1);` says nothing about the values.
    fn declaration(&mut self) -> Result<(), PhpError> {
        let message = "of declarations only declare(strict_types=1); is understood";
        self.symbol(b'(', message)?;
        let at = self.lexer.place()?;
        if !self.word("strict_types")? {
            return Err(PhpError { at, message });
        }
        self.symbol(b'=', message)?;
        match self.lexer.next()? {
            (_, Token::Number(Value::Int(0 | 1))) => {}
            (at, _) => return Err(PhpError { at, message }),
        }
        self.symbol(b')', message)?;
        self.symbol(b';', message)
    }

    fn value(&mut self, depth: usize) -> Result<Value, PhpError> {
        let (at, token) = self.lexer.next()?;
        match token {
            Token::String(text) => Ok(Value::String(text)),
            Token::Number(number) => Ok(number),
            Token::Symbol(b'[') => self.array(at, b']', depth),
            Token::Symbol(sign @ (b'-' | b'+')) => match self.lexer.next()? {
                (_, Token::Number(number)) => Ok(if sign == b'-' { negative(number) } else { number }),
                _ => Err(PhpError { at, message: "expected a number after the sign" }),
            },
            Token::Word(word) => match word.to_ascii_lowercase().as_str() {
                "null" => Ok(Value::Null),
                "true" => Ok(Value::Bool(true)),
                "false" => Ok(Value::Bool(false)),
                "array" => {
                    self.symbol(b'(', "expected ( after array")?;
                    self.array(at, b')', depth)
                }
                _ => Err(PhpError {
                    at,
                    message: "a constant or a function call: write the value itself here",
                }),
            },
            Token::Symbol(b'$') => Err(PhpError { at, message: "a variable: write the value itself here" }),
            Token::End => Err(PhpError { at, message: "the file ends where a value should be" }),
            Token::Symbol(_) | Token::Arrow | Token::Close => {
                Err(PhpError { at, message: "expected a string, a number, true, false, null or an array" })
            }
        }
    }

    /// After its opening bracket, up to the closing one.
    fn array(&mut self, opened: usize, close: u8, depth: usize) -> Result<Value, PhpError> {
        if depth == DEPTH {
            return Err(PhpError { at: opened, message: "arrays are nested too deeply" });
        }
        let mut array = Array::default();
        let mut places: HashMap<Key, usize> = HashMap::new();
        let mut highest: Option<i64> = None;
        loop {
            if self.is_symbol(close)? {
                return Ok(Value::Array(array));
            }
            let mut at = self.lexer.place()?;
            let mut value = self.value(depth + 1)?;
            let key = if self.arrow()? {
                let key = key(value, at)?;
                at = self.lexer.place()?;
                value = self.value(depth + 1)?;
                key
            } else {
                let message = "this entry has no key, and the numbers have run out; write one";
                Key::Int(
                    highest
                        .map_or(Some(0), |number| number.checked_add(1))
                        .ok_or(PhpError { at, message })?,
                )
            };
            if let Key::Int(number) = key {
                highest = highest.max(Some(number));
            }
            match places.entry(key.clone()) {
                // PHP overwrites in place.
                Place::Occupied(nth) => array.entries[*nth.get()] = Entry { key, value, at },
                Place::Vacant(new) => {
                    new.insert(array.entries.len());
                    array.entries.push(Entry { key, value, at });
                }
            }
            if !self.is_symbol(b',')? {
                self.symbol(close, "expected , or the array's end: expressions are not evaluated")?;
                return Ok(Value::Array(array));
            }
        }
    }

    /// Takes a word if it comes next. PHP's keywords have no case.
    fn word(&mut self, wanted: &str) -> Result<bool, PhpError> {
        self.lexer.take_if(|token| matches!(token, Token::Word(word) if word.eq_ignore_ascii_case(wanted)))
    }

    fn is_symbol(&mut self, wanted: u8) -> Result<bool, PhpError> {
        self.lexer.take_if(|token| matches!(token, Token::Symbol(symbol) if *symbol == wanted))
    }

    fn arrow(&mut self) -> Result<bool, PhpError> {
        self.lexer.take_if(|token| matches!(token, Token::Arrow))
    }

    fn symbol(&mut self, wanted: u8, message: &'static str) -> Result<(), PhpError> {
        match self.lexer.next()? {
            (_, Token::Symbol(symbol)) if symbol == wanted => Ok(()),
            (at, _) => Err(PhpError { at, message }),
        }
    }
}

fn key(value: Value, at: usize) -> Result<Key, PhpError> {
    match value {
        Value::Int(number) => Ok(Key::Int(number)),
        Value::String(text) => Ok(Key::of(text)),
        Value::Null | Value::Bool(_) | Value::Float(_) | Value::Array(_) => {
            Err(PhpError { at, message: "a key is a string or a whole number" })
        }
    }
}

fn negative(number: Value) -> Value {
    match number {
        Value::Int(number) => Value::Int(-number),
        Value::Float(number) => Value::Float(-number),
        other => other,
    }
}

/// As a PHP literal that [`parse`] (after `<?php return` and before `;`) and PHP read as the same.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Int(value) => write!(f, "{value}"),
            // PHP has no literal for the infinite ones but what is too large.
            Self::Float(value) if value.is_infinite() => {
                f.write_str(if *value < 0.0 { "-1e999" } else { "1e999" })
            }
            Self::Float(value) => write!(f, "{value:e}"),
            Self::String(text) => write_string(f, text),
            Self::Array(array) => {
                f.write_str("[")?;
                for (nth, entry) in array.entries.iter().enumerate() {
                    if nth > 0 {
                        f.write_str(", ")?;
                    }
                    match &entry.key {
                        // PHP has no literal for the smallest one, whose digits alone are too large, but takes it
                        // as a string.
                        Key::Int(number @ i64::MIN) => write!(f, "'{number}' => ")?,
                        Key::Int(number) => write!(f, "{number} => ")?,
                        Key::String(text) => {
                            write_string(f, text)?;
                            f.write_str(" => ")?;
                        }
                    }
                    write!(f, "{}", entry.value)?;
                }
                f.write_str("]")
            }
        }
    }
}

fn write_string(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    write!(f, "'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests;
