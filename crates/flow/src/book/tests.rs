use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::{Status, Traffic};

const KEEP: Duration = Duration::from_secs(60);

fn book(flows: usize) -> Book {
    Book::new(Limits { max_bytes: flows * Book::BYTES_PER_FLOW, keep_ended: KEEP })
}

fn seconds(s: i64) -> Timestamp {
    Timestamp::from_seconds(s)
}

fn flow(client: u16, masked: u16, server: u16, start: i64) -> Flow {
    let origin = Origin::new("gw1", "").shared();
    let server = Endpoint::v4([198, 51, 100, 7], server);
    let mut flow = Flow::new(
        origin,
        Protocol::TCP,
        (Endpoint::v4([10, 0, (client >> 8) as u8, client as u8], 40_000), server),
        (server, Endpoint::v4([203, 0, 113, 1], masked)),
    );
    flow.start = Bound::Exact(seconds(start));
    flow.end = Bound::Open;
    flow
}

fn ask(masked: u16, at: i64) -> Ask {
    Ask {
        masked: Endpoint::v4([203, 0, 113, 1], masked),
        protocol: Some(Protocol::TCP),
        server: None,
        period: Period::at(seconds(at)),
    }
}

fn ended(mut flow: Flow, end: i64) -> Flow {
    flow.end = Bound::Exact(seconds(end));
    flow
}

#[test]
fn a_port_shared_by_two_clients_lists_both_and_the_server_decides() {
    let mut book = book(10);
    let (a, b) = (flow(1, 500, 80, 100), flow(2, 500, 443, 101));
    book.open(&a, seconds(100)).unwrap();
    book.open(&b, seconds(101)).unwrap();
    assert_eq!(book.find(&ask(500, 102), seconds(102)).len(), 2);
    let with_server = Ask { server: Some(Endpoint::v4([198, 51, 100, 7], 443)), ..ask(500, 102) };
    assert_eq!(book.find(&with_server, seconds(102)), [b]);
    let by_address = Ask { server: Some("198.51.100.7".parse().unwrap()), protocol: None, ..ask(500, 102) };
    assert_eq!(book.find(&by_address, seconds(102)).len(), 2);
}

#[test]
fn an_ended_flow_is_found_for_exactly_as_long_as_it_is_kept() {
    let mut book = book(10);
    book.open(&flow(1, 500, 80, 100), seconds(100)).unwrap();
    assert!(book.end(ended(flow(1, 500, 80, 100), 110), seconds(130)).was_known);
    assert_eq!(book.find(&ask(500, 105), seconds(190)).len(), 1);
    assert_eq!(book.find(&ask(500, 105), seconds(190) + Duration::from_nanos(1)).len(), 0);
    assert_eq!(book.find(&ask(500, 111), seconds(150)).len(), 0, "it had ended by then");
    book.expire(seconds(190));
    assert_eq!(book.stats().ended, 1);
    book.expire(seconds(191));
    assert_eq!(book.stats(), Stats::default());
}

#[test]
fn the_end_is_completed_with_what_the_start_told() {
    let mut book = book(10);
    let mut new = flow(1, 500, 80, 100);
    new.mark = 7;
    new.kernel_id = Some(9);
    book.open(&new, seconds(100)).unwrap();
    let mut destroy = ended(flow(1, 500, 80, 0), 110);
    destroy.start = Bound::Unknown;
    let done = book.end(destroy, seconds(110)).flow;
    assert_eq!((done.start, done.mark, done.kernel_id), (new.start, 7, Some(9)));
}

#[test]
fn a_tuple_that_comes_again_ends_the_flow_before() {
    let mut book = book(10);
    book.open(&flow(1, 500, 80, 100), seconds(100)).unwrap();
    let Ok(Seen::Replaced(old)) = book.open(&flow(1, 500, 80, 200), seconds(200)) else {
        panic!("the first flow's end was missed")
    };
    assert_eq!(old.end, Bound::Between(seconds(100), seconds(200)));
    assert_eq!(book.stats().live, 1);
    assert_eq!(book.find(&ask(500, 250), seconds(250)).len(), 1);
}

#[test]
fn a_flow_that_a_ledger_gave_back_in_milliseconds_is_known_in_the_kernels_nanoseconds() {
    let nanos = |n: i64| Bound::Exact(Timestamp::from_nanos(seconds(100).as_nanos() + n));
    // The NEW event was stamped in the last microseconds of a millisecond, the entry itself in the next.
    for (given_back, listed, expected) in [
        (617_000_000, 618_008_032, Some(Seen::Known)),
        (617_000_000, 617_000_000, Some(Seen::Known)),
        (618_000_000, 617_990_000, Some(Seen::Known)),
        (617_000_000, 619_000_001, None),
    ] {
        let mut book = book(10);
        let mut known = flow(1, 500, 80, 100);
        known.start = nanos(given_back);
        book.open(&known, seconds(101)).unwrap();
        let mut entry = flow(1, 500, 80, 100);
        (entry.start, entry.kernel_id) = (nanos(listed), Some(7));
        let seen = book.list(&entry, seconds(102)).unwrap();
        match expected {
            Some(expected) => {
                assert_eq!(seen, expected, "{given_back} {listed}");
                let destroy = ended(entry, 110);
                // It ends the row that the ledger has, so it has that row's start.
                assert_eq!(book.end(destroy, seconds(110)).flow.start, known.start);
            }
            None => assert!(matches!(seen, Seen::Replaced(_)), "{seen:?}"),
        }
    }
}

#[test]
fn a_dump_ends_what_it_does_not_list_in_its_namespace_only() {
    let mut book = book(10);
    let mut elsewhere = flow(3, 502, 80, 100);
    elsewhere.origin = Origin::new("gw1", "vpn0").shared();
    for f in [&flow(1, 500, 80, 100), &flow(2, 501, 80, 100), &elsewhere] {
        book.open(f, seconds(100)).unwrap();
    }
    book.begin_sighting();
    assert_eq!(book.list(&flow(2, 501, 80, 100), seconds(150)), Ok(Seen::Known));
    let gone = book.end_unseen("", seconds(120), seconds(150), seconds(151));
    assert_eq!(gone.len(), 1);
    assert_eq!(gone[0].end, Bound::Between(seconds(120), seconds(150)));
    assert_eq!(book.stats().live, 2);
}

#[test]
fn a_dump_does_not_revive_what_an_event_has_ended() {
    let mut book = book(10);
    let mut new = flow(1, 500, 80, 100);
    new.kernel_id = Some(5);
    book.open(&new, seconds(100)).unwrap();
    book.end(ended(new.clone(), 110), seconds(110));
    assert_eq!(book.list(&new, seconds(110)), Ok(Seen::Stale));
    assert_eq!(book.stats().live, 0);
}

#[test]
fn memory_is_bounded_ended_flows_go_first_and_living_ones_are_never_dropped() {
    let mut book = book(3);
    for i in 0..3 {
        book.open(&flow(i, 500 + i, 80, 100), seconds(100)).unwrap();
    }
    assert_eq!(
        book.open(&flow(9, 509, 80, 100), seconds(100)),
        Err(BookFull { flows: 3, max_bytes: 3 * Book::BYTES_PER_FLOW })
    );
    book.end(ended(flow(1, 501, 80, 100), 110), seconds(110));
    assert_eq!(book.open(&flow(9, 509, 80, 100), seconds(111)), Ok(Seen::Opened));
    assert_eq!(book.stats(), Stats { live: 3, ended: 0, evicted: 1, refused: 1 });
    assert_eq!(book.find(&ask(501, 105), seconds(111)).len(), 0);
}

#[test]
fn a_flow_costs_less_than_250_bytes() {
    let flows = 200_000;
    let mut book = book(flows);
    for i in 0..flows as u32 {
        let mut f = flow(i as u16, (i >> 3) as u16, 80 + (i % 7) as u16, 100);
        f.client.address = std::net::Ipv4Addr::from(i).into();
        book.open(&f, seconds(100)).unwrap();
    }
    assert_eq!(book.stats().live, flows);
    assert!(book.bytes() / flows < 250, "{} bytes a flow", book.bytes() / flows);
}

#[test]
fn every_kind_of_value_survives_packing() {
    let mut f = flow(1, 500, 80, 100);
    f.client = "2001:db8::1#7".parse().unwrap();
    f.target = Destination::Hashed(0xbeef);
    f.server = Destination::Omitted;
    f.start = Bound::Between(Timestamp::MIN, seconds(5));
    f.traffic = Some(Traffic::default());
    f.status = Status(0x198);
    f.kernel_id = Some(3);
    for end in [Bound::Open, Bound::Unknown, Bound::Read(seconds(9)), Bound::Between(seconds(1), seconds(2))]
    {
        f.end = end;
        assert_eq!(Slot::pack(&f, 0).unpack(Arc::clone(&f.origin)), f);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Open(u16, u16, u16),
    End(u16, u16),
    Wait(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let tuple = (0..4_u16, 0..3_u16, 0..3_u16);
    prop_oneof![
        tuple.clone().prop_map(|(c, m, s)| Step::Open(c, m, s)),
        tuple.prop_map(|(c, _, s)| Step::End(c, s)),
        (1..40_u8).prop_map(Step::Wait),
    ]
}

proptest! {
    /// The indexes give what a scan of a plain list gives, through any order of openings, ends and time.
    #[test]
    fn the_book_answers_as_a_plain_list_would(steps in prop::collection::vec(step(), 0..120)) {
        let mut book = book(10_000);
        let mut live: HashMap<(u16, u16), Flow> = HashMap::new();
        let mut gone: Vec<(Flow, i64)> = Vec::new();
        let mut now = 1000;
        for step in steps {
            match step {
                Step::Open(c, m, s) => {
                    now += 1;
                    let f = flow(c, m, s, now);
                    if let Seen::Replaced(old) = book.open(&f, seconds(now)).unwrap() {
                        let listed = live.remove(&(c, s)).unwrap();
                        prop_assert!(old.same_tuples(&listed));
                        gone.push((*old, now));
                    }
                    live.insert((c, s), f);
                }
                Step::End(c, s) => {
                    if let Some(f) = live.remove(&(c, s)) {
                        let f = ended(f, now);
                        prop_assert!(book.end(f.clone(), seconds(now)).was_known);
                        gone.push((f, now));
                    }
                }
                Step::Wait(t) => {
                    now += i64::from(t);
                    book.expire(seconds(now));
                    gone.retain(|(_, learnt)| now - learnt <= 60);
                }
            }
            for masked in 0..3 {
                for server in [None, Some(1)] {
                    for at in [now, now - 30] {
                        let a = Ask {
                            server: server.map(|s| Endpoint::v4([198, 51, 100, 7], s)),
                            ..ask(masked, at)
                        };
                        let mut got: Vec<String> = book.find(&a, seconds(now)).iter().map(|f| format!("{f:?}")).collect();
                        let mut want: Vec<String> = live.values().chain(gone.iter().filter(|(_, l)| now - l <= 60).map(|(f, _)| f))
                            .filter(|f| f.masked == a.masked && f.overlaps(a.period))
                            .filter(|f| a.server.is_none_or(|s| f.server == Destination::Kept(s)))
                            .map(|f| format!("{f:?}")).collect();
                        got.sort();
                        want.sort();
                        prop_assert_eq!(got, want);
                    }
                }
            }
        }
    }
}
