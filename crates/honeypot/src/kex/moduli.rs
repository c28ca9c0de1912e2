//! Primes of a group exchange, as sshd reads them from its moduli file (moduli(5)).

use std::borrow::Cow;

use super::{Group, Prime, Refused};
use crate::random;

/// The primes of a moduli file. Without any, those of RFC 3526 are used, which an sshd without the file has, too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moduli {
    entries: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    generator: u8,
    /// Big-endian.
    prime: Vec<u8>,
}

impl Entry {
    fn bits(&self) -> u32 {
        self.prime.len() as u32 * 8
    }
}

/// A line that is none of a moduli file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "line {line} is none of a moduli file: time, type, tests, tries, size, generator and modulus (see moduli(5))"
)]
pub struct BadModuli {
    /// Counted from 1.
    pub line: usize,
}

impl Moduli {
    /// From a file's text: `/etc/ssh/moduli`. Entries that sshd passes over are passed over: no safe primes, not tested,
    /// found composite.
    ///
    /// # Errors
    /// The first line that is none.
    pub fn parse(text: &str) -> Result<Self, BadModuli> {
        let mut entries = Vec::new();
        for (nth, line) in text.lines().enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (entry, is_used) = entry(line).ok_or(BadModuli { line: nth + 1 })?;
            entries.extend(is_used.then_some(entry));
        }
        Ok(Self { entries })
    }

    /// One of the smallest of at least `wanted` bits that are within the bounds, else of the largest within them (`choose_dh`
    /// of dh.c). `None` if none is.
    pub(crate) fn choose(
        &self,
        least: u32,
        wanted: u32,
        most: u32,
    ) -> Result<Option<Cow<'static, Prime>>, Refused> {
        if self.entries.is_empty() {
            let group = Group::of_size(least, wanted, most);
            return group.map(|group| group.prime().map(Cow::Borrowed)).transpose();
        }
        let sizes = || self.entries.iter().map(Entry::bits).filter(|bits| (least..=most).contains(bits));
        let best = sizes().filter(|bits| *bits >= wanted).min().or_else(|| sizes().max());
        let of_best: Vec<&Entry> = self.entries.iter().filter(|entry| Some(entry.bits()) == best).collect();
        let drawn = u64::from_le_bytes(random::bytes()?) % of_best.len().max(1) as u64;
        let prime =
            of_best.get(drawn as usize).and_then(|entry| Prime::new(entry.prime.clone(), entry.generator));
        Ok(prime.map(Cow::Owned))
    }
}

/// An entry, and does sshd use it?
fn entry(line: &str) -> Option<(Entry, bool)> {
    let mut fields = line.split_ascii_whitespace();
    let mut number = || fields.next()?.parse::<u64>().ok();
    let (_time, kind, tests, tries, size) = (number()?, number()?, number()?, number()?, number()?);
    let generator = u8::from_str_radix(fields.next()?, 16).ok()?;
    let prime = hex::decode(fields.next()?).ok()?;
    // The size is one less than the number of bits. All of them are whole bytes.
    let is_right = fields.next().is_none()
        && generator >= 2
        && (256..=1024).contains(&prime.len())
        && size + 1 == prime.len() as u64 * 8
        && prime[0] & 0x80 != 0
        && prime.last().is_some_and(|byte| byte & 1 == 1);
    // 2 is a safe prime; of the tests, 1 says composite.
    let is_used = kind == 2 && tests & 1 == 0 && tests != 0 && tries != 0;
    is_right.then_some((Entry { generator, prime }, is_used))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A line with the prime of group 14, made another by its low bytes.
    fn line(kind: u8, tests: u8, generator: u8, low: u8) -> String {
        let mut prime = Group::Modp2048.prime().unwrap().bytes().to_vec();
        *prime.last_mut().unwrap() = low | 1;
        format!("20220714110357 {kind} {tests} 100 2047 {generator:x} {}", hex::encode_upper(prime))
    }

    #[test]
    fn entries_are_chosen_by_size_and_at_random() {
        let text = format!("# comment\n{}\n{}\n{}\n", line(2, 6, 2, 3), line(2, 6, 5, 5), line(2, 7, 2, 7));
        let moduli = Moduli::parse(&text).unwrap();
        assert_eq!(moduli.entries.len(), 2);
        let chosen: std::collections::HashSet<u8> =
            (0..100).map(|_| moduli.choose(2048, 3072, 8192).unwrap().unwrap().generator()).collect();
        assert_eq!(chosen, [2, 5].into());
        assert!(moduli.choose(3072, 3072, 8192).unwrap().is_none());
        assert!(Moduli::default().choose(3072, 3072, 8192).unwrap().is_some());
    }

    #[test]
    fn a_line_that_is_none_is_named() {
        let text = format!("{}\n\n20220714110357 2 6 100 2047 2\n", line(2, 6, 2, 3));
        assert_eq!(Moduli::parse(&text), Err(BadModuli { line: 3 }));
        assert_eq!(Moduli::parse(&line(2, 6, 2, 3).replace("2047", "2048")), Err(BadModuli { line: 1 }));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC*", near in "[0-9]{1,3} 2 6 100 2047 [0-9a-f]{1,3} [0-9A-F]{0,600}") {
            let _ = Moduli::parse(&text);
            let _ = Moduli::parse(&near);
        }
    }
}
