//! Made-up flows of a made-up provider, the same for the same seed: what benches measure storage with.
//!
//! The distributions are those of the data set that the figures of other stores refer to, so that figures
//! compare (the random numbers themselves are others):
//!
//! | column | distribution |
//! | --- | --- |
//! | start | Poisson arrivals, 5,000 a second, from [`FIRST_MILLISECOND`]; in order |
//! | duration | log-normal, median 20 s, sigma 1.2, at most 5 days; whole milliseconds |
//! | protocol | TCP 70 %, UDP 30 % |
//! | client | 4,096 addresses scattered in 100.64.0.0/10, Zipf with exponent 1 |
//! | client's port | uniform, 32768 to 60999 |
//! | masked address | 16 of 203.0.113.0/24, fixed for each client (paired pooling, RFC 4787, RFC 6888) |
//! | masked port | 85 %: the client's; otherwise uniform, 1024 to 65535 |
//! | server | 200,000 addresses, Zipf with exponent 1 |
//! | server's port | TCP: 443 (90 %) or 80; UDP: 53 (50 %) or 443 |
//!
//! Its entropy is 6.98 bytes a flow. Every flow carries the same status bits and no counters;
//! [`Flows::with_counters`] and [`Flows::with_status`] add them, to measure what they cost.
//!
//! ```
//! let flows = unmasq_lab::synthetic::Flows::new(42, 1_000);
//! assert_eq!(flows.filter(|flow| flow.client.address.to_string().starts_with("100.")).count(), 1_000);
//! ```

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use unmasq_flow::{Bound, Count, Endpoint, Flow, Origin, Protocol, Status, Timestamp, Traffic};

use crate::random::{Random, Zipf};

/// The first flow starts just after this: milliseconds since the Unix epoch (2026-11-18T11:06:40Z).
pub const FIRST_MILLISECOND: i64 = 1_795_000_000_000;
/// How many clients there are.
pub const CLIENTS: u32 = 4_096;
/// How many servers there are.
pub const SERVERS: u32 = 200_000;
/// How many public addresses they share.
pub const PUBLIC_ADDRESSES: u32 = 16;

const MEAN_GAP_MILLISECONDS: f64 = 0.2;
const MEDIAN_DURATION_MILLISECONDS: f64 = 20_000.0;
const LONGEST_MILLISECONDS: f64 = 5.0 * 86_400_000.0;
const CLIENT_NET: u32 = 0x6440_0000; // 100.64.0.0/10
const FIRST_PUBLIC: u32 = 0xcb00_7101; // 203.0.113.1
/// `IPS_CONFIRMED | IPS_SRC_NAT_DONE | IPS_DST_NAT_DONE` of `linux/netfilter/nf_conntrack_common.h`, as the
/// kernel sends them.
const ALWAYS: u32 = 1 << 3 | 1 << 7 | 1 << 8;
const TALKED: Status = Status(ALWAYS | Status::SEEN_REPLY.0 | Status::ASSURED.0 | Status::SRC_NAT.0);

/// The flows, in the order of their start.
#[derive(Clone, Debug)]
pub struct Flows {
    random: Random,
    /// Draws for the optional columns, apart, so that the other columns are the same with and without them.
    extra: Random,
    left: u64,
    clock_milliseconds: f64,
    origin: Arc<Origin>,
    client_ranks: Zipf,
    server_ranks: Zipf,
    /// Address and public address of each client, by rank.
    clients: Vec<(u32, u32)>,
    /// Address of each server, by rank.
    servers: Vec<u32>,
    counters: bool,
    statuses: bool,
}

impl Flows {
    /// `count` flows made from `seed`, seen in the stream `gw1`.
    pub fn new(seed: u64, count: u64) -> Self {
        let mut random = Random::new(seed);
        let clients = random
            .distinct(CLIENTS as usize, 1 << 22)
            .into_iter()
            .map(|offset| {
                let public = random.below(u64::from(PUBLIC_ADDRESSES)) as u32;
                (CLIENT_NET + offset as u32, FIRST_PUBLIC + public)
            })
            .collect();
        // Scattered over 1.0.0.0 to 223.255.255.255.
        let servers = random
            .distinct(SERVERS as usize, 1 << 24)
            .into_iter()
            .map(|offset| (offset * 223) as u32 + (1 << 24))
            .collect();
        Self {
            extra: Random::new(!seed),
            random,
            left: count,
            clock_milliseconds: 0.0,
            origin: Origin::new("gw1", "").shared(),
            client_ranks: Zipf::new(CLIENTS),
            server_ranks: Zipf::new(SERVERS),
            clients,
            servers,
            counters: false,
            statuses: false,
        }
    }

    /// The same flows, seen elsewhere.
    #[must_use]
    pub fn seen_at(mut self, origin: Arc<Origin>) -> Self {
        self.origin = origin;
        self
    }

    /// The same flows with counters: packets log-normal, median 12; 60 to 1,500 bytes a packet.
    #[must_use]
    pub fn with_counters(mut self) -> Self {
        self.counters = true;
        self
    }

    /// The same flows with statuses that differ: 4 % were never answered, 6 % of the answered not assured.
    #[must_use]
    pub fn with_status(mut self) -> Self {
        self.statuses = true;
        self
    }

    /// The address of the client of this rank; 0 is the busiest.
    pub fn client(&self, rank: usize) -> Option<IpAddr> {
        self.clients.get(rank).map(|&(address, _)| Ipv4Addr::from_bits(address).into())
    }

    fn traffic(&mut self) -> Traffic {
        let mut direction = |small: u64, spread: u64| {
            let packets = self.extra.log_normal(12.0, 1.5).max(1.0) as u64;
            Count { packets, bytes: packets * (small + self.extra.below(spread)) }
        };
        Traffic { original: direction(60, 240), reply: direction(60, 1_440) }
    }

    fn status(&mut self) -> Status {
        match self.extra.below(10_000) {
            0..400 => Status(ALWAYS | Status::SRC_NAT.0),
            400..976 => Status(TALKED.0 & !Status::ASSURED.0),
            _ => TALKED,
        }
    }
}

impl Iterator for Flows {
    type Item = Flow;

    // Hot: benches of the ledger draw ten million. Guarded by `unmasq-lab-flows --format none`.
    fn next(&mut self) -> Option<Flow> {
        self.left = self.left.checked_sub(1)?;
        let random = &mut self.random;
        self.clock_milliseconds += random.exponential(MEAN_GAP_MILLISECONDS);
        let start = FIRST_MILLISECOND + self.clock_milliseconds as i64;
        let duration = random.log_normal(MEDIAN_DURATION_MILLISECONDS, 1.2).min(LONGEST_MILLISECONDS) as i64;

        // One draw for what needs few bits: its four quarters are independent.
        let dice = random.bits();
        let quarter = |n: u32| f64::from((dice >> (16 * n)) as u16) / 65_536.0;
        let is_udp = quarter(0) < 0.3;
        let server_port = match (is_udp, quarter(1)) {
            (true, q) if q < 0.5 => 53,
            (false, q) if q >= 0.9 => 80,
            _ => 443,
        };
        let client_port = 32_768 + random.below(61_000 - 32_768) as u16;
        let masked_port =
            if quarter(2) < 0.85 { client_port } else { 1_024 + random.below(65_536 - 1_024) as u16 };
        let (client, public) = self.clients[self.client_ranks.draw(random)];
        let server = self.servers[self.server_ranks.draw(random)];

        let endpoint = |bits: u32, port: u16| Endpoint::with_port(Ipv4Addr::from_bits(bits).into(), port);
        let server = endpoint(server, server_port);
        let mut flow = Flow::new(
            Arc::clone(&self.origin),
            if is_udp { Protocol::UDP } else { Protocol::TCP },
            (endpoint(client, client_port), server),
            (server, endpoint(public, masked_port)),
        );
        flow.start = Bound::Exact(Timestamp::from_millis(start));
        flow.end = Bound::Exact(Timestamp::from_millis(start + duration));
        flow.status = if self.statuses { self.status() } else { TALKED };
        flow.traffic = self.counters.then(|| self.traffic());
        Some(flow)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        (left, Some(left))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    const COUNT: u64 = 100_000;

    /// Is a share of [`COUNT`] within five standard deviations of what it should be?
    fn share(what: impl Fn(&Flow) -> bool, expected: f64) {
        let seen = Flows::new(42, COUNT).filter(what).count() as f64;
        let (mean, deviation) =
            (COUNT as f64 * expected, (COUNT as f64 * expected * (1.0 - expected)).sqrt());
        assert!((seen - mean).abs() < 5.0 * deviation, "{seen} of {COUNT}, expected {mean}");
    }

    fn server_port(flow: &Flow) -> Option<u16> {
        flow.server.endpoint().and_then(|server| server.selector.number())
    }

    #[test]
    fn a_seed_gives_the_same_flows_again_and_another_gives_others() {
        assert!(Flows::new(42, 1_000).eq(Flows::new(42, 1_000)));
        assert!(!Flows::new(42, 1_000).eq(Flows::new(43, 1_000)));
        assert_eq!(Flows::new(42, 1_000).count(), 1_000);
    }

    #[test]
    fn optional_columns_change_no_other() {
        let plain = Flows::new(42, 1_000);
        for (with, without) in Flows::new(42, 1_000).with_counters().with_status().zip(plain) {
            assert!(with.traffic.is_some());
            assert_eq!(Flow { traffic: None, status: without.status, ..with }, without);
        }
    }

    #[test]
    fn shares_are_as_documented() {
        share(|flow| flow.protocol == Protocol::UDP, 0.3);
        share(|flow| server_port(flow) == Some(80), 0.7 * 0.1);
        share(|flow| server_port(flow) == Some(53), 0.3 * 0.5);
        // A port drawn anew equals the client's once in 64,512.
        share(|flow| flow.client.selector == flow.masked.selector, 0.85 + 0.15 / 64_512.0);
        let busiest = Flows::new(42, 0).client(0).unwrap();
        let harmonic: f64 = (1..=CLIENTS).map(|k| 1.0 / f64::from(k)).sum();
        share(|flow| flow.client.address == busiest, 1.0 / harmonic);
    }

    #[test]
    fn starts_are_in_order_at_five_thousand_a_second() {
        let starts: Vec<_> = Flows::new(42, COUNT).map(|flow| flow.start.latest()).collect();
        assert!(starts.is_sorted());
        let seconds = starts[starts.len() - 1].since(starts[0]).as_secs_f64();
        assert!((seconds / 20.0 - 1.0).abs() < 0.02, "{seconds} s for {COUNT}");
    }

    #[test]
    fn a_client_has_one_public_address() {
        let mut public = HashMap::new();
        for flow in Flows::new(42, COUNT) {
            assert_eq!(
                *public.entry(flow.client.address).or_insert(flow.masked.address),
                flow.masked.address
            );
        }
        for address in public.values() {
            let IpAddr::V4(v4) = address else { panic!("{address}") };
            assert!((1..=16).contains(&v4.octets()[3]), "{v4}");
        }
    }
}
