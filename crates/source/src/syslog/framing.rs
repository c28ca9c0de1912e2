//! Messages in a stream (RFC 6587): each with its length before it, or with a line end after it; both can alternate.

/// Most bytes of a message over TCP. Times [`super::streams::MOST_CONNECTIONS`] this is what strangers can make us hold.
pub(super) const MOST_MESSAGE: usize = 64 << 10;

/// The messages of one connection.
#[derive(Debug, Default)]
pub(super) struct Framing {
    bytes: Vec<u8>,
    /// Where the next message begins.
    at: usize,
    skip: Skip,
}

/// What is left of a message that was cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Skip {
    #[default]
    Nothing,
    Bytes(u64),
    /// All up to the line end.
    Line,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message<'m> {
    pub(super) bytes: &'m [u8],
    pub(super) is_cut: bool,
}

/// How the next message is delimited.
enum Delimiter {
    /// Bytes of the length's text, and the length.
    Length(usize, u64),
    Line,
    Unknown,
}

impl Framing {
    /// Room for more; what was given is dropped.
    pub(super) fn room(&mut self) -> &mut Vec<u8> {
        self.bytes.drain(..self.at);
        self.at = 0;
        &mut self.bytes
    }

    /// The next message; `is_end`: nothing more will come.
    pub(super) fn next(&mut self, is_end: bool) -> Option<Message<'_>> {
        self.pass_skipped();
        let unread = &self.bytes[self.at..];
        self.at += unread.iter().take_while(|byte| matches!(byte, b'\n' | b'\r' | b' ' | 0)).count();
        let unread = &self.bytes[self.at..];
        if unread.is_empty() || self.skip != Skip::Nothing {
            return None;
        }
        let (header, length, next, is_cut) = match delimiter(unread) {
            Delimiter::Unknown if !is_end => return None,
            Delimiter::Length(header, length) => {
                let wanted = usize::try_from(length).unwrap_or(usize::MAX).min(MOST_MESSAGE);
                let there = unread.len() - header;
                if there < wanted && !is_end {
                    return None;
                }
                self.skip = Skip::Bytes(length - wanted as u64);
                let given = wanted.min(there);
                (header, given, header + given, (given as u64) < length)
            }
            Delimiter::Line | Delimiter::Unknown => match memchr::memchr2(b'\n', 0, unread) {
                Some(end) if end <= MOST_MESSAGE => (0, end, end + 1, false),
                Some(end) => (0, MOST_MESSAGE, end + 1, true),
                None if unread.len() > MOST_MESSAGE => {
                    self.skip = Skip::Line;
                    (0, MOST_MESSAGE, unread.len(), true)
                }
                None if is_end => (0, unread.len(), unread.len(), false),
                None => return None,
            },
        };
        let start = self.at + header;
        self.at += next;
        Some(Message { bytes: super::datagrams::trim_end(&self.bytes[start..start + length]), is_cut })
    }

    fn pass_skipped(&mut self) {
        let unread = &self.bytes[self.at..];
        match self.skip {
            Skip::Nothing => {}
            Skip::Bytes(left) => {
                let passed = unread.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                self.at += passed;
                let left = left - passed as u64;
                self.skip = if left == 0 { Skip::Nothing } else { Skip::Bytes(left) };
            }
            Skip::Line => match memchr::memchr2(b'\n', 0, unread) {
                Some(end) => {
                    self.at += end + 1;
                    self.skip = Skip::Nothing;
                }
                None => self.at = self.bytes.len(),
            },
        }
    }
}

/// A length is decimal, without leading zeros, and followed by a blank.
fn delimiter(unread: &[u8]) -> Delimiter {
    let digits = unread.iter().take(11).take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 || digits > 10 || unread[0] == b'0' {
        return Delimiter::Line;
    }
    match unread.get(digits) {
        Some(b' ') => {
            let length = unread[..digits].iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
            Delimiter::Length(digits + 1, length)
        }
        Some(_) => Delimiter::Line,
        None => Delimiter::Unknown,
    }
}

/// For fuzzing: any stream, in pieces of any size, gives the same messages as in one piece.
///
/// # Panics
/// If it does not.
pub fn fuzz_stream(data: &[u8]) {
    let Some((&size, data)) = data.split_first() else { return };
    assert_eq!(
        messages(data, data.len().max(1)),
        messages(data, usize::from(size).max(1)),
        "pieces of {size} bytes"
    );
}

fn messages(data: &[u8], size: usize) -> Vec<(Vec<u8>, bool)> {
    let mut framing = Framing::default();
    let mut found = Vec::new();
    for piece in data.chunks(size) {
        framing.room().extend_from_slice(piece);
        while let Some(message) = framing.next(false) {
            found.push((message.bytes.to_vec(), message.is_cut));
        }
    }
    while let Some(message) = framing.next(true) {
        found.push((message.bytes.to_vec(), message.is_cut));
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(data: &[u8], size: usize) -> Vec<(String, bool)> {
        let found = messages(data, size).into_iter();
        found.map(|(bytes, is_cut)| (String::from_utf8(bytes).unwrap(), is_cut)).collect()
    }

    #[test]
    fn both_framings_are_understood_in_one_stream() {
        let data = b"5 <1>ab<2>c\n\n5 <3>\nd\n<4>e\x002026-11-21T08:57:28Z f\n9 half";
        let whole = |text: &str| (text.to_owned(), false);
        let expected = [
            whole("<1>ab"),
            whole("<2>c"),
            whole("<3>\nd"),
            whole("<4>e"),
            whole("2026-11-21T08:57:28Z f"),
            ("half".to_owned(), true),
        ];
        for size in [1, 2, 7, 1000] {
            assert_eq!(texts(data, size), expected, "pieces of {size}");
        }
    }

    #[test]
    fn a_message_that_is_too_long_is_cut_and_the_next_is_whole() {
        let long = "x".repeat(MOST_MESSAGE + 5);
        for data in [format!("{long}\n<1>a\n"), format!("{} {long}<1>a\n", long.len())] {
            for size in [1000, 1_000_000] {
                let found = texts(data.as_bytes(), size);
                assert_eq!(found.len(), 2);
                assert_eq!((found[0].0.len(), found[0].1), (MOST_MESSAGE, true));
                assert_eq!(found[1], ("<1>a".to_owned(), false));
            }
        }
    }

    proptest! {
        #[test]
        fn the_size_of_reads_makes_no_difference(
            data in proptest::collection::vec(prop_oneof![
                3 => b'0'..=b'9', 2 => Just(b' '), 2 => Just(b'\n'), 2 => Just(b'<'), 1 => any::<u8>(),
            ], 0..100),
            size in 1usize..20,
        ) {
            prop_assert_eq!(messages(&data, data.len().max(1)), messages(&data, size));
        }
    }
}
