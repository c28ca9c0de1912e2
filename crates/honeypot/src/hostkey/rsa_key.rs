//! RSA keys. ring signs from 2048 to 4096 bits and is four times as fast; other sizes, and SHA-1, are the `rsa` crate's.

use ring::signature::{self, RsaKeyPair};
use rsa::pkcs1::{DecodeRsaPrivateKey, EncodeRsaPrivateKey};
use rsa::pkcs8::DecodePrivateKey;
use rsa::traits::{PrivateKeyParts, PublicKeyParts};
use rsa::{BoxedUint, Pkcs1v15Sign, PrivateKey};
use sha1::Digest;

use super::KeyError;
use crate::random::{NoRandomness, Source};

/// A private key.
pub(super) struct RsaKey {
    key: PrivateKey,
    fast: Option<RsaKeyPair>,
}

const DAMAGED: KeyError = KeyError::Damaged { what: "the numbers of the RSA key" };

impl RsaKey {
    fn new(key: PrivateKey) -> Self {
        let fast = key.to_pkcs1_der().ok().and_then(|der| RsaKeyPair::from_der(der.as_bytes()).ok());
        Self { key, fast }
    }

    /// A new one.
    pub(super) fn generate(bits: u32) -> Result<Self, KeyError> {
        if !(2048..=8192).contains(&bits) {
            return Err(KeyError::Bits { bits });
        }
        // The only other thing that can fail is the size.
        PrivateKey::new(&mut Source, bits as usize).map(Self::new).map_err(|_| NoRandomness.into())
    }

    /// From PKCS#1.
    pub(super) fn from_pkcs1(der: &[u8]) -> Result<Self, KeyError> {
        PrivateKey::from_pkcs1_der(der).map(Self::new).map_err(|_| DAMAGED)
    }

    /// From PKCS#8.
    pub(super) fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        PrivateKey::from_pkcs8_der(der)
            .map(Self::new)
            .map_err(|_| KeyError::Damaged { what: "the PKCS#8 block, or it holds no RSA key" })
    }

    /// From the numbers that an OpenSSH file has, in its order, see [`RsaKey::parts`].
    pub(super) fn from_parts(numbers: [&[u8]; 6]) -> Result<Self, KeyError> {
        let [modulus, exponent, private, _, first, second] = numbers.map(BoxedUint::from_be_slice_vartime);
        PrivateKey::from_components(modulus, exponent, private, vec![first, second])
            .map(Self::new)
            .map_err(|_| DAMAGED)
    }

    /// The numbers that an OpenSSH file has, in its order: n, e, d, the inverse of q modulo p, p, q.
    pub(super) fn parts(&self) -> Option<[Vec<u8>; 6]> {
        let bytes = |number: &BoxedUint| number.to_be_bytes().into_vec();
        let [p, q] = self.key.primes() else { return None };
        Some([
            self.modulus(),
            self.exponent(),
            bytes(self.key.d()),
            bytes(&self.key.crt_coefficient()?),
            bytes(p),
            bytes(q),
        ])
    }

    /// n, big-endian.
    pub(super) fn modulus(&self) -> Vec<u8> {
        self.key.n_bytes().into_vec()
    }

    /// e, big-endian.
    pub(super) fn exponent(&self) -> Vec<u8> {
        self.key.e_bytes().into_vec()
    }

    /// Bits of n.
    pub(super) fn bits(&self) -> u32 {
        self.key.n().bit_width()
    }

    /// A signature by PKCS#1 1.5 with the algorithm's hash.
    pub(super) fn sign(&self, algorithm: &str, message: &[u8]) -> Result<Vec<u8>, NoRandomness> {
        let (padding, digest): (&'static dyn signature::RsaEncoding, _) = match algorithm {
            "rsa-sha2-512" => (&signature::RSA_PKCS1_SHA512, Some(&ring::digest::SHA512)),
            "rsa-sha2-256" => (&signature::RSA_PKCS1_SHA256, Some(&ring::digest::SHA256)),
            _ => (&signature::RSA_PKCS1_SHA256, None),
        };
        let Some(digest) = digest else {
            let hash = sha1::Sha1::digest(message);
            return self.key.sign(Pkcs1v15Sign::new::<sha1::Sha1>(), &hash).map_err(|_| NoRandomness);
        };
        if let Some(fast) = &self.fast {
            let mut signature = vec![0; fast.public().modulus_len()];
            fast.sign(padding, &ring::rand::SystemRandom::new(), message, &mut signature)
                .map_err(|_| NoRandomness)?;
            return Ok(signature);
        }
        let hash = ring::digest::digest(digest, message);
        let padding = match digest.output_len() {
            64 => Pkcs1v15Sign::new::<sha2::Sha512>(),
            _ => Pkcs1v15Sign::new::<sha2::Sha256>(),
        };
        self.key.sign(padding, hash.as_ref()).map_err(|_| NoRandomness)
    }
}
