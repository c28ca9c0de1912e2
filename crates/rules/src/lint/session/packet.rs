//! A packet of a session, and answers about it that may be "it depends".

use std::net::IpAddr;
use std::ops::Not;

use super::Session;

/// Does a packet match?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Matches {
    Yes,
    No,
    /// Some such packets do, or it cannot be told.
    Perhaps,
}

impl Matches {
    /// Any of them.
    pub(super) fn any(all: impl IntoIterator<Item = Self>) -> Self {
        let mut found = Self::No;
        for one in all {
            match one {
                Self::Yes => return Self::Yes,
                Self::Perhaps => found = Self::Perhaps,
                Self::No => {}
            }
        }
        found
    }

    /// All of them.
    pub(super) fn all(all: impl IntoIterator<Item = Self>) -> Self {
        !Self::any(all.into_iter().map(Not::not))
    }
}

impl From<bool> for Matches {
    fn from(is_so: bool) -> Self {
        if is_so { Self::Yes } else { Self::No }
    }
}

impl Not for Matches {
    type Output = Self;

    fn not(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            Self::Perhaps => Self::Perhaps,
        }
    }
}

/// How far the connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Its first packet, the SYN.
    New,
    /// The answer to it, SYN and ACK. For connection tracking it is established.
    Answered,
    /// In the midst of it.
    Established,
    /// Connection tracking is not to be asked: it has not seen the packet yet, or a rule has told it to look away.
    Untold,
}

/// A packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet<'s> {
    pub(super) session: &'s Session,
    pub(super) is_of_client: bool,
    /// Of a connection that the client opens besides this one, from a port that is not known.
    pub(super) is_of_another: bool,
    pub(super) state: State,
}

impl<'s> Packet<'s> {
    pub(super) fn source(&self) -> IpAddr {
        if self.is_of_client { self.session.client.ip() } else { self.session.server.ip() }
    }

    pub(super) fn destination(&self) -> IpAddr {
        if self.is_of_client { self.session.server.ip() } else { self.session.client.ip() }
    }

    /// `None` where it cannot be told: another connection is from another port.
    pub(super) fn source_port(&self) -> Option<u16> {
        if self.is_of_client { self.client_port() } else { Some(self.session.server.port()) }
    }

    /// `None` where it cannot be told.
    pub(super) fn destination_port(&self) -> Option<u16> {
        if self.is_of_client { Some(self.session.server.port()) } else { self.client_port() }
    }

    fn client_port(&self) -> Option<u16> {
        (!self.is_of_another).then(|| self.session.client.port())
    }

    pub(super) fn is_v4(&self) -> bool {
        self.session.client.is_ipv4()
    }

    pub(super) fn interface(&self) -> Option<&'s str> {
        self.session.interface.as_deref()
    }

    /// Is it in this state of connection tracking? `word` in small letters.
    pub(super) fn has_state(&self, word: &str) -> Matches {
        let is = match self.state {
            State::Untold => return Matches::Perhaps,
            State::New => "new",
            State::Answered | State::Established => "established",
        };
        match word {
            "new" | "established" | "related" | "invalid" | "untracked" => (word == is).into(),
            // SNAT, DNAT: they are about what became of the connection.
            _ => Matches::Perhaps,
        }
    }

    /// Are of its TCP flags (in small letters) in the mask exactly these set?
    pub(super) fn has_flags(&self, mask: &[&str], set: &[&str]) -> Matches {
        // ECN may be offered or not, and in the midst of a connection PSH and FIN come and go.
        let is_set = |flag: &str| match (self.state, flag) {
            (State::New, "syn") | (State::Answered, "syn" | "ack") | (State::Established, "ack") => {
                Matches::Yes
            }
            (State::New, "ack")
            | (State::New | State::Answered, "fin" | "rst" | "psh" | "urg")
            | (State::Established, "syn") => Matches::No,
            _ => Matches::Perhaps,
        };
        if set.iter().any(|flag| !mask.contains(flag)) {
            return Matches::No;
        }
        let is_right = |flag: &&str| if set.contains(flag) { is_set(flag) } else { !is_set(flag) };
        Matches::all(mask.iter().map(is_right))
    }
}

/// The name of an interface against a pattern that may end with a wildcard.
pub(super) fn is_interface(name: &str, pattern: &str, wildcard: char) -> Matches {
    match pattern.strip_suffix(wildcard) {
        Some(prefix) => name.starts_with(prefix).into(),
        None => (name == pattern).into(),
    }
}
