//! What is written down, a JSON object a line.
//!
//! The first nine keys are pshitt's, with its names. What it has beyond them says what a user name or password alone cannot.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// One line. Read and written; a key that does not apply is left out, and one that is not known is passed over when read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record<'a> {
    /// The user name; bytes that are no UTF-8 are replaced, and `username_raw` has them.
    #[serde(skip_serializing_if = "Option::is_none", borrow)]
    pub username: Option<Cow<'a, str>>,
    /// The password (or the first answer to keyboard-interactive's prompts), in the same way.
    #[serde(skip_serializing_if = "Option::is_none", borrow)]
    pub password: Option<Cow<'a, str>>,
    /// The client's address: the real one if it is known, see `via`.
    #[serde(borrow)]
    pub src_ip: Cow<'a, str>,
    /// The client's port.
    pub src_port: u16,
    /// UTC, with microseconds. pshitt writes it without the `Z`.
    #[serde(borrow)]
    pub timestamp: Cow<'a, str>,
    /// The client's software version, as pshitt has it: the third part of its identification between dashes.
    #[serde(skip_serializing_if = "Option::is_none", borrow)]
    pub software_version: Option<Cow<'a, str>>,
    /// The cipher from the client to the server.
    #[serde(skip_serializing_if = "Option::is_none", borrow)]
    pub cipher: Option<Cow<'a, str>>,
    /// The MAC in the same direction; of a cipher with its own, that cipher's name, as paramiko has it.
    #[serde(skip_serializing_if = "Option::is_none", borrow)]
    pub mac: Option<Cow<'a, str>>,
    /// Which attempt of the connection, from 1.
    #[serde(rename = "try", skip_serializing_if = "Option::is_none")]
    pub number: Option<u32>,

    /// What happened.
    pub event: EventKind,
    /// The connection: the same in all its lines, and in no other's.
    #[serde(skip_serializing_if = "Option::is_none", borrow)]
    pub session: Option<Cow<'a, str>>,
    /// Where the client connected to: before any redirection to the honeypot.
    #[serde(skip_serializing_if = "Option::is_none", borrow)]
    pub dest_ip: Option<Cow<'a, str>>,
    /// Its port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dest_port: Option<u16>,
    /// The address that the connection came from, if `src_ip` is another: a proxy's, or a masked one.
    #[serde(skip_serializing_if = "Option::is_none", borrow)]
    pub via: Option<Cow<'a, str>>,
    /// How `src_ip` is known if not from the connection: `proxy` (the PROXY protocol) or `conntrack`.
    #[serde(skip_serializing_if = "Option::is_none", borrow)]
    pub client_from: Option<Cow<'a, str>>,
    /// The user name's bytes in Base64, if they are no UTF-8.
    #[serde(skip_serializing_if = "Option::is_none", borrow)]
    pub username_raw: Option<Cow<'a, str>>,
    /// The password's.
    #[serde(skip_serializing_if = "Option::is_none", borrow)]
    pub password_raw: Option<Cow<'a, str>>,
    /// In place of the password with --hash-passwords: a keyed hash, the same for the same password.
    #[serde(skip_serializing_if = "Option::is_none", borrow)]
    pub password_hash: Option<Cow<'a, str>>,
    /// The new password that a client wants to change to.
    #[serde(skip_serializing_if = "Option::is_none", borrow)]
    pub new_password: Option<Cow<'a, str>>,
    /// Further answers to keyboard-interactive's prompts.
    #[serde(skip_serializing_if = "Vec::is_empty", borrow)]
    pub answers: Vec<Cow<'a, str>>,
    /// A public key, as in an authorized_keys file: its kind and Base64.
    #[serde(skip_serializing_if = "Option::is_none", borrow)]
    pub key: Option<Cow<'a, str>>,
    /// Its SHA-256 fingerprint, as ssh-keygen prints it.
    #[serde(skip_serializing_if = "Option::is_none", borrow)]
    pub key_fingerprint: Option<Cow<'a, str>>,
    /// The signature's algorithm that the client names with it.
    #[serde(skip_serializing_if = "Option::is_none", borrow)]
    pub key_algorithm: Option<Cow<'a, str>>,
    /// Was it only offered, or signed with?
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,
    /// A method that is none of the known ones, or what a known one says beyond the rest.
    #[serde(skip_serializing_if = "Option::is_none", borrow)]
    pub method: Option<Cow<'a, str>>,
    /// The client's whole identification line.
    #[serde(skip_serializing_if = "Option::is_none", borrow)]
    pub client_version: Option<Cow<'a, str>>,
    /// The client's HASSH.
    #[serde(skip_serializing_if = "Option::is_none", borrow)]
    pub hassh: Option<Cow<'a, str>>,
    /// What was hashed (`connection` events only).
    #[serde(skip_serializing_if = "Option::is_none", borrow)]
    pub hassh_string: Option<Cow<'a, str>>,
    /// Ours, as the client saw it.
    #[serde(skip_serializing_if = "Option::is_none", borrow)]
    pub hassh_server: Option<Cow<'a, str>>,
    /// The key exchange method.
    #[serde(skip_serializing_if = "Option::is_none", borrow)]
    pub kex: Option<Cow<'a, str>>,
    /// The host key's algorithm.
    #[serde(skip_serializing_if = "Option::is_none", borrow)]
    pub host_key: Option<Cow<'a, str>>,
    /// The ten lists of the client's KEXINIT as they were sent (`connection` events only).
    #[serde(skip_serializing_if = "Vec::is_empty", borrow)]
    pub lists: Vec<Cow<'a, str>>,
    /// How long the connection lasted, in seconds (`connection` events only).
    #[serde(skip_serializing_if = "Option::is_none", borrow)]
    pub duration: Option<Cow<'a, str>>,
    /// Attempts of the connection (`connection` events only).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// Why and by whom the connection ended (`connection` events only).
    #[serde(skip_serializing_if = "Option::is_none", borrow)]
    pub reason: Option<Cow<'a, str>>,
}

/// What a line tells of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// A password: also what lines of pshitt are, which have no `event`.
    #[default]
    Password,
    /// An answer to keyboard-interactive's prompts.
    KeyboardInteractive,
    /// A public key.
    Publickey,
    /// The method `none`: the client asks what it may use.
    None,
    /// Another method.
    Other,
    /// A connection that ended, whether it tried anything or not.
    Connection,
}

/// What came with a public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Signature {
    /// Nothing: the client asks whether the key would do.
    Offered,
    /// A signature that is right: the client has the private key.
    Valid,
    /// A signature that is wrong.
    Invalid,
    /// A signature of an algorithm that is not known here.
    Unknown,
}

/// Bytes as text, and in Base64 if the text cannot give them back.
pub fn text_of(bytes: &[u8]) -> (Cow<'_, str>, Option<String>) {
    let text = String::from_utf8_lossy(bytes);
    let raw = matches!(text, Cow::Owned(_)).then(|| STANDARD.encode(bytes));
    (text, raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_pshitt_is_read() {
        let line = r#"{"username": "admin", "src_ip": "116.10.191.236", "password": "passw0rd", "src_port": 36221, "timestamp": "2014-06-26T10:48:05.799316"}"#;
        let record: Record<'_> = serde_json::from_str(line).unwrap();
        assert_eq!(record.event, EventKind::Password);
        assert_eq!(
            (record.username.as_deref(), record.password.as_deref()),
            (Some("admin"), Some("passw0rd"))
        );
    }

    #[test]
    fn what_is_no_utf_8_keeps_its_bytes() {
        assert_eq!(text_of(b"p\xe4ss"), ("p\u{fffd}ss".into(), Some("cORzcw==".to_owned())));
        assert_eq!(text_of("päss".as_bytes()), ("päss".into(), None));
    }
}
