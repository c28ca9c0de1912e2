//! What is asked: which client was behind a masked endpoint at some time.

use std::net::IpAddr;

use unmasq_flow::{Destination, Endpoint, Flow, Period, Protocol, Timestamp};

/// What one witness is asked, for one stretch of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Question {
    /// The client as the far side saw it. An address alone means every port and id at it.
    pub masked: Endpoint,
    /// The protocol, if the asker knows it.
    pub protocol: Option<Protocol>,
    /// What answered, if the asker knows it: the far side's own address and port.
    pub server: Option<Endpoint>,
    /// When, both ends included.
    pub window: Period,
}

impl Question {
    /// Is this flow an answer, as far as the flow itself tells? A destination that was not kept does not rule it out.
    pub fn admits(&self, flow: &Flow) -> bool {
        self.masked.covers(flow.masked)
            && self.protocol.is_none_or(|p| p == flow.protocol)
            && flow.overlaps(self.window)
            && !matches!(self.server_check(flow), ServerCheck::Differs)
    }

    /// How the server that was asked for compares with a flow's, without a hash key.
    pub fn server_check(&self, flow: &Flow) -> ServerCheck {
        match (self.server, flow.server) {
            (None, _) => ServerCheck::NotAsked,
            (Some(asked), Destination::Kept(server)) if asked.covers(server) => ServerCheck::Same,
            (Some(_), Destination::Kept(_)) => ServerCheck::Differs,
            (Some(_), Destination::Hashed(_) | Destination::Omitted) => ServerCheck::Undecided,
        }
    }
}

/// Does a flow's server agree with the one that was asked for?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServerCheck {
    /// No server was asked for.
    NotAsked,
    /// It was kept, and is the same.
    Same,
    /// Its 16 keyed bits are those of the one asked for. Another server has the same ones in one case of 65,536.
    SameHash,
    /// It is another.
    Differs,
    /// It was not kept, or the hash cannot tell (an address without a port was asked for).
    Undecided,
}

/// What a user asks: a question whose time can have more than one reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inquiry {
    /// The client as the far side saw it.
    pub masked: Endpoint,
    /// The protocol, if known.
    pub protocol: Option<Protocol>,
    /// What answered, if known.
    pub server: Option<Endpoint>,
    /// The stretches of time that are meant: one, or two for a local time that occurred twice. Never empty.
    pub windows: Vec<Period>,
    /// When it is asked; what is alive now is alive until then, and nothing is known of later.
    pub now: Timestamp,
}

impl Inquiry {
    /// An inquiry about one stretch of time, with protocol and server left open.
    pub fn new(masked: Endpoint, window: Period, now: Timestamp) -> Self {
        Self { masked, protocol: None, server: None, windows: vec![window], now }
    }

    /// The question to a witness about one stretch of time.
    pub fn question(&self, window: Period) -> Question {
        Question { masked: self.masked, protocol: self.protocol, server: self.server, window }
    }
}

/// The other way round: all that a client did in a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientQuestion {
    /// The client's own address.
    pub client: IpAddr,
    /// The protocol, if it matters.
    pub protocol: Option<Protocol>,
    /// What answered, if it matters.
    pub server: Option<Endpoint>,
    /// When, both ends included.
    pub window: Period,
}

impl ClientQuestion {
    /// Is this flow part of the answer, as far as the flow itself tells?
    pub fn admits(&self, flow: &Flow) -> bool {
        flow.client.address == self.client
            && self.protocol.is_none_or(|p| p == flow.protocol)
            && flow.overlaps(self.window)
            && match (self.server, flow.server) {
                (Some(asked), Destination::Kept(server)) => asked.covers(server),
                _ => true,
            }
    }
}
