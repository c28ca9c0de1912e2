//! A plan: which client has which block of ports, and how two plans differ.

use std::cmp::Ordering;
use std::fmt;
use std::net::Ipv4Addr;

use rustc_hash::FxHashSet;
use unmasq_flow::Protocol;

use crate::PortRange;

/// Ports of one public address that one client has for itself ("port block" in RFC 8158).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Block {
    /// The public address.
    pub address: Ipv4Addr,
    /// Its ports; for ICMP, ids.
    pub ports: PortRange,
}

impl Block {
    /// Do the two share a port of the same address?
    pub fn overlaps(self, other: Self) -> bool {
        self.address == other.address && self.ports.overlaps(other.ports)
    }
}

impl fmt::Display for Block {
    /// `203.0.113.1:1024-2047`, as iptables writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}:{}", self.address, self.ports))
    }
}

/// A client and its block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Allocation {
    /// The client's own address.
    pub client: Ipv4Addr,
    /// What it has.
    pub block: Block,
    /// For which protocols.
    pub protocols: ProtocolSet,
}

impl Allocation {
    /// How a history keeps the overflow: as a block of no client.
    pub(crate) fn of_overflow(block: Block) -> Self {
        Self { client: Ipv4Addr::UNSPECIFIED, block, protocols: ProtocolSet::TCP_UDP }
    }

    pub(crate) fn is_overflow(&self) -> bool {
        self.client.is_unspecified()
    }
}

/// The protocols that an allocation is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProtocolSet(u8);

/// In the order of their bits, which the format of a history fixes.
const PROTOCOLS: [Protocol; 6] =
    [Protocol::TCP, Protocol::UDP, Protocol::SCTP, Protocol::DCCP, Protocol::UDPLITE, Protocol::ICMP];

impl ProtocolSet {
    /// None.
    pub const NONE: Self = Self(0);
    /// TCP and UDP: what eduVPN's script and iptables give ranges of ports to.
    pub const TCP_UDP: Self = Self(0b11);
    /// All that nftables gives ranges to: those, SCTP, DCCP, UDP-Lite, and ICMP by its ids.
    pub const ALL: Self = Self(0b11_1111);

    /// This protocol alone; none if no allocation can be for it.
    pub fn only(protocol: Protocol) -> Self {
        PROTOCOLS.iter().position(|known| *known == protocol).map_or(Self::NONE, |bit| Self(1 << bit))
    }

    /// Are there none?
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Is the protocol one of them?
    pub fn has(self, protocol: Protocol) -> bool {
        !self.intersection(Self::only(protocol)).is_empty()
    }

    /// Those of both.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those that both have.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Those of this one that the other has not.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The protocols.
    pub fn iter(self) -> impl Iterator<Item = Protocol> {
        PROTOCOLS.into_iter().filter(move |protocol| self.has(*protocol))
    }

    pub(crate) const fn bits(self) -> u8 {
        self.0
    }

    pub(crate) const fn from_bits(bits: u8) -> Self {
        Self(bits & Self::ALL.0)
    }
}

impl fmt::Display for ProtocolSet {
    /// `tcp, udp`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.iter().map(|protocol| protocol.to_string()).collect();
        f.pad(&names.join(", "))
    }
}

/// How ports were given out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Layout {
    /// As eduVPN's script does it: from the top down, a power of two each, one public address.
    Eduvpn,
    /// As many ports for each client as there are, with room for more clients; nobody moves while that lasts.
    #[default]
    Even,
    /// By somebody else: read from a file.
    Foreign,
}

impl Layout {
    /// The word on the command line: `eduvpn`, `even`; `foreign` for what was read.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Eduvpn => "eduvpn",
            Self::Even => "even",
            Self::Foreign => "foreign",
        }
    }
}

/// Which client has which ports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// How they were given out.
    pub layout: Layout,
    /// Ports of each client; 0 if they differ.
    pub ports_per_client: u32,
    /// In the order of the rules. A client that has different blocks for different protocols has several.
    pub allocations: Vec<Allocation>,
    /// Where flows go that do not fit into their client's block. Shared, so each of them must be logged (RFC 7422,
    /// section 2.3): the plan does not tell who it was.
    pub overflow: Option<Block>,
}

impl Plan {
    /// A plan from allocations that somebody else made.
    pub fn foreign(allocations: Vec<Allocation>) -> Self {
        let mut counts = allocations.iter().map(|a| a.block.ports.count());
        let first = counts.next().unwrap_or(0);
        let ports_per_client = if counts.all(|count| count == first) { first } else { 0 };
        Self { layout: Layout::Foreign, ports_per_client, allocations, overflow: None }
    }

    /// The protocols that anyone has ports for.
    pub fn protocols(&self) -> ProtocolSet {
        self.allocations.iter().fold(ProtocolSet::NONE, |all, a| all.union(a.protocols))
    }

    /// The allocations, and the overflow as one of no client: what a history keeps.
    pub(crate) fn rows(&self) -> Vec<Allocation> {
        let overflow = self.overflow.map(Allocation::of_overflow);
        self.allocations.iter().copied().chain(overflow).collect()
    }

    /// The same plan for these protocols.
    #[must_use]
    pub fn with_protocols(mut self, protocols: ProtocolSet) -> Self {
        for allocation in &mut self.allocations {
            allocation.protocols = protocols;
        }
        self
    }

    /// The public addresses, ascending, each once.
    pub fn public_addresses(&self) -> Vec<Ipv4Addr> {
        let mut addresses: Vec<Ipv4Addr> = self.allocations.iter().map(|a| a.block.address).collect();
        addresses.sort_unstable();
        addresses.dedup();
        addresses
    }

    /// How many different clients.
    pub fn client_count(&self) -> usize {
        let mut clients: Vec<Ipv4Addr> = self.allocations.iter().map(|a| a.client).collect();
        clients.sort_unstable();
        clients.dedup();
        clients.len()
    }

    /// What changes from this plan to another, by client. To get the same ports for more protocols, or for fewer, is no
    /// change of them: only protocols that both plans know are compared.
    pub fn changes_to(&self, new: &Self) -> Changes {
        let common = self.protocols().intersection(new.protocols());
        let compared = |plan: &Self| -> Vec<Allocation> {
            let of_common = |a: &Allocation| Allocation { protocols: a.protocols.intersection(common), ..*a };
            plan.allocations.iter().map(of_common).filter(|a| !a.protocols.is_empty()).collect()
        };
        let clients = |plan: &Self| plan.allocations.iter().map(|a| a.client).collect();
        // Sorted lists in place of tables: an apply asks this about all clients, and mostly one has changed.
        let (removed, added): (Vec<Ipv4Addr>, Vec<Ipv4Addr>) = apart(clients(self), clients(new));
        let mut had = compared(self);
        had.sort_unstable();
        let (gone, come) = apart(had.clone(), compared(new));
        let mut changed: Vec<Ipv4Addr> = gone.iter().chain(&come).map(|a| a.client).collect();
        changed.sort_unstable();
        changed.dedup();
        let mut changes = Changes::default();
        let is_in = |list: &[Ipv4Addr], client: Ipv4Addr| list.binary_search(&client).is_ok();
        for allocation in first_of_each(&new.allocations) {
            let client = allocation.client;
            if is_in(&added, client) {
                changes.added.push(*allocation);
            } else if is_in(&changed, client) {
                let from = had.get(had.partition_point(|a| a.client < client)).filter(|a| a.client == client);
                let from = from.map_or(allocation.block, |a| a.block);
                changes.moved.push(Move { client, from, to: allocation.block });
            } else {
                changes.unchanged += 1;
            }
        }
        let former = first_of_each(&self.allocations);
        changes.removed.extend(former.filter(|a| is_in(&removed, a.client)).copied());
        changes
    }
}

/// A client whose ports change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// The client.
    pub client: Ipv4Addr,
    /// What it had (for its first protocol, if it had several blocks).
    pub from: Block,
    /// What it gets.
    pub to: Block,
}

/// What changes from one plan to another. Each client is in one of the lists, or unchanged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Clients that had no ports.
    pub added: Vec<Allocation>,
    /// Clients that have none any more.
    pub removed: Vec<Allocation>,
    /// Clients with other ports than before.
    pub moved: Vec<Move>,
    /// How many clients keep what they have.
    pub unchanged: usize,
}

impl Changes {
    /// Does nobody's allocation change?
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.moved.is_empty()
    }

    /// Clients who had ports and lose them or get others: their flows leave by ports that are not theirs any more.
    pub fn disturbed(&self) -> impl Iterator<Item = Ipv4Addr> {
        self.removed.iter().map(|a| a.client).chain(self.moved.iter().map(|m| m.client))
    }
}

/// The first allocation of each client, in their order.
fn first_of_each(allocations: &[Allocation]) -> impl Iterator<Item = &Allocation> {
    let mut seen = FxHashSet::default();
    allocations.iter().filter(move |a| seen.insert(a.client))
}

/// What is in one list and not in the other: (in the first only, in the second only). Both sorted, then walked side by side:
/// an apply of one change asks it about all clients, more than once.
pub fn apart<T: Ord>(mut first: Vec<T>, mut second: Vec<T>) -> (Vec<T>, Vec<T>) {
    for list in [&mut first, &mut second] {
        list.sort_unstable();
        list.dedup();
    }
    let (mut one, mut other) = (Vec::new(), Vec::new());
    let (mut left, mut right) = (first.into_iter().peekable(), second.into_iter().peekable());
    loop {
        let order = match (left.peek(), right.peek()) {
            (Some(a), Some(b)) => a.cmp(b),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return (one, other),
        };
        match order {
            Ordering::Less => one.extend(left.next()),
            Ordering::Greater => other.extend(right.next()),
            Ordering::Equal => {
                left.next();
                right.next();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allocation(client: u8, first: u16) -> Allocation {
        Allocation {
            client: Ipv4Addr::new(10, 0, 0, client),
            block: Block {
                address: Ipv4Addr::new(203, 0, 113, 1),
                ports: PortRange::new(first, first + 9).unwrap(),
            },
            protocols: ProtocolSet::TCP_UDP,
        }
    }

    #[test]
    fn each_client_is_added_removed_moved_or_unchanged() {
        let old = Plan::foreign(vec![allocation(1, 100), allocation(2, 110), allocation(3, 120)]);
        let new = Plan::foreign(vec![allocation(1, 100), allocation(2, 130), allocation(4, 120)]);
        let changes = old.changes_to(&new);
        assert_eq!(changes.unchanged, 1);
        assert_eq!(changes.added, [allocation(4, 120)]);
        assert_eq!(changes.removed, [allocation(3, 120)]);
        let (from, to) = (allocation(2, 110).block, allocation(2, 130).block);
        assert_eq!(changes.moved, [Move { client: Ipv4Addr::new(10, 0, 0, 2), from, to }]);
        assert_eq!(changes.disturbed().count(), 2);
        assert!(old.changes_to(&old).is_empty());
    }

    #[test]
    fn the_same_ports_for_other_protocols_are_no_move() {
        let old = Plan::foreign(vec![allocation(1, 100), allocation(2, 110)]);
        let new = old.clone().with_protocols(ProtocolSet::ALL);
        assert!(old.changes_to(&new).is_empty() && new.changes_to(&old).is_empty());
        assert_eq!(old.changes_to(&new).unchanged, 2);
        let moved =
            Plan::foreign(vec![allocation(1, 120), allocation(2, 110)]).with_protocols(ProtocolSet::ALL);
        assert_eq!(old.changes_to(&moved).moved.len(), 1);
    }

    #[test]
    fn another_block_for_one_protocol_is_a_move() {
        let [mut tcp, mut udp] = [allocation(1, 100), allocation(1, 100)];
        tcp.protocols = ProtocolSet::only(Protocol::TCP);
        udp.protocols = ProtocolSet::only(Protocol::UDP);
        let old = Plan::foreign(vec![tcp, udp]);
        udp.block.ports = PortRange::new(500, 509).unwrap();
        assert_eq!(old.changes_to(&Plan::foreign(vec![tcp, udp])).moved.len(), 1);
        // The order in which they stand changes nothing.
        assert_eq!(
            old.changes_to(&Plan::foreign(vec![old.allocations[1], old.allocations[0]])).moved.len(),
            0
        );
    }

    #[test]
    fn a_set_of_protocols_has_those_it_was_made_of() {
        let set = ProtocolSet::only(Protocol::SCTP).union(ProtocolSet::only(Protocol::ICMP));
        assert_eq!(set.to_string(), "sctp, icmp");
        assert!(set.has(Protocol::ICMP) && !set.has(Protocol::TCP) && !set.has(Protocol::GRE));
        assert_eq!(ProtocolSet::ALL.without(set).to_string(), "tcp, udp, dccp, udplite");
        assert!(ProtocolSet::only(Protocol::GRE).is_empty());
    }

    #[test]
    fn lists_are_told_apart_whatever_their_order() {
        let [a, b, c, d] = [1, 2, 3, 4].map(|client| allocation(client, 100 + 10 * u16::from(client)));
        assert_eq!(apart(vec![d, a, b], vec![b, c, d]), (vec![a], vec![c]));
        assert_eq!(apart(vec![], vec![b, a]), (vec![], vec![a, b]));
        assert_eq!(apart(vec![c], vec![c]), (vec![], vec![]));
    }
}
