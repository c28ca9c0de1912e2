//! SSH_MSG_KEXINIT: which algorithms a side offers, in its order (RFC 4253, section 7.1).

use crate::message;
use crate::wire::{Reader, Write};

/// Which of the ten lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    /// `kex_algorithms`, with markers such as `ext-info-c` and `kex-strict-s-v00@openssh.com`.
    Kex,
    /// `server_host_key_algorithms`.
    HostKey,
    /// `encryption_algorithms_client_to_server`.
    CipherToServer,
    /// `encryption_algorithms_server_to_client`.
    CipherToClient,
    /// `mac_algorithms_client_to_server`.
    MacToServer,
    /// `mac_algorithms_server_to_client`.
    MacToClient,
    /// `compression_algorithms_client_to_server`.
    CompressionToServer,
    /// `compression_algorithms_server_to_client`.
    CompressionToClient,
    /// `languages_client_to_server`.
    LanguagesToServer,
    /// `languages_server_to_client`.
    LanguagesToClient,
}

/// A KEXINIT. Lists are as they were sent, bytes that are no ASCII excepted: those are refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KexInit {
    /// Random bytes.
    pub cookie: [u8; 16],
    /// The ten lists in their order, each as it was sent: names with commas between.
    pub lists: [String; 10],
    /// A guessed key exchange packet follows.
    pub first_kex_packet_follows: bool,
}

impl KexInit {
    /// From a packet's payload, the message number included. `None` if it is not a whole KEXINIT of ASCII lists.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(payload);
        if reader.byte()? != message::KEXINIT {
            return None;
        }
        let cookie = reader.bytes(16)?.try_into().ok()?;
        let mut lists: [String; 10] = Default::default();
        for list in &mut lists {
            let bytes = reader.string()?;
            if !bytes.iter().all(u8::is_ascii_graphic) {
                return None;
            }
            *list = String::from_utf8(bytes.to_vec()).ok()?;
        }
        let first_kex_packet_follows = reader.boolean()?;
        reader.u32()?;
        Some(Self { cookie, lists, first_kex_packet_follows })
    }

    /// The payload of the packet, the message number included.
    pub fn to_payload(&self) -> Vec<u8> {
        let mut payload =
            Vec::with_capacity(22 + self.lists.iter().map(|list| list.len() + 4).sum::<usize>());
        payload.push(message::KEXINIT);
        payload.extend(self.cookie);
        for list in &self.lists {
            payload.put_string(list.as_bytes());
        }
        payload.put_boolean(self.first_kex_packet_follows);
        payload.put_u32(0);
        payload
    }

    /// One of the lists, as it was sent.
    pub fn list(&self, list: List) -> &str {
        &self.lists[list as usize]
    }

    /// The names of one of the lists. An empty one ends it: OpenSSH looks no further (`match_list` of match.c).
    pub fn names(&self, list: List) -> impl Iterator<Item = &str> {
        self.list(list).split(',').take_while(|name| !name.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(
            cookie: [u8; 16],
            lists in prop::array::uniform10("[a-z0-9@.,-]{0,40}"),
            first_kex_packet_follows: bool,
        ) {
            let sent = KexInit { cookie, lists, first_kex_packet_follows };
            prop_assert_eq!(KexInit::parse(&sent.to_payload()), Some(sent));
        }

        #[test]
        fn any_bytes_are_read_or_refused(mut bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = KexInit::parse(&bytes);
            if let Some(first) = bytes.first_mut() {
                *first = message::KEXINIT;
            }
            let _ = KexInit::parse(&bytes);
        }
    }
}
