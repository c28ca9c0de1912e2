//! Questions whose answer is many flows: an address without a port, and all that a client did.
//!
//! A ledger can hold millions of such flows, so they are visited, not collected. The book and the kernel's table hold what is
//! alive now: they are asked first, and what the ledger has too is taken from it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::sync::Arc;

use unmasq_flow::{Destination, Endpoint, Flow, Origin, Period, Protocol, Timestamp, Witness as By};

use crate::candidate::Hop;
use crate::completeness::{Found, Shortfall, shortfalls};
use crate::{
    ClientQuestion, Closing, Hit, Inquiry, ServerCheck, StreamCoverage, Verdict, Witness, WitnessError,
};

/// What is known of an address and a stretch of time, by client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overview {
    /// What was asked.
    pub inquiry: Inquiry,
    /// The clients, the one with most flows first.
    pub clients: Vec<ClientFlows>,
    /// Why the record is not complete; empty if it is.
    pub shortfalls: Vec<Shortfall>,
    /// Files that could not be read.
    pub damage: Vec<String>,
    /// Witnesses that did not answer, with the reason.
    pub silent: Vec<String>,
}

/// The flows of one client behind an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientFlows {
    /// The client's own address.
    pub client: IpAddr,
    /// Where it was seen. The same address elsewhere is another client.
    pub origin: Arc<Origin>,
    /// How many flows.
    pub flows: u64,
    /// Of which protocols.
    pub protocols: BTreeSet<Protocol>,
    /// The earliest start that is known.
    pub first: Option<Timestamp>,
    /// The latest end that is known.
    pub last: Option<Timestamp>,
    /// How many of them had not ended, as far as is known.
    pub open: u64,
    is_recorded: bool,
}

impl Overview {
    /// Is the record complete for what was asked?
    pub fn is_complete(&self) -> bool {
        self.shortfalls.is_empty() && self.damage.is_empty()
    }

    /// How many clients there are.
    pub fn client_count(&self) -> usize {
        let recorded: BTreeSet<IpAddr> =
            self.clients.iter().filter(|c| c.is_recorded).map(|c| c.client).collect();
        let others: BTreeSet<IpAddr> =
            self.clients.iter().filter(|c| !c.is_recorded).map(|c| c.client).collect();
        self.clients.iter().filter(|c| c.is_recorded).count() + others.difference(&recorded).count()
    }

    /// What it amounts to.
    pub fn verdict(&self) -> Verdict {
        Verdict::of(self.client_count(), self.shortfalls.is_empty(), !self.damage.is_empty())
    }
}

/// Counts the flows on a masked address by client. Clients are not followed further.
pub fn overview(inquiry: &Inquiry, witnesses: &mut [Box<dyn Witness>]) -> Overview {
    let mut clients: BTreeMap<(IpAddr, Arc<Origin>), ClientFlows> = BTreeMap::new();
    let mut heard = Heard::default();
    for window in &inquiry.windows {
        let window = Period { from: window.from, to: window.to.min(inquiry.now).max(window.from) };
        let question = inquiry.question(window);
        let closings = heard.visit(
            witnesses,
            |witness, visit| witness.each(&question, visit),
            inquiry.now,
            &mut |hit| {
                if hit.server != ServerCheck::Differs {
                    count(&mut clients, hit);
                }
                ControlFlow::Continue(())
            },
        );
        heard.coverage.push((window, closings));
    }
    let found = Found { any: !clients.is_empty(), is_tuple_settled: false };
    let mut clients: Vec<ClientFlows> = clients.into_values().collect();
    clients.sort_by_key(|c| (std::cmp::Reverse(c.flows), c.client));
    let shortfalls = heard.shortfalls(found, inquiry.now);
    Overview {
        inquiry: inquiry.clone(),
        clients,
        shortfalls,
        damage: heard.damage.into_iter().collect(),
        silent: heard.silent.into_iter().collect(),
    }
}

fn count(clients: &mut BTreeMap<(IpAddr, Arc<Origin>), ClientFlows>, hit: Hit) {
    let flow = hit.flow;
    let entry =
        clients.entry((flow.client.address, Arc::clone(&flow.origin))).or_insert_with(|| ClientFlows {
            client: flow.client.address,
            origin: flow.origin,
            flows: 0,
            protocols: BTreeSet::new(),
            first: None,
            last: None,
            open: 0,
            is_recorded: false,
        });
    let (start, end) = (flow.start.earliest(), flow.end.latest());
    entry.flows += 1;
    entry.protocols.insert(flow.protocol);
    entry.open += u64::from(!flow.end.is_closed());
    entry.is_recorded |= matches!(hit.evidence.witness, By::Book | By::Ledger);
    if start.is_finite() {
        entry.first = Some(entry.first.map_or(start, |first| first.min(start)));
    }
    if end.is_finite() {
        entry.last = Some(entry.last.map_or(end, |last| last.max(end)));
    }
}

/// What there is to say after all flows of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryEnd {
    /// How many flows were visited.
    pub flows: u64,
    /// Why the record is not complete; empty if it is.
    pub shortfalls: Vec<Shortfall>,
    /// Files that could not be read.
    pub damage: Vec<String>,
    /// Witnesses that did not answer, with the reason.
    pub silent: Vec<String>,
}

impl HistoryEnd {
    /// Is the record complete for the period, as far as its scope goes?
    pub fn is_complete(&self) -> bool {
        self.shortfalls.is_empty() && self.damage.is_empty()
    }

    /// What it amounts to: one client was asked about, so either there are flows or there are none.
    pub fn verdict(&self) -> Verdict {
        Verdict::of(usize::from(self.flows > 0), self.shortfalls.is_empty(), !self.damage.is_empty())
    }
}

/// Visits all that a client did, the ledger's hours first, in order.
pub fn history(
    question: &ClientQuestion,
    now: Timestamp,
    witnesses: &mut [Box<dyn Witness>],
    visit: &mut dyn FnMut(Hit) -> ControlFlow<()>,
) -> HistoryEnd {
    let mut heard = Heard::default();
    let mut flows = 0;
    let window =
        Period { from: question.window.from, to: question.window.to.min(now).max(question.window.from) };
    let question = ClientQuestion { window, ..*question };
    let closings =
        heard.visit(witnesses, |witness, visit| witness.of_client(&question, visit), now, &mut |hit| {
            flows += 1;
            visit(hit)
        });
    heard.coverage.push((window, closings));
    // What the scope leaves out is left out of every such list; the caller says so once.
    let shortfalls = heard.shortfalls(Found { any: true, is_tuple_settled: true }, now);
    HistoryEnd {
        flows,
        shortfalls,
        damage: heard.damage.into_iter().collect(),
        silent: heard.silent.into_iter().collect(),
    }
}

type Key = (Protocol, Endpoint, Endpoint, Destination);

fn key(flow: &Flow) -> Key {
    (flow.protocol, flow.client, flow.masked, flow.server)
}

/// What the witnesses said besides flows.
#[derive(Default)]
struct Heard {
    coverage: Vec<(Period, Vec<StreamCoverage>)>,
    damage: BTreeSet<String>,
    silent: BTreeSet<String>,
}

impl Heard {
    /// Visits the flows of all witnesses, each flow once, and returns what they cover. `now` is before any is asked.
    fn visit(
        &mut self,
        witnesses: &mut [Box<dyn Witness>],
        ask: impl Fn(&mut dyn Witness, &mut dyn FnMut(Hit) -> ControlFlow<()>) -> Result<Closing, WitnessError>,
        now: Timestamp,
        visit: &mut dyn FnMut(Hit) -> ControlFlow<()>,
    ) -> Vec<StreamCoverage> {
        let mut coverage = Vec::new();
        let mut alive: HashMap<Key, Vec<Hit>> = HashMap::new();
        for witness in witnesses.iter_mut().filter(|w| !w.is_large()) {
            let mut collect = |hit: Hit| {
                let same = alive.entry(key(&hit.flow)).or_default();
                if !same.iter().any(|known| Hop::from(known.clone()).is_same(&hit, now)) {
                    same.push(hit);
                }
                ControlFlow::Continue(())
            };
            let closing = ask(&mut **witness, &mut collect);
            coverage.extend(self.close(closing));
        }
        let mut is_over = false;
        for witness in witnesses.iter_mut().filter(|w| w.is_large()) {
            let mut once = |hit: Hit| {
                if !alive.is_empty()
                    && let Some(same) = alive.get_mut(&key(&hit.flow))
                {
                    same.retain(|known| !Hop::from(known.clone()).is_same(&hit, now));
                }
                let next = visit(hit);
                is_over = next.is_break();
                next
            };
            let closing = ask(&mut **witness, &mut once);
            coverage.extend(self.close(closing));
            if is_over {
                return coverage;
            }
        }
        let mut rest: Vec<Hit> = alive.into_values().flatten().collect();
        rest.sort_by_key(|hit| hit.flow.start.earliest());
        for hit in rest {
            if visit(hit).is_break() {
                break;
            }
        }
        coverage
    }

    fn close(&mut self, closing: Result<Closing, WitnessError>) -> Vec<StreamCoverage> {
        match closing {
            Ok(closing) => {
                self.damage.extend(closing.damage);
                return closing.coverage;
            }
            Err(error @ WitnessError::Unreadable { .. }) => self.damage.insert(error.to_string()),
            Err(error @ WitnessError::Silent { .. }) => self.silent.insert(error.to_string()),
        };
        Vec::new()
    }

    fn shortfalls(&self, found: Found, now: Timestamp) -> Vec<Shortfall> {
        let mut all = Vec::new();
        for (window, coverage) in &self.coverage {
            for shortfall in shortfalls(*window, coverage, found, now) {
                if !all.contains(&shortfall) {
                    all.push(shortfall);
                }
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Memory, Question, Standing, StreamKind};
    use unmasq_flow::{Bound, Coverage, DestinationPolicy, Evidence, Scope, ScopeKind};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(1_795_000_000 + seconds)
    }

    fn flow(client: u8, port: u16, from: i64, to: Option<i64>) -> Flow {
        let server = Endpoint::v4([198, 51, 100, 7], 80);
        let origin = Origin::new("gw1", "").shared();
        let ends = (Endpoint::v4([10, 0, 0, client], port), server);
        let mut flow = Flow::new(origin, Protocol::TCP, ends, (server, Endpoint::v4([203, 0, 113, 1], port)));
        flow.start = Bound::Exact(at(from));
        flow.end = to.map_or(Bound::Open, |to| Bound::Exact(at(to)));
        flow
    }

    /// A memory that says it is large, as the ledger is.
    struct Large(Memory);

    impl Witness for Large {
        fn name(&self) -> String {
            self.0.name()
        }

        fn is_large(&self) -> bool {
            true
        }

        fn ask(&mut self, question: &Question) -> Result<crate::Testimony, WitnessError> {
            self.0.ask(question)
        }

        fn of_client(
            &mut self,
            question: &ClientQuestion,
            visit: &mut dyn FnMut(Hit) -> ControlFlow<()>,
        ) -> Result<Closing, WitnessError> {
            self.0.of_client(question, visit)
        }
    }

    fn witnesses(on_disk: Vec<Flow>, in_book: Vec<Flow>) -> Vec<Box<dyn Witness>> {
        let scope =
            Scope { namespace: "".into(), kind: ScopeKind::All, destinations: DestinationPolicy::Keep };
        let coverage = StreamCoverage {
            stream: "gw1".to_owned(),
            kind: StreamKind::Recorder,
            coverage: Coverage {
                covered: vec![(Period { from: at(0), to: at(1_000) }, scope)],
                ..Coverage::default()
            },
            standing: Standing::NotLooked,
        };
        let by = |witness| Evidence { witness, place: String::new() };
        vec![
            Box::new(Large(Memory::new(on_disk, by(By::Ledger), vec![coverage]))),
            Box::new(Memory::new(in_book, by(By::Book), Vec::new())),
        ]
    }

    #[test]
    fn an_address_alone_is_summed_up_by_client_and_each_flow_counts_once() {
        let on_disk = vec![
            flow(2, 1, 10, Some(20)),
            flow(2, 2, 15, None),
            flow(3, 3, 12, Some(13)),
            flow(3, 4, 900, Some(901)),
        ];
        let mut both = witnesses(on_disk, vec![flow(2, 2, 15, None), flow(2, 5, 25, None)]);
        let masked = Endpoint::address_only("203.0.113.1".parse().unwrap());
        let overview =
            overview(&Inquiry::new(masked, Period { from: at(0), to: at(100) }, at(500)), &mut both);
        let counts: Vec<(String, u64, u64)> =
            overview.clients.iter().map(|c| (c.client.to_string(), c.flows, c.open)).collect();
        assert_eq!(counts, [("10.0.0.2".to_owned(), 3, 2), ("10.0.0.3".to_owned(), 1, 0)]);
        assert_eq!((overview.clients[0].first, overview.clients[0].last), (Some(at(10)), Some(at(20))));
        assert_eq!(overview.verdict(), Verdict::Several);
    }

    #[test]
    fn all_that_a_client_did_comes_once_and_can_be_cut_short() {
        let on_disk = || vec![flow(2, 1, 10, Some(20)), flow(2, 2, 15, None), flow(3, 3, 12, Some(13))];
        let question = ClientQuestion {
            client: "10.0.0.2".parse().unwrap(),
            protocol: None,
            server: None,
            window: Period { from: at(0), to: at(100) },
        };
        let mut ports = Vec::new();
        let end = history(
            &question,
            at(500),
            &mut witnesses(on_disk(), vec![flow(2, 2, 15, None), flow(2, 5, 25, None)]),
            &mut |hit| {
                ports.push(hit.flow.client.selector.number());
                ControlFlow::Continue(())
            },
        );
        assert_eq!((ports, end.verdict()), (vec![Some(1), Some(2), Some(5)], Verdict::One));
        let mut count = 0;
        let end =
            history(&question, at(500), &mut witnesses(on_disk(), vec![flow(2, 5, 25, None)]), &mut |_| {
                count += 1;
                ControlFlow::Break(())
            });
        assert_eq!((count, end.flows), (1, 1));
    }

    #[test]
    fn a_client_without_flows_in_an_incomplete_record_is_not_called_idle() {
        let question = |to| ClientQuestion {
            client: "10.0.0.9".parse().unwrap(),
            protocol: None,
            server: None,
            window: Period { from: at(0), to: at(to) },
        };
        let ask = |to| {
            history(&question(to), at(5_000), &mut witnesses(Vec::new(), Vec::new()), &mut |_| {
                ControlFlow::Continue(())
            })
        };
        assert_eq!(ask(100).verdict(), Verdict::Nobody);
        assert_eq!(ask(2_000).verdict(), Verdict::Incomplete);
    }
}
