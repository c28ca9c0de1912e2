//! The place of an entry in a journal, as libsystemd writes it: text that is kept between runs.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A cursor, taken apart. Printed, it is what the library accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Which sequence of numbers: each host, or each start of a host's journal, has its own.
    pub sequence: u128,
    /// The number of the entry in it.
    pub number: u64,
    /// The boot of the host that wrote the entry.
    pub boot: u128,
    /// The host's clock since that boot, in microseconds.
    pub monotonic: u64,
    /// When it was written, in microseconds since 1970.
    pub realtime: u64,
    /// The XOR of the hashes of its fields.
    pub hash: u64,
}

/// It is not a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor of a journal: no {missing} in it (\"s=…;i=…;b=…;m=…;t=…;x=…\", each in hexadecimal)")]
pub struct CursorError {
    /// The part that is missing or is no number.
    pub missing: &'static str,
}

impl Cursor {
    /// When the entry was written, since 1970.
    pub fn written(&self) -> Duration {
        Duration::from_micros(self.realtime)
    }

    /// Were other entries between the two, as far as their numbers tell? False where they cannot be compared. Numbers
    /// may be missing although nothing was lost: entries of users' journals have numbers of the same sequence.
    pub fn leaves_a_gap_to(&self, next: &Self) -> bool {
        self.sequence == next.sequence && next.number > self.number.saturating_add(1)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sequence, number, boot, monotonic, realtime, hash } = self;
        write!(f, "s={sequence:032x};i={number:x};b={boot:032x};m={monotonic:x};t={realtime:x};x={hash:x}")
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let part = |key: &'static str| {
            let value = text.split(';').find_map(|part| part.strip_prefix(key)?.strip_prefix('='));
            let digits = value.filter(|digits| !digits.starts_with('+'));
            digits
                .and_then(|digits| u128::from_str_radix(digits, 16).ok())
                .ok_or(CursorError { missing: key })
        };
        let short = |key| u64::try_from(part(key)?).map_err(|_| CursorError { missing: key });
        Ok(Self {
            sequence: part("s")?,
            number: short("i")?,
            boot: part("b")?,
            monotonic: short("m")?,
            realtime: short("t")?,
            hash: short("x")?,
        })
    }
}

/// Any bytes as a cursor: for fuzzing.
///
/// # Panics
///
/// If a cursor that was read is printed otherwise than it can be read.
#[doc(hidden)]
pub fn fuzz_cursor(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(cursor) = text.parse::<Cursor>() {
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_cursor_of_journald_is_read_and_written() {
        let text = "s=c0d9f44cba3441f884c6d1ad21853675;i=161;b=e206869ed1174622a80e3fb595ec0d7a;m=3affa57c;\
                    t=660c58cd9c46c;x=c19f18259966c9fb";
        let cursor: Cursor = text.parse().unwrap();
        assert_eq!((cursor.number, cursor.realtime), (0x161, 1_795_251_448_169_580));
        assert_eq!(cursor.to_string(), text);
        assert_eq!("s=0;i=0".parse::<Cursor>(), Err(CursorError { missing: "b" }));
        assert_eq!("s=+1".parse::<Cursor>(), Err(CursorError { missing: "s" }));
    }

    #[test]
    fn a_gap_is_seen_within_one_sequence_only() {
        let at = |sequence, number| Cursor { sequence, number, boot: 0, monotonic: 0, realtime: 0, hash: 0 };
        assert!(at(1, 5).leaves_a_gap_to(&at(1, 7)));
        assert!(!at(1, 5).leaves_a_gap_to(&at(1, 6)));
        assert!(!at(1, 5).leaves_a_gap_to(&at(2, 7)));
    }

    proptest! {
        #[test]
        fn printed_then_read_it_is_the_same(
            sequence: u128, number: u64, boot: u128, monotonic: u64, realtime: u64, hash: u64,
        ) {
            let cursor = Cursor { sequence, number, boot, monotonic, realtime, hash };
            prop_assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }

        #[test]
        fn no_text_makes_it_panic(text in "([sibmtx]=[0-9a-f+;]{0,34};?){0,8}|\\PC{0,40}") {
            fuzz_cursor(text.as_bytes());
        }
    }
}
