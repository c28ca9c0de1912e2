//! Which ciphers, MACs and compressions can be spoken.

use ring::{aead, hmac};

/// A cipher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cipher {
    ChaCha,
    Gcm(&'static aead::Algorithm),
    /// Length of the key in bytes.
    Ctr(usize),
}

impl Cipher {
    pub(super) fn of(name: &str) -> Option<Self> {
        Some(match name {
            "chacha20-poly1305@openssh.com" => Self::ChaCha,
            "aes128-gcm@openssh.com" => Self::Gcm(&aead::AES_128_GCM),
            "aes256-gcm@openssh.com" => Self::Gcm(&aead::AES_256_GCM),
            "aes128-ctr" => Self::Ctr(16),
            "aes192-ctr" => Self::Ctr(24),
            "aes256-ctr" => Self::Ctr(32),
            _ => return None,
        })
    }
}

/// A MAC: its hash, and what it covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mac {
    pub(super) hash: MacHash,
    /// Over the encrypted packet, whose length is in clear text?
    pub(super) is_etm: bool,
}

/// What a MAC hashes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MacHash {
    Hmac(hmac::Algorithm),
    /// Length of the tag in bytes.
    Umac(usize),
}

impl Mac {
    pub(super) fn of(name: &str) -> Option<Self> {
        let (base, is_etm) = match name.strip_suffix("-etm@openssh.com") {
            Some(base) => (base, true),
            None => (name.strip_suffix("@openssh.com").unwrap_or(name), false),
        };
        // UMAC's names are OpenSSH's own, HMAC's are not: `umac-64` and `hmac-sha1@openssh.com` are nobody's.
        let is_own = is_etm || name.ends_with("@openssh.com");
        let hash = match base {
            "umac-64" if is_own => MacHash::Umac(8),
            "umac-128" if is_own => MacHash::Umac(16),
            "hmac-sha1" if is_etm || !is_own => MacHash::Hmac(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY),
            "hmac-sha2-256" if is_etm || !is_own => MacHash::Hmac(hmac::HMAC_SHA256),
            "hmac-sha2-512" if is_etm || !is_own => MacHash::Hmac(hmac::HMAC_SHA512),
            _ => return None,
        };
        Some(Self { hash, is_etm })
    }

    /// Length of the key in bytes.
    pub(super) fn key_length(self) -> usize {
        match self.hash {
            MacHash::Hmac(algorithm) => algorithm.digest_algorithm().output_len(),
            MacHash::Umac(_) => 16,
        }
    }
}

/// Can this cipher be spoken?
pub(crate) fn is_cipher(name: &str) -> bool {
    Cipher::of(name).is_some()
}

/// Can this MAC be spoken?
pub(crate) fn is_mac(name: &str) -> bool {
    Mac::of(name).is_some()
}

/// Can this compression be spoken? `zlib@openssh.com` begins after authentication, so never; `zlib` begins with the keys.
pub(crate) fn is_compression(name: &str) -> bool {
    matches!(name, "none" | "zlib@openssh.com")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_openssh_s() {
        for name in
            ["umac-64@openssh.com", "umac-128-etm@openssh.com", "hmac-sha1", "hmac-sha2-512-etm@openssh.com"]
        {
            assert!(is_mac(name), "{name}");
        }
        for name in ["umac-64", "hmac-sha1@openssh.com", "hmac-md5", "hmac-sha1-96", ""] {
            assert!(!is_mac(name), "{name}");
        }
    }
}
