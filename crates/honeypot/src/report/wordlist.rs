//! Word lists: a line each, the most frequent first, for whoever tests passwords against what is really tried.

use std::io::{self, Write};

use super::model::Row;

/// What was left out, and what could not stand in a line as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Words.
    pub words: u64,
    /// Of them those written as `$HEX[...]`.
    pub in_hex: u64,
    /// Hashes, which are no words.
    pub hashes: u64,
}

/// Writes words into lines.
#[derive(Debug)]
pub struct WordList<W> {
    out: W,
    written: Written,
}

impl<W: Write> WordList<W> {
    /// An empty list.
    pub fn new(out: W) -> Self {
        Self { out, written: Written::default() }
    }

    /// Writes a row's exact bytes: the password, the user name, or both with a colon between.
    ///
    /// A word that has a line feed, or would be read as something else, is written as `$HEX[...]`, which hashcat and john read.
    pub fn add(&mut self, row: &Row) -> io::Result<()> {
        if row.is_hash {
            self.written.hashes += 1;
            return Ok(());
        }
        self.written.words += 1;
        let user = row.user.as_deref();
        let parts = [user.unwrap_or_default(), if user.is_some() { b":" } else { b"" }, &row.value];
        let needs_hex = parts.iter().any(|part| part.iter().any(|byte| matches!(byte, b'\n' | b'\r')))
            || parts.concat().starts_with(b"$HEX[");
        if needs_hex {
            self.written.in_hex += 1;
            self.out.write_all(b"$HEX[")?;
            for byte in parts.iter().copied().flatten() {
                write!(self.out, "{byte:02x}")?;
            }
            return self.out.write_all(b"]\n");
        }
        for part in parts {
            self.out.write_all(part)?;
        }
        self.out.write_all(b"\n")
    }

    /// Writes what is still held back, and tells how much there was.
    pub fn finish(mut self) -> io::Result<Written> {
        self.out.flush()?;
        Ok(self.written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_a_line_of_its_exact_bytes() {
        let row = |user: Option<&str>, value: &[u8], is_hash| Row {
            user: user.map(Into::into),
            value: value.to_vec(),
            is_hash,
            count: 1,
        };
        let mut out = Vec::new();
        let mut list = WordList::new(&mut out);
        for row in [
            row(None, b"123456", false),
            row(None, b"p\xe4ss ", false),
            row(None, b"", false),
            row(None, b"two\nlines", false),
            row(None, b"$HEX[61]", false),
            row(Some("root"), b"a:b", false),
            row(None, b"3fa9", true),
        ] {
            list.add(&row).unwrap();
        }
        let written = list.finish().unwrap();
        assert_eq!(out, b"123456\np\xe4ss \n\n$HEX[74776f0a6c696e6573]\n$HEX[244845585b36315d]\nroot:a:b\n");
        assert_eq!(written, Written { words: 6, in_hex: 2, hashes: 1 });
    }
}
