//! Why a connection ended.

use std::fmt;

use unmasq_ssh::NoCommon;

use crate::profile::Failure;
use crate::random::NoRandomness;

/// Why and by whom a connection was ended. Its `Display` is what is written down.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// The client closed it.
    ClientClosed,
    /// The client sent a DISCONNECT.
    ClientDisconnected {
        /// Its reason code (RFC 4253, section 11.1).
        code: u32,
        /// Its text; bytes that are no UTF-8 are replaced.
        text: String,
    },
    /// What came first is no identification.
    BadIdentification {
        /// The line's beginning, as far as it was read; bytes that are no printable ASCII are escaped.
        line: String,
    },
    /// The client speaks another version of the protocol.
    OtherProtocol {
        /// Its identification, in the same way.
        line: String,
    },
    /// The client calls itself one of the scanners that sshd does not talk to.
    Scanner,
    /// There is no algorithm in common.
    NoCommon(NoCommon),
    /// The client broke the protocol: with what.
    Protocol(&'static str),
    /// The client's public value in the key exchange is out of range.
    BadValue,
    /// The client asked for a service that there is not.
    NoService,
    /// The client changed the user name or the service between attempts.
    OtherUser,
    /// Attempts are used up.
    TooManyAttempts {
        /// Was the last one answered as a password?
        is_password: bool,
    },
    /// The time is up.
    GraceTime,
    /// The client sent more than a connection may.
    TooManyBytes,
    /// We cannot go on.
    Broken(NoRandomness),
}

impl End {
    /// Was it the client that ended it?
    pub const fn is_by_client(&self) -> bool {
        matches!(self, Self::ClientClosed | Self::ClientDisconnected { .. })
    }

    /// The answer waits as that to a failed attempt does.
    pub(super) const fn failure(&self) -> Option<Failure> {
        match self {
            Self::TooManyAttempts { is_password: true } => Some(Failure::Password),
            Self::TooManyAttempts { is_password: false } => Some(Failure::Other),
            _ => None,
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClientClosed => f.write_str("client closed"),
            Self::ClientDisconnected { code, text } => write!(f, "client disconnected: {code} {text}"),
            Self::BadIdentification { line } => write!(f, "bad identification: {line}"),
            Self::OtherProtocol { line } => write!(f, "other protocol version: {line}"),
            Self::Scanner => f.write_str("known scanner"),
            Self::NoCommon(reason) => write!(f, "{reason}"),
            Self::Protocol(what) => write!(f, "protocol error: {what}"),
            Self::BadValue => f.write_str("protocol error: a public value out of range"),
            Self::NoService => f.write_str("no such service"),
            Self::OtherUser => f.write_str("user name or service changed"),
            Self::TooManyAttempts { .. } => f.write_str("too many attempts"),
            Self::GraceTime => f.write_str("time is up"),
            Self::TooManyBytes => f.write_str("too many bytes"),
            Self::Broken(reason) => write!(f, "internal: {reason}"),
        }
    }
}
