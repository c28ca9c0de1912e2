//! The layout `even`: as many ports for each client as there are, with a reserve of blocks for clients to come.
//!
//! Blocks are spread over the public addresses in turn, so that all share alike. With a former plan, every client of it
//! keeps its block and newcomers get free ones: nobody moves until the blocks run out. Then all is laid out anew.

use std::net::Ipv4Addr;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::plan::{Allocation, Block, Layout, Plan, ProtocolSet};
use crate::spec::{Misfit, Spec, SpecError};
use crate::{PortRange, PortSpace};

pub(crate) fn even(spec: &Spec, former: Option<&Plan>) -> Result<Plan, SpecError> {
    if let Some(asked) = spec.ports_per_client.filter(|asked| !(1..=65_535).contains(asked)) {
        return Err(SpecError::NotPortsPerClient(asked));
    }
    let clients = spec.clients()?;
    let room = Room { public: spec.public_addresses()?, space: spec.space() };
    let is_client = |address: &&Ipv4Addr| {
        // Mostly none is in a client network, and of those there can be millions of addresses.
        spec.networks.iter().any(|network| network.net().contains(*address)) && clients.contains(*address)
    };
    if let Some(address) = room.public.iter().find(is_client) {
        return Err(SpecError::PublicClient(*address));
    }
    let overflow = spec.overflow_ports().map(|ports| Block { address: room.public[0], ports });
    if let (Some(count @ 1..), None) = (spec.overflow, overflow) {
        return Err(SpecError::NoOverflow { count, last: room.space.runs().last().copied() });
    }
    if let Some(plan) = former.and_then(|former| grown(spec, &clients, &room, former)) {
        return Ok(Plan { overflow, ..plan });
    }
    let count = clients.len() as u64;
    let (size, needed) = if let Some(size) = spec.ports_per_client {
        (size, count)
    } else {
        let needed = with_reserve(count, spec.growth);
        (room.largest(needed), needed)
    };
    if size == 0 || room.blocks(size) < needed {
        let growth = if spec.ports_per_client.is_some() { 0 } else { spec.growth };
        return Err(room.misfit(size, count, growth).into());
    }
    let allocations =
        clients.into_iter().zip(room.cut(size)).map(|(client, block)| allocation(client, block));
    Ok(Plan { layout: Layout::Even, ports_per_client: size, allocations: allocations.collect(), overflow })
}

/// The former plan with newcomers added and those who left removed, if nobody has to move for it.
fn grown(spec: &Spec, clients: &[Ipv4Addr], room: &Room, former: &Plan) -> Option<Plan> {
    let size = former.ports_per_client;
    if size == 0 || spec.ports_per_client.is_some_and(|asked| asked != size) {
        return None;
    }
    let held: FxHashMap<Ipv4Addr, Block> = former.allocations.iter().map(|a| (a.client, a.block)).collect();
    if held.len() != former.allocations.len() {
        // Blocks by protocol, or a client named twice: not of our making.
        return None;
    }
    let public: FxHashSet<Ipv4Addr> = room.public.iter().copied().collect();
    let is_valid = |block: &Block| {
        block.ports.count() == size && public.contains(&block.address) && room.space.covers(block.ports)
    };
    let wanted: FxHashSet<Ipv4Addr> = clients.iter().copied().collect();
    let kept = |client: &Ipv4Addr| held.get(client);
    if clients.iter().filter_map(kept).any(|block| !is_valid(block)) {
        return None;
    }
    let mut blocks: Vec<Block> = held.values().copied().collect();
    blocks.sort_unstable();
    if blocks.windows(2).any(|pair| pair[0].overlaps(pair[1])) {
        // Somebody else's rules can give two clients the same ports.
        return None;
    }
    // A block that was just given up comes last: reports about its former holder are still to come (RFC 6888, REQ-8).
    let (mut taken, mut given_up): (Vec<Block>, Vec<Block>) = (Vec::new(), Vec::new());
    for (client, block) in &held {
        if wanted.contains(client) { taken.push(*block) } else { given_up.push(*block) }
    }
    taken.extend(&given_up);
    let mut newcomers = clients.iter().filter(|client| !held.contains_key(client)).count();
    let mut free = Vec::new();
    if newcomers > 0 {
        free = room.free(size, &taken, newcomers);
        newcomers = newcomers.saturating_sub(free.len());
        if newcomers > 0 {
            given_up.retain(is_valid);
            given_up.sort_unstable();
            free.extend(given_up.into_iter().take(newcomers));
        }
    }
    let mut free = free.into_iter();
    let mut allocations = Vec::with_capacity(clients.len());
    for client in clients {
        let block = match held.get(client) {
            Some(block) => *block,
            None => free.next()?,
        };
        allocations.push(allocation(*client, block));
    }
    Some(Plan { layout: Layout::Even, ports_per_client: size, allocations, overflow: None })
}

fn allocation(client: Ipv4Addr, block: Block) -> Allocation {
    Allocation { client, block, protocols: ProtocolSet::ALL }
}

/// Blocks that so many clients need, with the growth reserve in percent.
pub(crate) fn with_reserve(clients: u64, growth: u32) -> u64 {
    clients + (clients * u64::from(growth)).div_ceil(100)
}

/// The most clients that so many blocks are enough for, with their reserve.
fn most_with_reserve(blocks: u64, growth: u32) -> u64 {
    blocks * 100 / (100 + u64::from(growth))
}

/// The largest size of which so many public addresses have enough blocks; 0 if there is none.
pub(crate) fn largest(space: &PortSpace, public: u64, needed: u64) -> u32 {
    // The smaller the size, the more blocks there are.
    let (mut fits, mut fails) = (0, 65_537);
    while fails - fits > 1 {
        let size = u32::midpoint(fits, fails);
        if u64::from(space.blocks(size)) * public >= needed { fits = size } else { fails = size }
    }
    fits
}

/// The ports there are: the same at each public address.
struct Room {
    public: Vec<Ipv4Addr>,
    space: PortSpace,
}

impl Room {
    fn blocks(&self, size: u32) -> u64 {
        u64::from(self.space.blocks(size)) * self.public.len() as u64
    }

    fn largest(&self, needed: u64) -> u32 {
        largest(&self.space, self.public.len() as u64, needed)
    }

    /// All blocks, the lowest of every address first.
    fn cut(&self, size: u32) -> impl Iterator<Item = Block> {
        self.space
            .cut(size)
            .flat_map(|ports| self.public.iter().map(move |address| Block { address: *address, ports }))
    }

    /// So many blocks, or as many as there are, that overlap none of those that are taken.
    fn free(&self, size: u32, taken: &[Block], count: usize) -> Vec<Block> {
        let mut holes: FxHashMap<Ipv4Addr, Vec<PortRange>> = FxHashMap::default();
        for block in taken {
            holes.entry(block.address).or_default().push(block.ports);
        }
        let mut free = Vec::new();
        for address in &self.public {
            let taken = holes.remove(address).unwrap_or_default();
            for run in self.space.runs() {
                let left = PortSpace::new(*run, &taken);
                free.extend(left.cut(size).map(|ports| Block { address: *address, ports }));
            }
        }
        // In turn over the addresses, as they are cut the first time.
        let place: FxHashMap<Ipv4Addr, usize> =
            self.public.iter().enumerate().map(|(place, address)| (*address, place)).collect();
        free.sort_by_key(|block| (block.ports, place.get(&block.address).copied()));
        free.truncate(count);
        free
    }

    fn misfit(&self, size: u32, clients: u64, growth: u32) -> Misfit {
        let (ports_per_client, needed) = (size.max(1), with_reserve(clients, growth));
        let each = u64::from(self.space.blocks(ports_per_client));
        Misfit {
            layout: Layout::Even,
            needed,
            clients,
            ports_per_client,
            blocks: self.blocks(ports_per_client),
            public: self.public.len() as u64,
            // No address has room for a block of that size: then no number of them has.
            public_needed: if each == 0 { 0 } else { needed.div_ceil(each) },
            fitting_ports: self.largest(needed),
            fitting_clients: most_with_reserve(self.blocks(ports_per_client), growth),
        }
    }
}
