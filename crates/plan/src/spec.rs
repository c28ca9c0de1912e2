//! What a plan is to be made of, and why one cannot be made.

use std::fmt;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use crate::clients::{ClientNetwork, PublicRange};
use crate::{Layout, Plan, PortRange, PortSpace, layout};

/// What a plan is to be made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// How ports are given out. [`Layout::Foreign`] is none to make.
    pub layout: Layout,
    /// Client networks, in the order in which they get their ports.
    pub networks: Vec<ClientNetwork>,
    /// Addresses in them that are no clients', beside the gateway's.
    pub leave_out: Vec<Ipv4Net>,
    /// Public addresses.
    pub public: Vec<PublicRange>,
    /// The ports to give out at each public address.
    pub ports: PortRange,
    /// Ports that are kept out of these.
    pub exclude: Vec<PortRange>,
    /// Ports of each client; as many as there are if `None`.
    pub ports_per_client: Option<u32>,
    /// How many more clients there is to be room for, in percent of those there are. 0 to 1000; for computed ports only.
    pub growth: u32,
    /// How many ports of the first public address are for flows that do not fit into their client's block: the highest
    /// of the last run of ports. Nobody else gets them.
    pub overflow: Option<u16>,
}

/// The growth reserve unless told otherwise, in percent.
pub const DEFAULT_GROWTH: u32 = 25;
/// The ports of the layout `even` unless told otherwise: all but the well-known ones.
pub const EVEN_PORTS: PortRange = match PortRange::new(1024, u16::MAX) {
    Some(range) => range,
    None => PortRange::ALL,
};
/// The ports of eduVPN's script: its `$minPort` and `$maxPort`.
pub const EDUVPN_PORTS: PortRange = match PortRange::new(1280, u16::MAX) {
    Some(range) => range,
    None => PortRange::ALL,
};
/// More clients than this have more ports than all public addresses that may be given.
const MOST_CLIENTS: u64 = 1 << 24;

impl Spec {
    /// Makes the plan. With the layout `even`, clients that a former plan has keep their blocks, as long as there is room
    /// and the blocks are still among the ports to give out.
    pub fn make(&self, former: Option<&Plan>) -> Result<Plan, SpecError> {
        match self.layout {
            Layout::Eduvpn => layout::eduvpn(self),
            Layout::Even => layout::even(self, former),
            Layout::Foreign => Err(SpecError::NoLayout),
        }
    }

    /// The clients, in order.
    pub(crate) fn clients(&self) -> Result<Vec<Ipv4Addr>, SpecError> {
        if self.networks.is_empty() {
            return Err(SpecError::NoNetwork);
        }
        let is_no_clients = |network: &&ClientNetwork| {
            let first = network.net().network();
            first.is_loopback() || first.is_multicast() || first.is_broadcast()
        };
        if let Some(network) = self.networks.iter().find(is_no_clients) {
            return Err(SpecError::NoClientNetwork(network.to_string()));
        }
        let most: u64 = self.networks.iter().map(|n| 1_u64 << (32 - n.net().prefix_len())).sum();
        if most > MOST_CLIENTS {
            return Err(SpecError::TooManyClients { clients: most });
        }
        for (index, network) in self.networks.iter().enumerate() {
            let overlaps = |other: &&ClientNetwork| {
                other.net().contains(&network.net()) || network.net().contains(&other.net())
            };
            if let Some(other) = self.networks[..index].iter().find(overlaps) {
                return Err(SpecError::Overlap { one: other.to_string(), other: network.to_string() });
            }
        }
        let is_client = |client: &Ipv4Addr| {
            !client.is_unspecified() && !self.leave_out.iter().any(|net| net.contains(client))
        };
        let clients: Vec<Ipv4Addr> =
            self.networks.iter().flat_map(ClientNetwork::clients).filter(is_client).collect();
        if clients.is_empty() { Err(SpecError::NoClient) } else { Ok(clients) }
    }

    /// The public addresses, in order, each once.
    pub(crate) fn public_addresses(&self) -> Result<Vec<Ipv4Addr>, SpecError> {
        let mut addresses = Vec::new();
        for address in self.public.iter().flat_map(|range| range.addresses()) {
            if addresses.len() >= crate::clients::MOST_PUBLIC as usize {
                return Err(SpecError::TooManyPublic);
            }
            addresses.push(address);
        }
        if addresses.is_empty() {
            return Err(SpecError::NoPublic);
        }
        let is_no_source = |address: &&Ipv4Addr| {
            address.is_unspecified()
                || address.is_loopback()
                || address.is_multicast()
                || address.is_broadcast()
        };
        if let Some(address) = addresses.iter().find(is_no_source) {
            return Err(SpecError::NoSource(*address));
        }
        let mut sorted = addresses.clone();
        sorted.sort_unstable();
        if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(SpecError::TwicePublic(pair[0]));
        }
        Ok(addresses)
    }

    /// The ports that may be given out at each public address. Those of the overflow are kept free at all of them,
    /// and port 0, which no endpoint has.
    pub fn space(&self) -> PortSpace {
        self.space_without(self.overflow_ports())
    }

    fn space_without(&self, overflow: Option<PortRange>) -> PortSpace {
        let mut exclude = self.exclude.clone();
        exclude.extend(overflow);
        exclude.extend(PortRange::new(0, 0));
        PortSpace::new(self.ports, &exclude)
    }

    /// The ports of the overflow; none if the last run of ports has not so many.
    pub(crate) fn overflow_ports(&self) -> Option<PortRange> {
        let space = self.space_without(None);
        let last = space.runs().last()?;
        let count = u32::from(self.overflow.filter(|count| *count > 0)?);
        let first = (u32::from(last.last()) + 1).checked_sub(count)?;
        PortRange::new(u16::try_from(first).ok()?, last.last()).filter(|range| last.covers(*range))
    }
}

/// Why a plan cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// No client network was given.
    #[error("no client network is given; name one with --network 192.168.101.0/24, or under [plan] networks")]
    NoNetwork,
    /// All addresses of the networks are left out.
    #[error("the client networks have no address left for a client")]
    NoClient,
    /// No public address was given.
    #[error("no public address is given; name one with --public 203.0.113.1, or under [plan] public")]
    NoPublic,
    /// A public address was given twice.
    #[error("the public address {0} is given twice; name it once")]
    TwicePublic(Ipv4Addr),
    /// Addresses that stay on their host, or that are groups.
    #[error(
        "{0} is no client network: no client can have a loopback or multicast address; name the clients' own"
    )]
    NoClientNetwork(String),
    /// No packet can come from such an address.
    #[error("{0} cannot be a public address: no connection can leave by it; name one that the gateway has")]
    NoSource(Ipv4Addr),
    /// A public address is also a client's.
    #[error(
        "the public address {0} is in a client network, and would get ports as a client: leave it out with --leave-out {0}"
    )]
    PublicClient(Ipv4Addr),
    /// More public addresses than any plan needs.
    #[error("more than {} public addresses are given", crate::clients::MOST_PUBLIC)]
    TooManyPublic,
    /// Two client networks share addresses.
    #[error("the client networks {one} and {other} overlap: a client would get ports twice; leave one out")]
    Overlap {
        /// One of them.
        one: String,
        /// The other.
        other: String,
    },
    /// So many clients that there is no number of public addresses for them.
    #[error("the client networks have {clients} addresses; at most {MOST_CLIENTS} can be planned for")]
    TooManyClients {
        /// Addresses in the networks.
        clients: u64,
    },
    /// [`Layout::Foreign`] was asked for.
    #[error("a plan is laid out as even or eduvpn")]
    NoLayout,
    /// The layout of eduVPN's script cannot do this.
    #[error("the layout eduvpn is what eduVPN's script does, and that {0}")]
    NotInScript(&'static str),
    /// A client cannot have so many ports.
    #[error(
        "a client cannot have {0} ports; ask for 1 to 65535, or leave it out to give each as many as there are"
    )]
    NotPortsPerClient(u32),
    /// There is no place for the overflow.
    #[error("the last run of ports to give out has no room for an overflow of {count} ports{}", .last.map_or_else(String::new, |last| format!(": it is {last}")))]
    NoOverflow {
        /// Ports that the overflow was to have.
        count: u16,
        /// The last run of ports, if there is one.
        last: Option<PortRange>,
    },
    /// None of the networks is private.
    #[error("there are no private networks in {0}; the layout eduvpn gives ports to private networks only")]
    NoPrivate(String),
    /// It does not fit.
    #[error(transparent)]
    Misfit(#[from] Misfit),
}

/// A plan that does not fit, and what would.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Misfit {
    /// How the ports were to be given out.
    pub layout: Layout,
    /// Clients that ports are needed for, the growth reserve included.
    pub needed: u64,
    /// The clients alone.
    pub clients: u64,
    /// Ports that each was to get: those that were asked for, else 1, the least there is.
    pub ports_per_client: u32,
    /// How many blocks of so many ports fit.
    pub blocks: u64,
    /// Public addresses given.
    pub public: u64,
    /// Public addresses that would be needed with so many ports a client; 0 if no number is enough, because such a block
    /// is larger than any run of ports. The layout eduvpn knows one address: for it, this is what the layout even needs.
    pub public_needed: u64,
    /// The most ports a client with which all would fit; 0 if not even one port each does.
    pub fitting_ports: u32,
    /// The most clients that fit with so many ports each and the same growth reserve in percent; 0 if not one does.
    pub fitting_clients: u64,
}

impl Misfit {
    /// Clients for whom there is no block.
    pub fn missing_clients(&self) -> u64 {
        self.needed.saturating_sub(self.blocks)
    }

    /// Ports that are missing.
    pub fn missing_ports(&self) -> u64 {
        self.missing_clients() * u64::from(self.ports_per_client)
    }

    /// Public addresses that are missing; 0 also if no number of them would be enough.
    pub fn missing_public(&self) -> u64 {
        self.public_needed.saturating_sub(self.public)
    }

    fn has_reserve(&self) -> bool {
        self.needed > self.clients
    }

    /// Each way in which it would fit.
    fn ways_out(&self) -> Vec<String> {
        let mut ways = Vec::new();
        if self.fitting_ports > 0 {
            ways.push(format!("{} a client", counted(self.fitting_ports, "port")));
        }
        if self.public_needed > 0 {
            let layout = if self.layout == Layout::Eduvpn { " with the layout even" } else { "" };
            ways.push(format!("{}{layout}", counted(self.public_needed, "public address")));
        }
        if self.fitting_clients > 0 {
            let reserve = if self.has_reserve() { " and the growth reserve" } else { "" };
            let ports = counted(self.ports_per_client, "port");
            ways.push(format!("{}{reserve} with {ports} each", counted(self.fitting_clients, "client")));
        }
        if self.has_reserve() && self.blocks >= self.clients {
            ways.push("a smaller growth reserve".to_owned());
        }
        ways
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the plan does not fit: {}{} with {} each need {}, and {} {} room for {}. Missing: {}, {}",
            counted(self.clients, "client"),
            if self.has_reserve() { " and the growth reserve" } else { "" },
            counted(self.ports_per_client, "port"),
            counted(self.needed, "block"),
            counted(self.public, "public address"),
            if self.public == 1 { "has" } else { "have" },
            self.blocks,
            counted(self.missing_clients(), "client"),
            counted(self.missing_ports(), "port"),
        )?;
        if self.public_needed > 0 {
            write!(f, ", {}", counted(self.missing_public(), "public address"))?;
        } else {
            f.write_str("; more public addresses do not help, since no run of ports is that long")?;
        }
        match self.ways_out() {
            ways if ways.is_empty() => f.write_str(". Give out more ports"),
            ways => write!(f, ". Would fit: {}", ways.join("; or ")),
        }
    }
}

/// `1 port`, `2 public addresses`.
fn counted(number: impl Into<u64>, noun: &str) -> String {
    match number.into() {
        1 => format!("1 {noun}"),
        number if noun.ends_with('s') => format!("{number} {noun}es"),
        number => format!("{number} {noun}s"),
    }
}
