//! Frames: the checksummed pieces that the journal and the coverage file are made of.
//!
//! ```text
//! frame := magic(4) length(u32) crc(u32) payload(length)     little-endian; crc = CRC-32 of length and payload
//! ```
//!
//! A frame says enough to be found again behind damage: the reader looks for the next magic whose checksum holds.

use std::fs::File;
use std::io::{self, Read};

/// Begins every frame. 0xf5 is in no UTF-8 text, so text cannot look like one.
pub(crate) const MAGIC: [u8; 4] = [0xf5, b'U', b'M', b'Q'];
/// Bytes before the payload.
pub(crate) const HEAD: usize = 12;
/// No payload is longer. A length beyond it is damage, not a reason to wait for more bytes.
pub(crate) const MAX_PAYLOAD: usize = 1 << 20;

/// Fills in the head of a frame whose payload begins `HEAD` bytes after `start`.
pub(crate) fn close(out: &mut [u8], start: usize) {
    let (head, payload) = out[start..].split_at_mut(HEAD);
    let length = (payload.len() as u32).to_le_bytes();
    head[..4].copy_from_slice(&MAGIC);
    head[4..8].copy_from_slice(&length);
    head[8..].copy_from_slice(&checksum(length, payload).to_le_bytes());
}

/// A payload as a frame.
pub(crate) fn wrap(payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0; HEAD];
    out.extend_from_slice(payload);
    close(&mut out, 0);
    out
}

/// Where the last frame ends that lies wholly within the first `limit` bytes. `bytes` are whole frames.
pub(crate) fn whole_before(bytes: &[u8], limit: usize) -> usize {
    let mut end = 0;
    while let Some(length) = bytes.get(end + 4..end + 8).and_then(|b| b.try_into().ok()) {
        let next = end + HEAD + u32::from_le_bytes(length) as usize;
        if next > limit {
            break;
        }
        end = next;
    }
    end
}

fn checksum(length: [u8; 4], payload: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&length);
    crc.update(payload);
    crc.finalize()
}

/// What a reader comes upon.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// A whole frame and where it begins.
    Frame {
        /// Its first byte's place in the file.
        offset: u64,
        /// What it holds.
        payload: &'a [u8],
    },
    /// Bytes that are no frame, with a frame behind them.
    Damage {
        /// Place of the first.
        from: u64,
        /// Place behind the last.
        to: u64,
    },
    /// Bytes at the end that are no frame: a write that was cut short, or is being made just now.
    Tail {
        /// Place of the first.
        from: u64,
        /// Place behind the last.
        to: u64,
    },
}

enum Look {
    Whole(usize),
    More(usize),
    No,
}

/// Reads frames from a file in bounded memory.
#[derive(Debug)]
pub(crate) struct Reader<R = File> {
    source: R,
    buffer: Vec<u8>,
    /// Place in the file of `buffer[0]`.
    base: u64,
    at: usize,
    is_at_end: bool,
}

impl<R: Read> Reader<R> {
    pub(crate) fn new(source: R) -> Self {
        Self { source, buffer: Vec::new(), base: 0, at: 0, is_at_end: false }
    }

    fn look(bytes: &[u8]) -> Look {
        let Some((head, rest)) = bytes.split_first_chunk::<HEAD>() else {
            let same = bytes.len().min(MAGIC.len());
            return if bytes[..same] == MAGIC[..same] { Look::More(HEAD) } else { Look::No };
        };
        let [m0, m1, m2, m3, l0, l1, l2, l3, c0, c1, c2, c3] = *head;
        let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        if [m0, m1, m2, m3] != MAGIC || length > MAX_PAYLOAD {
            return Look::No;
        }
        match rest.get(..length) {
            None => Look::More(HEAD + length),
            Some(payload) if checksum([l0, l1, l2, l3], payload) == u32::from_le_bytes([c0, c1, c2, c3]) => {
                Look::Whole(length)
            }
            Some(_) => Look::No,
        }
    }

    /// Makes at least `count` bytes available behind `at`, if the file has them.
    fn fill(&mut self, count: usize) -> io::Result<()> {
        const STEP: usize = 256 << 10;
        if self.at > 0 && self.buffer.len() + count.max(STEP) > self.buffer.capacity() {
            self.buffer.drain(..self.at);
            self.base += self.at as u64;
            self.at = 0;
        }
        while !self.is_at_end && self.buffer.len() - self.at < count {
            let before = self.buffer.len();
            self.buffer.resize(before + count.max(STEP), 0);
            match self.source.read(&mut self.buffer[before..]) {
                Ok(n) => {
                    self.buffer.truncate(before + n);
                    self.is_at_end = n == 0;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => self.buffer.truncate(before),
                Err(error) => {
                    self.buffer.truncate(before);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// The next piece, or nothing at the end.
    pub(crate) fn next(&mut self) -> io::Result<Option<Piece<'_>>> {
        let mut damage: Option<u64> = None;
        loop {
            self.fill(HEAD)?;
            let place = self.base + self.at as u64;
            if self.at == self.buffer.len() {
                return Ok(damage.map(|from| Piece::Tail { from, to: place }));
            }
            match Self::look(&self.buffer[self.at..]) {
                Look::Whole(length) => {
                    if let Some(from) = damage {
                        return Ok(Some(Piece::Damage { from, to: place }));
                    }
                    let start = self.at + HEAD;
                    self.at = start + length;
                    return Ok(Some(Piece::Frame {
                        offset: place,
                        payload: &self.buffer[start..start + length],
                    }));
                }
                Look::More(wanted) if !self.is_at_end && self.buffer.len() - self.at < wanted => {
                    self.fill(wanted)?;
                }
                Look::More(_) | Look::No => {
                    damage.get_or_insert(place);
                    // On to the next byte that can begin a frame.
                    let rest = &self.buffer[self.at + 1..];
                    self.at += 1 + rest.iter().position(|b| *b == MAGIC[0]).unwrap_or(rest.len());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Frames, damage, tail.
    type Pieces = (Vec<Vec<u8>>, Vec<(u64, u64)>, Option<(u64, u64)>);

    fn read(bytes: &[u8]) -> Pieces {
        let (mut frames, mut damage, mut tail) = (Vec::new(), Vec::new(), None);
        let mut reader = Reader::new(bytes);
        while let Some(piece) = reader.next().unwrap() {
            match piece {
                Piece::Frame { payload, .. } => frames.push(payload.to_vec()),
                Piece::Damage { from, to } => damage.push((from, to)),
                Piece::Tail { from, to } => tail = Some((from, to)),
            }
        }
        (frames, damage, tail)
    }

    #[test]
    fn damage_in_the_middle_costs_one_frame() {
        let mut bytes: Vec<u8> = [b"one".as_slice(), b"two", b"three"].iter().flat_map(|p| wrap(p)).collect();
        bytes[HEAD + 3 + HEAD] ^= 1;
        let (frames, damage, tail) = read(&bytes);
        assert_eq!(frames, [b"one".to_vec(), b"three".to_vec()]);
        assert_eq!((damage, tail), (vec![(15, 30)], None));
    }

    #[test]
    fn a_length_that_lies_beyond_the_end_hides_no_later_frame() {
        let mut bytes: Vec<u8> = [b"one".as_slice(), b"two", b"three"].iter().flat_map(|p| wrap(p)).collect();
        bytes[15 + 6] = 0x0f;
        assert_eq!(read(&bytes).0, [b"one".to_vec(), b"three".to_vec()]);
    }

    proptest! {
        #[test]
        fn every_frame_before_a_cut_is_read(payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..20), cut: prop::sample::Index) {
            let mut ends = vec![0];
            let mut bytes = Vec::new();
            for payload in &payloads {
                bytes.extend(wrap(payload));
                ends.push(bytes.len());
            }
            let cut = cut.index(bytes.len() + 1);
            let whole = ends.iter().filter(|end| **end <= cut).count() - 1;
            let (frames, damage, tail) = read(&bytes[..cut]);
            prop_assert_eq!(&frames[..], &payloads[..whole]);
            prop_assert!(damage.is_empty());
            prop_assert_eq!(tail.is_some(), ends[whole] != cut);
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(prop_oneof![Just(0xf5), Just(b'U'), Just(b'M'), Just(b'Q'), any::<u8>()], 0..400)) {
            read(&bytes);
        }
    }
}
