//! A pattern cut into tokens: a character, or a backslash with the character after it.

use super::PatternError;

#[derive(Debug)]
pub(super) struct Tokens<'p> {
    pattern: &'p str,
    offset: usize,
}

impl<'p> Tokens<'p> {
    pub(super) fn new(pattern: &'p str) -> Self {
        Self { pattern, offset: 0 }
    }

    /// Of the next token, in bytes.
    pub(super) fn offset(&self) -> usize {
        self.offset
    }

    pub(super) fn go_back(&mut self, offset: usize) {
        self.offset = offset;
    }

    /// The next token; a backslash at the end is one by itself.
    pub(super) fn peek(&self) -> Option<&'p str> {
        let rest = &self.pattern[self.offset..];
        let mut letters = rest.chars();
        let mut length = letters.next()?.len_utf8();
        if rest.starts_with('\\') {
            length += letters.next().map_or(0, char::len_utf8);
        }
        Some(&rest[..length])
    }

    /// Takes the next token.
    pub(super) fn next(&mut self) -> Result<Option<&'p str>, PatternError> {
        let token = self.peek();
        if token == Some("\\") {
            return Err(self.error(r"a `\` at the end; the character itself is written `\\`"));
        }
        self.offset += token.map_or(0, str::len);
        Ok(token)
    }

    /// Takes the next token if it is this one.
    pub(super) fn take(&mut self, token: &str) -> bool {
        let is = self.peek() == Some(token);
        if is {
            self.offset += token.len();
        }
        is
    }

    /// Takes ASCII digits.
    pub(super) fn take_digits(&mut self) -> Result<&'p str, PatternError> {
        self.take_while(usize::MAX, |c| c.is_ascii_digit())
    }

    /// Takes up to `most` characters that fulfil the condition.
    pub(super) fn take_while(
        &mut self,
        most: usize,
        condition: impl Fn(char) -> bool,
    ) -> Result<&'p str, PatternError> {
        let start = self.offset;
        for _ in 0..most {
            match self.peek() {
                Some(token) if token.chars().all(&condition) => self.next()?,
                _ => break,
            };
        }
        Ok(&self.pattern[start..self.offset])
    }

    /// Takes what stands before `end`, and `end`; `None` if it does not come.
    pub(super) fn take_until(&mut self, end: &str) -> Option<&'p str> {
        let rest = &self.pattern[self.offset..];
        let length = rest.find(end)?;
        self.offset += length + end.len();
        Some(&rest[..length])
    }

    /// At the next token.
    pub(super) fn error(&self, message: impl Into<String>) -> PatternError {
        self.error_at(self.offset, message)
    }

    #[expect(clippy::unused_self, reason = "reads as the other one does")]
    pub(super) fn error_at(&self, offset: usize, message: impl Into<String>) -> PatternError {
        PatternError { message: message.into(), offset }
    }
}
