//! HASSH: a fingerprint of an SSH implementation by the lists of its KEXINIT.

use md5::{Digest, Md5};

use crate::{KexInit, List};

/// The fingerprint as the `hassh` project and Suricata define it: of a client the lists of the direction to the server, of a
/// server those to the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hassh {
    /// MD5 of `string`, 32 hexadecimal digits.
    pub hash: String,
    /// Key exchange, ciphers, MACs and compression with `;` between.
    pub string: String,
}

impl Hassh {
    /// `hassh`, of what a client sent.
    pub fn of_client(kexinit: &KexInit) -> Self {
        Self::of(kexinit, [List::Kex, List::CipherToServer, List::MacToServer, List::CompressionToServer])
    }

    /// `hasshServer`, of what a server sent.
    pub fn of_server(kexinit: &KexInit) -> Self {
        Self::of(kexinit, [List::Kex, List::CipherToClient, List::MacToClient, List::CompressionToClient])
    }

    fn of(kexinit: &KexInit, lists: [List; 4]) -> Self {
        let string = lists.map(|list| kexinit.list(list)).join(";");
        Self { hash: hex::encode(Md5::digest(string.as_bytes())), string }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lists that Debian 12's sshd (OpenSSH 9.2p1) sends.
    #[test]
    fn debians_server_has_its_known_fingerprint() {
        let kex = "sntrup761x25519-sha512,sntrup761x25519-sha512@openssh.com,curve25519-sha256,curve25519-sha256@libssh.org,\
                   ecdh-sha2-nistp256,ecdh-sha2-nistp384,ecdh-sha2-nistp521,diffie-hellman-group-exchange-sha256,\
                   diffie-hellman-group16-sha512,diffie-hellman-group18-sha512,diffie-hellman-group14-sha256,\
                   kex-strict-s-v00@openssh.com";
        let ciphers = "chacha20-poly1305@openssh.com,aes128-ctr,aes192-ctr,aes256-ctr,aes128-gcm@openssh.com,aes256-gcm@openssh.com";
        let macs = "umac-64-etm@openssh.com,umac-128-etm@openssh.com,hmac-sha2-256-etm@openssh.com,\
                    hmac-sha2-512-etm@openssh.com,hmac-sha1-etm@openssh.com,umac-64@openssh.com,umac-128@openssh.com,\
                    hmac-sha2-256,hmac-sha2-512,hmac-sha1";
        let compression = "none,zlib@openssh.com";
        let lists = [kex, "", "", ciphers, "", macs, "", compression, "", ""].map(str::to_owned);
        let server = KexInit { cookie: [0; 16], lists, first_kex_packet_follows: false };
        assert_eq!(Hassh::of_server(&server).hash, "425d29fe50d8e4f5e37efb6e24bcf660");
        assert_eq!(Hassh::of_client(&server).string, format!("{kex};;;"));
    }
}
