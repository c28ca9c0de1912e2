//! The flows that are alive, held against a plan: who leaves by ports that are not his, and how full each range is.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use rustc_hash::{FxHashMap, FxHashSet};
use unmasq_flow::{Endpoint, Protocol, Timestamp};
use unmasq_netfilter::conntrack::{Dumper, Entry};
use unmasq_netfilter::netns::Namespace;
use unmasq_netfilter::settings::Sysctl;
use unmasq_plan::{Allocation, Block, Plan};

/// A flow that leaves by ports which are not its client's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stray {
    /// The flow.
    pub(crate) entry: Entry,
    /// What its client has by the plan; nothing if it has no ports.
    pub(crate) block: Option<Block>,
    /// Did a former plan give it its port?
    pub(crate) is_of_former: bool,
}

/// How much of its block a client uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fill {
    /// The client.
    pub(crate) client: Ipv4Addr,
    /// What it has.
    pub(crate) block: Block,
    /// Different ports in use, of the protocol that uses most.
    pub(crate) ports: u32,
    /// Flows toward the one server endpoint that has most. The kernel gives a port again toward another endpoint, so that
    /// a block is exhausted for one of them first.
    pub(crate) busiest: u32,
    /// That endpoint.
    pub(crate) server: Option<Endpoint>,
}

impl Fill {
    /// Used ports in percent of the block, 0 to 100.
    pub(crate) fn percent(&self) -> u32 {
        self.ports * 100 / self.block.ports.count()
    }

    /// Flows toward the busiest server endpoint in percent of the block. From 100 on the kernel refuses more of them.
    pub(crate) fn busiest_percent(&self) -> u32 {
        self.busiest * 100 / self.block.ports.count()
    }
}

/// What the table of connections says about a plan.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    /// Flows outside of their client's ports, and flows of others inside of them.
    pub(crate) strays: Vec<Stray>,
    /// Connections of the gateway itself on ports that are a client's.
    pub(crate) own: usize,
    /// Clients that use ports, the fullest first.
    pub(crate) fills: Vec<Fill>,
}

/// Who has which ports, to be asked flow by flow.
struct Holders {
    by_client: FxHashMap<Ipv4Addr, Vec<Allocation>>,
    /// First port to last, for each public address.
    by_address: FxHashMap<Ipv4Addr, BTreeMap<u16, u16>>,
}

impl Holders {
    fn of(plan: &Plan) -> Self {
        let mut by_client: FxHashMap<Ipv4Addr, Vec<Allocation>> = FxHashMap::default();
        let mut by_address: FxHashMap<Ipv4Addr, BTreeMap<u16, u16>> = FxHashMap::default();
        for allocation in &plan.allocations {
            by_client.entry(allocation.client).or_default().push(*allocation);
            let Block { address, ports } = allocation.block;
            by_address.entry(address).or_default().insert(ports.first(), ports.last());
        }
        Self { by_client, by_address }
    }

    fn block(&self, client: Ipv4Addr, protocol: Protocol) -> Option<Block> {
        self.by_client.get(&client)?.iter().find(|a| a.protocols.has(protocol)).map(|a| a.block)
    }

    /// Is the port anyone's?
    fn is_taken(&self, address: Ipv4Addr, port: u16) -> bool {
        self.by_address
            .get(&address)
            .and_then(|blocks| blocks.range(..=port).next_back())
            .is_some_and(|(_, last)| port <= *last)
    }
}

/// What clients had by former plans and have no more.
struct Former(FxHashMap<Ipv4Addr, FxHashSet<Allocation>>);

impl Former {
    fn of(plan: &Plan, formers: &[Plan]) -> Self {
        let now: FxHashSet<&Allocation> = plan.allocations.iter().collect();
        let mut by_client: FxHashMap<Ipv4Addr, FxHashSet<Allocation>> = FxHashMap::default();
        for allocation in formers.iter().flat_map(|former| &former.allocations) {
            if !now.contains(allocation) {
                by_client.entry(allocation.client).or_default().insert(*allocation);
            }
        }
        Self(by_client)
    }

    fn gave(&self, protocol: Protocol, client: Ipv4Addr, address: Ipv4Addr, port: u16) -> bool {
        self.0.get(&client).is_some_and(|held| {
            held.iter().any(|a| {
                a.protocols.has(protocol) && a.block.address == address && a.block.ports.contains(port)
            })
        })
    }
}

/// More clients than this are looked for in a list of all flows: by then that is as quick.
const FEW: usize = 8;

/// Hands over the flows of the calling thread's namespace: of these clients, or at least those.
fn each_flow(of: Option<&FxHashSet<Ipv4Addr>>, mut each: impl FnMut(&Entry)) -> anyhow::Result<()> {
    let mut dumper = Dumper::open(&Namespace::current())?;
    match of.filter(|clients| clients.len() <= FEW) {
        Some(clients) => {
            for client in clients {
                dumper.dump_of(*client, &mut each)?;
            }
        }
        None => {
            dumper.dump(each)?;
        }
    }
    Ok(())
}

/// Looks at the flows of the calling thread's namespace: at all of them, or at least at those of some clients. `formers` are plans by which some may have begun: what a client had
/// by them, be it of another address or nobody's now, is looked at too.
pub(crate) fn survey(
    plan: &Plan,
    formers: &[Plan],
    of: Option<&FxHashSet<Ipv4Addr>>,
) -> anyhow::Result<Survey> {
    // To walk the kernel's whole table takes milliseconds, however empty it is.
    if Sysctl::Count.read().is_ok_and(|count| count == 0) {
        return Ok(Survey::default());
    }
    let holders = Holders::of(plan);
    let former = Former::of(plan, formers);
    let protocols = formers.iter().fold(plan.protocols(), |all, former| all.union(former.protocols()));
    let mut survey = Survey::default();
    let mut used: FxHashMap<Ipv4Addr, Use> = FxHashMap::default();
    each_flow(of, |entry| {
        let (IpAddr::V4(client), IpAddr::V4(masked)) = (entry.client.address, entry.masked.address) else {
            return;
        };
        let Some(number) = entry.masked.selector.number() else { return };
        if !protocols.has(entry.protocol) {
            return;
        }
        let is_of_former = former.gave(entry.protocol, client, masked, number);
        let is_public = holders.by_address.contains_key(&masked);
        if !is_public && !is_of_former {
            return;
        }
        if client == masked {
            // The gateway's own. A port that a client has too makes reports about either ambiguous.
            survey.own += usize::from(holders.is_taken(masked, number));
            return;
        }
        let is_overflow = plan.overflow.is_some_and(|o| o.address == masked && o.ports.contains(number));
        match holders.block(client, entry.protocol) {
            Some(block) if block.address == masked && block.ports.contains(number) => {
                used.entry(client).or_default().note(entry.protocol, number, entry.server);
            }
            None if !holders.is_taken(masked, number) && !is_of_former => {}
            _ if is_overflow => {}
            block => survey.strays.push(Stray { entry: *entry, block, is_of_former }),
        }
    })?;
    survey.fills = used
        .into_iter()
        .filter_map(|(client, used)| {
            let block = holders.by_client.get(&client)?.first()?.block;
            Some(used.fill(client, block))
        })
        .collect();
    survey
        .fills
        .sort_by_key(|fill| (Reverse((fill.busiest_percent().max(fill.percent()), fill.ports)), fill.client));
    Ok(survey)
}

/// What one client uses.
#[derive(Debug, Default)]
struct Use {
    ports: FxHashMap<Protocol, FxHashSet<u16>>,
    servers: FxHashMap<(Protocol, Endpoint), u32>,
}

impl Use {
    fn note(&mut self, protocol: Protocol, port: u16, server: Endpoint) {
        self.ports.entry(protocol).or_default().insert(port);
        *self.servers.entry((protocol, server)).or_default() += 1;
    }

    fn fill(&self, client: Ipv4Addr, block: Block) -> Fill {
        let busiest =
            self.servers.iter().max_by_key(|((protocol, server), count)| (**count, *protocol, *server));
        Fill {
            client,
            block,
            ports: self.ports.values().map(|ports| ports.len() as u32).max().unwrap_or(0),
            busiest: busiest.map_or(0, |(_, count)| *count),
            server: busiest.map(|((_, server), _)| *server),
        }
    }
}

/// Ends flows, so that their clients begin them anew from their own ports. Gives how many were still there.
pub(crate) fn end<'a>(strays: impl Iterator<Item = &'a Stray>) -> anyhow::Result<usize> {
    let mut dumper = Dumper::open(&Namespace::current())?;
    let mut ended = 0;
    for stray in strays {
        ended += usize::from(dumper.delete(&stray.entry)?);
    }
    Ok(ended)
}

impl Stray {
    /// Did the flow surely begin after a moment, so that the plan in force since then should have given it its port?
    /// Without `nf_conntrack_timestamp` the kernel does not tell when it began.
    pub(crate) fn began_after(&self, moment: Timestamp) -> bool {
        self.entry.start.is_some_and(|start| start > moment)
    }
}
