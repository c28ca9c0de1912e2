//! A reader's bytes, cut into lines with bounded memory.

use std::io::{self, BufRead};

/// Longest line that is kept (bytes). A longer one is skipped to its end and told as [`Line::TooLong`].
pub const MAX_LINE: usize = 64 * 1024;

/// One line.
#[derive(Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// Its bytes, without line feed (and without the carriage return before it).
    Whole(&'a [u8]),
    /// It was longer than [`MAX_LINE`].
    TooLong,
}

/// Lines of a reader. A line that lies wholly in the reader's buffer is not copied.
#[derive(Debug)]
pub struct Lines<R> {
    reader: R,
    /// A line that began in a buffer that has been given back.
    carried: Vec<u8>,
    /// Bytes of the reader's buffer that the last line used up.
    used: usize,
    /// Bytes of the carried line that were consumed already.
    bytes: u64,
}

impl<R: BufRead> Lines<R> {
    /// The lines from where the reader stands.
    pub fn new(reader: R) -> Self {
        Self { reader, carried: Vec::new(), used: 0, bytes: 0 }
    }

    /// Bytes taken so far, line feeds included.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The reader, at the end of its last full buffer.
    pub fn into_inner(self) -> R {
        self.reader
    }

    /// The next line, or `None` at the end. The last line needs no line feed.
    pub fn next_line(&mut self) -> io::Result<Option<Line<'_>>> {
        self.reader.consume(std::mem::take(&mut self.used));
        self.carried.clear();
        let mut is_too_long = false;
        loop {
            let buffer = match self.reader.fill_buf() {
                Ok(buffer) => buffer,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let is_end = buffer.is_empty();
            let feed = memchr::memchr(b'\n', buffer);
            if let Some(end) = feed.filter(|_| self.carried.is_empty() && !is_too_long) {
                self.used = end + 1;
                self.bytes += self.used as u64;
                // Asked again because the borrow of the loop's buffer cannot be returned; it costs no system call.
                let line = &self.reader.fill_buf()?[..end];
                return Ok(Some(checked(line)));
            }
            let length = feed.unwrap_or(buffer.len());
            let taken = length + usize::from(feed.is_some());
            if self.carried.len() + length > MAX_LINE + 1 {
                is_too_long = true;
                self.carried.clear();
            }
            if !is_too_long {
                self.carried.extend_from_slice(&buffer[..length]);
            }
            self.reader.consume(taken);
            self.bytes += taken as u64;
            if feed.is_some() || is_end {
                if is_too_long {
                    return Ok(Some(Line::TooLong));
                }
                if is_end && self.carried.is_empty() {
                    return Ok(None);
                }
                return Ok(Some(checked(&self.carried)));
            }
        }
    }
}

fn checked(line: &[u8]) -> Line<'_> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.len() > MAX_LINE { Line::TooLong } else { Line::Whole(line) }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use proptest::prelude::*;

    use super::*;

    fn all(bytes: &[u8], buffer: usize) -> Vec<Option<Vec<u8>>> {
        let mut lines = Lines::new(BufReader::with_capacity(buffer, bytes));
        let mut out = Vec::new();
        while let Some(line) = lines.next_line().unwrap() {
            out.push(match line {
                Line::Whole(line) => Some(line.to_vec()),
                Line::TooLong => None,
            });
        }
        assert_eq!(lines.bytes(), bytes.len() as u64);
        out
    }

    #[test]
    fn a_line_that_is_too_long_costs_only_itself() {
        let mut bytes = vec![b'x'; MAX_LINE * 3];
        bytes.extend_from_slice(b"\nshort\nlast");
        for buffer in [7, 1000, MAX_LINE * 4] {
            assert_eq!(
                all(&bytes, buffer),
                [None, Some(b"short".to_vec()), Some(b"last".to_vec())],
                "{buffer}"
            );
        }
    }

    proptest! {
        #[test]
        fn lines_are_those_of_split(text in "[ab\\n\\r]{0,60}", buffer in 1_usize..20) {
            let mut expected: Vec<_> = text.split('\n').collect();
            if expected.last() == Some(&"") {
                expected.pop();
            }
            let whole = |line: &str| Some(line.strip_suffix('\r').unwrap_or(line).as_bytes().to_vec());
            let expected: Vec<_> = expected.into_iter().map(whole).collect();
            let found = all(text.as_bytes(), buffer);
            prop_assert_eq!(found, expected);
        }
    }
}
