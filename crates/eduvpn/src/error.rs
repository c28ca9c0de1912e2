//! What can go wrong between a gateway's files, its portal and a list of networks.
//!
//! A portal's words reach a message escaped and cut; the portal's password never does.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use unmasq_diagnostic::Invalid;

use crate::range::RangeError;

/// Why there are no client networks.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EduvpnError {
    /// A file or a folder that cannot be read.
    #[error("cannot read {}: {reason}", file.display())]
    Read {
        /// The file or the folder.
        file: PathBuf,
        /// Why not. Part of the message, so no `source` of its own: a chain would print it twice.
        reason: io::Error,
    },
    /// A file too large to be what it should be.
    #[error("{} is larger than {limit} bytes, so it is no server or node configuration; name the right file", file.display())]
    FileTooLarge {
        /// The file.
        file: PathBuf,
        /// The largest that is read, in bytes.
        limit: u64,
    },
    /// The node's PHP configuration cannot be used. The line's text is not shown: it may hold the password.
    #[error("{}:{line}:{column}: {message}", file.display())]
    Config {
        /// The file.
        file: PathBuf,
        /// From 1.
        line: usize,
        /// From 1, in characters.
        column: usize,
        /// What is wrong and what to do.
        message: String,
    },
    /// A WireGuard or OpenVPN server file that cannot be used: all that is wrong with it.
    #[error("{0}")]
    ServerFile(Invalid),
    /// The portal's address is none.
    #[error(
        "the portal's address, apiUri, cannot be used: {reason}; write it as http://localhost/vpn-server-api/api.php"
    )]
    Uri {
        /// What is wrong with it.
        reason: String,
    },
    /// No certificate authority to judge the portal's certificate by.
    #[error("cannot use the certificate authorities in {from}: {reason}; name a PEM file with the portal's")]
    Authorities {
        /// The file, or what stands for the system's store.
        from: String,
        /// Why not.
        reason: String,
    },
    /// The host name of the portal has no address.
    #[error("asking the portal {url}: its host name has no address: {reason}; mend apiUri or the resolver")]
    NoSuchHost {
        /// What was asked for.
        url: String,
        /// What the resolver says.
        reason: String,
    },
    /// Nobody listens there.
    #[error(
        "asking the portal {url}: connection refused; is its web server running, and is apiUri's port right?"
    )]
    Refused {
        /// What was asked for.
        url: String,
    },
    /// No answer, or not a whole one, in time.
    #[error("asking the portal {url}: no whole answer within {} s; is it reachable from here?", after.as_secs_f64())]
    TimedOut {
        /// What was asked for.
        url: String,
        /// The bound.
        after: Duration,
    },
    /// TLS failed: most often a certificate that is not trusted, or of another name.
    #[error(
        "asking the portal {url}: TLS failed: {reason}; mend the portal's certificate, or name its authority"
    )]
    Tls {
        /// What was asked for.
        url: String,
        /// What rustls says.
        reason: String,
    },
    /// The connection broke, or what came was no HTTP.
    #[error("asking the portal {url}: {reason}; does apiUri name a web server?")]
    Transport {
        /// What was asked for.
        url: String,
        /// What happened.
        reason: String,
    },
    /// Wrong user or password.
    #[error(
        "asking the portal {url}: it does not accept user {user:?} (status 401): {said}; make apiUser and apiPass \
         those of apiConsumers in the portal's configuration"
    )]
    Unauthorized {
        /// What was asked for.
        url: String,
        /// The user that was named.
        user: String,
        /// The portal's own words, escaped and cut.
        said: String,
    },
    /// Any other status than 2xx.
    #[error("asking the portal {url}: it answered status {status}: {said}; is apiUri the portal's API?")]
    Status {
        /// What was asked for.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The portal's own words, escaped and cut.
        said: String,
    },
    /// The portal understood and could not do it: `"ok": false`.
    #[error("asking the portal {url}: it could not list the profiles: {said}; see the portal's log")]
    Failed {
        /// What was asked for.
        url: String,
        /// The portal's own words, escaped and cut.
        said: String,
    },
    /// An answer without a body.
    #[error("asking the portal {url}: its answer is empty; see the portal's log")]
    Empty {
        /// What was asked for.
        url: String,
    },
    /// An answer too large to be a list of profiles.
    #[error("asking the portal {url}: its answer is larger than {limit} bytes; is apiUri the portal's API?")]
    TooLarge {
        /// What was asked for.
        url: String,
        /// The bound in bytes.
        limit: u64,
    },
    /// An answer that is not JSON.
    #[error(
        "asking the portal {url}: its answer is not JSON ({reason}): {begins}; is apiUri the portal's API?"
    )]
    NotJson {
        /// What was asked for.
        url: String,
        /// What the JSON reader says.
        reason: String,
        /// How the answer begins, escaped and cut.
        begins: String,
    },
    /// JSON of another shape.
    #[error(
        "asking the portal {url}: {key} in its answer is {found}, not {wanted}; is it eduVPN 2's vpn-server-api?"
    )]
    Shape {
        /// What was asked for.
        url: String,
        /// Which key, as a path: `profile_list.data.internet.range`.
        key: String,
        /// What should be there.
        wanted: &'static str,
        /// What is.
        found: &'static str,
    },
    /// A profile without an IPv4 range.
    #[error(
        "the portal's profile {profile:?} has no range; set 'range' in the portal's vpnProfiles, or leave the \
         profile out of the node's profileList"
    )]
    NoRange {
        /// The profile's name.
        profile: String,
    },
    /// A profile whose range is none, or cannot be split among its processes.
    #[error("the range {range:?} of the portal's profile {profile:?} cannot be used: {reason}")]
    Range {
        /// The profile's name.
        profile: String,
        /// As the portal writes it, cut.
        range: String,
        /// Why not. Part of the message, like [`EduvpnError::Read`]'s.
        reason: RangeError,
    },
}

impl From<Invalid> for EduvpnError {
    fn from(invalid: Invalid) -> Self {
        Self::ServerFile(invalid)
    }
}
