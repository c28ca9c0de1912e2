//! Security zones: who may reach the gateway, what is proxied, what is forwarded, and nothing else.
//!
//! ```text
//!  TOML ──read──► Zones ──┬─nft──────► table inet unmasq_zones        local_map:   interface → LO…  (input)
//!                         │                                           proxy_map:   interface → PR…  (prerouting)
//!                         │                                           forward_map: interface → FO…  (forward)
//!                         ├─iptables─► the tables filter and mangle, of IPv4 or of IPv6
//!                         └─routing──► the commands of ip(8) that bring proxied packets to the proxies
//! ```
//!
//! The rulesets are those of the TPROXY document with iptables-utils (Scheidler, 2002) in today's terms: two chains a zone,
//! `LO` for what is meant for the gateway and `PR` for what passes it, and two more, `FO` for what is forwarded all the same
//! and `SO` for the sources that a zone can have. `PR` chains end without a drop: a session that no proxy takes is stopped in
//! the filter table, where forwarding is dropped.
//!
//! ```
//! use std::path::Path;
//! use unmasq_rules::{Form, zones::Zones};
//!
//! let text = "[zone.intra]\ninterfaces = [\"lan0\"]\n[[zone.intra.local]]\nprotocol = \"tcp\"\nports = [22]\n";
//! let zones = Zones::parse(Path::new("zones.toml"), text).expect("it is right");
//! assert!(zones.ruleset(Form::Nft).contains("tcp dport 22 accept"));
//! ```

mod iptables;
mod nft;
mod read;
mod routing;
mod selection;
#[cfg(test)]
mod tests;

use std::path::Path;

use serde::Deserialize;
use unmasq_diagnostic::Invalid;

use crate::Form;
use crate::nflog::Nflog;
use crate::value::{Interface, Label, Network, Ports, Prefix, Rate, Transport, ZoneName};

pub use nft::TABLE;
pub use routing::Routing;

/// A commented file with every key.
pub const EXAMPLE: &str = include_str!("example.toml");

/// What a file of zones says. What it names is there, and no two things claim the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zones {
    /// How drops are logged; not at all if `None`.
    pub log: Option<Log>,
    /// How proxied packets find their proxies.
    pub routing: Routing,
    /// The zones, in the file's order; at least one.
    pub zones: Vec<Zone>,
    /// The services that proxies have, in the file's order.
    pub services: Vec<Service>,
    /// What is forwarded, in the file's order.
    pub forwards: Vec<Forward>,
}

/// How drops are logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Where to.
    pub nflog: Nflog,
    /// What each entry begins with.
    pub prefix: Prefix,
    /// How many drops each chain logs.
    pub rate: Rate,
    /// So many at once before the rate counts.
    pub burst: u16,
}

/// A security zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    /// Its name, in the chains' names too.
    pub name: ZoneName,
    /// The interfaces behind which it is; at least one.
    pub interfaces: Vec<Interface>,
    /// The sources that it can have; empty for all that are no other zone's.
    pub networks: Vec<Network>,
    /// What may reach the gateway from it.
    pub local: Vec<Local>,
    /// The services that its clients may use, by name.
    pub proxy: Vec<Label>,
}

/// What may reach the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Local {
    /// Which packets.
    pub traffic: Traffic,
    /// From where in the zone; empty for anywhere.
    pub from: Vec<Network>,
    /// Is the beginning of each connection logged?
    pub is_logged: bool,
}

/// What is forwarded from one zone to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// The zone that opens connections.
    pub from: ZoneName,
    /// The zone that they go to.
    pub to: ZoneName,
    /// Which packets.
    pub traffic: Traffic,
    /// From where in the zone; empty for anywhere.
    pub source: Vec<Network>,
    /// To where in the other; empty for anywhere.
    pub destination: Vec<Network>,
    /// Is the beginning of each connection logged?
    pub is_logged: bool,
}

/// A service that a proxy on the gateway has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its name, by which zones allow it.
    pub name: Label,
    /// TCP or UDP.
    pub transport: Transport,
    /// The ports that clients mean.
    pub ports: Ports,
    /// The port that the proxy listens on: at 127.0.0.1 and ::1 if it is transparent, else at the gateway's addresses.
    pub listen: u16,
    /// Do clients mean the server, and reach the proxy? Else they are set up to ask the proxy.
    pub is_transparent: bool,
}

/// Packets of a protocol, and of some ports of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// The protocol.
    pub protocol: Protocol,
    /// Destination ports, of protocols that have ports; all if `None`.
    pub ports: Option<Ports>,
}

/// A protocol that rules can be for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// All of them.
    Any,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
    /// Echo requests of ICMP and ICMPv6. Errors belong to the connection that they tell of, and pass with it.
    Ping,
    /// GRE, as of PPTP.
    Gre,
    /// IPsec's payload.
    Esp,
    /// IPsec's authentication header.
    Ah,
    /// OSPF.
    Ospf,
    /// VRRP, as of keepalived.
    Vrrp,
}

impl From<Transport> for Protocol {
    fn from(transport: Transport) -> Self {
        match transport {
            Transport::Tcp => Self::Tcp,
            Transport::Udp => Self::Udp,
        }
    }
}

impl Protocol {
    /// Do its packets have ports?
    pub const fn has_ports(self) -> bool {
        matches!(self, Self::Tcp | Self::Udp | Self::Sctp)
    }
}

impl Zones {
    /// Reads a text; `file` is for messages only.
    pub fn parse(file: &Path, text: &str) -> Result<Self, Invalid> {
        read::zones(text).map_err(|problems| Invalid::new(file, text, problems))
    }

    /// The whole ruleset.
    pub fn ruleset(&self, form: Form) -> String {
        match form {
            Form::Nft => nft::ruleset(self),
            Form::Iptables => iptables::ruleset(self, false),
            Form::Ip6tables => iptables::ruleset(self, true),
        }
    }

    /// The commands of ip(8) that bring proxied packets to the proxies, one a line; none if nothing is proxied.
    pub fn policy_routing(&self) -> Vec<String> {
        if self.has_proxies() { self.routing.commands(&self.interfaces()) } else { Vec::new() }
    }

    /// Is a service taken from its clients' way by some zone?
    fn has_proxies(&self) -> bool {
        self.zones.iter().any(|zone| self.services_of(zone).any(|service| service.is_transparent))
    }

    /// The interfaces of all zones.
    fn interfaces(&self) -> Vec<&Interface> {
        self.zones.iter().flat_map(|zone| &zone.interfaces).collect()
    }

    /// The interfaces of one.
    fn interfaces_of(&self, name: &ZoneName) -> &[Interface] {
        self.zones.iter().find(|zone| zone.name == *name).map_or(&[], |zone| &zone.interfaces)
    }

    /// The services that a zone's clients may use.
    fn services_of<'z>(&'z self, zone: &'z Zone) -> impl Iterator<Item = &'z Service> {
        zone.proxy.iter().filter_map(|name| self.services.iter().find(|service| service.name == *name))
    }

    /// What is forwarded from a zone.
    fn forwards_of<'z>(&'z self, zone: &'z Zone) -> impl Iterator<Item = &'z Forward> {
        self.forwards.iter().filter(|forward| forward.from == zone.name)
    }

    /// The networks of other zones that are no sources of this one: for a zone with networks, those within them; else all.
    fn foreign_to(&self, zone: &Zone) -> Vec<&Network> {
        let others =
            self.zones.iter().filter(|other| other.name != zone.name).flat_map(|other| &other.networks);
        others
            .filter(|net| zone.networks.is_empty() || zone.networks.iter().any(|own| own.0.contains(&net.0)))
            .collect()
    }

    /// Can a packet from a zone be told by its source to be spoofed?
    fn has_sources(&self, zone: &Zone) -> bool {
        !zone.networks.is_empty() || !self.foreign_to(zone).is_empty()
    }
}
