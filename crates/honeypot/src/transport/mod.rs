//! Packets under keys (RFC 4253, section 6; RFC 5647; OpenSSH's PROTOCOL and PROTOCOL.chacha20poly1305).
//!
//! The same on both sides: a server seals with the keys to the client and opens with those to the server, a client the
//! other way round.

mod names;
mod umac;

use aes::cipher::{KeyIvInit, StreamCipher};
use ring::aead::chacha20_poly1305_openssh as chacha;
use ring::{aead, digest, hmac};
use unmasq_ssh::frame;
use unmasq_ssh::wire::Write;

use crate::random::{self, NoRandomness};
use names::{Cipher, Mac, MacHash};
pub(crate) use names::{is_cipher, is_compression, is_mac};
use umac::Umac;

/// What a key exchange gives, and keys are derived from (RFC 4253, section 7.2).
pub(crate) struct Secrets {
    /// K, encoded as it enters hashes: an `mpint`, or a `string` of the hybrid methods.
    pub(crate) shared: Vec<u8>,
    /// H.
    pub(crate) exchange_hash: Vec<u8>,
    /// The first exchange's H.
    pub(crate) session: Vec<u8>,
    /// The method's hash.
    pub(crate) hash: &'static digest::Algorithm,
}

/// A direction. Which letters its keys have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Toward {
    /// From the client.
    Server,
    /// From the server.
    Client,
}

impl Secrets {
    fn derive(&self, letter: u8, length: usize) -> Vec<u8> {
        let mut key = Vec::with_capacity(length + self.hash.output_len());
        while key.len() < length {
            let mut hash = digest::Context::new(self.hash);
            hash.update(&self.shared);
            hash.update(&self.exchange_hash);
            if key.is_empty() {
                hash.update(&[letter]);
                hash.update(&self.session);
            } else {
                hash.update(&key);
            }
            key.extend(hash.finish().as_ref());
        }
        key.truncate(length);
        key
    }
}

/// A cipher or MAC was asked for that cannot be spoken: profiles are checked, so negotiation never gives one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a cipher or MAC was negotiated that cannot be spoken")]
pub(crate) struct NotSpoken;

enum Keys<ChaCha> {
    Clear,
    ChaCha(Box<ChaCha>),
    Gcm { key: Box<aead::LessSafeKey>, nonce: [u8; 12] },
    Ctr { stream: Ctr, mac: MacKey },
}

enum Ctr {
    Aes128(Box<ctr::Ctr128BE<aes::Aes128>>),
    Aes192(Box<ctr::Ctr128BE<aes::Aes192>>),
    Aes256(Box<ctr::Ctr128BE<aes::Aes256>>),
}

impl Ctr {
    fn new(key: &[u8], iv: &[u8]) -> Option<Self> {
        Some(match key.len() {
            16 => Self::Aes128(Box::new(KeyIvInit::new_from_slices(key, iv).ok()?)),
            24 => Self::Aes192(Box::new(KeyIvInit::new_from_slices(key, iv).ok()?)),
            _ => Self::Aes256(Box::new(KeyIvInit::new_from_slices(key, iv).ok()?)),
        })
    }

    fn apply(&mut self, bytes: &mut [u8]) {
        match self {
            Self::Aes128(stream) => stream.apply_keystream(bytes),
            Self::Aes192(stream) => stream.apply_keystream(bytes),
            Self::Aes256(stream) => stream.apply_keystream(bytes),
        }
    }
}

struct MacKey {
    hash: MacState,
    is_etm: bool,
}

enum MacState {
    Hmac(Box<hmac::Key>),
    Umac(Box<Umac>),
}

impl MacKey {
    fn new(mac: Mac, key: &[u8]) -> Option<Self> {
        let hash = match mac.hash {
            MacHash::Hmac(algorithm) => MacState::Hmac(Box::new(hmac::Key::new(algorithm, key))),
            MacHash::Umac(tag) => MacState::Umac(Box::new(Umac::new(key.try_into().ok()?, tag))),
        };
        Some(Self { hash, is_etm: mac.is_etm })
    }

    fn tag_length(&self) -> usize {
        match &self.hash {
            MacState::Hmac(key) => key.algorithm().digest_algorithm().output_len(),
            MacState::Umac(umac) => umac.tag_length(),
        }
    }

    /// The tag, at the front of `out`.
    fn tag(&self, sequence: u32, bytes: &[u8], out: &mut [u8; 64]) {
        match &self.hash {
            MacState::Hmac(key) => {
                let mut context = hmac::Context::with_key(key);
                context.update(&sequence.to_be_bytes());
                context.update(bytes);
                let tag = context.sign();
                out[..tag.as_ref().len()].copy_from_slice(tag.as_ref());
            }
            MacState::Umac(umac) => umac.tag(u64::from(sequence), bytes, out),
        }
    }

    fn is_tag(&self, sequence: u32, bytes: &[u8], tag: &[u8]) -> bool {
        let mut right = [0; 64];
        self.tag(sequence, bytes, &mut right);
        // Nothing to be learned from the time that this takes: nobody gets in anyway.
        right[..self.tag_length()] == *tag
    }
}

/// What a key exchange has agreed on for one direction.
#[derive(Clone, Copy)]
pub(crate) struct Agreed<'a> {
    /// What keys are derived from.
    pub(crate) secrets: &'a Secrets,
    /// The direction.
    pub(crate) toward: Toward,
    /// Its algorithms.
    pub(crate) direction: &'a unmasq_ssh::Direction,
    /// Packets are counted anew from here on (OpenSSH's strict key exchange).
    pub(crate) is_strict: bool,
}

impl Agreed<'_> {
    /// The number of the first packet under these keys, which would have had this number under the old ones.
    const fn sequence(&self, next: u32) -> u32 {
        if self.is_strict { 0 } else { next }
    }
}

/// Keys of one direction from what was exchanged.
fn keys<ChaCha>(
    agreed: &Agreed<'_>,
    chacha: impl FnOnce(&[u8; chacha::KEY_LEN]) -> ChaCha,
) -> Result<Keys<ChaCha>, NotSpoken> {
    let Agreed { secrets, toward, direction, .. } = *agreed;
    let [iv, cipher, mac] = match toward {
        Toward::Server => *b"ACE",
        Toward::Client => *b"BDF",
    };
    let made = match Cipher::of(&direction.cipher).ok_or(NotSpoken)? {
        Cipher::ChaCha => {
            let key = secrets.derive(cipher, chacha::KEY_LEN);
            key.as_slice().try_into().ok().map(|key| Keys::ChaCha(Box::new(chacha(key))))
        }
        Cipher::Gcm(algorithm) => {
            let key = secrets.derive(cipher, algorithm.key_len());
            let nonce = secrets.derive(iv, 12);
            aead::UnboundKey::new(algorithm, &key)
                .ok()
                .zip(nonce.try_into().ok())
                .map(|(key, nonce)| Keys::Gcm { key: Box::new(aead::LessSafeKey::new(key)), nonce })
        }
        Cipher::Ctr(length) => {
            let kind = direction.mac.as_deref().and_then(Mac::of).ok_or(NotSpoken)?;
            let stream = Ctr::new(&secrets.derive(cipher, length), &secrets.derive(iv, 16));
            let mac = MacKey::new(kind, &secrets.derive(mac, kind.key_length()));
            stream.zip(mac).map(|(stream, mac)| Keys::Ctr { stream, mac })
        }
    };
    made.ok_or(NotSpoken)
}

/// The last eight bytes of GCM's nonce count packets (RFC 5647, section 7.1).
fn count(nonce: &mut [u8; 12]) -> aead::Nonce {
    let current = aead::Nonce::assume_unique_for_key(*nonce);
    if let Some(counter) = nonce.last_chunk_mut::<8>() {
        *counter = u64::from_be_bytes(*counter).wrapping_add(1).to_be_bytes();
    }
    current
}

/// Makes packets of payloads.
pub(crate) struct Sealer {
    keys: Keys<chacha::SealingKey>,
    sequence: u32,
}

impl Sealer {
    /// Without keys yet.
    pub(crate) const fn new() -> Self {
        Self { keys: Keys::Clear, sequence: 0 }
    }

    /// From now on with these keys.
    pub(crate) fn rekey(&mut self, agreed: &Agreed<'_>) -> Result<(), NotSpoken> {
        self.keys = keys(agreed, chacha::SealingKey::new)?;
        self.sequence = agreed.sequence(self.sequence);
        Ok(())
    }

    /// Appends the packet to `out`.
    pub(crate) fn seal(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), NoRandomness> {
        let sequence = self.sequence;
        self.sequence = self.sequence.wrapping_add(1);
        let start = out.len();
        // Blocks of the cipher, at least eight; and whether the length is a part of them.
        let (block, is_length_apart) = match &self.keys {
            Keys::Clear => {
                frame::write(payload, out);
                return Ok(());
            }
            Keys::ChaCha(_) => (8, true),
            Keys::Gcm { .. } => (16, true),
            Keys::Ctr { mac, .. } => (16, mac.is_etm),
        };
        let unpadded = 1 + payload.len() + if is_length_apart { 0 } else { 4 };
        let mut padding = block - unpadded % block;
        if padding < 4 {
            padding += block;
        }
        out.put_u32(u32::try_from(1 + payload.len() + padding).unwrap_or(u32::MAX));
        out.push(padding as u8);
        out.extend(payload);
        let end = out.len();
        out.resize(end + padding, 0);
        random::fill(&mut out[end..])?;
        let packet = &mut out[start..];
        match &mut self.keys {
            Keys::Clear => {}
            Keys::ChaCha(key) => {
                let mut tag = [0; chacha::TAG_LEN];
                key.seal_in_place(sequence, packet, &mut tag);
                out.extend(tag);
            }
            Keys::Gcm { key, nonce } => {
                let (length, body) = packet.split_at_mut(4);
                // It fails for messages of 64 GiB, which packets are not.
                let tag = key
                    .seal_in_place_separate_tag(count(nonce), aead::Aad::from(length), body)
                    .map_err(|_| NoRandomness)?;
                out.extend(tag.as_ref());
            }
            Keys::Ctr { stream, mac } => {
                let mut tag = [0; 64];
                if mac.is_etm {
                    stream.apply(&mut packet[4..]);
                    mac.tag(sequence, packet, &mut tag);
                } else {
                    mac.tag(sequence, packet, &mut tag);
                    stream.apply(packet);
                }
                out.extend(&tag[..mac.tag_length()]);
            }
        }
        Ok(())
    }
}

/// What is at the front of what came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opened {
    /// More bytes are needed.
    Partial,
    /// A packet: where its payload is, never empty; its length on the wire; and its number.
    Whole {
        /// First byte of the payload.
        start: usize,
        /// Byte after the payload.
        end: usize,
        /// Bytes of the packet.
        length: usize,
        /// Number of the packet in its direction.
        sequence: u32,
    },
    /// Nothing that can be read from now on: length, padding or MAC are wrong.
    Bad(&'static str),
    /// A packet with so little padding; nothing can be read from now on.
    BadPadding(usize),
}

/// Reads payloads from packets.
pub(crate) struct Opener {
    keys: Keys<chacha::OpeningKey>,
    sequence: u32,
    /// Bytes at the front that are deciphered already, to know the packet's length.
    ahead: usize,
}

impl Opener {
    /// Without keys yet.
    pub(crate) const fn new() -> Self {
        Self { keys: Keys::Clear, sequence: 0, ahead: 0 }
    }

    /// From now on with these keys.
    pub(crate) fn rekey(&mut self, agreed: &Agreed<'_>) -> Result<(), NotSpoken> {
        self.keys = keys(agreed, chacha::OpeningKey::new)?;
        self.sequence = agreed.sequence(self.sequence);
        Ok(())
    }

    /// Opens the packet at the front of `input`, in place. After a whole one the caller takes `length` bytes off the front.
    pub(crate) fn open(&mut self, input: &mut [u8]) -> Opened {
        let sequence = self.sequence;
        let opened = match &mut self.keys {
            Keys::Clear => open_clear(sequence, input),
            Keys::ChaCha(key) => open_chacha(key, sequence, input),
            Keys::Gcm { key, nonce } => open_gcm(key, nonce, sequence, input),
            Keys::Ctr { stream, mac } => open_ctr(stream, mac, &mut self.ahead, sequence, input),
        };
        if let Opened::Whole { .. } = opened {
            self.sequence = self.sequence.wrapping_add(1);
            self.ahead = 0;
        }
        opened
    }
}

const BAD_LENGTH: Opened = Opened::Bad("a packet of no possible length");
const BAD_MAC: Opened = Opened::Bad("a packet whose MAC is wrong");

/// A length field, if OpenSSH would take it. `block` divides the packet without its `apart` first bytes.
fn checked_length(field: [u8; 4], block: usize, apart: usize) -> Option<usize> {
    let length = u32::from_be_bytes(field);
    if !(5..=frame::MOST_PACKET).contains(&length) {
        return None;
    }
    let length = length as usize;
    (length + 4 - apart).is_multiple_of(block).then_some(length)
}

/// Where the payload of a deciphered packet of `length` bytes (without tag) is.
fn payload(packet: &[u8], tag: usize, sequence: u32) -> Opened {
    let padding = usize::from(packet[4]);
    let end = packet.len().saturating_sub(padding);
    if padding < 4 {
        return Opened::BadPadding(padding);
    }
    if end <= 5 {
        return Opened::Bad("a packet without payload");
    }
    Opened::Whole { start: 5, end, length: packet.len() + tag, sequence }
}

fn open_clear(sequence: u32, input: &[u8]) -> Opened {
    // sshd looks at no length before it has a block.
    let Some([a, b, c, d, ..]) = input.first_chunk::<8>() else { return Opened::Partial };
    let Some(length) = checked_length([*a, *b, *c, *d], 8, 0) else { return BAD_LENGTH };
    match input.get(..4 + length) {
        Some(packet) => payload(packet, 0, sequence),
        None => Opened::Partial,
    }
}

fn open_chacha(key: &chacha::OpeningKey, sequence: u32, input: &mut [u8]) -> Opened {
    let Some(field) = input.first_chunk::<4>() else { return Opened::Partial };
    let Some(length) = checked_length(key.decrypt_packet_length(sequence, *field), 8, 4) else {
        return BAD_LENGTH;
    };
    let Some((packet, rest)) = input.split_at_mut_checked(4 + length) else { return Opened::Partial };
    let Some(tag) = rest.first_chunk::<{ chacha::TAG_LEN }>() else { return Opened::Partial };
    match key.open_in_place(sequence, packet, tag) {
        Ok(_) => payload(packet, chacha::TAG_LEN, sequence),
        Err(_) => BAD_MAC,
    }
}

fn open_gcm(key: &aead::LessSafeKey, nonce: &mut [u8; 12], sequence: u32, input: &mut [u8]) -> Opened {
    let Some(field) = input.first_chunk::<4>().copied() else { return Opened::Partial };
    let Some(length) = checked_length(field, 16, 4) else { return BAD_LENGTH };
    let Some(sealed) = input.get_mut(4..4 + length + 16) else { return Opened::Partial };
    match key.open_in_place(count(nonce), aead::Aad::from(field), sealed) {
        Ok(_) => payload(&input[..4 + length], 16, sequence),
        Err(_) => BAD_MAC,
    }
}

fn open_ctr(stream: &mut Ctr, mac: &MacKey, ahead: &mut usize, sequence: u32, input: &mut [u8]) -> Opened {
    let tag = mac.tag_length();
    if mac.is_etm {
        let Some(field) = input.first_chunk::<4>() else { return Opened::Partial };
        let Some(length) = checked_length(*field, 16, 4) else { return BAD_LENGTH };
        let Some((packet, rest)) = input.split_at_mut_checked(4 + length) else { return Opened::Partial };
        let Some(found) = rest.get(..tag) else { return Opened::Partial };
        if !mac.is_tag(sequence, packet, found) {
            return BAD_MAC;
        }
        stream.apply(&mut packet[4..]);
        return payload(packet, tag, sequence);
    }
    if *ahead == 0 {
        let Some(first) = input.first_chunk_mut::<16>() else { return Opened::Partial };
        stream.apply(first);
        *ahead = 16;
    }
    let Some(field) = input.first_chunk::<4>() else { return Opened::Partial };
    let Some(length) = checked_length(*field, 16, 0) else { return BAD_LENGTH };
    let Some((packet, rest)) = input.split_at_mut_checked(4 + length) else { return Opened::Partial };
    let Some(found) = rest.get(..tag) else { return Opened::Partial };
    stream.apply(&mut packet[*ahead..]);
    if mac.is_tag(sequence, packet, found) { payload(packet, tag, sequence) } else { BAD_MAC }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CIPHERS: [&str; 6] = [
        "chacha20-poly1305@openssh.com",
        "aes128-gcm@openssh.com",
        "aes256-gcm@openssh.com",
        "aes128-ctr",
        "aes192-ctr",
        "aes256-ctr",
    ];
    const MACS: [&str; 6] = [
        "umac-64@openssh.com",
        "umac-128-etm@openssh.com",
        "hmac-sha2-256",
        "hmac-sha2-512-etm@openssh.com",
        "hmac-sha1",
        "hmac-sha1-etm@openssh.com",
    ];

    fn pair(cipher: &str, mac: &str) -> (Sealer, Opener) {
        let secrets = Secrets {
            shared: vec![1; 36],
            exchange_hash: vec![2; 32],
            session: vec![3; 32],
            hash: &digest::SHA256,
        };
        let direction = unmasq_ssh::Direction {
            cipher: cipher.to_owned(),
            mac: Some(mac.to_owned()),
            compression: "none".to_owned(),
        };
        let (mut sealer, mut opener) = (Sealer::new(), Opener::new());
        let agreed =
            Agreed { secrets: &secrets, toward: Toward::Server, direction: &direction, is_strict: true };
        sealer.rekey(&agreed).unwrap();
        opener.rekey(&agreed).unwrap();
        (sealer, opener)
    }

    proptest! {
        #[test]
        fn what_is_sealed_is_opened_in_whatever_pieces(
            cipher in prop::sample::select(&CIPHERS[..]),
            mac in prop::sample::select(&MACS[..]),
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..3000), 1..4),
            piece in 1usize..500,
        ) {
            let (mut sealer, mut opener) = pair(cipher, mac);
            let mut bytes = Vec::new();
            for payload in &payloads {
                sealer.seal(payload, &mut bytes).unwrap();
            }
            let (mut input, mut opened) = (Vec::new(), Vec::new());
            for piece in bytes.chunks(piece) {
                input.extend_from_slice(piece);
                while let Opened::Whole { start, end, length, sequence } = opener.open(&mut input) {
                    prop_assert_eq!(sequence as usize, opened.len());
                    opened.push(input[start..end].to_vec());
                    input.drain(..length);
                }
            }
            prop_assert_eq!(opened, payloads);
            prop_assert!(input.is_empty());
        }

        #[test]
        fn what_was_changed_is_not_opened(
            cipher in prop::sample::select(&CIPHERS[..]),
            mac in prop::sample::select(&MACS[..]),
            payload in prop::collection::vec(any::<u8>(), 1..200),
            at in any::<prop::sample::Index>(),
            bit in 0u8..8,
        ) {
            let (mut sealer, mut opener) = pair(cipher, mac);
            let mut bytes = Vec::new();
            sealer.seal(&payload, &mut bytes).unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            // A length that was made longer wants more bytes than there are.
            let opened = opener.open(&mut bytes);
            prop_assert!(at < 4 && opened == Opened::Partial || matches!(opened, Opened::Bad(_)), "{:?}", opened);
        }

        #[test]
        fn any_bytes_are_opened_or_refused(
            cipher in prop::sample::select(&CIPHERS[..]),
            mac in prop::sample::select(&MACS[..]),
            mut bytes in prop::collection::vec(any::<u8>(), 0..400),
        ) {
            let (_, mut opener) = pair(cipher, mac);
            let is_whole = matches!(opener.open(&mut bytes), Opened::Whole { .. });
            prop_assert!(!is_whole);
            let mut clear = Opener::new();
            let _ = clear.open(&mut bytes);
        }
    }
}
