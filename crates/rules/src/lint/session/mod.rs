//! What a ruleset does to a TCP connection to this machine: the one that its administrator is logged in by.
//!
//! Not a simulation of netfilter. Only what is understood for certain counts, and of a rule that is not, all that it could do is
//! taken into account: the answer is then [`Fate::Unknown`], never a guess.
//!
//! ```text
//!  Session ──► a packet of the client: prerouting, input ──┐   each base chain by itself: what can become of it there
//!          └─► a packet of the server: output, postrouting ┴─► dropped for certain in one? accepted for certain in all? unknown
//! ```
//!
//! Taken for granted: the connection is tracked, its packets are valid and no fragments, and it is not rewritten before it
//! comes here.

mod iptables;
mod nft;
mod packet;
mod walk;

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use self::packet::{Packet, State};
use crate::ruleset::Ruleset;

/// A TCP connection to this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Whose it is.
    pub client: SocketAddr,
    /// This machine's end.
    pub server: SocketAddr,
    /// The interface by which its packets come and go; `None` if that is not known.
    pub interface: Option<String>,
}

/// A text that names no session.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no session; write the client's and this machine's end, such as 192.0.2.7:50022,198.51.100.1:22 or \
     [2001:db8::7]:50022,[2001:db8::1]:22"
)]
pub struct SessionError {
    text: String,
}

/// What becomes of packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// They get through, for certain.
    Accepted,
    /// They are dropped, for certain.
    Dropped,
    /// The rules depend on something that cannot be told from them.
    Unknown,
}

/// What becomes of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prospects {
    /// Of the connection that there is.
    pub established: Fate,
    /// Of another one by the same client to the same port.
    pub new: Fate,
}

impl Session {
    /// What a ruleset does to it, if nothing else is loaded.
    pub fn under(&self, ruleset: &Ruleset) -> Prospects {
        let packet = |is_of_client, state| {
            let is_of_another = matches!(state, State::New | State::Answered);
            Packet { session: self, is_of_client, is_of_another, state }
        };
        let passage = |packet: Packet<'_>, is_incoming| walk::passage(ruleset, &packet, is_incoming);
        let mut established = vec![
            passage(packet(true, State::Established), true),
            passage(packet(false, State::Established), false),
        ];
        let mut new =
            vec![passage(packet(true, State::New), true), passage(packet(false, State::Answered), false)];
        if self.interface.as_deref() == Some("lo") {
            // Both ends are here: each packet goes out and comes in.
            established.push(passage(packet(true, State::Established), false));
            established.push(passage(packet(false, State::Established), true));
            new.push(passage(packet(true, State::New), false));
            new.push(passage(packet(false, State::Answered), true));
        }
        let established = Fate::of_all(&established);
        new.push(established);
        Prospects { established, new: Fate::of_all(&new) }
    }
}

impl Fate {
    /// Of something that all of these have to let through.
    fn of_all(fates: &[Self]) -> Self {
        if fates.contains(&Self::Dropped) {
            Self::Dropped
        } else if fates.iter().all(|fate| *fate == Self::Accepted) {
            Self::Accepted
        } else {
            Self::Unknown
        }
    }

    /// The word for it in JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Dropped => "dropped",
            Self::Unknown => "unknown",
        }
    }
}

impl FromStr for Session {
    type Err = SessionError;

    /// Reads what sshd(8) puts into `SSH_CONNECTION` (`192.0.2.7 50022 198.51.100.1 22`), or `ADDRESS:PORT,ADDRESS:PORT`.
    fn from_str(text: &str) -> Result<Self, SessionError> {
        let wrong = || SessionError { text: text.chars().take(120).collect() };
        let words: Vec<&str> = text.split_whitespace().collect();
        let ends = match words[..] {
            [client, client_port, server, server_port] => [(client, client_port), (server, server_port)],
            [both] => {
                let (client, server) = both.split_once(',').ok_or_else(wrong)?;
                [client.rsplit_once(':').ok_or_else(wrong)?, server.rsplit_once(':').ok_or_else(wrong)?]
            }
            _ => return Err(wrong()),
        };
        let mut interface = None;
        let mut parsed = Vec::with_capacity(2);
        for (address, port) in ends {
            let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
            let (bare, scope) = bare.split_once('%').map_or((bare, None), |(ip, scope)| (ip, Some(scope)));
            interface = interface.or(scope.map(str::to_owned));
            let ip: IpAddr = bare.parse().map_err(|_| wrong())?;
            let port = port.parse().map_err(|_| wrong())?;
            // sshd on a dual-stack socket tells a mapped address; packets have the other.
            parsed.push(SocketAddr::new(ip.to_canonical(), port));
        }
        let (client, server) = (parsed[0], parsed[1]);
        if client.is_ipv4() == server.is_ipv4() {
            Ok(Self { client, server, interface })
        } else {
            Err(wrong())
        }
    }
}

#[cfg(test)]
mod reality;
#[cfg(test)]
mod tests;
