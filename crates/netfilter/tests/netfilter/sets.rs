//! Sets of nftables on a real kernel, seen with `nft` as well.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ipnet::IpNet;
use serde_json::Value;
use unmasq_lab::{Lab, Node};
use unmasq_netfilter::sets::{
    Action, Change, Form, KeyType, Listed, Member, SetEvents, SetId, SetInfo, Sets, Verdict, What,
};

use crate::listener::namespace;

const DONE: Verdict = Verdict::Done { was_there: false };
const REPLACED: Verdict = Verdict::Done { was_there: true };
const HOUR: Duration = Duration::from_secs(3600);

/// A namespace with the sets of the text in table `inet t`, and a connection to it.
struct Bench {
    node: Node,
    sets: Sets,
}

impl Bench {
    fn new(sets: &str) -> Self {
        let node = Lab::new().unwrap().node("fw").unwrap();
        // nft wants an end after each block.
        let sets = sets.replace("} ", "}; ");
        node.nft(&format!("table inet t {{ {sets}; }}")).unwrap();
        let sets = Sets::open(&namespace(&node)).unwrap();
        Self { node, sets }
    }

    fn like(&mut self, set: &str) -> (SetId, SetInfo) {
        let id = id(set);
        let info = self.sets.info(&id).unwrap().expect("the set was made");
        (id, info)
    }

    fn apply(&mut self, set: &str, changes: &[Change]) -> Vec<Verdict> {
        let like = self.like(set);
        self.sets.apply(&[like], changes).unwrap()
    }

    fn list(&mut self, set: &str) -> Vec<Listed> {
        let (id, info) = self.like(set);
        let mut listed = self.sets.list(&id, &info).unwrap().expect("the set was made");
        listed.sort_by_key(|one| one.member);
        listed
    }

    fn members(&mut self, set: &str) -> Vec<String> {
        self.list(set).iter().map(|one| one.member.to_string()).collect()
    }

    /// The elements as nft lists them.
    fn nft(&self, set: &str) -> Vec<Value> {
        let text = self.node.exec(&["nft", "-j", "list", "set", "inet", "t", set]).unwrap();
        let json: Value = serde_json::from_str(&text).unwrap();
        json["nftables"][1]["set"]["elem"].as_array().cloned().unwrap_or_default()
    }
}

fn id(set: &str) -> SetId {
    format!("inet t {set}").parse().unwrap()
}

fn net(text: &str) -> IpNet {
    text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).unwrap()
}

fn put(text: &str, port: Option<u16>, timeout: Option<Duration>) -> Change {
    let member = Member::network(net(text), port);
    Change { set: 0, member, action: Action::Put(timeout), is_there: false }
}

fn remove(text: &str) -> Change {
    Change { action: Action::Remove, is_there: true, ..put(text, None, None) }
}

fn numbered(count: u32) -> impl Iterator<Item = IpAddr> {
    (0..count).map(|n| Ipv4Addr::from(0x0a00_0000 + n * 2).into())
}

#[test]
fn a_set_says_what_it_is_like() {
    let mut bench = Bench::new(
        "set a { type ipv4_addr; flags timeout; timeout 1m; size 77; }
         set b { type ipv6_addr; flags interval, timeout; }
         set c { type ipv4_addr . inet_service; }
         set d { type ipv6_addr . inet_service; flags interval; }
         set e { type ether_addr; flags constant; elements = { 02:00:00:00:00:01 } }
         set f { typeof ip6 saddr . tcp dport; }
         map g { type ipv4_addr : verdict; }",
    );
    let (_, a) = bench.like("a");
    assert_eq!((a.key, a.size, a.default_timeout), (KeyType::Ipv4, Some(77), Some(Duration::from_secs(60))));
    assert_eq!((a.has_timeout, a.is_interval, a.form), (true, false, Form::Set));
    let (_, b) = bench.like("b");
    assert_eq!((b.key, b.has_timeout, b.is_interval, b.size), (KeyType::Ipv6, true, true, None));
    assert_eq!(bench.like("c").1.key, KeyType::Ipv4Port);
    assert_eq!((bench.like("d").1.key, bench.like("d").1.is_interval), (KeyType::Ipv6Port, true));
    assert_eq!((bench.like("e").1.key.as_str(), bench.like("e").1.form), ("ether_addr", Form::ConstantSet));
    assert_eq!(bench.like("f").1.key, KeyType::Ipv6Port);
    assert_eq!(bench.like("g").1.form, Form::Map);
    assert_eq!(bench.sets.info(&id("none")).unwrap(), None);
    assert_eq!(bench.sets.info(&"ip none none".parse().unwrap()).unwrap(), None);
    let info = bench.like("a").1;
    assert_eq!(bench.sets.list(&id("none"), &info).unwrap(), None);
}

#[test]
fn elements_of_every_kind_of_set_are_seen_by_nft_and_listed() {
    let mut bench = Bench::new(
        "set v4 { type ipv4_addr; flags timeout; }
         set v6 { type ipv6_addr; flags timeout; }
         set n4 { type ipv4_addr; flags interval, timeout; }
         set n6 { type ipv6_addr; flags interval, timeout; }
         set p4 { type ipv4_addr . inet_service; flags timeout; }
         set p6 { type ipv6_addr . inet_service; flags timeout; }
         set r4 { type ipv4_addr . inet_service; flags interval, timeout; }
         set r6 { type ipv6_addr . inet_service; flags interval, timeout; }",
    );
    let ssh = Some(22);
    for (set, changes) in [
        ("v4", vec![put("192.0.2.1", None, Some(HOUR)), put("192.0.2.2", None, None)]),
        ("v6", vec![put("2001:db8::1", None, Some(HOUR)), put("2001:db8::2", None, None)]),
        (
            "n4",
            vec![
                put("10.0.0.0/24", None, Some(HOUR)),
                put("10.0.1.0/24", None, Some(HOUR)),
                put("10.0.2.7", None, None),
                put("240.0.0.0/4", None, None),
            ],
        ),
        ("n6", vec![put("2001:db8:1::/64", None, Some(HOUR)), put("ff00::/8", None, None)]),
        ("p4", vec![put("192.0.2.1", ssh, Some(HOUR)), put("192.0.2.1", Some(80), None)]),
        ("p6", vec![put("2001:db8::1", ssh, Some(HOUR)), put("2001:db8::1", Some(80), None)]),
        ("r4", vec![put("10.0.0.0/24", ssh, Some(HOUR)), put("10.0.0.0/24", Some(80), None)]),
        ("r6", vec![put("2001:db8:1::/64", ssh, Some(HOUR)), put("2001:db8:2::1", ssh, None)]),
    ] {
        assert!(bench.apply(set, &changes).iter().all(|verdict| *verdict == DONE), "{set}");
        let mut expected: Vec<String> = changes.iter().map(|change| change.member.to_string()).collect();
        expected.sort();
        let mut listed = bench.members(set);
        listed.sort();
        assert_eq!(listed, expected, "{set}");
        for one in bench.list(set) {
            let change = changes.iter().find(|change| change.member == one.member).unwrap();
            let Action::Put(timeout) = change.action else { unreachable!() };
            assert_eq!(one.timeout, timeout, "{set}");
            assert!(one.expires.is_none_or(|left| left <= HOUR && left > HOUR / 2), "{set}");
        }
        // nft shows the same number, and the time with those that have one.
        let seen = bench.nft(set);
        assert_eq!(seen.len(), changes.len(), "{set}: {seen:?}");
        let timed = seen.iter().filter(|one| one["elem"]["timeout"] == 3600).count();
        assert_eq!(
            timed,
            changes.iter().filter(|c| c.action == Action::Put(Some(HOUR))).count(),
            "{set}: {seen:?}"
        );
        // And all of it can be taken away.
        let gone: Vec<Change> =
            changes.iter().map(|c| Change { action: Action::Remove, is_there: true, ..*c }).collect();
        assert!(bench.apply(set, &gone).iter().all(|verdict| *verdict == REPLACED), "{set}");
        assert!(bench.list(set).is_empty() && bench.nft(set).is_empty(), "{set}");
    }
}

#[test]
fn what_nft_writes_is_listed_as_it_is() {
    let mut bench = Bench::new(
        "set n4 { type ipv4_addr; flags interval; auto-merge;
           elements = { 10.0.0.1-10.0.0.9, 10.0.0.10, 192.0.2.0/24, 255.255.255.0/24, 0.0.0.0/8 } }
         set r6 { type ipv6_addr . inet_service; flags interval; elements = { 2001:db8::1-2001:db8::5 . 20-25 } }",
    );
    assert_eq!(bench.members("n4"), ["0.0.0.0/8", "10.0.0.1-10.0.0.10", "192.0.2.0/24", "255.255.255.0/24"]);
    assert_eq!(bench.members("r6"), ["2001:db8::1-2001:db8::5 . 20-25"]);
}

#[test]
fn a_time_is_replaced_by_a_longer_and_by_a_shorter_one() {
    let sets = "set h { type ipv4_addr; flags timeout; } set i { type ipv4_addr; flags interval, timeout; }
                set r { type ipv4_addr . inet_service; flags interval, timeout; }";
    let mut bench = Bench::new(sets);
    for (set, port) in [("h", None), ("i", None), ("r", Some(22))] {
        let member = |timeout, is_there| Change { is_there, ..put("192.0.2.1", port, timeout) };
        assert_eq!(bench.apply(set, &[member(Some(HOUR), false)]), [DONE]);
        for (timeout, is_there) in [(HOUR * 2, true), (HOUR * 3, false), (HOUR / 2, true), (HOUR / 3, false)]
        {
            assert_eq!(bench.apply(set, &[member(Some(timeout), is_there)]), [REPLACED], "{set}");
            let listed = bench.list(set);
            assert_eq!(listed.len(), 1);
            assert_eq!(listed[0].timeout, Some(timeout), "{set}");
            assert!(listed[0].expires.unwrap() > timeout / 2, "{set}");
        }
        assert_eq!(bench.apply(set, &[member(None, false)]), [REPLACED]);
        assert_eq!((bench.list(set)[0].timeout, bench.list(set)[0].expires), (None, None), "{set}");
    }
}

#[test]
fn for_ever_holds_also_in_a_set_with_a_time_of_its_own() {
    let mut bench = Bench::new("set h { type ipv4_addr; flags timeout; timeout 1m; }");
    let changes = [put("192.0.2.1", None, None), put("192.0.2.2", None, Some(HOUR))];
    assert_eq!(bench.apply("h", &changes), [DONE, DONE]);
    let listed = bench.list("h");
    assert_eq!(listed[0].expires, None, "{listed:?}");
    assert_eq!(listed[1].timeout, Some(HOUR));
}

#[test]
fn elements_end_by_themselves() {
    let sets = "set h { type ipv4_addr; flags timeout; } set i { type ipv4_addr; flags interval, timeout; }";
    let mut bench = Bench::new(sets);
    for set in ["h", "i"] {
        let short = Some(Duration::from_millis(1));
        assert_eq!(bench.apply(set, &[put("192.0.2.1", None, short)]), [DONE]);
        while !bench.list(set).is_empty() {
            std::thread::sleep(Duration::from_millis(5));
        }
        // And can be put there again, whatever is believed of them.
        let again = Change { is_there: true, ..put("192.0.2.1", None, Some(HOUR)) };
        assert_eq!(bench.apply(set, &[again]), [DONE], "{set}");
    }
}

#[test]
fn a_hundred_thousand_elements_are_one_transaction() {
    let sets = "set h { type ipv4_addr; flags timeout; } set i { type ipv4_addr; flags interval, timeout; }";
    let mut bench = Bench::new(sets);
    let mut events = SetEvents::open(&namespace(&bench.node)).unwrap();
    for set in ["h", "i"] {
        let change = |address| put(&IpAddr::to_string(&address), None, Some(HOUR));
        let changes: Vec<Change> = numbered(100_000).map(change).collect();
        assert!(bench.apply(set, &changes).iter().all(|verdict| *verdict == DONE), "{set}");
        assert_eq!(bench.list(set).len(), 100_000, "{set}");
        let gone: Vec<Change> =
            changes.iter().map(|c| Change { action: Action::Remove, is_there: true, ..*c }).collect();
        assert!(bench.apply(set, &gone).iter().all(|verdict| *verdict == REPLACED), "{set}");
        assert!(bench.list(set).is_empty(), "{set}");
    }
    // More than the socket holds was told.
    assert!(!events.receive(|_| {}).unwrap());
}

#[test]
fn one_bad_element_does_not_sink_the_others() {
    let mut bench =
        Bench::new("set i { type ipv4_addr; flags interval, timeout; elements = { 10.9.0.0/16 } }");
    let mut changes: Vec<Change> = numbered(5000).map(|a| put(&a.to_string(), None, Some(HOUR))).collect();
    changes[17] = put("10.9.1.1", None, Some(HOUR));
    changes[4000] = put("10.8.0.0/15", None, Some(HOUR));
    changes[4001] = put("2001:db8::1", None, Some(HOUR));
    changes[4002] = put("10.9.0.0/24", None, Some(HOUR));
    changes[4003] = Change { is_there: true, ..put("10.9.255.255", None, Some(HOUR)) };
    let verdicts = bench.apply("i", &changes);
    for (index, verdict) in verdicts.iter().enumerate() {
        let expected = match index {
            17 | 4000 | 4002 | 4003 => Verdict::Overlaps,
            4001 => Verdict::Refused(libc::EINVAL),
            _ => DONE,
        };
        assert_eq!(*verdict, expected, "{index}");
    }
    assert_eq!(bench.list("i").len(), 4996);
}

#[test]
fn a_full_set_takes_what_it_can_and_says_so() {
    let mut bench = Bench::new("set h { type ipv4_addr; flags timeout; size 100; }");
    let changes: Vec<Change> = numbered(300).map(|a| put(&a.to_string(), None, Some(HOUR))).collect();
    let verdicts = bench.apply("h", &changes);
    assert_eq!(verdicts.iter().filter(|verdict| **verdict == DONE).count(), 100);
    assert_eq!(verdicts.iter().filter(|verdict| **verdict == Verdict::Full).count(), 200);
    assert_eq!(bench.list("h").len(), 100);
    // A time can still be replaced.
    let index = verdicts.iter().position(|verdict| *verdict == DONE).unwrap();
    assert_eq!(bench.apply("h", &[changes[index]]), [REPLACED]);
}

#[test]
fn what_a_set_cannot_hold_is_refused() {
    let mut bench = Bench::new("set h { type ipv4_addr; } set p { type ipv6_addr . inet_service; }");
    let wrong = Verdict::Refused(libc::EINVAL);
    let tried =
        [put("192.0.2.0/24", None, None), put("2001:db8::1", None, None), put("192.0.2.1", Some(1), None)];
    assert_eq!(bench.apply("h", &tried), [wrong; 3]);
    assert_eq!(
        bench.apply("p", &[put("2001:db8::1", None, None), put("2001:db8::/64", Some(1), None)]),
        [wrong; 2]
    );
    assert!(bench.list("h").is_empty() && bench.list("p").is_empty());
}

#[test]
fn a_set_that_vanished_is_told_of_each_element() {
    let mut bench = Bench::new("set h { type ipv4_addr; } ");
    let like = bench.like("h");
    bench.node.nft("delete set inet t h").unwrap();
    let changes = [put("192.0.2.1", None, None), remove("192.0.2.2")];
    let verdicts = bench.sets.apply(&[like], &changes).unwrap();
    assert_eq!(verdicts, [Verdict::Refused(libc::ENOENT), DONE]);
}

#[test]
fn sets_of_several_tables_are_changed_together() {
    let mut bench = Bench::new("set a { type ipv4_addr; } set b { type ipv6_addr; }");
    bench.node.nft("table ip6 u { set c { type ipv6_addr; flags interval; }; }").unwrap();
    let c: SetId = "ip6 u c".parse().unwrap();
    let info = bench.sets.info(&c).unwrap().unwrap();
    let targets = [bench.like("a"), bench.like("b"), (c.clone(), info)];
    let changes = [
        put("192.0.2.1", None, None),
        Change { set: 2, ..put("2001:db8::/32", None, None) },
        Change { set: 1, ..put("2001:db8::1", None, None) },
        put("192.0.2.2", None, None),
    ];
    assert_eq!(bench.sets.apply(&targets, &changes).unwrap(), [DONE; 4]);
    assert_eq!(bench.members("a"), ["192.0.2.1", "192.0.2.2"]);
    assert_eq!(bench.members("b"), ["2001:db8::1"]);
    assert_eq!(bench.sets.list(&c, &info).unwrap().unwrap().len(), 1);
}

#[test]
fn edits_by_others_at_the_same_time_do_not_disturb() {
    let mut bench = Bench::new("set h { type ipv4_addr; flags timeout; } set other { type ipv4_addr; }");
    let (node, is_over) = (bench.node.clone(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let edits = scope.spawn(|| {
            let mut count = 0;
            while !is_over.load(Ordering::Relaxed) || count < 3 {
                node.nft("add element inet t other { 192.0.2.1 }; flush set inet t other").unwrap();
                count += 1;
            }
        });
        for n in 0..500_u32 {
            let address = Ipv6Addr::from(u128::from(n)).to_string();
            let v4 = put(&Ipv4Addr::from(0x0a00_0000 + n).to_string(), None, Some(HOUR));
            assert_eq!(
                bench.apply("h", &[v4, put(&address, None, None)]),
                [DONE, Verdict::Refused(libc::EINVAL)]
            );
        }
        is_over.store(true, Ordering::Relaxed);
        edits.join().unwrap();
    });
    assert_eq!(bench.list("h").len(), 500);
}

#[test]
fn changes_by_others_are_heard_of_and_told_from_our_own() {
    let mut bench = Bench::new("set h { type ipv4_addr; elements = { 192.0.2.1, 192.0.2.2 } }");
    let mut events = SetEvents::open(&namespace(&bench.node)).unwrap();
    let ours = bench.sets.port();
    let mut heard = |by_us: bool| {
        let mut seen = Vec::new();
        // A change is told of before the one who made it goes on.
        let is_complete = events.receive(|event| {
            assert_eq!(event.by == ours, by_us);
            seen.push((event.what, format!("{} {} {}", event.family.as_str(), event.table, event.set)));
        });
        assert!(is_complete.unwrap());
        seen.dedup();
        seen
    };
    let h = || "inet t h".to_owned();
    assert_eq!(bench.apply("h", &[put("192.0.2.3", None, None)]), [DONE]);
    assert_eq!(heard(true), [(What::ElementsAdded, h())]);
    bench.node.nft("flush set inet t h").unwrap();
    assert_eq!(heard(false), [(What::ElementsGone, h())]);
    bench.node.nft("delete set inet t h").unwrap();
    assert_eq!(heard(false), [(What::SetGone, h())]);
    bench.node.nft("table inet t { set h { type ipv4_addr; elements = { 192.0.2.1 }; }; }").unwrap();
    let made = heard(false);
    assert!(made.contains(&(What::SetMade, h())) && made.contains(&(What::ElementsAdded, h())), "{made:?}");
    bench.node.nft("flush ruleset").unwrap();
    assert!(heard(false).contains(&(What::TableGone, "inet t ".into())));
}
