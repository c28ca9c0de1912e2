//! What an answer says, for each kind of trouble, and that it finds what a plain scan finds.

use std::sync::Arc;

use proptest::prelude::*;
use unmasq_flow::{
    Destination, DestinationPolicy, Endpoint, Evidence, Gap, GapReason, Origin, Protocol, Scope, ScopeKind,
    Status, Witness as By, Zones,
};

use super::*;
use crate::{Memory, Standing, overview};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(1_795_000_000 + seconds)
}

fn period(from: i64, to: i64) -> Period {
    Period { from: at(from), to: at(to) }
}

fn endpoint(text: &str) -> Endpoint {
    text.parse().unwrap()
}

/// `client → target` seen as `server → masked`, from and to in seconds.
fn flow(client: &str, server: &str, masked: &str, from: i64, to: i64) -> Flow {
    let server = endpoint(server);
    let mut flow = Flow::new(
        Origin::new("gw1", "").shared(),
        Protocol::TCP,
        (endpoint(client), server),
        (server, endpoint(masked)),
    );
    flow.start = Bound::Exact(at(from));
    flow.end = Bound::Exact(at(to));
    flow.status = Status(0x19e);
    flow
}

fn within(mut flow: Flow, stream: &str, namespace: &str) -> Flow {
    flow.origin = Origin::new(stream, namespace).shared();
    flow
}

fn covered(stream: &str, namespace: &str, kind: ScopeKind) -> StreamCoverage {
    let scope = Scope { namespace: namespace.into(), kind, destinations: DestinationPolicy::Keep };
    StreamCoverage {
        stream: stream.to_owned(),
        kind: StreamKind::Recorder,
        coverage: Coverage {
            covered: vec![(period(-10_000, 10_000), scope)],
            is_clock_synchronised: true,
            ..Coverage::default()
        },
        standing: Standing::NotLooked,
    }
}

fn with_gap(mut stream: StreamCoverage, from: i64, to: i64, reason: GapReason) -> StreamCoverage {
    let scope = stream.coverage.covered[0].1.clone();
    stream.coverage.covered = vec![(period(-10_000, from), scope.clone()), (period(to, 10_000), scope)];
    stream.coverage.gaps = vec![Gap { period: period(from, to), namespace: None, reason }];
    stream
}

fn witness(by: By, flows: Vec<Flow>, coverage: Vec<StreamCoverage>) -> Box<dyn Witness> {
    Box::new(Memory::new(flows, Evidence { witness: by, place: format!("{by} place") }, coverage))
}

fn ledger(flows: Vec<Flow>) -> Vec<Box<dyn Witness>> {
    vec![witness(By::Ledger, flows, vec![covered("gw1", "", ScopeKind::TranslatedLocal)])]
}

fn inquiry(masked: &str, from: i64, to: i64) -> Inquiry {
    Inquiry::new(endpoint(masked), period(from, to), at(5_000))
}

const M: &str = "203.0.113.1:61002";
const A: &str = "192.168.101.2:47244";
const B: &str = "192.168.101.3:50000";
const S: &str = "198.51.100.7:80";
const T: &str = "198.51.100.9:443";

fn clients(answer: &Answer) -> Vec<String> {
    answer.candidates.iter().map(|c| c.client().to_string()).collect()
}

#[test]
fn one_client_in_a_complete_record_is_the_answer() {
    let answer =
        answer(&inquiry(M, 100, 110), &mut ledger(vec![flow(A, S, M, 90, 105), flow(B, S, M, 200, 210)]));
    assert_eq!(clients(&answer), [A]);
    assert_eq!(answer.candidates[0].certainty, Certainty::Sure);
    assert_eq!(answer.verdict(), Verdict::One);
}

#[test]
fn nobody_is_said_only_of_an_address_that_masks() {
    let mut flows = ledger(vec![flow(A, S, M, 90, 105)]);
    let quiet = answer(&inquiry("203.0.113.1:5", 100, 110), &mut flows);
    assert_eq!((quiet.verdict(), quiet.shortfalls.len()), (Verdict::Nobody, 0));
    let unknown = answer(&inquiry("203.0.113.9:5", 100, 110), &mut flows);
    assert_eq!(
        (unknown.verdict(), &unknown.shortfalls[..]),
        (Verdict::Incomplete, &[Shortfall::UnknownAddress][..])
    );
    // Where everything is recorded, silence about any address means that nobody was there.
    let mut all = vec![witness(By::Ledger, Vec::new(), vec![covered("gw1", "", ScopeKind::All)])];
    assert_eq!(answer(&inquiry("203.0.113.9:5", 100, 110), &mut all).verdict(), Verdict::Nobody);
}

#[test]
fn a_gap_in_the_window_makes_it_incomplete() {
    let gap = GapReason::Overrun { lost: Some(312) };
    let coverage = with_gap(covered("gw1", "", ScopeKind::TranslatedLocal), 103, 104, gap);
    let mut flows = vec![witness(By::Ledger, vec![flow(A, S, M, 90, 105)], vec![coverage])];
    assert_eq!(answer(&inquiry(M, 100, 110), &mut flows).verdict(), Verdict::Incomplete);
    assert_eq!(answer(&inquiry(M, 104, 110), &mut flows).verdict(), Verdict::Incomplete);
    assert_eq!(answer(&inquiry(M, 100, 102), &mut flows).verdict(), Verdict::One);
    assert_eq!(answer(&inquiry(M, 106, 110), &mut flows).verdict(), Verdict::Nobody);
}

#[test]
fn without_any_recorder_the_answer_is_unknown() {
    let mut nothing: Vec<Box<dyn Witness>> = Vec::new();
    let none = answer(&inquiry(M, 100, 110), &mut nothing);
    assert_eq!(
        (none.verdict(), &none.shortfalls[..]),
        (Verdict::Incomplete, &[Shortfall::NothingRecords][..])
    );
    let mut import = vec![witness(By::Import, vec![flow(A, S, M, 90, 105)], Vec::new())];
    let one = answer(&inquiry(M, 100, 110), &mut import);
    assert_eq!((clients(&one), one.verdict()), (vec![A.to_owned()], Verdict::Incomplete));
}

#[test]
fn the_future_is_not_nobody() {
    let mut flows = ledger(vec![flow(A, S, M, 90, 105)]);
    let answer = answer(&inquiry(M, 6_000, 6_010), &mut flows);
    assert_eq!((answer.verdict(), &answer.shortfalls[..]), (Verdict::Incomplete, &[Shortfall::Future][..]));
}

#[test]
fn a_window_that_reaches_into_the_future_ends_now() {
    let mut coverage = covered("gw1", "", ScopeKind::TranslatedLocal);
    coverage.coverage.covered[0].0.to = at(5_000);
    let mut flows = vec![witness(By::Ledger, vec![flow(A, S, M, 90, 4_999)], vec![coverage])];
    assert_eq!(answer(&inquiry(M, 4_990, 5_005), &mut flows).verdict(), Verdict::One);
}

#[test]
fn another_stream_counts_only_where_the_address_can_be_its_own() {
    let down = with_gap(covered("gw2", "", ScopeKind::TranslatedLocal), -10_000, 10_000, GapReason::Down);
    let other = || {
        witness(By::Ledger, vec![within(flow(A, S, "203.0.113.77:1", 1, 2), "gw2", "")], vec![down.clone()])
    };
    let mut both = ledger(vec![flow(A, S, M, 90, 105)]);
    both.push(other());
    assert_eq!(answer(&inquiry(M, 100, 110), &mut both).verdict(), Verdict::One);
    assert_eq!(answer(&inquiry("203.0.113.77:5", 100, 110), &mut both).verdict(), Verdict::Incomplete);
    assert_eq!(answer(&inquiry("203.0.113.88:5", 100, 110), &mut both).verdict(), Verdict::Incomplete);
}

#[test]
fn a_scope_that_leaves_out_the_gateway_itself_is_complete_only_for_a_whole_tuple() {
    let mut flows = vec![witness(
        By::Ledger,
        vec![flow(A, S, M, 90, 120)],
        vec![covered("gw1", "", ScopeKind::Translated)],
    )];
    let open = inquiry(M, 100, 110);
    assert_eq!(answer(&open, &mut flows).verdict(), Verdict::Incomplete);
    let whole = Inquiry { protocol: Some(Protocol::TCP), server: Some(endpoint(S)), ..open };
    assert_eq!(answer(&whole, &mut flows).verdict(), Verdict::One);
}

#[test]
fn two_clients_on_one_port_are_both_listed_and_the_destination_decides() {
    let flows = || ledger(vec![flow(A, S, M, 90, 120), flow(B, T, M, 95, 125)]);
    let both = answer(&inquiry(M, 100, 110), &mut flows());
    assert_eq!((both.verdict(), both.is_ambiguous()), (Verdict::Several, true));
    assert_eq!(both.deciders, [Decider::Destination]);
    assert!(both.contradictions.is_empty());
    let one = answer(&Inquiry { server: Some(endpoint(T)), ..inquiry(M, 100, 110) }, &mut flows());
    assert_eq!((clients(&one), one.verdict()), (vec![B.to_owned()], Verdict::One));
}

#[test]
fn a_port_used_again_in_the_window_is_decided_by_the_time() {
    let mut flows = ledger(vec![flow(A, S, M, 90, 104), flow(B, S, M, 104, 125)]);
    let answer = answer(&inquiry(M, 100, 110), &mut flows);
    assert_eq!((answer.verdict(), &answer.deciders[..]), (Verdict::Several, &[][..]));
    let mut flows = ledger(vec![flow(A, S, M, 90, 104), flow(B, S, M, 105, 125)]);
    let answer = super::answer(&inquiry(M, 100, 110), &mut flows);
    assert_eq!((answer.verdict(), &answer.deciders[..]), (Verdict::Several, &[Decider::Time][..]));
    assert!(answer.contradictions.is_empty());
}

#[test]
fn two_ports_of_one_client_are_one_client() {
    let mut flows = ledger(vec![flow(A, S, M, 90, 104), flow("192.168.101.2:5", T, M, 95, 125)]);
    assert_eq!(answer(&inquiry(M, 100, 110), &mut flows).verdict(), Verdict::One);
}

#[test]
fn the_same_client_address_in_two_namespaces_is_two_clients() {
    let coverage = vec![covered("gw1", "red", ScopeKind::All), covered("gw1", "blue", ScopeKind::All)];
    let flows =
        vec![within(flow(A, S, M, 90, 120), "gw1", "red"), within(flow(A, T, M, 90, 120), "gw1", "blue")];
    let answer = answer(&inquiry(M, 100, 110), &mut [witness(By::Ledger, flows, coverage)]);
    assert_eq!((answer.verdict(), answer.client_count(), answer.clients().len()), (Verdict::Several, 2, 1));
    assert!(answer.deciders.contains(&Decider::Place));
}

#[test]
fn the_same_flow_from_three_witnesses_is_one_candidate() {
    let mut precise = flow(A, S, M, 90, 120);
    precise.start = Bound::Exact(Timestamp::from_nanos(at(90).as_nanos() + 173_456));
    precise.end = Bound::Open;
    let mut from_table = within(precise.clone(), "", "");
    from_table.start = Bound::Between(Timestamp::MIN, at(4_999));
    let mut on_disk = flow(A, S, M, 90, 120);
    on_disk.end = Bound::Open;
    let mut witnesses = vec![
        witness(By::Kernel, vec![from_table], Vec::new()),
        witness(By::Ledger, vec![on_disk], vec![covered("gw1", "", ScopeKind::TranslatedLocal)]),
        witness(By::Book, vec![precise.clone()], Vec::new()),
    ];
    let answer = answer(&inquiry(M, 4_990, 5_000), &mut witnesses);
    assert_eq!(answer.candidates.len(), 1);
    let candidate = &answer.candidates[0];
    let order: Vec<By> = candidate.evidence().map(|e| e.witness).collect();
    assert_eq!(order, [By::Kernel, By::Book, By::Ledger]);
    assert_eq!((candidate.outer().start, &*candidate.outer().origin.stream), (precise.start, "gw1"));
    assert_eq!(answer.verdict(), Verdict::One);
}

#[test]
fn a_port_used_again_with_the_same_tuple_stays_two_flows() {
    let mut witnesses = vec![
        witness(
            By::Ledger,
            vec![flow(A, S, M, 90, 101), flow(A, S, M, 102, 120)],
            vec![covered("gw1", "", ScopeKind::All)],
        ),
        witness(By::Book, vec![flow(A, S, M, 102, 120)], Vec::new()),
    ];
    let answer = answer(&inquiry(M, 100, 110), &mut witnesses);
    assert_eq!(answer.candidates.iter().map(|c| c.hops[0].evidence.len()).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn witnesses_that_contradict_each_other_are_both_shown() {
    let mut alive = flow(B, S, M, 95, 120);
    alive.end = Bound::Open;
    let mut witnesses = ledger(vec![flow(A, S, M, 90, 120)]);
    witnesses.push(witness(By::Kernel, vec![alive], Vec::new()));
    let answer = answer(&inquiry(M, 100, 110), &mut witnesses);
    assert_eq!(answer.candidates.len(), 2);
    assert_eq!(answer.contradictions, [(0, 1)]);
    assert_eq!(answer.verdict(), Verdict::Several);
}

#[test]
fn an_import_comes_after_the_recorder_and_joins_its_flow() {
    let mut logged = within(flow(A, S, M, 91, 125), "import-1", "");
    (logged.start, logged.end) = (Bound::Read(at(91)), Bound::Read(at(125)));
    let mut other = within(flow(B, T, M, 80, 125), "import-1", "");
    other.end = Bound::Unknown;
    let mut witnesses = vec![
        witness(By::Import, vec![other, logged], Vec::new()),
        witness(
            By::Ledger,
            vec![within(flow(A, S, M, 90, 120), "gw1", "vpn")],
            vec![covered("gw1", "vpn", ScopeKind::All)],
        ),
    ];
    let answer = answer(&inquiry(M, 100, 110), &mut witnesses);
    assert_eq!(clients(&answer), [A, B]);
    assert_eq!(answer.candidates[0].hops[0].evidence.len(), 2);
    assert_eq!(answer.candidates[1].certainty, Certainty::Possible);
}

#[test]
fn a_client_that_is_masked_itself_is_followed() {
    let outer = flow("10.9.0.2:40000", S, M, 90, 120);
    let inner = within(flow(A, S, "10.9.0.2:40000", 90, 121), "gw1", "vpn");
    let stranger = within(flow(B, T, "10.9.0.2:40000", 90, 121), "gw1", "vpn");
    let mut witnesses = ledger(vec![outer, inner, stranger]);
    let answer = answer(&inquiry(M, 100, 110), &mut witnesses);
    assert_eq!(clients(&answer), [A]);
    assert_eq!(answer.candidates[0].hops.len(), 2);
    assert_eq!(answer.verdict(), Verdict::One);
}

#[test]
fn a_namespace_that_passes_a_flow_on_does_not_hide_the_client_behind_it() {
    let passed_on = flow(M, S, M, 90, 120);
    let inner = within(flow(A, S, M, 90, 120), "gw1", "vpn");
    let coverage = vec![covered("gw1", "", ScopeKind::All), covered("gw1", "vpn", ScopeKind::All)];
    let answer = answer(&inquiry(M, 100, 110), &mut [witness(By::Ledger, vec![passed_on, inner], coverage)]);
    assert_eq!((clients(&answer), answer.candidates[0].hops.len()), (vec![A.to_owned()], 2));
    assert_eq!(answer.verdict(), Verdict::One);
}

#[test]
fn eight_flows_behind_one_another_are_followed_and_no_more() {
    let hop = |n: usize| format!("10.0.{n}.1:4000");
    let chain = |length: usize| -> Vec<Flow> {
        (0..length).map(|n| flow(&hop(n + 1), S, &hop(n), 90, 120)).collect()
    };
    let whole = answer(&inquiry("10.0.0.1:4000", 100, 110), &mut ledger(chain(8)));
    assert_eq!((whole.candidates[0].hops.len(), whole.candidates[0].cut), (8, None));
    let longer = answer(&inquiry("10.0.0.1:4000", 100, 110), &mut ledger(chain(9)));
    assert_eq!((longer.candidates[0].hops.len(), longer.candidates[0].cut), (8, Some(Cut::TooDeep)));
}

#[test]
fn flows_that_lead_back_to_themselves_end() {
    let flows = vec![flow(A, S, M, 90, 120), flow(M, S, A, 90, 120)];
    let answer = answer(&inquiry(M, 100, 110), &mut ledger(flows));
    assert_eq!(answer.candidates.len(), 1);
    assert_eq!(answer.candidates[0].cut, Some(Cut::Loop));
    // The gateway's own connections have nobody behind them.
    let own = super::answer(&inquiry(M, 100, 110), &mut ledger(vec![flow(M, S, M, 90, 120)]));
    assert_eq!((own.candidates[0].hops.len(), own.candidates[0].cut, own.verdict()), (1, None, Verdict::One));
}

#[test]
fn an_open_flow_is_sure_only_while_its_recorder_ran() {
    let mut open = flow(A, S, M, 90, 0);
    open.end = Bound::Open;
    let sure = answer(&inquiry(M, 100, 110), &mut ledger(vec![open.clone()]));
    assert_eq!(sure.candidates[0].certainty, Certainty::Sure);
    let stopped = with_gap(covered("gw1", "", ScopeKind::All), 95, 9_000, GapReason::Down);
    let mut witnesses = vec![witness(By::Ledger, vec![open], vec![stopped])];
    let possible = answer(&inquiry(M, 100, 110), &mut witnesses);
    assert_eq!(
        (possible.candidates[0].certainty, possible.verdict()),
        (Certainty::Possible, Verdict::Incomplete)
    );
}

#[test]
fn an_open_flow_of_a_ledger_that_is_behind_its_book_is_not_sure() {
    let mut open = flow(A, S, M, 90, 0);
    open.end = Bound::Open;
    let behind = with_gap(covered("gw1", "", ScopeKind::All), 99, 9_000, GapReason::Down);
    let book = covered("gw1", "", ScopeKind::All);
    let mut witnesses =
        vec![witness(By::Ledger, vec![open], vec![behind]), witness(By::Book, vec![], vec![book])];
    let answer = answer(&inquiry(M, 100, 100), &mut witnesses);
    assert_eq!((answer.candidates[0].certainty, answer.verdict()), (Certainty::Possible, Verdict::One));
}

/// Gives what ended before the window, too, as the book does.
struct WithEnded(Memory);

impl Witness for WithEnded {
    fn name(&self) -> String {
        self.0.name()
    }

    fn ask(&mut self, question: &Question) -> Result<Testimony, WitnessError> {
        let window = Period { from: Timestamp::MIN, to: question.window.to };
        self.0.ask(&Question { window, ..*question })
    }
}

#[test]
fn a_flow_that_the_book_saw_end_is_over_although_the_ledger_has_it_open() {
    for masked in [M, "192.0.2.1:1000"] {
        let ended = flow(A, S, masked, 90, 95);
        let open = Flow { end: Bound::Open, ..ended.clone() };
        let next = flow(B, S, masked, 96, 120);
        // The second time, they are the flows behind the one that was asked for.
        let outer = (masked != M).then(|| flow(masked, S, M, 80, 120));
        let recorded: Vec<Flow> = outer.into_iter().chain([open, next.clone()]).collect();
        let coverage = || vec![covered("gw1", "", ScopeKind::All)];
        let evidence = Evidence { witness: By::Book, place: "book".into() };
        let mut witnesses = vec![
            witness(By::Ledger, recorded, coverage()),
            Box::new(WithEnded(Memory::new(vec![ended, next], evidence, coverage()))),
        ];
        let answer = answer(&inquiry(M, 100, 100), &mut witnesses);
        assert_eq!((clients(&answer), answer.verdict()), (vec![B.to_owned()], Verdict::One), "{masked}");
    }
}

#[test]
fn a_flow_that_is_alive_is_not_mistaken_for_one_that_ended_a_moment_before_it_began() {
    let millis = |n: i64| Timestamp::from_nanos(at(90).as_nanos() + n * 1_000_000);
    let precise = Timestamp::from_nanos(millis(618).as_nanos() + 8_032);
    let mut ended = flow(A, S, M, 90, 90);
    (ended.start, ended.end) = (Bound::Exact(millis(617)), Bound::Between(millis(617), precise));
    let mut alive = Flow { end: Bound::Open, ..ended.clone() };
    alive.start = Bound::Exact(precise);
    let on_disk = |flow: &Flow| Flow { start: Bound::Exact(millis(618)), ..flow.clone() };
    let book = Evidence { witness: By::Book, place: "book".into() };
    let coverage = || vec![covered("gw1", "", ScopeKind::All)];
    let mut witnesses = vec![
        witness(By::Ledger, vec![ended.clone(), on_disk(&alive)], coverage()),
        Box::new(WithEnded(Memory::new(vec![ended, alive.clone()], book, coverage()))),
        witness(By::Kernel, vec![within(alive.clone(), "", "")], Vec::new()),
    ];
    let found = answer(&inquiry(M, 5_000, 5_000), &mut witnesses);
    assert_eq!((clients(&found), found.verdict()), (vec![A.to_owned()], Verdict::One), "{found:?}");
    let by: Vec<By> = found.candidates[0].evidence().map(|e| e.witness).collect();
    assert_eq!(by, [By::Kernel, By::Book, By::Ledger], "{found:?}");
    assert_eq!(found.candidates[0].certainty, Certainty::Sure);
    let all = overview(&inquiry("203.0.113.1", 80, 5_000), &mut witnesses);
    assert_eq!(all.clients.iter().map(|c| (c.flows, c.open)).collect::<Vec<_>>(), [(2, 1)], "{all:?}");
}

#[test]
fn the_present_is_covered_by_the_kernels_table_although_it_lasts_some_nanoseconds() {
    // A time that was written with eight digits means ten nanoseconds.
    let now = Timestamp::from_nanos(at(100).as_nanos() + 9);
    let window = Period { from: at(100), to: now };
    let mut table = covered("", "", ScopeKind::All);
    table.kind = StreamKind::Kernel;
    table.coverage.covered[0].0 = Period { from: now, to: at(101) };
    let mut alive = within(flow(A, S, M, 90, 0), "", "");
    alive.end = Bound::Open;
    let mut witnesses = vec![witness(By::Kernel, vec![alive], vec![table])];
    let answer = answer(&Inquiry::new(endpoint(M), window, now), &mut witnesses);
    assert_eq!((clients(&answer), answer.verdict()), (vec![A.to_owned()], Verdict::One), "{answer:?}");
}

#[test]
fn a_destination_that_was_not_kept_is_neither_confirmed_nor_ruled_out() {
    let mut dropped = flow(A, S, M, 90, 120);
    (dropped.target, dropped.server) = (Destination::Omitted, Destination::Omitted);
    let mut flows = ledger(vec![dropped]);
    let answer = answer(&Inquiry { server: Some(endpoint(T)), ..inquiry(M, 100, 110) }, &mut flows);
    assert_eq!(answer.candidates[0].hops[0].server, ServerCheck::Undecided);
    assert_eq!(answer.verdict(), Verdict::One);
    assert!(crate::report::notes(&answer).iter().any(|note| note.contains("was not kept")));
}

#[test]
fn a_local_time_that_occurred_twice_is_asked_for_both() {
    let mut flows = ledger(vec![flow(A, S, M, 100, 105), flow(B, S, M, 3_700, 3_705)]);
    let twice = Inquiry { windows: vec![period(100, 101), period(3_700, 3_701)], ..inquiry(M, 0, 0) };
    let answer = answer(&twice, &mut flows);
    assert_eq!(
        answer.candidates.iter().map(|c| c.reading).collect::<Vec<_>>(),
        [Reading::Asked(0), Reading::Asked(1)]
    );
    assert_eq!(answer.verdict(), Verdict::Several);
}

#[test]
fn a_clock_that_was_set_in_the_window_is_asked_for_both_readings() {
    // At 1000 the clock jumped to 1600: what happened at 1300 was recorded as 700 or as 1900, by which reading is right.
    let mut coverage = covered("gw1", "", ScopeKind::TranslatedLocal);
    coverage.coverage.clock_steps = vec![(at(1_600), 600_000_000_000)];
    let flows = vec![flow(A, S, M, 690, 710), flow(B, T, M, 1_890, 1_910), flow(B, T, M, 3_000, 3_010)];
    let mut witnesses = vec![witness(By::Ledger, flows, vec![coverage])];
    let touched = answer(&inquiry(M, 1_295, 1_305), &mut witnesses);
    assert_eq!(clients(&touched), [A, B]);
    assert_eq!(
        touched.clock_steps,
        [ClockStep { stream: "gw1".to_owned(), at: at(1_600), by: 600_000_000_000 }]
    );
    assert!(touched.candidates.iter().all(|c| c.reading == Reading::Shifted(600_000_000_000)));
    let untouched = answer(&inquiry(M, 2_995, 3_005), &mut witnesses);
    assert_eq!((clients(&untouched), untouched.clock_steps.len()), (vec![B.to_owned()], 0));
}

#[test]
fn nobody_comes_with_the_nearest_flows() {
    let mut flows = ledger(vec![flow(A, S, M, 10, 20), flow(A, S, M, 30, 40), flow(B, S, M, 200, 210)]);
    let answer = answer(&inquiry(M, 100, 110), &mut flows);
    assert_eq!(answer.verdict(), Verdict::Nobody);
    assert_eq!(answer.neighbours.before.unwrap().flow.start, Bound::Exact(at(30)));
    assert_eq!(answer.neighbours.after.unwrap().flow.client, endpoint(B));
}

struct Broken(fn() -> WitnessError);

impl Witness for Broken {
    fn name(&self) -> String {
        "broken".to_owned()
    }

    fn ask(&mut self, _: &Question) -> Result<Testimony, WitnessError> {
        Err(self.0())
    }
}

#[test]
fn a_witness_that_cannot_be_read_is_damage_and_one_that_is_silent_is_told() {
    let mut witnesses = ledger(vec![flow(A, S, M, 90, 105)]);
    witnesses.push(Box::new(Broken(|| WitnessError::Silent {
        what: "book".to_owned(),
        reason: "gone".to_owned(),
    })));
    let silent = answer(&inquiry(M, 100, 110), &mut witnesses);
    assert_eq!((silent.verdict(), silent.silent.len()), (Verdict::One, 1));
    witnesses.push(Box::new(Broken(|| WitnessError::Unreadable {
        what: "file".to_owned(),
        reason: "bad".to_owned(),
    })));
    let damaged = answer(&inquiry(M, 100, 110), &mut witnesses);
    assert_eq!((damaged.verdict(), damaged.is_complete()), (Verdict::Damaged, false));
}

#[test]
fn zones_separate_clients_but_the_reply_zone_is_what_contradicts() {
    let zoned = |mut flow: Flow, original: u16| {
        let zones = Zones { original, reply: 0 };
        flow.origin = Arc::new(Origin::new("gw1", "").with_zones(zones));
        flow
    };
    let flows = vec![zoned(flow(A, S, M, 90, 120), 1), zoned(flow(A, T, M, 90, 120), 2)];
    let answer = answer(&inquiry(M, 100, 110), &mut ledger(flows));
    assert_eq!((answer.client_count(), answer.contradictions.len()), (2, 0));
}

fn any_flow() -> impl Strategy<Value = Flow> {
    (0..3_u8, 0..3_u8, 0..3_u16, 0..200_i64, 0..60_i64, 0..3_u8, any::<bool>()).prop_map(
        |(client, server, port, from, length, kind, is_udp)| {
            let masked = Endpoint::v4([203, 0, 113, 1], 61_000 + port);
            let server = Endpoint::v4([198, 51, 100, server], 80);
            let client = Endpoint::v4([10, 0, 0, client], 4_000);
            let protocol = if is_udp { Protocol::UDP } else { Protocol::TCP };
            let mut flow =
                Flow::new(Origin::new("gw1", "").shared(), protocol, (client, server), (server, masked));
            flow.start = Bound::Exact(at(from));
            flow.end = match kind {
                0 => Bound::Exact(at(from + length)),
                1 => Bound::Between(at(from), at(from + length)),
                _ => Bound::Open,
            };
            flow
        },
    )
}

proptest! {
    /// The clients of an answer are those that a plain scan of all flows finds, however the flows are spread over witnesses.
    #[test]
    fn the_clients_are_those_of_a_plain_scan(
        flows in prop::collection::vec((any_flow(), any::<bool>()), 0..40),
        port in 0..3_u16,
        from in 0..220_i64,
        length in 0..30_i64,
        protocol in prop::option::of(prop::sample::select(vec![Protocol::TCP, Protocol::UDP])),
        server in prop::option::of(0..3_u8),
    ) {
        let question = Inquiry {
            protocol,
            server: server.map(|s| Endpoint::v4([198, 51, 100, s], 80)),
            ..Inquiry::new(Endpoint::v4([203, 0, 113, 1], 61_000 + port), period(from, from + length), at(5_000))
        };
        let scan: BTreeSet<IpAddr> = flows
            .iter()
            .map(|(flow, _)| flow)
            .filter(|f| {
                f.masked == question.masked
                    && protocol.is_none_or(|p| p == f.protocol)
                    && question.server.is_none_or(|s| f.server == Destination::Kept(s))
                    && f.start.earliest() <= at(from + length)
                    && f.end.latest() >= at(from)
            })
            .map(|f| f.client.address)
            .collect();
        let on_disk: Vec<Flow> = flows.iter().filter(|(_, live)| !live).map(|(f, _)| f.clone()).collect();
        let in_book: Vec<Flow> = flows.iter().filter(|(_, live)| *live).map(|(f, _)| f.clone()).collect();
        let coverage = vec![covered("gw1", "", ScopeKind::All)];
        let mut witnesses = vec![witness(By::Ledger, on_disk, coverage), witness(By::Book, in_book, Vec::new())];
        let answer = answer(&question, &mut witnesses);
        prop_assert_eq!(answer.clients().into_iter().collect::<BTreeSet<_>>(), scan.clone());
        let expected = match scan.len() { 0 => Verdict::Nobody, 1 => Verdict::One, _ => Verdict::Several };
        prop_assert_eq!(answer.verdict(), expected);
    }
}
