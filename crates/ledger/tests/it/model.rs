//! A random schedule of what a recorder and a machine do, compared with a plain list of flows.

use std::time::Duration;

use proptest::prelude::*;
use unmasq_flow::{Bound, Endpoint, Flow, Period, Protocol, Timestamp};
use unmasq_ledger::run::Filter;
use unmasq_ledger::{Hit, Ledger, Query, Writer, WriterOptions};

use crate::common::{alive, all, at, directory_in_memory, ended, origin, start};

#[derive(Clone, Debug)]
enum Step {
    /// A flow begins: client, masked port, server, and whether its start is only read.
    Open(u8, u16, u8, bool),
    /// One of the living flows ends, so many milliseconds ago.
    End(prop::sample::Index, u32),
    /// A flow is learnt of by its end only: client, masked port, how many seconds it lived.
    Whole(u8, u16, u32),
    /// Time goes on, in milliseconds.
    Wait(u32),
    Flush,
    Seal,
    /// The process is killed and starts again so many seconds later.
    Crash(u32),
    Ask(u16, i32, u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..5u8, 0..6u16, 1..4u8, any::<bool>()).prop_map(|(c, p, s, r)| Step::Open(c, p, s, r)),
        5 => (any::<prop::sample::Index>(), 0..50_000u32).prop_map(|(i, ms)| Step::End(i, ms)),
        1 => (1..5u8, 0..6u16, 1..9_000u32).prop_map(|(c, p, s)| Step::Whole(c, p, s)),
        6 => (1..90_000u32).prop_map(Step::Wait),
        1 => (900_000..4_000_000u32).prop_map(Step::Wait),
        4 => Just(Step::Flush),
        1 => Just(Step::Seal),
        1 => prop_oneof![0..30u32, 0..12_000u32].prop_map(Step::Crash),
        3 => (0..6u16, -9_000..100i32, 0..60u16).prop_map(|(p, t, w)| Step::Ask(p, t, w)),
    ]
}

/// The naive ledger: all flows in a list.
#[derive(Clone, Default)]
struct List {
    flows: Vec<Flow>,
    /// The hour carried last.
    hour: i64,
}

impl List {
    fn living(&self) -> Vec<usize> {
        (0..self.flows.len()).filter(|n| self.flows[*n].end == Bound::Open).collect()
    }
}

struct World {
    directory: tempfile::TempDir,
    writer: Option<Writer>,
    now: Timestamp,
    /// Everything accepted.
    accepted: List,
    /// Everything accepted and flushed.
    flushed: List,
}

const OPTIONS: WriterOptions = WriterOptions {
    is_import: false,
    destinations: unmasq_flow::DestinationPolicy::Keep,
    retention: unmasq_ledger::Retention { keep: None, max_size: None },
    rotate_after: Duration::from_secs(60),
    rotate_records: 40,
    buffer_bytes: 1 << 20,
};

/// Client, masked, server, start and end in milliseconds.
type Key = (Endpoint, Endpoint, Option<Endpoint>, i64, Option<i64>);

fn key(flow: &Flow) -> Key {
    let start = flow.start.earliest().as_millis();
    let end = flow.end.is_closed().then(|| flow.end.latest().as_millis());
    (flow.client, flow.masked, flow.server.endpoint(), start, end)
}

fn keys<'a>(flows: impl IntoIterator<Item = &'a Flow>) -> Vec<Key> {
    let mut keys: Vec<_> = flows.into_iter().map(key).collect();
    keys.sort();
    keys
}

fn found(hits: &[Hit]) -> Vec<Key> {
    keys(hits.iter().map(|hit| &hit.flow))
}

fn masked(port: u16) -> Endpoint {
    Endpoint::v4([203, 0, 113, 1], 40_000 + port)
}

fn make(client: u8, port: u16, server: u8, start: Bound) -> Flow {
    let server = Endpoint::v4([198, 51, 100, server], 443);
    let client = Endpoint::v4([10, 0, 0, client], 1000 + port);
    let mut flow = Flow::new(origin(), Protocol::TCP, (client, server), (server, masked(port)));
    flow.start = start;
    flow.end = Bound::Open;
    flow
}

impl World {
    fn new() -> Self {
        let directory = directory_in_memory();
        let mut world = Self {
            directory,
            writer: None,
            now: at(3_000),
            accepted: List::default(),
            flushed: List::default(),
        };
        world.open();
        world
    }

    fn writer(&mut self) -> &mut Writer {
        self.writer.as_mut().unwrap()
    }

    fn open(&mut self) {
        let (writer, recovery) = Writer::open(self.directory.path(), "gw1", OPTIONS).unwrap();
        let living: Vec<&Flow> = self.flushed.living().into_iter().map(|n| &self.flushed.flows[n]).collect();
        assert_eq!(keys(&recovery.open), keys(living), "flows that are open after a crash");
        assert_eq!(recovery.damage, Vec::<String>::new());
        self.accepted = self.flushed.clone();
        self.writer = Some(writer);
        let now = self.now;
        start(self.writer(), now);
        self.carry();
    }

    /// What a recorder does when an hour begins, and when it starts.
    fn carry(&mut self) {
        let hour = self.now.hour();
        if self.accepted.hour == hour {
            return;
        }
        let living: Vec<Flow> =
            self.accepted.living().into_iter().map(|n| self.accepted.flows[n].clone()).collect();
        self.writer().carry(hour, &living).unwrap();
        self.accepted.hour = hour;
        self.flushed = self.accepted.clone();
    }

    fn is_taken(&self, flow: &Flow) -> bool {
        // The kernel has no two flows with the same tuples at once; and a minute apart the starts cannot be confused.
        self.accepted.flows.iter().any(|other| {
            other.same_tuples(flow) && other.end.latest() + Duration::from_secs(61) >= flow.start.earliest()
        })
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Open(client, port, server, is_read) => {
                let start = if *is_read { Bound::Read(self.now) } else { Bound::Exact(self.now) };
                let flow = make(*client, *port, *server, start);
                if !self.is_taken(&flow) {
                    self.writer().opened(&flow);
                    self.accepted.flows.push(flow);
                }
            }
            Step::End(which, ago) => {
                let living = self.accepted.living();
                if living.is_empty() {
                    return;
                }
                let number = *which.get(&living);
                let flow = &self.accepted.flows[number];
                let end = (self.now - Duration::from_millis(u64::from(*ago))).max(flow.start.latest());
                let mut whole = ended(flow, end);
                if let Bound::Read(start) = whole.start {
                    whole.start = Bound::Exact(start - Duration::from_millis(3));
                }
                self.writer().ended(&whole, true);
                self.accepted.flows[number] = whole;
            }
            Step::Whole(client, port, seconds) => {
                let begun = self.now - Duration::from_secs(u64::from(*seconds));
                let flow = ended(&make(*client, *port, 9, Bound::Exact(begun)), self.now);
                if !self.is_taken(&flow) {
                    self.writer().ended(&flow, false);
                    self.accepted.flows.push(flow);
                }
            }
            Step::Wait(millis) => {
                let end = self.now + Duration::from_millis(u64::from(*millis));
                // An hour at a time, as a recorder would.
                while self.now < end {
                    let next = Timestamp::from_seconds((self.now.hour() + 1) * 3600);
                    self.now = next.min(end);
                    let now = self.now;
                    alive(self.writer(), now);
                    self.carry();
                }
            }
            Step::Flush => {
                self.writer().flush().unwrap();
                self.flushed = self.accepted.clone();
            }
            Step::Seal => {
                self.writer().seal_all().unwrap();
                self.flushed = self.accepted.clone();
            }
            Step::Crash(seconds) => {
                self.writer = None;
                self.now = self.now + Duration::from_secs(u64::from(*seconds));
                self.open();
            }
            Step::Ask(port, seconds, window) => {
                self.writer().flush().unwrap();
                self.flushed = self.accepted.clone();
                let offset = Duration::from_secs(u64::from(seconds.unsigned_abs()));
                let time = if *seconds < 0 { self.now - offset } else { self.now + offset };
                let period = Period::around(time, Duration::from_secs(u64::from(*window)));
                let ledger = Ledger::open(self.directory.path()).unwrap();
                self.ask(&ledger, *port, period);
            }
        }
    }

    fn ask(&self, ledger: &Ledger, port: u16, period: Period) {
        let list = &self.flushed.flows;
        let answer = ledger.find(&Query { masked: masked(port), protocol: None, period }).unwrap();
        let expected = list.iter().filter(|flow| flow.masked == masked(port) && flow.overlaps(period));
        assert_eq!(found(&answer.hits), keys(expected), "on {} in {period:?}", masked(port));
        assert_eq!(answer.damage, Vec::<String>::new());
    }

    fn ask_everything(&self) {
        let ledger = Ledger::open(self.directory.path()).unwrap();
        let list = &self.flushed.flows;
        assert_eq!(found(&all(&ledger, &Filter::default())), keys(list), "all flows, each once");
        let begin = at(0);
        let step = Duration::from_secs(60 * 47);
        let mut time = begin;
        while time <= self.now + step {
            let period = Period::new(time, time + Duration::from_secs(600));
            for port in 0..6 {
                self.ask(&ledger, port, period);
            }
            for client in 1..5u8 {
                let address = std::net::IpAddr::from([10, 0, 0, client]);
                let filter = Filter::client(address, period);
                let expected = list.iter().filter(|f| f.client.address == address && f.overlaps(period));
                assert_eq!(found(&all(&ledger, &filter)), keys(expected), "of {address} in {period:?}");
            }
            time = time + step;
        }
        self.ask_neighbours(&ledger);
    }

    fn ask_neighbours(&self, ledger: &Ledger) {
        for port in 0..6 {
            let time = self.now - Duration::from_secs(1800);
            let near = ledger.neighbours(masked(port), None, time).unwrap();
            let start = |flow: &&Flow| flow.start.earliest();
            let on_port = || self.flushed.flows.iter().filter(|flow| flow.masked == masked(port));
            let before = on_port().filter(|f| start(f) <= time).map(|f| start(&f)).max();
            let after = on_port().filter(|f| start(f) > time).map(|f| start(&f)).min();
            let of = |hit: Option<Hit>| hit.map(|hit| hit.flow.start.earliest());
            // A start that was only read at first is later known to lie a little before; a neighbour has the one or the other.
            for (found, expected) in [(of(near.before), before), (of(near.after), after)] {
                let is_near =
                    |a: Timestamp, b: Timestamp| (a.as_nanos() - b.as_nanos()).abs() < 1_000_000_000;
                let is_same = found.zip(expected).map_or(found == expected, |(a, b)| is_near(a, b));
                assert!(is_same, "{found:?} is not {expected:?}, on {port} at {time}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn a_ledger_answers_like_a_list_of_flows(steps in prop::collection::vec(step(), 1..120)) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
        }
        world.step(&Step::Flush);
        world.ask_everything();
        world.step(&Step::Seal);
        world.ask_everything();
        world.step(&Step::Crash(0));
        world.ask_everything();
    }
}
