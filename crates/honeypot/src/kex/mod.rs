//! Key exchange methods: a shared secret out of the other side's public value.
//!
//! | method | RFC |
//! | --- | --- |
//! | `curve25519-sha256` | 8731 |
//! | `ecdh-sha2-nistp*` | 5656 |
//! | `diffie-hellman-group*` | 8268, with the groups of 3526 |
//! | `diffie-hellman-group-exchange-*` | 4419 |
//! | `sntrup761x25519-sha512` | draft-ietf-sshm-ntruprime-ssh |
//! | `mlkem768x25519-sha256` | draft-ietf-sshm-mlkem-hybrid-kex |

mod dh;
mod groups;
pub(crate) mod moduli;
mod nistp521;
mod sntrup;

use ring::{agreement, digest, rand::SystemRandom};
use unmasq_ssh::wire::Write;

pub(crate) use dh::{DhKey, Group, Prime};

use crate::random::{self, NoRandomness};

/// Message numbers of key exchanges. Those of 30 and 31 mean another thing in each method.
pub(crate) mod message {
    /// SSH_MSG_KEXDH_INIT, SSH_MSG_KEX_ECDH_INIT, SSH_MSG_KEX_HYBRID_INIT.
    pub(crate) const INIT: u8 = 30;
    /// Their answer.
    pub(crate) const REPLY: u8 = 31;
    /// SSH_MSG_KEX_DH_GEX_GROUP.
    pub(crate) const GEX_GROUP: u8 = 31;
    /// SSH_MSG_KEX_DH_GEX_INIT.
    pub(crate) const GEX_INIT: u8 = 32;
    /// SSH_MSG_KEX_DH_GEX_REPLY.
    pub(crate) const GEX_REPLY: u8 = 33;
    /// SSH_MSG_KEX_DH_GEX_REQUEST.
    pub(crate) const GEX_REQUEST: u8 = 34;
}

/// A key exchange method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    X25519,
    Nistp256,
    Nistp384,
    Nistp521,
    /// A fixed group, and is the hash SHA-1, SHA-256 or SHA-512?
    Fixed(Group, Hash),
    GroupExchange(Hash),
    Sntrup,
    MlKem,
}

/// What a method hashes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hash {
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    /// ring's name for it.
    pub(crate) fn algorithm(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        }
    }
}

/// A method that can be spoken.
pub(crate) fn method(name: &str) -> Option<Method> {
    Some(match name {
        "curve25519-sha256" | "curve25519-sha256@libssh.org" => Method::X25519,
        "ecdh-sha2-nistp256" => Method::Nistp256,
        "ecdh-sha2-nistp384" => Method::Nistp384,
        "ecdh-sha2-nistp521" => Method::Nistp521,
        "diffie-hellman-group14-sha1" => Method::Fixed(Group::Modp2048, Hash::Sha1),
        "diffie-hellman-group14-sha256" => Method::Fixed(Group::Modp2048, Hash::Sha256),
        "diffie-hellman-group16-sha512" => Method::Fixed(Group::Modp4096, Hash::Sha512),
        "diffie-hellman-group18-sha512" => Method::Fixed(Group::Modp8192, Hash::Sha512),
        "diffie-hellman-group-exchange-sha1" => Method::GroupExchange(Hash::Sha1),
        "diffie-hellman-group-exchange-sha256" => Method::GroupExchange(Hash::Sha256),
        "sntrup761x25519-sha512" | "sntrup761x25519-sha512@openssh.com" => Method::Sntrup,
        "mlkem768x25519-sha256" => Method::MlKem,
        _ => return None,
    })
}

impl Method {
    /// Its hash.
    pub(crate) fn hash(self) -> Hash {
        match self {
            Self::X25519 | Self::Nistp256 | Self::MlKem => Hash::Sha256,
            Self::Nistp384 => Hash::Sha384,
            Self::Nistp521 | Self::Sntrup => Hash::Sha512,
            Self::Fixed(_, hash) | Self::GroupExchange(hash) => hash,
        }
    }

    /// A server's answer to a client's public value. A group exchange has its group by then, see [`Prime::answer`].
    ///
    /// # Errors
    /// If the value is none that the method has, or one that would make the secret known.
    pub(crate) fn answer(self, client: &[u8]) -> Result<Answer, Refused> {
        match self {
            Self::X25519 => curve(&agreement::X25519, client),
            Self::Nistp256 => curve(&agreement::ECDH_P256, client),
            Self::Nistp384 => curve(&agreement::ECDH_P384, client),
            Self::Nistp521 => nistp521::answer(client),
            Self::Fixed(group, _) => group.prime()?.answer(client),
            Self::GroupExchange(_) => Err(Refused::Value),
            Self::Sntrup => hybrid(client, sntrup::PUBLIC_KEY, Hash::Sha512, sntrup::encapsulate),
            Self::MlKem => hybrid(client, ML_KEM_KEY, Hash::Sha256, ml_kem),
        }
    }
}

/// What a side sends, and what both then know.
pub(crate) struct Answer {
    /// The public value, as the bytes of the `string` or `mpint` that it is sent as.
    pub(crate) public: Vec<u8>,
    /// The shared secret, as it enters hashes.
    pub(crate) shared: Vec<u8>,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// The client's value.
    #[error("the other side's public value is out of range")]
    Value,
    /// Ours.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

/// A curve's key pair of one exchange.
pub(crate) struct CurveKey {
    private: agreement::EphemeralPrivateKey,
    /// What the other side is sent.
    pub(crate) public: Vec<u8>,
}

impl CurveKey {
    /// A new one.
    pub(crate) fn new(algorithm: &'static agreement::Algorithm) -> Result<Self, NoRandomness> {
        let private = agreement::EphemeralPrivateKey::generate(algorithm, &SystemRandom::new())
            .map_err(|_| NoRandomness)?;
        let public = private.compute_public_key().map_err(|_| NoRandomness)?.as_ref().to_vec();
        Ok(Self { private, public })
    }

    /// The shared secret, not encoded. ring refuses points that are not on the curve, and an X25519 result of zeros.
    pub(crate) fn agree(self, other: &[u8]) -> Result<Vec<u8>, Refused> {
        let other = agreement::UnparsedPublicKey::new(self.private.algorithm(), other);
        agreement::agree_ephemeral(self.private, &other, <[u8]>::to_vec).map_err(|_| Refused::Value)
    }
}

fn curve(algorithm: &'static agreement::Algorithm, client: &[u8]) -> Result<Answer, Refused> {
    let key = CurveKey::new(algorithm)?;
    let public = key.public.clone();
    Ok(Answer { public, shared: mpint(&key.agree(client)?) })
}

/// A number as it enters hashes.
pub(crate) fn mpint(magnitude: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(magnitude.len() + 5);
    encoded.put_mpint(magnitude);
    encoded
}

/// X25519 beside a key encapsulation; both secrets are hashed into one.
fn hybrid(
    client: &[u8],
    key_length: usize,
    hash: Hash,
    encapsulate: impl FnOnce(&[u8]) -> Result<(Vec<u8>, [u8; 32]), Refused>,
) -> Result<Answer, Refused> {
    let (post_quantum, point) = client.split_at_checked(key_length).ok_or(Refused::Value)?;
    let (mut public, secret) = encapsulate(post_quantum)?;
    let key = CurveKey::new(&agreement::X25519)?;
    public.extend_from_slice(&key.public);
    let mut context = digest::Context::new(hash.algorithm());
    context.update(&secret);
    context.update(&key.agree(point)?);
    let mut shared = Vec::new();
    shared.put_string(context.finish().as_ref());
    Ok(Answer { public, shared })
}

/// Length of an ML-KEM-768 encapsulation key (FIPS 203, table 3).
const ML_KEM_KEY: usize = 1184;

fn ml_kem(key: &[u8]) -> Result<(Vec<u8>, [u8; 32]), Refused> {
    use ml_kem::ml_kem_768::EncapsulationKey;
    let key = key.try_into().ok().and_then(|key| EncapsulationKey::new(key).ok()).ok_or(Refused::Value)?;
    let (ciphertext, secret) = key.encapsulate_deterministic(&random::bytes::<32>()?.into());
    Ok((ciphertext.to_vec(), secret.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_x25519_result_of_zeros_is_refused() {
        // Points of small order (RFC 7748, section 6.1).
        for point in [[0; 32], {
            let mut one = [0; 32];
            one[0] = 1;
            one
        }] {
            assert_eq!(Method::X25519.answer(&point).err(), Some(Refused::Value));
            let mut hybrid = vec![0; sntrup::PUBLIC_KEY];
            hybrid.extend(point);
            assert_eq!(Method::Sntrup.answer(&hybrid).err(), Some(Refused::Value));
        }
    }

    #[test]
    fn values_of_a_wrong_length_are_refused() {
        for method in [
            Method::X25519,
            Method::Nistp256,
            Method::Nistp384,
            Method::Nistp521,
            Method::Sntrup,
            Method::MlKem,
        ] {
            for length in [0, 1, 31, 33, 65, 2000] {
                assert!(method.answer(&vec![4; length]).is_err(), "{method:?} {length}");
            }
        }
    }

    #[test]
    fn both_sides_of_ml_kem_know_the_same() {
        use ml_kem::ml_kem_768::DecapsulationKey;
        use ml_kem::{Decapsulate, KeyExport};
        let post_quantum = DecapsulationKey::from_seed(random::bytes::<64>().unwrap().into());
        let curve = CurveKey::new(&agreement::X25519).unwrap();
        let mut sent = post_quantum.encapsulation_key().to_bytes().to_vec();
        assert_eq!(sent.len(), ML_KEM_KEY);
        sent.extend(&curve.public);
        let answer = Method::MlKem.answer(&sent).unwrap();
        let (ciphertext, point) = answer.public.split_at(1088);
        let secret = post_quantum.decapsulate(ciphertext.try_into().unwrap());
        // draft-ietf-sshm-mlkem-hybrid-kex, section 2.4: the two secrets, in this order, hashed into a string.
        let both = [secret.as_slice(), &curve.agree(point).unwrap()].concat();
        let mut expected = Vec::new();
        expected.put_string(digest::digest(&digest::SHA256, &both).as_ref());
        assert_eq!(answer.shared, expected);
    }

    #[test]
    fn both_sides_of_a_curve_know_the_same() {
        for (method, algorithm) in [
            (Method::X25519, &agreement::X25519),
            (Method::Nistp256, &agreement::ECDH_P256),
            (Method::Nistp384, &agreement::ECDH_P384),
        ] {
            let client = CurveKey::new(algorithm).unwrap();
            let answer = method.answer(&client.public).unwrap();
            assert_eq!(mpint(&client.agree(&answer.public).unwrap()), answer.shared);
        }
    }
}
