//! What a plan adds to an answer, and what it never does.

use std::net::Ipv4Addr;
use std::time::Duration;

use unmasq_flow::{Coverage, DestinationPolicy, Gap, GapReason, Scope, ScopeKind, Status, Timestamp};
use unmasq_plan::history::{DriftReason, Format, HistoryWriter, Moment, NewRevision};
use unmasq_plan::{Allocation, Block, Plan, PortRange};

use super::*;
use crate::{Answer, Inquiry, Memory, Standing, StreamCoverage, StreamKind, answer};

const MASKED: &str = "203.0.113.1:61002";

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(1_795_000_000 + seconds)
}

fn window() -> Period {
    Period { from: at(-5), to: at(5) }
}

/// A plan that says the same whatever the question.
struct Says(Held);

impl Witness for Says {
    fn name(&self) -> String {
        "plan".to_owned()
    }

    fn ask(&mut self, _: &Question) -> Result<Testimony, WitnessError> {
        let says = PlanSays { plan: "/plan".to_owned(), held: self.0.clone() };
        Ok(Testimony { plans: vec![says], ..Testimony::default() })
    }

    // Of the flows behind a flow it knows nothing.
    fn hits(&mut self, _: &Question) -> Result<Testimony, WitnessError> {
        Ok(Testimony::default())
    }
}

fn holder(client: u8, holding: Holding, from: i64, to: i64) -> Holder {
    let block =
        Block { address: Ipv4Addr::new(203, 0, 113, 1), ports: PortRange::new(61_000, 61_999).unwrap() };
    Holder {
        allocation: Allocation {
            client: Ipv4Addr::new(192, 168, 101, client),
            block,
            protocols: ProtocolSet::TCP_UDP,
        },
        revision: 3,
        file: "/plan/rules.v4.1795000000".to_owned(),
        holding,
        period: Period { from: at(from), to: at(to) },
    }
}

fn held(holders: Vec<Holder>, gaps: Vec<PlanGap>) -> Held {
    Held { holders, gaps: gaps.into_iter().map(|gap| (window(), gap)).collect(), notes: Vec::new() }
}

fn flow(client: u8, from: i64) -> Flow {
    let server: Endpoint = "198.51.100.7:80".parse().unwrap();
    let client = Endpoint::v4([192, 168, 101, client], 47_244);
    let origin = Origin::new("gw1", "").shared();
    let mut flow = Flow::new(origin, Protocol::TCP, (client, server), (server, MASKED.parse().unwrap()));
    flow.start = Bound::Exact(at(from));
    flow.end = Bound::Exact(at(60));
    flow.status = Status(0x19e);
    flow
}

/// A recorder's ledger with these flows; `is_covered` says whether it was running.
fn ledger(flows: Vec<Flow>, is_covered: bool) -> Box<dyn Witness> {
    let scope = Scope { namespace: "".into(), kind: ScopeKind::All, destinations: DestinationPolicy::Keep };
    let period = Period { from: at(-1000), to: at(1000) };
    let mut coverage = Coverage { is_clock_synchronised: true, ..Coverage::default() };
    if is_covered {
        coverage.covered.push((period, scope));
    } else {
        coverage.gaps.push(Gap { period, namespace: None, reason: GapReason::Down });
    }
    let stream = StreamCoverage {
        stream: "gw1".to_owned(),
        kind: StreamKind::Recorder,
        coverage,
        standing: Standing::NotLooked,
    };
    let evidence = Evidence { witness: By::Ledger, place: "/ledger".to_owned() };
    Box::new(Memory::new(flows, evidence, vec![stream]))
}

fn ask(witnesses: Vec<Box<dyn Witness>>) -> Answer {
    let mut witnesses = witnesses;
    let mut inquiry = Inquiry::new(MASKED.parse().unwrap(), window(), at(900));
    inquiry.protocol = Some(Protocol::TCP);
    answer(&inquiry, &mut witnesses)
}

fn clients(answer: &Answer) -> Vec<String> {
    answer.clients().iter().map(ToString::to_string).collect()
}

#[test]
fn a_plan_alone_names_the_client_and_is_complete() {
    let answer = ask(vec![Box::new(Says(held(vec![holder(2, Holding::InForce, -100, 100)], vec![])))]);
    assert_eq!(clients(&answer), ["192.168.101.2"]);
    assert_eq!(answer.verdict().code(), 0);
    assert_eq!(answer.candidates[0].certainty, Certainty::Sure);
    assert_eq!(answer.candidates[0].evidence().next().unwrap().witness, By::Plan);
}

#[test]
fn a_port_of_nobody_is_nobody() {
    assert_eq!(ask(vec![Box::new(Says(held(vec![], vec![])))]).verdict().code(), 1);
}

#[test]
fn what_the_plan_does_not_cover_is_incomplete_and_said() {
    for gap in [
        PlanGap::BeforeFirst,
        PlanGap::Pruned,
        PlanGap::Drift(DriftReason::Shadowed),
        PlanGap::Unreadable(7),
        PlanGap::Protocol(ProtocolSet::TCP_UDP),
        PlanGap::NoPorts,
        PlanGap::Overflow,
        PlanGap::NotPublic,
    ] {
        let answer = ask(vec![Box::new(Says(held(vec![], vec![gap.clone()])))]);
        assert_eq!(answer.verdict().code(), 4, "{gap:?}");
        assert!(answer.shortfalls.iter().any(|s| s.to_string().contains("plan /plan")), "{gap:?}");
    }
    let drifted =
        held(vec![holder(2, Holding::InForce, -100, 100)], vec![PlanGap::Drift(DriftReason::RulesMissing)]);
    let answer = ask(vec![Box::new(Says(drifted))]);
    assert_eq!((clients(&answer), answer.verdict().code()), (vec!["192.168.101.2".to_owned()], 4));
}

#[test]
fn record_and_plan_that_agree_are_one_candidate_with_both_as_evidence() {
    let plan =
        held(vec![holder(2, Holding::InForce, -100, 100), holder(9, Holding::Lingering, -1000, 100)], vec![]);
    let answer = ask(vec![ledger(vec![flow(2, -50)], true), Box::new(Says(plan))]);
    // The former holder could have had the port, but a complete record has no flow of his.
    assert_eq!(clients(&answer), ["192.168.101.2"]);
    let witnesses: Vec<By> = answer.candidates[0].evidence().map(|e| e.witness).collect();
    assert_eq!(witnesses, [By::Ledger, By::Plan]);
    assert!(answer.contradictions.is_empty());
    assert_eq!(answer.verdict().code(), 0);
}

#[test]
fn record_and_plan_that_disagree_are_shown_both() {
    let plan = || held(vec![holder(2, Holding::InForce, -100, 100)], vec![]);
    let answer = ask(vec![ledger(vec![flow(3, -50)], true), Box::new(Says(plan()))]);
    assert_eq!(clients(&answer), ["192.168.101.3", "192.168.101.2"]);
    assert_eq!(answer.contradictions, [(0, 1)]);
    assert_eq!(answer.verdict().code(), 3);
    assert!(crate::report::notes(&answer).iter().any(|note| note.contains("contradict")));
    // Also where the holder has a flow there, too.
    let answer = ask(vec![ledger(vec![flow(2, -50), flow(3, -40)], true), Box::new(Says(plan()))]);
    assert_eq!(clients(&answer), ["192.168.101.2", "192.168.101.3"]);
    assert_eq!(answer.contradictions, [(0, 1)]);
    // A flow that began before the plan keeps the port that it had.
    let answer = ask(vec![ledger(vec![flow(3, -500)], true), Box::new(Says(plan()))]);
    assert_eq!(clients(&answer), ["192.168.101.3"]);
    assert!(answer.contradictions.is_empty());
}

#[test]
fn after_a_change_that_kept_flows_both_holders_are_named() {
    let plan =
        held(vec![holder(2, Holding::InForce, -10, 1000), holder(9, Holding::Lingering, -10, 400)], vec![]);
    let answer = ask(vec![Box::new(Says(plan))]);
    assert_eq!(clients(&answer), ["192.168.101.2", "192.168.101.9"]);
    assert_eq!(answer.verdict().code(), 3);
}

#[test]
fn a_plan_fills_a_gap_of_the_record_and_the_record_one_of_the_plan() {
    let plan = held(vec![holder(2, Holding::InForce, -100, 100)], vec![]);
    let answer = ask(vec![ledger(vec![], false), Box::new(Says(plan))]);
    assert_eq!((clients(&answer), answer.verdict().code()), (vec!["192.168.101.2".to_owned()], 0));
    let drifted = held(vec![], vec![PlanGap::Drift(DriftReason::Shadowed)]);
    let answer = ask(vec![ledger(vec![flow(3, -50)], true), Box::new(Says(drifted))]);
    assert_eq!((clients(&answer), answer.verdict().code()), (vec!["192.168.101.3".to_owned()], 0));
    assert!(answer.notes.iter().any(|note| note.contains("another source NAT")), "{:?}", answer.notes);
}

#[test]
fn a_complete_record_without_the_flow_makes_the_plan_doubtful() {
    let plan = held(vec![holder(2, Holding::InForce, -100, 100)], vec![]);
    let answer = ask(vec![ledger(vec![], true), Box::new(Says(plan))]);
    assert_eq!(clients(&answer), ["192.168.101.2"]);
    assert_eq!(answer.shortfalls, [Shortfall::Unseen]);
    assert_eq!(answer.verdict().code(), 4);
}

/// The history is opened once, and asked for as long as a table of questions lasts.
#[test]
fn what_is_pruned_after_the_history_was_opened_is_a_gap_and_no_damage() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = HistoryWriter::open(folder.path()).unwrap();
    let moment = |seconds| Moment { wall: at(seconds), boot: Duration::from_secs(1), boot_id: [1; 16] };
    for seconds in [0, 100] {
        let allocations = vec![holder(2, Holding::InForce, 0, 0).allocation];
        let new = NewRevision {
            plan: &Plan::foreign(allocations),
            rules: "",
            format: Format::Nft,
            keeps_flows: false,
            longest_timeout: Duration::ZERO,
        };
        let begun = writer.begin(new, moment(seconds)).unwrap();
        writer.applied(begun, moment(seconds + 1)).unwrap();
    }
    let mut witness = PlanWitness::open(folder.path()).unwrap();
    assert_eq!(writer.prune(at(5000), moment(5000)).unwrap(), 1);
    let window = Period::at(at(50));
    let inquiry = Inquiry::new(MASKED.parse().unwrap(), window, at(900));
    let held = witness.ask(&inquiry.question(window)).unwrap().plans.remove(0).held;
    assert_eq!((held.holders, held.gaps), (vec![], vec![(window, PlanGap::Pruned)]));
}
