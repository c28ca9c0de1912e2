//! Host keys: made, read from files, stored, and signed with.

mod file;
mod rsa_key;

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use ring::digest;
use ring::rand::SystemRandom;
use ring::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use unmasq_ssh::wire::{Reader, Write};

use crate::random::{self, NoRandomness};
use rsa_key::RsaKey;

/// A kind of host key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// RSA with so many bits of modulus, 2048 to 8192. ssh-keygen makes 3072.
    Rsa(u32),
    /// ECDSA over NIST P-256.
    EcdsaP256,
    /// Ed25519.
    Ed25519,
}

impl KeyKind {
    /// The key's format name, the first field of its public line (`ssh-rsa`).
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rsa(_) => "ssh-rsa",
            Self::EcdsaP256 => "ecdsa-sha2-nistp256",
            Self::Ed25519 => "ssh-ed25519",
        }
    }

    /// The name in sshd's files: `ssh_host_`this`_key`.
    pub const fn file_part(self) -> &'static str {
        match self {
            Self::Rsa(_) => "rsa",
            Self::EcdsaP256 => "ecdsa",
            Self::Ed25519 => "ed25519",
        }
    }

    /// Can a key of this kind sign by this algorithm of a KEXINIT?
    pub fn can_sign(self, algorithm: &str) -> bool {
        match self {
            Self::Rsa(_) => matches!(algorithm, "rsa-sha2-512" | "rsa-sha2-256" | "ssh-rsa"),
            Self::EcdsaP256 | Self::Ed25519 => algorithm == self.name(),
        }
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa(bits) => write!(f, "RSA of {bits} bits"),
            Self::EcdsaP256 => f.write_str("ECDSA over P-256"),
            Self::Ed25519 => f.write_str("Ed25519"),
        }
    }
}

/// Why there is no host key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The text is no private key file.
    #[error("not a private key: no -----BEGIN … PRIVATE KEY----- block with Base64 in it")]
    NotPem,
    /// A block of another kind.
    #[error(
        "a block of the kind {label:?} cannot be read: give a key as ssh-keygen writes it, or an RSA key in PKCS#1 or PKCS#8"
    )]
    Label {
        /// What stands after BEGIN.
        label: String,
    },
    /// It is encrypted.
    #[error("the key has a passphrase: take it off with ssh-keygen -p -N '' -f FILE")]
    Encrypted,
    /// A key of a kind that cannot be a host key here.
    #[error("a key of the kind {kind:?} cannot be used: give an RSA, an Ed25519 or an ECDSA key over P-256")]
    Kind {
        /// Its format name.
        kind: String,
    },
    /// What is inside contradicts itself or is cut off.
    #[error("the key is damaged: {what}")]
    Damaged {
        /// In which part.
        what: &'static str,
    },
    /// RSA of a size that is not made here.
    #[error("an RSA key of {bits} bits is not made: 2048 to 8192")]
    Bits {
        /// What was asked for.
        bits: u32,
    },
    /// The system has no random bytes.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

/// A host key with its private part.
pub struct HostKey {
    private: Private,
    /// As in the key exchange.
    public: Vec<u8>,
}

enum Private {
    Rsa(Box<RsaKey>),
    EcdsaP256 { pair: Box<EcdsaKeyPair>, scalar: [u8; 32] },
    Ed25519 { pair: Box<Ed25519KeyPair>, seed: [u8; 32] },
}

impl HostKey {
    /// A new one. RSA takes seconds.
    pub fn generate(kind: KeyKind) -> Result<Self, KeyError> {
        match kind {
            KeyKind::Rsa(bits) => RsaKey::generate(bits).map(Self::of_rsa),
            KeyKind::Ed25519 => Self::of_ed25519(random::bytes()?),
            KeyKind::EcdsaP256 => {
                let algorithm = &signature::ECDSA_P256_SHA256_FIXED_SIGNING;
                let document = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new())
                    .map_err(|_| NoRandomness)?;
                // ring writes all such documents alike; that these are the scalar and the point is checked in the next line.
                let part = |range: std::ops::Range<usize>| document.as_ref().get(range).unwrap_or_default();
                Self::of_ecdsa(part(36..68), part(73..138))
            }
        }
    }

    /// From the text of a private key file: ssh-keygen's, or RSA in PKCS#1 or PKCS#8. Without a passphrase.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        file::parse(text)
    }

    /// As ssh-keygen writes it.
    pub fn to_openssh(&self, comment: &str) -> Result<String, KeyError> {
        file::write(self, comment)
    }

    fn of_rsa(key: RsaKey) -> Self {
        let mut public = Vec::new();
        public.put_string(b"ssh-rsa");
        public.put_mpint(&key.exponent());
        public.put_mpint(&key.modulus());
        Self { private: Private::Rsa(Box::new(key)), public }
    }

    fn of_ed25519(seed: [u8; 32]) -> Result<Self, KeyError> {
        let pair =
            Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| KeyError::Damaged { what: "the seed" })?;
        let mut public = Vec::new();
        public.put_string(b"ssh-ed25519");
        public.put_string(pair.public_key().as_ref());
        Ok(Self { private: Private::Ed25519 { pair: Box::new(pair), seed }, public })
    }

    /// `scalar` and `point`, uncompressed, have to belong together.
    fn of_ecdsa(scalar: &[u8], point: &[u8]) -> Result<Self, KeyError> {
        let algorithm = &signature::ECDSA_P256_SHA256_FIXED_SIGNING;
        let damaged = KeyError::Damaged { what: "the private and the public part do not belong together" };
        let pair =
            EcdsaKeyPair::from_private_key_and_public_key(algorithm, scalar, point, &SystemRandom::new())
                .map_err(|_| damaged.clone())?;
        let scalar = scalar.try_into().map_err(|_| damaged)?;
        let mut public = Vec::new();
        public.put_string(b"ecdsa-sha2-nistp256");
        public.put_string(b"nistp256");
        public.put_string(point);
        Ok(Self { private: Private::EcdsaP256 { pair: Box::new(pair), scalar }, public })
    }

    /// Its kind.
    pub fn kind(&self) -> KeyKind {
        match &self.private {
            Private::Rsa(key) => KeyKind::Rsa(key.bits()),
            Private::EcdsaP256 { .. } => KeyKind::EcdsaP256,
            Private::Ed25519 { .. } => KeyKind::Ed25519,
        }
    }

    /// The public part as it is sent (RFC 4253, section 6.6).
    pub fn public(&self) -> &[u8] {
        &self.public
    }

    /// As `ssh-keygen -l` prints it: `SHA256:` and Base64.
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.public)
    }

    /// The public line, as in a .pub file.
    pub fn public_line(&self) -> String {
        public_line(&self.public)
    }

    /// A signature blob by an algorithm that [`KeyKind::can_sign`].
    pub(crate) fn sign(&self, algorithm: &str, message: &[u8]) -> Result<Vec<u8>, NoRandomness> {
        let mut blob = Vec::new();
        blob.put_string(algorithm.as_bytes());
        match &self.private {
            Private::Rsa(key) => blob.put_string(&key.sign(algorithm, message)?),
            Private::Ed25519 { pair, .. } => blob.put_string(pair.sign(message).as_ref()),
            Private::EcdsaP256 { pair, .. } => {
                let signature = pair.sign(&SystemRandom::new(), message).map_err(|_| NoRandomness)?;
                let (r, s) = signature.as_ref().split_at(32);
                let mut both = Vec::new();
                both.put_mpint(r);
                both.put_mpint(s);
                blob.put_string(&both);
            }
        }
        Ok(blob)
    }
}

/// Shows no private part.
impl fmt::Debug for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostKey")
            .field("kind", &self.kind())
            .field("fingerprint", &self.fingerprint())
            .finish()
    }
}

/// The SHA-256 fingerprint of a public key's bytes, as `ssh-keygen -l` prints it.
pub fn fingerprint(public: &[u8]) -> String {
    format!("SHA256:{}", STANDARD_NO_PAD.encode(digest::digest(&digest::SHA256, public)))
}

/// A public key's bytes as a line of an authorized_keys file: its kind, which they begin with, and Base64.
pub fn public_line(public: &[u8]) -> String {
    let kind = Reader::new(public).string().map(String::from_utf8_lossy).unwrap_or_default();
    format!("{kind} {}", STANDARD.encode(public))
}

/// The host keys of a server, in the order in which they were added.
#[derive(Clone, Debug, Default)]
pub struct HostKeys {
    keys: Vec<Arc<HostKey>>,
}

impl HostKeys {
    /// New ones.
    pub fn generate(kinds: &[KeyKind]) -> Result<Self, KeyError> {
        kinds.iter().map(|kind| HostKey::generate(*kind)).collect()
    }

    /// One more. Of two that can sign by the same algorithm, the first does.
    pub fn add(&mut self, key: HostKey) {
        self.keys.push(Arc::new(key));
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &HostKey> {
        self.keys.iter().map(Arc::as_ref)
    }

    /// The one that signs by an algorithm of a KEXINIT.
    pub fn for_algorithm(&self, algorithm: &str) -> Option<&HostKey> {
        self.iter().find(|key| key.kind().can_sign(algorithm))
    }
}

impl FromIterator<HostKey> for HostKeys {
    fn from_iter<T: IntoIterator<Item = HostKey>>(keys: T) -> Self {
        Self { keys: keys.into_iter().map(Arc::new).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_key_is_read_as_the_same() {
        for kind in [KeyKind::Ed25519, KeyKind::EcdsaP256, KeyKind::Rsa(2048)] {
            let key = HostKey::generate(kind).unwrap();
            assert_eq!(key.kind(), kind);
            let read = HostKey::parse(&key.to_openssh("a comment").unwrap()).unwrap();
            assert_eq!((read.kind(), read.public()), (kind, key.public()));
        }
    }

    #[test]
    fn the_private_part_is_not_shown() {
        let key = HostKey::generate(KeyKind::Ed25519).unwrap();
        let shown = format!("{key:?}");
        assert!(shown.contains("SHA256:") && !shown.contains("seed"), "{shown}");
    }
}
