//! What two sides will use (RFC 4253, section 7.1).

use crate::{KexInit, List};

/// What one direction uses. The MAC of a cipher that has its own is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Direction {
    /// The cipher's name.
    pub cipher: String,
    /// The MAC's name; `None` if the cipher authenticates by itself.
    pub mac: Option<String>,
    /// The compression's name.
    pub compression: String,
}

/// What both sides will use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Negotiated {
    /// The key exchange method.
    pub kex: String,
    /// The host key's algorithm.
    pub host_key: String,
    /// From the client to the server.
    pub to_server: Direction,
    /// From the server to the client.
    pub to_client: Direction,
    /// The client's guess, if it sends one, was wrong: the next packet is to be ignored.
    pub is_guess_wrong: bool,
}

impl Negotiated {
    /// The first of the client's names that the server has too, list by list. (That a method wants a key which the host key
    /// algorithm has is left out: all methods in use do.)
    ///
    /// # Errors
    /// The list in which there is none.
    pub fn of(client: &KexInit, server: &KexInit) -> Result<Self, NoCommon> {
        let first = |list: List| {
            client
                .names(list)
                .find(|name| !is_marker(name) && server.names(list).any(|other| other == *name))
                .map(str::to_owned)
                .ok_or(NoCommon { list })
        };
        let direction = |cipher, mac, compression| {
            let cipher = first(cipher)?;
            let mac = if has_own_mac(&cipher) { None } else { Some(first(mac)?) };
            Ok(Direction { cipher, mac, compression: first(compression)? })
        };
        let preferred = |list| client.names(list).next() == server.names(list).next();
        Ok(Self {
            kex: first(List::Kex)?,
            host_key: first(List::HostKey)?,
            to_server: direction(List::CipherToServer, List::MacToServer, List::CompressionToServer)?,
            to_client: direction(List::CipherToClient, List::MacToClient, List::CompressionToClient)?,
            is_guess_wrong: client.first_kex_packet_follows
                && !(preferred(List::Kex) && preferred(List::HostKey)),
        })
    }
}

/// Names in the list of key exchange methods that only say what a side understands (RFC 8308; OpenSSH's PROTOCOL, section 1.9).
fn is_marker(name: &str) -> bool {
    name.starts_with("ext-info-") || name.starts_with("kex-strict-")
}

/// Does the cipher authenticate by itself, so that no MAC is negotiated?
fn has_own_mac(cipher: &str) -> bool {
    cipher == "chacha20-poly1305@openssh.com" || cipher.ends_with("-gcm@openssh.com")
}

/// Client and server have no algorithm in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("client and server have no common name in the list {list:?}")]
pub struct NoCommon {
    /// In this list.
    pub list: List,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kexinit(kex: &str, cipher: &str, mac: &str) -> KexInit {
        let lists = [kex, "ssh-ed25519", cipher, cipher, mac, mac, "none", "none", "", ""].map(str::to_owned);
        KexInit { cookie: [0; 16], lists, first_kex_packet_follows: false }
    }

    #[test]
    fn the_clients_order_decides_and_markers_do_not_count() {
        let server =
            kexinit("b,a,kex-strict-s-v00@openssh.com", "aes128-ctr,aes256-gcm@openssh.com", "hmac-sha2-256");
        let client = kexinit("ext-info-c,a,b", "aes256-ctr,aes128-ctr", "hmac-md5,hmac-sha2-256");
        let both = Negotiated::of(&client, &server).unwrap();
        assert_eq!((both.kex.as_str(), both.to_server.cipher.as_str()), ("a", "aes128-ctr"));
        assert_eq!(both.to_client.mac.as_deref(), Some("hmac-sha2-256"));
    }

    #[test]
    fn a_cipher_with_its_own_mac_needs_none_in_common() {
        let server = kexinit("a", "aes256-gcm@openssh.com", "hmac-sha2-256");
        let client = kexinit("a", "aes256-gcm@openssh.com", "hmac-md5");
        assert_eq!(Negotiated::of(&client, &server).unwrap().to_server.mac, None);
        let other = kexinit("c", "aes256-gcm@openssh.com", "");
        assert_eq!(Negotiated::of(&other, &server), Err(NoCommon { list: List::Kex }));
    }

    #[test]
    fn a_guess_is_right_only_if_both_prefer_the_same() {
        let server = kexinit("a,b", "aes128-ctr", "hmac-sha2-256");
        let mut client = kexinit("b,a", "aes128-ctr", "hmac-sha2-256");
        client.first_kex_packet_follows = true;
        assert!(Negotiated::of(&client, &server).unwrap().is_guess_wrong);
        client.lists[0] = "a".to_owned();
        assert!(!Negotiated::of(&client, &server).unwrap().is_guess_wrong);
    }
}
