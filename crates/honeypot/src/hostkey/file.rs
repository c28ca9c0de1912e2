//! Private key files (OpenSSH's PROTOCOL.key; RFC 8017, appendix A.1; RFC 5958).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use unmasq_ssh::wire::{Reader, Write};

use super::rsa_key::RsaKey;
use super::{HostKey, KeyError, Private};
use crate::random;

/// Before the rest of an OpenSSH file.
const MAGIC: &[u8] = b"openssh-key-v1\0";

/// Reads a file's text.
pub(super) fn parse(text: &str) -> Result<HostKey, KeyError> {
    let (label, body) = block(text).ok_or(KeyError::NotPem)?;
    if body.contains("ENCRYPTED") || label.contains("ENCRYPTED") {
        return Err(KeyError::Encrypted);
    }
    let base64: String = body.split_ascii_whitespace().collect();
    let bytes = STANDARD.decode(base64).map_err(|_| KeyError::NotPem)?;
    match label {
        "OPENSSH PRIVATE KEY" => openssh(&bytes),
        "RSA PRIVATE KEY" => RsaKey::from_pkcs1(&bytes).map(HostKey::of_rsa),
        "PRIVATE KEY" => RsaKey::from_pkcs8(&bytes).map(HostKey::of_rsa),
        _ => Err(KeyError::Label { label: label.to_owned() }),
    }
}

/// The first block: its label, and what is between its lines.
fn block(text: &str) -> Option<(&str, &str)> {
    let (_, rest) = text.split_once("-----BEGIN ")?;
    let (label, rest) = rest.split_once("-----")?;
    let (body, rest) = rest.split_once("-----END ")?;
    rest.starts_with(label).then_some((label, body))
}

fn openssh(bytes: &[u8]) -> Result<HostKey, KeyError> {
    let damaged = |what| KeyError::Damaged { what };
    let mut reader = Reader::new(bytes.strip_prefix(MAGIC).ok_or(damaged("its beginning"))?);
    let mut header = || {
        let cipher = reader.string()?;
        let (_kdf, _options) = (reader.string()?, reader.string()?);
        let count = reader.u32()?;
        let _public = reader.string()?;
        Some((cipher, count, reader.string()?))
    };
    let (cipher, count, private) = header().ok_or(damaged("its header"))?;
    if cipher != b"none" {
        return Err(KeyError::Encrypted);
    }
    if count != 1 {
        return Err(damaged("it has more than one key, or none"));
    }
    let mut reader = Reader::new(private);
    let (first, second) = (reader.u32(), reader.u32());
    if first.is_none() || first != second {
        return Err(damaged("its check numbers"));
    }
    let kind = reader.string().ok_or(damaged("its kind"))?;
    match kind {
        b"ssh-ed25519" => {
            let (_public, private) = two(&mut reader).ok_or(damaged("the Ed25519 key"))?;
            HostKey::of_ed25519(*private.first_chunk::<32>().ok_or(damaged("the Ed25519 key"))?)
        }
        b"ecdsa-sha2-nistp256" => {
            let (_curve, point) = two(&mut reader).ok_or(damaged("the ECDSA key"))?;
            let scalar = reader.string().ok_or(damaged("the ECDSA key"))?;
            HostKey::of_ecdsa(&padded(scalar).ok_or(damaged("the ECDSA key"))?, point)
        }
        b"ssh-rsa" => {
            let mut numbers = [&[][..]; 6];
            for number in &mut numbers {
                *number = reader.string().ok_or(damaged("the numbers of the RSA key"))?;
            }
            RsaKey::from_parts(numbers).map(HostKey::of_rsa)
        }
        other => Err(KeyError::Kind { kind: String::from_utf8_lossy(other).into_owned() }),
    }
}

fn two<'a>(reader: &mut Reader<'a>) -> Option<(&'a [u8], &'a [u8])> {
    Some((reader.string()?, reader.string()?))
}

/// An `mpint` of up to 256 bits with its zeros in front.
fn padded(mpint: &[u8]) -> Option<[u8; 32]> {
    let zeros = mpint.iter().take_while(|byte| **byte == 0).count();
    let magnitude = &mpint[zeros..];
    let mut bytes = [0; 32];
    bytes.get_mut(32usize.checked_sub(magnitude.len())?..)?.copy_from_slice(magnitude);
    Some(bytes)
}

/// The file's text.
pub(super) fn write(key: &HostKey, comment: &str) -> Result<String, KeyError> {
    let check = u32::from_be_bytes(random::bytes()?);
    let mut private = Vec::new();
    private.put_u32(check);
    private.put_u32(check);
    match &key.private {
        Private::Ed25519 { seed, .. } => {
            // Kind and public key as they are sent; then the seed and the public key once more.
            private.extend(key.public());
            let public =
                key.public().last_chunk::<32>().ok_or(KeyError::Damaged { what: "the Ed25519 key" })?;
            private.put_string(&[*seed, *public].concat());
        }
        Private::EcdsaP256 { scalar, .. } => {
            private.extend(key.public());
            private.put_mpint(scalar);
        }
        Private::Rsa(rsa) => {
            private.put_string(b"ssh-rsa");
            for number in rsa.parts().ok_or(KeyError::Damaged { what: "the numbers of the RSA key" })? {
                private.put_mpint(&number);
            }
        }
    }
    private.put_string(comment.as_bytes());
    for padding in 1..=8 {
        if private.len().is_multiple_of(8) {
            break;
        }
        private.push(padding);
    }
    let mut bytes = MAGIC.to_vec();
    for field in [&b"none"[..], b"none", b""] {
        bytes.put_string(field);
    }
    bytes.put_u32(1);
    bytes.put_string(key.public());
    bytes.put_string(&private);
    let base64 = STANDARD.encode(bytes);
    let mut text = String::from("-----BEGIN OPENSSH PRIVATE KEY-----\n");
    for line in base64.as_bytes().chunks(70) {
        text.extend(line.iter().copied().map(char::from));
        text.push('\n');
    }
    text.push_str("-----END OPENSSH PRIVATE KEY-----\n");
    Ok(text)
}
