//! The words and signs of a PHP file of literals.

use std::str;

use super::{PhpError, Value};

/// One word or sign.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token<'t> {
    /// A string literal's text.
    String(String),
    /// A number without its sign.
    Number(Value),
    /// A keyword or a name.
    Word(&'t str),
    /// `=>`
    Arrow,
    /// `?>`, with nothing behind it.
    Close,
    /// Any other single byte.
    Symbol(u8),
    /// The file's end.
    End,
}

/// Cuts a file into tokens.
pub(super) struct Lexer<'t> {
    bytes: &'t [u8],
    /// Of the next byte to look at.
    at: usize,
    /// A token that was looked at, with the place behind it.
    ahead: Option<(usize, Token<'t>, usize)>,
}

impl<'t> Lexer<'t> {
    /// Behind the file's `<?php`.
    pub(super) fn new(bytes: &'t [u8]) -> Result<Self, PhpError> {
        let opened = bytes.get(..5).is_some_and(|tag| tag.eq_ignore_ascii_case(b"<?php"));
        if !opened || !bytes.get(5).is_none_or(u8::is_ascii_whitespace) {
            return Err(PhpError {
                at: 0,
                message: "the file does not begin with <?php; is it the right one?",
            });
        }
        Ok(Self { bytes, at: 5, ahead: None })
    }

    /// The next token and where it begins.
    pub(super) fn next(&mut self) -> Result<(usize, Token<'t>), PhpError> {
        self.look()?;
        let Some((start, token, end)) = self.ahead.take() else {
            return Ok((self.bytes.len(), Token::End));
        };
        self.at = end;
        Ok((start, token))
    }

    /// Takes the next token if it is wanted.
    pub(super) fn take_if(&mut self, wanted: impl Fn(&Token<'t>) -> bool) -> Result<bool, PhpError> {
        self.look()?;
        let Some((_, _, end)) = self.ahead.take_if(|(_, token, _)| wanted(token)) else { return Ok(false) };
        self.at = end;
        Ok(true)
    }

    /// Where the next token begins.
    pub(super) fn place(&mut self) -> Result<usize, PhpError> {
        self.look()?;
        Ok(self.ahead.as_ref().map_or(self.bytes.len(), |(start, ..)| *start))
    }

    fn look(&mut self) -> Result<(), PhpError> {
        if self.ahead.is_none() {
            self.skip_blank()?;
            let start = self.at;
            let token = self.token()?;
            self.ahead = Some((start, token, self.at));
        }
        Ok(())
    }

    fn rest(&self) -> &'t [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// Blanks and comments.
    fn skip_blank(&mut self) -> Result<(), PhpError> {
        loop {
            let rest = self.rest();
            match rest {
                [b' ' | b'\t' | b'\r' | b'\n', ..] => self.at += 1,
                [b'#', b'[', ..] => return Ok(()),
                [b'#', ..] | [b'/', b'/', ..] => {
                    // A ?> ends a comment of one line, too.
                    let line = rest.iter().take_while(|b| !matches!(b, b'\n' | b'\r')).count();
                    let close = rest[..line].windows(2).position(|pair| pair == b"?>");
                    self.at += close.unwrap_or(line);
                }
                [b'/', b'*', ..] => {
                    let end = rest[2..].windows(2).position(|pair| pair == b"*/");
                    let message = "this comment has no end; write */";
                    self.at += 4 + end.ok_or(PhpError { at: self.at, message })?;
                }
                _ => return Ok(()),
            }
        }
    }

    fn token(&mut self) -> Result<Token<'t>, PhpError> {
        let rest = self.rest();
        match rest {
            [] => Ok(Token::End),
            [b'\'', ..] => self.single_quoted(),
            [b'"', ..] => self.double_quoted(),
            [b'=', b'>', ..] => {
                self.at += 2;
                Ok(Token::Arrow)
            }
            [b'?', b'>', after @ ..] => {
                if !matches!(after, [] | [b'\n'] | [b'\r', b'\n']) {
                    let message = "there is text behind ?>; remove it";
                    return Err(PhpError { at: self.at, message });
                }
                self.at = self.bytes.len();
                Ok(Token::Close)
            }
            [b'0'..=b'9', ..] | [b'.', b'0'..=b'9', ..] => self.number(),
            [first, ..] if first.is_ascii_alphabetic() || matches!(first, b'_' | b'\\') => {
                let word = |b: &&u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'\\');
                let length = rest.iter().take_while(word).count();
                self.at += length;
                Ok(Token::Word(str::from_utf8(&rest[..length]).unwrap_or_default()))
            }
            [symbol, ..] => {
                self.at += 1;
                Ok(Token::Symbol(*symbol))
            }
        }
    }

    fn number(&mut self) -> Result<Token<'t>, PhpError> {
        let start = self.at;
        let rest = self.rest();
        // The sign of an exponent belongs to the number.
        let mut length = 0;
        let mut before = 0;
        while let Some(&byte) = rest.get(length) {
            let hexadecimal = rest.get(1).is_some_and(|b| b.eq_ignore_ascii_case(&b'x'));
            let exponent = !hexadecimal && matches!(before, b'e' | b'E') && matches!(byte, b'+' | b'-');
            if !(byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.') || exponent) {
                break;
            }
            before = byte;
            length += 1;
        }
        self.at += length;
        let message = "this is no number that is understood here";
        let error = PhpError { at: start, message };
        let text = str::from_utf8(&rest[..length]).map_err(|_| error.clone())?;
        // A separator stands between two digits; 0x is none.
        let hexadecimal = text.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("0x"));
        let is_digit = |c: char| c.is_ascii_digit() || hexadecimal && c.is_ascii_hexdigit();
        let mut parts =
            text.get(if hexadecimal { 2.. } else { 0.. }).unwrap_or_default().split('_').peekable();
        let mut is_first = true;
        while let Some(part) = parts.next() {
            let is_last = parts.peek().is_none();
            if !(is_first || part.starts_with(is_digit)) || !(is_last || part.ends_with(is_digit)) {
                return Err(error);
            }
            is_first = false;
        }
        let text = text.replace('_', "").to_ascii_lowercase();
        number(&text).map(Token::Number).ok_or(error)
    }

    /// `\\` and `\'` are the only escapes.
    fn single_quoted(&mut self) -> Result<Token<'t>, PhpError> {
        let start = self.at;
        let mut text = Vec::new();
        self.at += 1;
        loop {
            match self.rest() {
                [] => return Err(unclosed(start)),
                [b'\'', ..] => break,
                [b'\\', escaped @ (b'\\' | b'\''), ..] => {
                    text.push(*escaped);
                    self.at += 2;
                }
                [byte, ..] => {
                    text.push(*byte);
                    self.at += 1;
                }
            }
        }
        self.at += 1;
        string(start, text)
    }

    fn double_quoted(&mut self) -> Result<Token<'t>, PhpError> {
        let start = self.at;
        let mut text = Vec::new();
        self.at += 1;
        loop {
            let rest = self.rest();
            match rest {
                [] => return Err(unclosed(start)),
                [b'"', ..] => break,
                [b'$', b'{' | b'_' | b'a'..=b'z' | b'A'..=b'Z' | 0x80.., ..] | [b'{', b'$', ..] => {
                    let message = "a variable in a string: write \\$ for a dollar, or use single quotes";
                    return Err(PhpError { at: self.at, message });
                }
                [b'\\', escape @ ..] => {
                    let (bytes, length) = escaped(escape).ok_or(PhpError {
                        at: self.at,
                        message: "\\u wants a character's number in hexadecimal: \\u{20ac}",
                    })?;
                    text.extend(bytes);
                    self.at += 1 + length;
                }
                [byte, ..] => {
                    text.push(*byte);
                    self.at += 1;
                }
            }
        }
        self.at += 1;
        string(start, text)
    }
}

fn unclosed(at: usize) -> PhpError {
    PhpError { at, message: "this string has no end; close its quote" }
}

fn string<'t>(at: usize, bytes: Vec<u8>) -> Result<Token<'t>, PhpError> {
    let message = "this string is not UTF-8; save the file as UTF-8";
    String::from_utf8(bytes).map(Token::String).map_err(|_| PhpError { at, message })
}

/// What stands behind a backslash in double quotes: the bytes it means, and how many it takes. An unknown escape
/// keeps its backslash.
fn escaped(rest: &[u8]) -> Option<(Vec<u8>, usize)> {
    let one = |byte: u8| Some((vec![byte], 1));
    match rest {
        [b'n', ..] => one(b'\n'),
        [b't', ..] => one(b'\t'),
        [b'r', ..] => one(b'\r'),
        [b'v', ..] => one(0x0b),
        [b'e', ..] => one(0x1b),
        [b'f', ..] => one(0x0c),
        [byte @ (b'\\' | b'$' | b'"'), ..] => one(*byte),
        [b'0'..=b'7', ..] => {
            let digits = rest.iter().take(3).take_while(|b| matches!(b, b'0'..=b'7')).count();
            // PHP cuts \400 and above to a byte.
            let value = rest[..digits].iter().fold(0_u16, |value, digit| value * 8 + u16::from(digit - b'0'));
            Some((vec![value as u8], digits))
        }
        [b'x', first, ..] if first.is_ascii_hexdigit() => {
            let digits = rest[1..].iter().take(2).take_while(|b| b.is_ascii_hexdigit()).count();
            Some((vec![hexadecimal(&rest[1..=digits])? as u8], 1 + digits))
        }
        [b'u', b'{', more @ ..] => {
            let digits = more.iter().position(|b| *b == b'}')?;
            let character = char::from_u32(hexadecimal(&more[..digits])?)?;
            Some((character.to_string().into_bytes(), digits + 3))
        }
        _ => Some((vec![b'\\'], 0)),
    }
}

fn hexadecimal(digits: &[u8]) -> Option<u32> {
    let text = str::from_utf8(digits).ok()?;
    // from_str_radix takes a sign.
    text.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u32::from_str_radix(text, 16).ok())?
}

/// A number in lower case without separators. Whole ones that do not fit become broken ones, as in PHP.
fn number(text: &str) -> Option<Value> {
    let radix = |digits: &str, radix: u32| {
        let valid = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
        let float = |digits: &str| {
            digits
                .chars()
                .filter_map(|c| c.to_digit(radix))
                .fold(0.0, |value: f64, digit| value * f64::from(radix) + f64::from(digit))
        };
        valid.then(|| {
            i64::from_str_radix(digits, radix).map_or_else(|_| Value::Float(float(digits)), Value::Int)
        })
    };
    if let Some(digits) = text.strip_prefix("0x") {
        return radix(digits, 16);
    }
    if let Some(digits) = text.strip_prefix("0b") {
        return radix(digits, 2);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return radix(digits, 8);
    }
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        // Rust's reader also takes "inf"; a number here begins with a digit or a point.
        return text.parse().ok().map(Value::Float);
    }
    match text.strip_prefix('0') {
        Some(digits) if !digits.is_empty() => radix(digits, 8),
        _ => radix(text, 10).map(|value| match value {
            Value::Float(_) => text.parse().map_or(value, Value::Float),
            whole => whole,
        }),
    }
}
