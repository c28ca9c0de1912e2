//! The line that each side begins with (RFC 4253, section 4.2).

use std::fmt;

/// What a line says about who sends it, read as sshd and Suricata do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identification {
    /// Without its line end; bytes that are no printable ASCII are written as `\x01`.
    line: String,
    /// Where the software version begins.
    software: usize,
}

impl Identification {
    /// Most bytes of a line, its end included, that an SSH implementation reads: sshd's buffer (`SSH_MAX_BANNER_LEN` of ssh.h
    /// is 8192). The RFC allows 255.
    pub const MOST_BYTES: usize = 8192;

    /// From a line, with or without its end (CR LF, or LF alone).
    ///
    /// # Errors
    /// If it is not `SSH-`protocol`-`software.
    pub fn parse(line: &[u8]) -> Result<Self, BadIdentification> {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let rest = line.strip_prefix(b"SSH-").ok_or(BadIdentification::NotSsh)?;
        let dash = rest.iter().position(|byte| *byte == b'-').ok_or(BadIdentification::NoVersion)?;
        let is_version = |bytes: &[u8]| {
            let mut parts = bytes.split(|byte| *byte == b'.');
            let is_number = |part: Option<&[u8]>| {
                part.is_some_and(|part| {
                    !part.is_empty() && part.len() < 6 && part.iter().all(u8::is_ascii_digit)
                })
            };
            is_number(parts.next()) && is_number(parts.next()) && parts.next().is_none()
        };
        if !is_version(&rest[..dash]) {
            return Err(BadIdentification::NoVersion);
        }
        if rest.len() == dash + 1 {
            return Err(BadIdentification::NoSoftware);
        }
        Ok(Self { line: visible(line), software: 4 + dash + 1 })
    }

    /// The whole line without its end.
    pub fn line(&self) -> &str {
        &self.line
    }

    /// The protocol's version: `2.0`.
    pub fn protocol(&self) -> &str {
        &self.line[4..self.software - 1]
    }

    /// The software's version up to a comment, which is behind a space: `OpenSSH_9.2p1`. This is what Suricata, since 6.0, calls
    /// `software_version`.
    pub fn software_without_comment(&self) -> &str {
        self.software().split(' ').next().unwrap_or_default()
    }

    /// The software's version, a comment after it included: `OpenSSH_9.2p1 Debian-2+deb12u10`.
    pub fn software(&self) -> &str {
        &self.line[self.software..]
    }
}

impl fmt::Display for Identification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line)
    }
}

/// Printable ASCII as it is, everything else escaped, so that it is safe in logs and patterns.
fn visible(bytes: &[u8]) -> String {
    use fmt::Write;
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        if byte == b' ' || byte.is_ascii_graphic() {
            text.push(char::from(byte));
        } else {
            // Writing into a String cannot fail.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// Why a line is no identification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadIdentification {
    /// It does not begin with `SSH-`.
    #[error("does not begin with SSH-")]
    NotSsh,
    /// No protocol version, such as `2.0`, follows.
    #[error("has no protocol version")]
    NoVersion,
    /// Nothing follows the protocol version.
    #[error("has no software version")]
    NoSoftware,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_line_says_protocol_and_software() {
        let debian = Identification::parse(b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u10\r\n").unwrap();
        assert_eq!((debian.protocol(), debian.software()), ("2.0", "OpenSSH_9.2p1 Debian-2+deb12u10"));
        assert_eq!(debian.software_without_comment(), "OpenSSH_9.2p1");
        let old = Identification::parse(b"SSH-1.99-x\n").unwrap();
        assert_eq!((old.protocol(), old.software()), ("1.99", "x"));
        let odd = Identification::parse(b"SSH-2.0-a\x1b[2J\xff-b").unwrap();
        assert_eq!(odd.software(), "a\\x1b[2J\\xff-b");
    }

    #[test]
    fn what_is_none_is_refused_with_its_reason() {
        let refused = |line: &[u8]| Identification::parse(line).unwrap_err();
        assert_eq!(refused(b"GET / HTTP/1.1\r\n"), BadIdentification::NotSsh);
        assert_eq!(refused(b"\n"), BadIdentification::NotSsh);
        assert_eq!(refused(b"SSH-1337-x\r\n"), BadIdentification::NoVersion);
        assert_eq!(refused(b"SSH-2.0\r\n"), BadIdentification::NoVersion);
        assert_eq!(refused(b"SSH-2.0-\r\n"), BadIdentification::NoSoftware);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let mut line = b"SSH-2.0-".to_vec();
            line.extend(&bytes);
            for line in [&line, &bytes] {
                if let Ok(read) = Identification::parse(line) {
                    prop_assert!(read.line().bytes().all(|byte| (0x20..0x7f).contains(&byte)));
                    prop_assert_eq!(read.line(), format!("SSH-{}-{}", read.protocol(), read.software()));
                }
            }
        }
    }
}
