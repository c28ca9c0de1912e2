//! A composed mail and its file: a line of JSON with the envelope, then the message as it goes out.

use std::io;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Who it is from and for, apart from what its headers say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Envelope {
    pub(super) from: String,
    /// Those who have not got it yet.
    pub(super) to: Vec<String>,
    /// Without angle brackets.
    pub(super) id: String,
    /// Seconds since the Unix epoch.
    pub(super) queued: u64,
}

/// A mail, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Letter {
    pub(super) envelope: Envelope,
    /// Headers and body, with CRLF.
    pub(super) body: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct Head {
    version: u32,
    /// Of the body: a file that a power cut left short is told from a whole one.
    bytes: usize,
    envelope: Envelope,
    /// Why it is among the failed ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl Letter {
    /// The name of its file: the same for the same Message-ID, whatever that is.
    pub(super) fn file_name(&self) -> String {
        let digest = Sha256::digest(self.envelope.id.as_bytes());
        format!("{:032x}.mail", digest[..16].iter().fold(0u128, |name, byte| name << 8 | u128::from(*byte)))
    }

    /// The contents of its file.
    pub(super) fn to_file(&self, reason: Option<&str>) -> Vec<u8> {
        let head = Head {
            version: 1,
            bytes: self.body.len(),
            envelope: self.envelope.clone(),
            reason: reason.map(str::to_owned),
        };
        let mut bytes = serde_json::to_vec(&head).expect("texts and numbers have a JSON form");
        bytes.push(b'\n');
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// Reads the contents of a file.
    pub(super) fn from_file(bytes: &[u8]) -> io::Result<Self> {
        let damaged = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
        let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
        let head: Head =
            serde_json::from_slice(&bytes[..end]).map_err(|e| damaged(format!("not a queued mail: {e}")))?;
        let body = bytes.get(end + 1..).unwrap_or_default();
        if head.version != 1 {
            return Err(damaged(format!("a queued mail of version {}, not 1", head.version)));
        }
        if body.len() != head.bytes {
            return Err(damaged(format!("a queued mail of {} bytes has only {}", head.bytes, body.len())));
        }
        Ok(Self { envelope: head.envelope, body: body.to_vec() })
    }
}
