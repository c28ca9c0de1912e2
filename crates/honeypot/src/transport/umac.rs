//! UMAC (RFC 4418) with tags of 64 and 128 bits, over messages of a packet's size.

use aes::Aes128;
use aes::cipher::{Array, BlockCipherEncrypt, KeyInit};

/// Bytes that one NH key hashes (`L1` of the RFC).
const CHUNK: usize = 1024;
/// 2^36 - 5.
const PRIME_36: u64 = 0x000f_ffff_fffb;
/// 2^64 - 59.
const PRIME_64: u64 = 0xffff_ffff_ffff_ffc5;

/// A key, spread out.
pub(super) struct Umac {
    pad: Aes128,
    /// 64-bit words of the tag: 1 or 2, each of two streams.
    streams: Vec<Stream>,
    /// The NH key, of which each stream uses 1024 bytes, the next from 16 bytes on.
    nh: Vec<u32>,
}

/// What hashes 32 bits of the tag.
struct Stream {
    poly: u64,
    inner: [u64; 8],
    last: u32,
}

impl Umac {
    /// `tag` is 8 or 16 bytes.
    pub(super) fn new(key: &[u8; 16], tag: usize) -> Self {
        let iterations = tag / 4;
        let cipher = Aes128::new(&Array::from(*key));
        let nh = derive(&cipher, 1, CHUNK + (iterations - 1) * 16);
        let poly = derive(&cipher, 2, iterations * 24);
        let inner = derive(&cipher, 3, iterations * 64);
        let last = derive(&cipher, 4, iterations * 4);
        let mut pad_key = [0; 16];
        pad_key.copy_from_slice(&derive(&cipher, 0, 16));
        let words = |bytes: &[u8]| bytes.as_chunks::<4>().0.iter().map(|w| u32::from_be_bytes(*w)).collect();
        let longs = |bytes: &[u8]| -> Vec<u64> {
            bytes.as_chunks::<8>().0.iter().map(|w| u64::from_be_bytes(*w)).collect()
        };
        let (poly, inner, last): (_, _, Vec<u32>) = (longs(&poly), longs(&inner), words(&last));
        let streams = (0..iterations)
            .map(|i| Stream {
                poly: poly[i * 3] & 0x01ff_ffff_01ff_ffff,
                inner: std::array::from_fn(|word| inner[i * 8 + word] % PRIME_36),
                last: last[i],
            })
            .collect();
        Self { pad: Aes128::new(&Array::from(pad_key)), streams, nh: words(&nh) }
    }

    /// Length of a tag in bytes.
    pub(super) fn tag_length(&self) -> usize {
        self.streams.len() * 4
    }

    /// The tag of `message`, which is at most 16 MiB long (beyond, the RFC has another polynomial).
    pub(super) fn tag(&self, nonce: u64, message: &[u8], out: &mut [u8; 64]) {
        let short = self.streams.len() == 2;
        let mut block = [0; 16];
        // A 64-bit tag is half a block: the nonce's lowest bit says which.
        let block_nonce = if short { nonce & !1 } else { nonce };
        block[..8].copy_from_slice(&block_nonce.to_be_bytes());
        let mut block = Array::from(block);
        self.pad.encrypt_block(&mut block);
        let pad = if short && nonce & 1 == 1 { &block[8..] } else { &block[..] };
        for (i, stream) in self.streams.iter().enumerate() {
            let hash = stream.hash(&self.nh[i * 4..i * 4 + CHUNK / 4], message);
            for (at, byte) in hash.to_be_bytes().into_iter().enumerate() {
                out[i * 4 + at] = byte ^ pad[i * 4 + at];
            }
        }
    }
}

/// The RFC's KDF: counter mode over an index.
fn derive(cipher: &Aes128, index: u8, length: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(length + 16);
    let mut counter = 1u64;
    while out.len() < length {
        let mut block = [0; 16];
        block[7] = index;
        block[8..].copy_from_slice(&counter.to_be_bytes());
        let mut block = Array::from(block);
        cipher.encrypt_block(&mut block);
        out.extend_from_slice(&block);
        counter += 1;
    }
    out.truncate(length);
    out
}

impl Stream {
    fn hash(&self, nh_key: &[u32], message: &[u8]) -> u32 {
        let value = if message.len() <= CHUNK {
            u128::from(nh(nh_key, message))
        } else {
            let mut y = 1;
            for chunk in message.chunks(CHUNK) {
                y = self.step(y, nh(nh_key, chunk));
            }
            u128::from(y)
        };
        let mut sum = 0u64;
        for (word, key) in value.to_be_bytes().as_chunks::<2>().0.iter().zip(self.inner) {
            sum = (sum + u64::from(u16::from_be_bytes(*word)) * key) % PRIME_36;
        }
        sum as u32 ^ self.last
    }

    /// One word of the polynomial; words that are no residues are marked and moved.
    fn step(&self, y: u64, word: u64) -> u64 {
        let modulo = |y: u64, add: u64| {
            ((u128::from(self.poly) * u128::from(y) + u128::from(add)) % u128::from(PRIME_64)) as u64
        };
        if word >= 0xffff_ffff_0000_0000 {
            modulo(modulo(y, PRIME_64 - 1), word - 59)
        } else {
            modulo(y, word)
        }
    }
}

/// NH of up to 1024 bytes, the length in bits added.
fn nh(key: &[u32], message: &[u8]) -> u64 {
    let mut sum = (message.len() as u64) * 8;
    let mut block = |bytes: &[u8; 32], key: &[u32]| {
        for i in 0..4 {
            let word =
                |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
            let left = word(i * 4).wrapping_add(key[i]);
            let right = word(i * 4 + 16).wrapping_add(key[i + 4]);
            sum = sum.wrapping_add(u64::from(left) * u64::from(right));
        }
    };
    let (whole, rest) = message.as_chunks::<32>();
    for (i, bytes) in whole.iter().enumerate() {
        block(bytes, &key[i * 8..i * 8 + 8]);
    }
    if !rest.is_empty() || message.is_empty() {
        let mut padded = [0; 32];
        padded[..rest.len()].copy_from_slice(rest);
        block(&padded, &key[whole.len() * 8..whole.len() * 8 + 8]);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4418, appendix.
    #[test]
    fn tags_are_those_of_the_rfc() {
        let umac = Umac::new(b"abcdefghijklmnop", 8);
        let nonce = u64::from_be_bytes(*b"bcdefghi");
        let tag = |message: &[u8]| {
            let mut out = [0; 64];
            umac.tag(nonce, message, &mut out);
            hex::encode_upper(&out[..8])
        };
        assert_eq!(tag(b""), "6E155FAD26900BE1");
        assert_eq!(tag(b"aaa"), "44B5CB542F220104");
        assert_eq!(tag(&[b'a'; 1 << 10]), "26BF2F5D60118BD9");
        assert_eq!(tag(&vec![b'a'; 1 << 15]), "27F8EF643B0D118D");
        assert_eq!(tag(&vec![b'a'; 1 << 20]), "A4477E87E9F55853");
        assert_eq!(tag(b"abc"), "D4D7B9F6BD4FBFCF");
        assert_eq!(tag(&b"abc".repeat(500)), "D4CF26DDEFD5C01A");
    }
}
