//! What an `ssh` event says about both sides.

use serde::Serialize;
use unmasq_ssh::Identification;

/// The object `ssh` of an event. A side of which nothing is known is left out, as Suricata does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Ssh {
    /// The client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<Party>,
    /// The server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<Party>,
}

/// One side.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Party {
    /// `2.0`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proto_version: Option<String>,
    /// What follows it, without a comment, as Suricata has it: `OpenSSH_9.2p1`; at most 256 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub software_version: Option<String>,
    /// The fingerprint of its lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hassh: Option<Hassh>,
}

/// `SSH_MAX_BANNER_LEN` of Suricata 8.
const MOST_SOFTWARE: usize = 256;

impl Party {
    /// From its identification and the fingerprint of its KEXINIT, as far as they were seen.
    pub fn new(identification: Option<&Identification>, hassh: Option<unmasq_ssh::Hassh>) -> Self {
        Self {
            proto_version: identification.map(|line| line.protocol().to_owned()),
            software_version: identification.map(|line| {
                let software = line.software_without_comment();
                // All of it is ASCII, so that any byte ends a character.
                software[..software.len().min(MOST_SOFTWARE)].to_owned()
            }),
            hassh: hassh.map(|unmasq_ssh::Hassh { hash, string }| Hassh { hash, string }),
        }
    }
}

/// A HASSH as Suricata writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hassh {
    /// 32 hexadecimal digits.
    pub hash: String,
    /// What was hashed.
    pub string: String,
}
