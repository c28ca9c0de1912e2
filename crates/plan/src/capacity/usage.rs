//! How many ports clients really use at once, from the flows that they had.
//!
//! A block belongs to a client for each protocol, so it must hold the most ports that the client has at once of any one
//! protocol. Two figures bound what is enough. The ports in use at once, each counted once, is what a translator needs
//! that gives every flow a port of its own. Linux gives the same port to flows toward different servers
//! (`nf_nat_used_tuple` compares the whole reply tuple), so a block is exhausted only when it has fewer ports than the
//! client has at once toward a single server's endpoint.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::Arc;

use unmasq_flow::{Bound, Destination, Flow, Origin, Period, Protocol, Timestamp};

use super::sweep::{self, Highest, NO_SERVER, Sweep, Use};

/// Gathers flows. Sixteen bytes a flow, and a little for each client and each server.
#[derive(Debug)]
pub struct Usage {
    period: Period,
    origins: Vec<Arc<Origin>>,
    places: HashMap<Place, u32>,
    uses: Vec<(Place, Vec<Use>)>,
    servers: HashMap<Destination, u32>,
    flows: u64,
    without_end: u64,
    without_server: u64,
}

/// A client of one protocol behind one masked address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Place {
    client: IpAddr,
    origin: usize,
    protocol: Protocol,
    masked: IpAddr,
}

impl Usage {
    /// Of flows in this period: what was before and after it is not counted.
    pub fn new(period: Period) -> Self {
        Self {
            period,
            origins: Vec::new(),
            places: HashMap::new(),
            uses: Vec::new(),
            servers: HashMap::new(),
            flows: 0,
            without_end: 0,
            without_server: 0,
        }
    }

    /// Counts a flow, if its client is masked by an IPv4 address with a port or an id. Says whether it did.
    ///
    /// A flow is counted from the first to the last time at which it surely was alive; one that has not ended, to the
    /// end of the period. Of a flow whose end nobody saw, the first of these moments counts alone.
    pub fn add(&mut self, flow: &Flow) -> bool {
        let (client, masked) = (flow.client.address, flow.masked.address);
        let Some(port) = flow.masked.selector.number().filter(|_| masked.is_ipv4() && client != masked)
        else {
            return false;
        };
        let Some((start, end)) = self.clipped(flow) else { return false };
        let place = Place { client, origin: self.origin(&flow.origin), protocol: flow.protocol, masked };
        let server = self.server(flow.server);
        self.flows += 1;
        self.without_end += u64::from(flow.end == Bound::Unknown);
        self.without_server += u64::from(server == NO_SERVER);
        let next = self.uses.len();
        let number = *self.places.entry(place).or_insert(next as u32) as usize;
        if number == next {
            self.uses.push((place, Vec::new()));
        }
        self.uses[number].1.push(Use::new(start, end, port, server));
        true
    }

    /// When the flow surely was alive within the period.
    fn clipped(&self, flow: &Flow) -> Option<(Timestamp, Timestamp)> {
        let known_end = flow.end.is_closed().then(|| flow.end.earliest());
        let start = match flow.start {
            Bound::Open | Bound::Unknown => known_end?,
            start => start.latest(),
        };
        let end = match flow.end {
            Bound::Open => self.period.to,
            Bound::Unknown => start,
            // Two sightings can overlap where one is that of the other's dump.
            end => end.earliest().max(start),
        };
        let (start, end) = (start.max(self.period.from), end.min(self.period.to));
        (start <= end).then_some((start, end))
    }

    fn origin(&mut self, origin: &Arc<Origin>) -> usize {
        // Origins are few, and shared by their flows.
        let known = self.origins.iter().position(|known| Arc::ptr_eq(known, origin));
        known.or_else(|| self.origins.iter().position(|known| known == origin)).unwrap_or_else(|| {
            self.origins.push(Arc::clone(origin));
            self.origins.len() - 1
        })
    }

    fn server(&mut self, server: Destination) -> u32 {
        if server == Destination::Omitted {
            return NO_SERVER;
        }
        let next = self.servers.len() as u32;
        match self.servers.entry(server) {
            Entry::Occupied(known) => *known.get(),
            // More than 268 million servers do not fit into a number of 28 bits: such a one counts as not known.
            Entry::Vacant(_) if next >= NO_SERVER => NO_SERVER,
            Entry::Vacant(new) => *new.insert(next),
        }
    }

    /// Finds the peaks of all clients.
    pub fn measure(mut self) -> Measured {
        let is_hashed = self.servers.keys().any(|server| matches!(server, Destination::Hashed(_)));
        self.uses.sort_unstable_by_key(|(place, _)| *place);
        let (mut sweep, mut placed) = (Sweep::default(), Vec::new());
        let mut clients: Vec<ClientPeak> = Vec::new();
        // Masked addresses come last in the order, so those of a client and protocol stand together.
        let is_same =
            |a: &Place, b: &Place| (a.client, a.origin, a.protocol) == (b.client, b.origin, b.protocol);
        for group in self.uses.chunk_by_mut(|(a, _), (b, _)| is_same(a, b)) {
            let place = group[0].0;
            sweep::place(&mut placed, group.iter_mut().map(|(_, uses)| std::mem::take(uses)));
            let peak = |highest: Highest| Peak {
                ports: highest.ports,
                protocol: place.protocol,
                at: Timestamp::from_millis(highest.at.cast_signed()),
            };
            let any = peak(sweep.any(&mut placed));
            let one_server = peak(sweep.one_server(&mut placed));
            let origin = &self.origins[place.origin];
            let last = clients.last_mut();
            let known = last.filter(|last| last.client == place.client && last.origin == *origin);
            if let Some(client) = known {
                client.any = client.any.or_higher(any);
                client.one_server = client.one_server.or_higher(one_server);
            } else {
                let origin = Arc::clone(origin);
                clients.push(ClientPeak { client: place.client, origin, any, one_server });
            }
        }
        clients.sort_by(|a, b| b.any.ports.cmp(&a.any.ports).then_with(|| a.client.cmp(&b.client)));
        let Self { flows, without_end, without_server, .. } = self;
        Measured { clients, flows, without_end, without_server, is_hashed }
    }
}

/// What clients used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    /// Each client that had flows, the one with the most ports at once first.
    pub clients: Vec<ClientPeak>,
    /// Flows that were counted.
    pub flows: u64,
    /// Those of them whose end nobody saw. If they are many, the figures are too low.
    pub without_end: u64,
    /// Those of them whose server was not kept. They count toward no single server.
    pub without_server: u64,
    /// Are servers known by 16 bits only? Then different ones can count as one.
    pub is_hashed: bool,
}

/// The most ports that a client had at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientPeak {
    /// Its address.
    pub client: IpAddr,
    /// Where it was seen. The same address elsewhere is another client.
    pub origin: Arc<Origin>,
    /// Whatever the server.
    pub any: Peak,
    /// Toward a single server's endpoint; 0 ports if no flow's server is known.
    pub one_server: Peak,
}

/// The most ports of one protocol in use at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peak {
    /// Ports, or ids of ICMP; of the protocol that had the most.
    pub ports: u32,
    /// That protocol.
    pub protocol: Protocol,
    /// When it first had so many, to the millisecond.
    pub at: Timestamp,
}

impl Peak {
    fn or_higher(self, other: Self) -> Self {
        if other.ports > self.ports { other } else { self }
    }
}

/// Which ports at once are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Toward {
    /// All, each counted once.
    Any,
    /// Those toward a single server's endpoint.
    OneServer,
}

/// Ports at once over all clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Half of the clients had no more.
    pub median: u32,
    /// 99 of 100 clients had no more.
    pub p99: u32,
    /// No client had more.
    pub max: u32,
}

impl Measured {
    /// Median, 99th percentile and maximum over the clients; `None` if there are none.
    pub fn summary(&self, toward: Toward) -> Option<Summary> {
        let mut peaks: Vec<u32> = self.clients.iter().map(|client| client.ports(toward)).collect();
        peaks.sort_unstable();
        // The nearest rank: the least number that so many of a hundred do not exceed.
        let percentile =
            |percent: usize| peaks.get((peaks.len() * percent).div_ceil(100).max(1) - 1).copied();
        Some(Summary { median: percentile(50)?, p99: percentile(99)?, max: *peaks.last()? })
    }

    /// How many clients had more ports at once than this.
    pub fn exceeding(&self, ports: u32, toward: Toward) -> usize {
        self.clients.iter().filter(|client| client.ports(toward) > ports).count()
    }

    /// Is nothing known of servers?
    pub const fn knows_no_server(&self) -> bool {
        self.without_server == self.flows
    }
}

impl ClientPeak {
    /// Its peak in this sense.
    pub const fn ports(&self, toward: Toward) -> u32 {
        match toward {
            Toward::Any => self.any.ports,
            Toward::OneServer => self.one_server.ports,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use unmasq_flow::Endpoint;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(1_800_000_000 + seconds)
    }

    fn hour() -> Usage {
        Usage::new(Period { from: at(0), to: at(3600) })
    }

    fn flow(protocol: Protocol, client: &str, server: &str, masked: &str, from: i64, to: i64) -> Flow {
        let server: Endpoint = server.parse().unwrap();
        let client: Endpoint = client.parse().unwrap();
        let origin = Origin::new("gw1", "").shared();
        let mut flow = Flow::new(origin, protocol, (client, server), (server, masked.parse().unwrap()));
        (flow.start, flow.end) = (Bound::Exact(at(from)), Bound::Exact(at(to)));
        flow
    }

    /// So many flows of a client at once, each with a port of its own, toward one server.
    fn burst(usage: &mut Usage, client: &str, ports: u16) {
        for port in 0..ports {
            let masked = format!("203.0.113.1:{}", 2000 + port);
            assert!(usage.add(&flow(Protocol::TCP, client, "198.51.100.7:80", &masked, 10, 20)));
        }
    }

    #[test]
    fn protocols_have_ports_of_their_own_and_the_highest_counts() {
        let mut usage = hour();
        let client = "10.0.0.1:5000";
        for masked in ["203.0.113.1:1", "203.0.113.1:2", "203.0.113.2:2"] {
            usage.add(&flow(Protocol::UDP, client, "198.51.100.7:53", masked, 5, 9));
        }
        usage.add(&flow(Protocol::TCP, client, "198.51.100.7:80", "203.0.113.1:1", 5, 9));
        usage.add(&flow(Protocol::ICMP, client, "198.51.100.7", "203.0.113.1#7", 5, 9));
        let measured = usage.measure();
        assert_eq!(measured.clients.len(), 1);
        let peak = Peak { ports: 3, protocol: Protocol::UDP, at: at(5) };
        assert_eq!((measured.clients[0].any, measured.clients[0].one_server), (peak, peak));
    }

    #[test]
    fn a_port_reused_toward_other_servers_needs_but_one() {
        let mut usage = hour();
        for (server, port) in [("198.51.100.1:80", 1), ("198.51.100.2:80", 1), ("198.51.100.3:80", 2)] {
            usage.add(&flow(Protocol::TCP, "10.0.0.1:5", server, &format!("203.0.113.1:{port}"), 5, 9));
        }
        let measured = usage.measure();
        assert_eq!((measured.clients[0].any.ports, measured.clients[0].one_server.ports), (2, 1));
    }

    #[test]
    fn who_is_not_masked_is_no_client() {
        let mut usage = hour();
        let own = flow(Protocol::TCP, "203.0.113.1:5", "198.51.100.7:80", "203.0.113.1:5", 5, 9);
        let gre = flow(Protocol::GRE, "10.0.0.1", "198.51.100.7", "203.0.113.1", 5, 9);
        let later = flow(Protocol::TCP, "10.0.0.1:5", "198.51.100.7:80", "203.0.113.1:5", 3601, 3700);
        assert!([own, gre, later].iter().all(|flow| !usage.add(flow)));
        assert_eq!(usage.measure(), Measured::default());
    }

    #[test]
    fn an_open_end_reaches_to_the_end_of_the_period_and_an_unknown_one_nowhere() {
        let peaks = |end: Bound| {
            let mut usage = hour();
            let mut first = flow(Protocol::TCP, "10.0.0.1:5", "198.51.100.7:80", "203.0.113.1:5", 5, 5);
            first.end = end;
            usage.add(&first);
            usage.add(&flow(Protocol::TCP, "10.0.0.1:6", "198.51.100.7:80", "203.0.113.1:6", 3500, 9000));
            usage.measure()
        };
        let open = peaks(Bound::Open);
        assert_eq!(open.clients[0].any, Peak { ports: 2, protocol: Protocol::TCP, at: at(3500) });
        let unknown = peaks(Bound::Unknown);
        assert_eq!((unknown.clients[0].any.ports, unknown.without_end), (1, 1));
        let sighted = peaks(Bound::Between(at(10), at(4000)));
        assert_eq!(sighted.clients[0].any.ports, 1, "it was surely alive until the first of the two");
    }

    #[test]
    fn the_same_address_at_another_gateway_is_another_client() {
        let mut usage = hour();
        let here = flow(Protocol::TCP, "10.0.0.1:5", "198.51.100.7:80", "203.0.113.1:5", 5, 9);
        let there = Flow { origin: Origin::new("gw2", "").shared(), ..here.clone() };
        // An equal origin that is not the same allocation is the same place.
        let again = flow(Protocol::TCP, "10.0.0.1:6", "198.51.100.7:80", "203.0.113.1:6", 5, 9);
        assert!([&here, &there, &again].iter().all(|flow| usage.add(flow)));
        let peaks: Vec<_> =
            usage.measure().clients.iter().map(|c| (c.origin.to_string(), c.any.ports)).collect();
        assert_eq!(peaks, [("gw1".to_owned(), 2), ("gw2".to_owned(), 1)]);
    }

    #[test]
    fn servers_that_were_not_kept_are_told() {
        let mut usage = hour();
        let mut omitted = flow(Protocol::TCP, "10.0.0.1:5", "198.51.100.7:80", "203.0.113.1:5", 5, 9);
        omitted.server = Destination::Omitted;
        usage.add(&omitted);
        let measured = usage.measure();
        assert!(measured.knows_no_server() && measured.clients[0].one_server.ports == 0);
    }

    #[test]
    fn percentiles_are_of_clients() {
        let mut usage = hour();
        for client in 1..=200_u16 {
            burst(
                &mut usage,
                &format!("10.0.0.{client}:5"),
                if client > 198 { 50 + client } else { client % 10 + 1 },
            );
        }
        let measured = usage.measure();
        assert_eq!(measured.summary(Toward::Any), Some(Summary { median: 6, p99: 10, max: 250 }));
        assert_eq!(measured.clients[0].client.to_string(), "10.0.0.200");
        let over = [1, 10, 248, 249, 250].map(|ports| measured.exceeding(ports, Toward::OneServer));
        assert_eq!(over, [181, 2, 2, 1, 0]);
        assert_eq!(Measured::default().summary(Toward::Any), None);
    }
}
