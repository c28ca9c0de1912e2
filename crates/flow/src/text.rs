//! Short texts without the heap and without the formatting machinery: lists of a million flows are made of them.

use std::fmt;

/// Room for the longest: an IPv6 endpoint, `[xxxx:xxxx:xxxx:xxxx:xxxx:xxxx:xxxx:xxxx]:65535`.
const ROOM: usize = 48;

/// A short ASCII text, such as a time or an endpoint.
#[derive(Clone, Copy)]
pub struct Text {
    bytes: [u8; ROOM],
    length: usize,
}

impl Text {
    pub(crate) const fn new() -> Self {
        Self { bytes: [0; ROOM], length: 0 }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }

    /// Adds a character. What finds no room is left out; nothing that is written here is longer than the room.
    pub(crate) fn push(&mut self, byte: u8) {
        if let Some(free) = self.bytes.get_mut(self.length) {
            *free = byte;
            self.length += 1;
        }
    }

    /// Adds a number in decimal.
    pub(crate) fn number(&mut self, number: u16) {
        let digits = 1
            + usize::from(number > 9)
            + usize::from(number > 99)
            + usize::from(number > 999)
            + usize::from(number > 9999);
        self.padded(u32::from(number), digits);
    }

    /// Adds the last digits of a number, with zeros before it.
    pub(crate) fn padded(&mut self, mut number: u32, digits: usize) {
        let end = (self.length + digits).min(ROOM);
        for byte in self.bytes[self.length..end].iter_mut().rev() {
            *byte = b'0' + (number % 10) as u8;
            number /= 10;
        }
        self.length = end;
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length + text.len();
        self.bytes.get_mut(self.length..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_digits_and_no_more() {
        for number in [0, 9, 10, 99, 100, 999, 1000, 9999, 10_000, u16::MAX] {
            let mut text = Text::new();
            text.number(number);
            assert_eq!(text.as_str(), number.to_string());
        }
    }

    #[test]
    fn what_finds_no_room_is_left_out() {
        let mut text = Text::new();
        (0..100).for_each(|_| text.padded(7, 3));
        text.push(b'x');
        assert_eq!(text.as_str(), "007".repeat(ROOM / 3));
    }
}
