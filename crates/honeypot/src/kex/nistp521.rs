//! ECDH over NIST P-521, which ring has not.

use p521::elliptic_curve::sec1::ToSec1Point;
use p521::{PublicKey, SecretKey, ecdh};

use super::{Answer, Refused, mpint};
use crate::random;

/// A server's answer.
pub(super) fn answer(client: &[u8]) -> Result<Answer, Refused> {
    let client = PublicKey::from_sec1_bytes(client).map_err(|_| Refused::Value)?;
    let secret = secret()?;
    let shared = ecdh::diffie_hellman(secret.to_nonzero_scalar(), client.as_affine());
    Ok(Answer {
        public: secret.public_key().to_sec1_point(false).as_bytes().to_vec(),
        shared: mpint(shared.raw_secret_bytes()),
    })
}

/// A number of 521 bits is a scalar but once in 2^260: it is drawn until it is.
fn secret() -> Result<SecretKey, Refused> {
    loop {
        let mut bytes = random::bytes::<66>()?;
        bytes[0] &= 1;
        if let Ok(secret) = SecretKey::from_slice(&bytes) {
            return Ok(secret);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_know_the_same() {
        let client = secret().unwrap();
        let answer = answer(client.public_key().to_sec1_point(false).as_bytes()).unwrap();
        let server = PublicKey::from_sec1_bytes(&answer.public).unwrap();
        let shared = ecdh::diffie_hellman(client.to_nonzero_scalar(), server.as_affine());
        assert_eq!(mpint(shared.raw_secret_bytes()), answer.shared);
    }
}
