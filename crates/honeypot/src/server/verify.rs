//! Are clients' signatures right? (RFC 4252, section 7; RFC 8332; RFC 8709; RFC 5656, section 3.1)

use p521::ecdsa::signature::Verifier;
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};
use unmasq_ssh::wire::{Reader, Write};

use crate::record::Signature;

/// What a signature covers, but for algorithm and key.
pub(super) struct Signed<'a> {
    pub(super) session: &'a [u8],
    pub(super) username: &'a [u8],
    pub(super) service: &'a [u8],
    /// The method's name: the host-bound one covers the host key, too.
    pub(super) method: &'a [u8],
}

/// Checks a signature blob.
pub(super) fn check(
    signed: &Signed<'_>,
    algorithm: &[u8],
    key: &[u8],
    host_key: Option<&[u8]>,
    signature: &[u8],
) -> Signature {
    let mut message = Vec::new();
    message.put_string(signed.session);
    message.push(50);
    message.put_string(signed.username);
    message.put_string(signed.service);
    message.put_string(signed.method);
    message.put_boolean(true);
    message.put_string(algorithm);
    message.put_string(key);
    if let Some(host_key) = host_key {
        message.put_string(host_key);
    }
    match is_right(algorithm, key, signature, &message) {
        Checked::Is(true) => Signature::Valid,
        Checked::Is(false) => Signature::Invalid,
        Checked::Unknown => Signature::Unknown,
    }
}

enum Checked {
    Is(bool),
    /// Of an algorithm that is not known here.
    Unknown,
}

fn is_right(algorithm: &[u8], key: &[u8], signature: &[u8], message: &[u8]) -> Checked {
    let mut blob = Reader::new(signature);
    let (Some(name), Some(bytes)) = (blob.string(), blob.string()) else { return Checked::Is(false) };
    let mut reader = Reader::new(key);
    let Some(kind) = reader.string() else { return Checked::Is(false) };
    if name != algorithm {
        return Checked::Is(false);
    }
    let right = match (algorithm, kind) {
        (b"ssh-ed25519", b"ssh-ed25519") => ed25519(&mut reader, bytes, message),
        (b"rsa-sha2-256" | b"rsa-sha2-512" | b"ssh-rsa", b"ssh-rsa") => {
            rsa(algorithm, &mut reader, bytes, message)
        }
        (b"ecdsa-sha2-nistp256" | b"ecdsa-sha2-nistp384" | b"ecdsa-sha2-nistp521", _)
            if algorithm == kind =>
        {
            ecdsa(algorithm, &mut reader, bytes, message)
        }
        (b"ssh-ed25519" | b"ssh-rsa" | b"rsa-sha2-256" | b"rsa-sha2-512", _) => Some(false),
        _ => return Checked::Unknown,
    };
    Checked::Is(right.unwrap_or(false))
}

fn ed25519(key: &mut Reader<'_>, signature: &[u8], message: &[u8]) -> Option<bool> {
    let key = UnparsedPublicKey::new(&signature::ED25519, key.string()?);
    Some(key.verify(message, signature).is_ok())
}

fn rsa(algorithm: &[u8], key: &mut Reader<'_>, signature: &[u8], message: &[u8]) -> Option<bool> {
    let (e, n) = (magnitude(key.string()?), magnitude(key.string()?));
    let parameters = match algorithm {
        b"rsa-sha2-512" => &signature::RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY,
        b"rsa-sha2-256" => &signature::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
        _ => &signature::RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY,
    };
    // Some clients leave zeros in front out; ring wants all bytes.
    let mut padded = vec![0; n.len().saturating_sub(signature.len())];
    padded.extend_from_slice(signature);
    Some(RsaPublicKeyComponents { n, e }.verify(parameters, message, &padded).is_ok())
}

fn ecdsa(algorithm: &[u8], key: &mut Reader<'_>, signature: &[u8], message: &[u8]) -> Option<bool> {
    let _curve = key.string()?;
    let point = key.string()?;
    let mut both = Reader::new(signature);
    let (r, s) = (both.string()?, both.string()?);
    let fixed = |length: usize| {
        let mut bytes = vec![0; 2 * length];
        for (number, place) in [r, s].into_iter().zip(bytes.chunks_mut(length)) {
            let number = magnitude(number);
            place.get_mut(length.checked_sub(number.len())?..)?.copy_from_slice(number);
        }
        Some(bytes)
    };
    Some(match algorithm {
        b"ecdsa-sha2-nistp256" => UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point)
            .verify(message, &fixed(32)?)
            .is_ok(),
        b"ecdsa-sha2-nistp384" => UnparsedPublicKey::new(&signature::ECDSA_P384_SHA384_FIXED, point)
            .verify(message, &fixed(48)?)
            .is_ok(),
        _ => {
            let key = p521::ecdsa::VerifyingKey::from_sec1_bytes(point).ok()?;
            let signature = p521::ecdsa::Signature::from_slice(&fixed(66)?).ok()?;
            key.verify(message, &signature).is_ok()
        }
    })
}

/// An `mpint` without zeros in front.
fn magnitude(mpint: &[u8]) -> &[u8] {
    &mpint[mpint.iter().take_while(|byte| **byte == 0).count()..]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hostkey::{HostKey, KeyKind};

    fn signed(method: &[u8]) -> Signed<'_> {
        Signed { session: b"session", username: b"root", service: b"ssh-connection", method }
    }

    #[test]
    fn what_a_key_has_signed_is_right_and_nothing_else_is() {
        for (kind, algorithms) in [
            (KeyKind::Ed25519, &["ssh-ed25519"][..]),
            (KeyKind::EcdsaP256, &["ecdsa-sha2-nistp256"]),
            (KeyKind::Rsa(2048), &["ssh-rsa", "rsa-sha2-256", "rsa-sha2-512"]),
        ] {
            let key = HostKey::generate(kind).unwrap();
            for algorithm in algorithms {
                let message = b"what is signed";
                let mut blob = key.sign(algorithm, message).unwrap();
                let name = algorithm.as_bytes();
                assert!(
                    matches!(is_right(name, key.public(), &blob, message), Checked::Is(true)),
                    "{algorithm}"
                );
                assert!(matches!(is_right(name, key.public(), &blob, b"else"), Checked::Is(false)));
                *blob.last_mut().unwrap() ^= 1;
                assert!(matches!(is_right(name, key.public(), &blob, message), Checked::Is(false)));
            }
        }
    }

    #[test]
    fn a_signature_of_another_algorithm_is_unknown_and_a_damaged_one_wrong() {
        let mut blob = Vec::new();
        blob.put_string(b"sk-ssh-ed25519@openssh.com");
        blob.put_string(&[1; 64]);
        let mut key = Vec::new();
        key.put_string(b"sk-ssh-ed25519@openssh.com");
        let checked = check(&signed(b"publickey"), b"sk-ssh-ed25519@openssh.com", &key, None, &blob);
        assert_eq!(checked, Signature::Unknown);
        assert_eq!(check(&signed(b"publickey"), b"ssh-ed25519", &key, None, b"x"), Signature::Invalid);
    }
}
