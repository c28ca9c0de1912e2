//! What workers tell the writer.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use unmasq_flow::Timestamp;
use unmasq_honeypot::server::{Attempt, Peer};
use unmasq_ssh::{Hassh, Identification, KexInit, Negotiated};

/// A connection, as it is known from its start.
#[derive(Clone, Debug)]
pub(super) struct Opened {
    /// Its name in the output, and nobody else's.
    pub(super) session: u64,
    /// The other end of the socket.
    pub(super) peer: SocketAddr,
    /// Who a trusted proxy says that it is.
    pub(super) proxied: Option<SocketAddr>,
    /// What the client connected to, before it was redirected here.
    pub(super) destination: SocketAddr,
    /// Our end of the socket.
    pub(super) local: SocketAddr,
    /// When it was accepted.
    pub(super) at: Timestamp,
}

impl Opened {
    /// The client, as far as the connection itself tells.
    pub(super) fn client(&self) -> SocketAddr {
        self.proxied.unwrap_or(self.peer)
    }

    /// The client's address.
    pub(super) fn source(&self) -> IpAddr {
        self.client().ip()
    }
}

/// What is known of a client's software.
#[derive(Clone, Debug, Default)]
pub(super) struct Software {
    pub(super) identification: Option<Identification>,
    pub(super) kexinit: Option<KexInit>,
    pub(super) hassh: Option<Hassh>,
    pub(super) hassh_server: Option<Arc<Hassh>>,
    pub(super) negotiated: Option<Negotiated>,
}

impl Software {
    /// What is known of a client by now.
    pub(super) fn of(peer: &Peer) -> Self {
        Self {
            identification: peer.identification.clone(),
            kexinit: peer.kexinit.clone(),
            hassh: peer.hassh.clone(),
            hassh_server: peer.hassh_server.clone(),
            negotiated: peer.negotiated.clone(),
        }
    }
}

/// One thing to write down.
#[derive(Clone, Debug)]
pub(super) struct Note {
    pub(super) opened: Arc<Opened>,
    pub(super) at: Timestamp,
    pub(super) news: News,
}

/// What happened.
#[derive(Clone, Debug)]
pub(super) enum News {
    /// The connection was accepted: time to ask who it is.
    Accepted,
    /// Both sides have said what they can.
    Negotiated(Arc<Software>),
    /// The client tried something.
    Attempt {
        software: Arc<Software>,
        attempt: Box<Attempt>,
        /// Which password of the connection it is, from 1; of what is none, how many there were.
        passwords: u32,
    },
    /// It is over.
    Ended {
        software: Arc<Software>,
        lasted: Duration,
        attempts: u32,
        /// By whom and why.
        reason: String,
    },
}
