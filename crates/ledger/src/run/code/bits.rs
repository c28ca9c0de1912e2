//! Bits and variable-length numbers, the least significant first.

use super::{Corrupt, PADDING};

/// Appends bits to bytes.
pub(super) struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    held: u64,
    count: u32,
}

impl<'a> BitWriter<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, held: 0, count: 0 }
    }

    /// The lowest `count` bits of `bits`, of which the others must be 0. Hot: guarded by the `storage` bench.
    #[inline]
    pub(super) fn put(&mut self, bits: u64, count: u32) {
        debug_assert!(count == 64 || bits >> count == 0);
        self.held |= bits << self.count;
        if self.count + count < 64 {
            self.count += count;
            return;
        }
        self.out.extend_from_slice(&self.held.to_le_bytes());
        let taken = 64 - self.count;
        self.held = if taken == 64 { 0 } else { bits >> taken };
        self.count = count - taken;
    }

    /// A number of at least 1: its length in zeros, then itself (Elias' gamma code).
    pub(super) fn put_gamma(&mut self, n: u32) {
        let length = n.ilog2();
        self.put(1 << length, length + 1);
        self.put(u64::from(n) & ((1 << length) - 1), length);
    }

    pub(super) fn finish(self) {
        let bytes = self.count.div_ceil(8) as usize;
        self.out.extend_from_slice(&self.held.to_le_bytes()[..bytes]);
    }
}

/// Reads bits out of bytes that are followed by [`PADDING`]. Reading past the end gives garbage, which
/// [`BitReader::is_within`] tells afterwards: the loop needs no branch for it.
#[derive(Clone, Copy)]
pub(super) struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
    end: usize,
}

impl<'a> BitReader<'a> {
    /// `padded` holds `length` bytes and the padding.
    pub(super) fn new(padded: &'a [u8], length: usize) -> Result<Self, Corrupt> {
        if padded.len() < length + PADDING {
            return Err(Corrupt("bits are cut off"));
        }
        Ok(Self { bytes: padded, at: 0, end: length * 8 })
    }

    /// At most 64 bits. Hot.
    #[inline]
    pub(super) fn take(&mut self, count: u32) -> u64 {
        if count > 56 {
            let low = self.take(32);
            return low | self.take(count - 32) << 32;
        }
        let byte = self.at >> 3;
        let word = match self.bytes.get(byte..byte + 8) {
            Some(eight) => u64::from_le_bytes(eight.try_into().expect("eight bytes")),
            None => 0,
        };
        let bits = (word >> (self.at & 7)) & ((1 << count) - 1);
        self.at += count as usize;
        bits
    }

    pub(super) fn take_gamma(&mut self) -> Result<u32, Corrupt> {
        let mut length = 0;
        while self.take(1) == 0 {
            length += 1;
            if length > 20 {
                return Err(Corrupt("a number in a table is too large"));
            }
        }
        Ok(1 << length | self.take(length) as u32)
    }

    /// Was everything that was read there?
    pub(super) fn is_within(&self) -> bool {
        self.at <= self.end
    }

    /// Bytes read so far, the last one rounded up.
    pub(super) fn bytes_read(&self) -> usize {
        self.at.div_ceil(8)
    }
}

/// Seven bits a byte, the highest bit set on all but the last byte.
pub(in super::super) fn put_varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// Takes a number off the front of `bytes`.
pub(in super::super) fn take_varint(bytes: &mut &[u8]) -> Result<u64, Corrupt> {
    let mut n = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first().ok_or(Corrupt("a number is cut off"))?;
        *bytes = rest;
        n |= u64::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return Ok(n);
        }
    }
    Err(Corrupt("a number is too long"))
}

/// A signed number: 0, −1, 1, −2, … as 0, 1, 2, 3, …
pub(in super::super) fn put_zigzag(out: &mut Vec<u8>, n: i64) {
    put_varint(out, (n << 1 ^ n >> 63) as u64);
}

/// The inverse of [`put_zigzag`].
pub(in super::super) fn take_zigzag(bytes: &mut &[u8]) -> Result<i64, Corrupt> {
    let n = take_varint(bytes)?;
    Ok((n >> 1) as i64 ^ -((n & 1) as i64))
}
