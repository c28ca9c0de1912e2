//! Syslog over sockets: Unix datagrams and UDP (a message each), and TCP (RFC 6587).
//!
//! A message's time is its own; one that names only the second, and is of this or the last one, gets the time at which
//! it was received instead, so that entries of several sources keep their order.

mod datagrams;
mod framing;
mod streams;

pub use datagrams::Datagrams;
pub use framing::fuzz_stream;
pub use streams::Streams;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use unmasq_entry::Entry;
use unmasq_entry::format::Context;
use unmasq_flow::Timestamp;

use crate::{Source, SourceError};

/// Where messages are received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `udp://[::]:514`; `[::]` takes IPv4 too.
    Udp(SocketAddr),
    /// `tcp://[::]:514`.
    Tcp(SocketAddr),
    /// `unix:/run/log`: a socket made there, removed at the end.
    Unix {
        /// Its place.
        path: PathBuf,
        /// Who may write to it, as of chmod(1): 0o666 lets all programs log.
        mode: u32,
    },
}

/// Not an address of a syslog socket.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no syslog address; use udp://ADDRESS:PORT, tcp://ADDRESS:PORT or unix:/PATH")]
pub struct BadAddress(pub String);

impl FromStr for Address {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let bad = || BadAddress(text.to_owned());
        let socket = |rest: &str| rest.parse().map_err(|_| bad());
        if let Some(rest) = text.strip_prefix("udp://") {
            socket(rest).map(Self::Udp)
        } else if let Some(rest) = text.strip_prefix("tcp://") {
            socket(rest).map(Self::Tcp)
        } else {
            let path = text.strip_prefix("unix://").or_else(|| text.strip_prefix("unix:")).ok_or_else(bad)?;
            let path = PathBuf::from(path);
            if path.is_absolute() { Ok(Self::Unix { path, mode: 0o666 }) } else { Err(bad()) }
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Udp(address) => write!(f, "udp://{address}"),
            Self::Tcp(address) => write!(f, "tcp://{address}"),
            Self::Unix { path, .. } => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Receives messages at an address.
pub fn listen(address: &Address, context: Context) -> Result<Box<dyn Source>, SourceError> {
    let failed = |source| SourceError::Listen { address: address.to_string(), source };
    Ok(match address {
        Address::Udp(at) => Box::new(Datagrams::udp(*at, context).map_err(failed)?),
        Address::Unix { path, mode } => Box::new(Datagrams::unix(path, *mode, context).map_err(failed)?),
        Address::Tcp(at) => Box::new(Streams::listen(*at, context).map_err(failed)?),
    })
}

/// Gives an entry the time at which it was received, where its own is none, or less exact.
fn set_received(entry: &mut Entry, received: Timestamp) {
    let is_coarse = |time: Timestamp| {
        time.as_nanos() % 1_000_000_000 == 0
            && time <= received
            && received.since(time) < Duration::from_secs(2)
    };
    if entry.time.is_none_or(is_coarse) {
        entry.time = Some(received);
    }
}
