//! What was seen of a connection, and how it is told.

use std::sync::Arc;

use unmasq_eve::{Event, Party, Ssh, Tuple};
use unmasq_flow::Timestamp;
use unmasq_ssh::{Hassh, Identification};

use crate::packet::Vlan;

/// What was seen of a connection so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// The client, and the server as the client addresses it at the place of capture.
    pub tuple: Tuple,
    /// When the first packet was seen.
    pub since: Timestamp,
    /// When the packet was seen that told this.
    pub at: Timestamp,
    /// The VLAN tags of the first packet, the outermost first.
    pub vlan: Vlan,
    /// The interface that the first packet was seen at.
    pub interface: Option<Arc<str>>,
    /// What the client is.
    pub client: Option<Identification>,
    /// The fingerprint of its lists.
    pub client_hassh: Option<Hassh>,
    /// What the server is.
    pub server: Option<Identification>,
    /// The fingerprint of its lists.
    pub server_hassh: Option<Hassh>,
}

/// What a sensor tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sighting {
    /// The client's software is known; the rest may follow. At most once for a connection.
    Client(Handshake),
    /// All that will be known of the connection. Once for each that said anything.
    Whole(Handshake),
}

impl Handshake {
    /// The line of Suricata's EVE format, without its end.
    pub fn to_eve(&self) -> String {
        self.event().ssh(&self.ssh())
    }

    /// The event's header.
    pub fn event(&self) -> Event {
        let interface = self.interface.as_deref().map(str::to_owned);
        Event::new(self.at, self.tuple, self.since).on(interface, self.vlan.ids().to_vec())
    }

    /// What it says of both sides. One that nothing is known of is left out.
    pub fn ssh(&self) -> Ssh {
        let party = |identification: Option<&Identification>, hassh: Option<&Hassh>| {
            (identification.is_some() || hassh.is_some()).then(|| Party::new(identification, hassh.cloned()))
        };
        Ssh {
            client: party(self.client.as_ref(), self.client_hassh.as_ref()),
            server: party(self.server.as_ref(), self.server_hassh.as_ref()),
        }
    }
}
