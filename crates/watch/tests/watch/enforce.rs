//! The enforcer against the sets of a real kernel, as `nft` and `ipset` show them.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use crossbeam_channel::{Receiver, unbounded};
use ipnet::IpNet;
use serde_json::Value;
use unmasq_lab::{Lab, Node};
use unmasq_netfilter::netns::Namespace;
use unmasq_watch::enforce::{Element, Enforcer, Failure, Options, Report, SetKind, SetName};

/// Long, for a busy machine; a test that works never waits so long.
const PATIENCE: Duration = Duration::from_secs(120);
const HOUR: Duration = Duration::from_secs(3600);

/// Both kinds of element, with and without intervals.
const TABLE: &str = "table inet t {
    set h { type ipv4_addr; flags timeout; }
    set h6 { type ipv6_addr; flags timeout; }
    set i { type ipv4_addr; flags interval, timeout; }
    set i6 { type ipv6_addr; flags interval, timeout; }
    set p { type ipv4_addr . inet_service; flags timeout; }
    set plain { type ipv4_addr; }
    set small { type ipv4_addr; flags timeout; size 3; }
    set ports { type inet_service; }
}";

struct Bench {
    node: Node,
    enforcer: Enforcer,
    reports: Receiver<Report>,
}

impl Bench {
    fn new() -> Self {
        let node = Lab::new().unwrap().node("fw").unwrap();
        node.nft(TABLE).unwrap();
        Self::on(node)
    }

    fn on(node: Node) -> Self {
        let namespace = Namespace::named(node.name()).unwrap();
        let (send, reports) = unbounded();
        // Only word of changes brings comparisons about.
        let options = Options { namespace, compare_every: HOUR };
        let enforcer = Enforcer::start(options, move |report| drop(send.send(report))).unwrap();
        Self { node, enforcer, reports }
    }

    fn ban(&self, set: &SetName, target: &str, timeout: Option<Duration>) -> Result<(), String> {
        self.order(&Element { set: set.clone(), target: net(target), port: None, timeout })
    }

    fn order(&self, element: &Element) -> Result<(), String> {
        self.enforcer.ban(element.clone());
        self.answer(|report| match report {
            Report::Banned { element: done, .. } if done == element => Some(Ok(())),
            Report::Failed { element: done, failure } if done == element => Some(Err(failure.to_string())),
            _ => None,
        })
    }

    fn unban(&self, set: &SetName, target: &str) -> Result<bool, String> {
        self.enforcer.unban(set.clone(), net(target), None);
        self.answer(|report| match report {
            Report::Unbanned { was_there, .. } => Some(Ok(*was_there)),
            Report::Failed { failure, .. } => Some(Err(failure.to_string())),
            _ => None,
        })
    }

    /// The first report of which something is made; those before it are passed over.
    fn answer<T>(&self, mut what: impl FnMut(&Report) -> Option<T>) -> T {
        loop {
            let report = self.reports.recv_timeout(PATIENCE).expect("a report comes");
            if let Some(found) = what(&report) {
                return found;
            }
        }
    }

    /// What nft shows of a set: elements with their time in seconds; 0 is for ever. A ban ends at its time, so that the kernel
    /// is given less where the machine was busy before: rounded up to minutes, it is what was ordered.
    fn nft(&self, set: &str) -> BTreeSet<(String, u64)> {
        let text = self.node.exec(&["nft", "-j", "list", "set", "inet", "t", set]).unwrap();
        let json: Value = serde_json::from_str(&text).unwrap();
        let elements = json["nftables"][1]["set"]["elem"].as_array().cloned().unwrap_or_default();
        let shown = |value: &Value| match value {
            Value::String(text) => text.clone(),
            other if other["prefix"].is_object() => {
                format!("{}/{}", other["prefix"]["addr"].as_str().unwrap(), other["prefix"]["len"])
            }
            other => other["concat"].to_string(),
        };
        let read = |one: &Value| match &one["elem"] {
            Value::Null => (shown(one), 0),
            timed => (shown(&timed["val"]), timed["timeout"].as_u64().unwrap_or(0).next_multiple_of(60)),
        };
        elements.iter().map(read).collect()
    }
}

fn net(text: &str) -> IpNet {
    text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).unwrap()
}

fn nft(set: &str) -> SetName {
    SetName::parse(SetKind::Nft, &format!("inet t {set}")).unwrap()
}

fn ipset(set: &str) -> SetName {
    SetName::parse(SetKind::Ipset, set).unwrap()
}

fn elements<const N: usize>(expected: [(&str, u64); N]) -> BTreeSet<(String, u64)> {
    expected.map(|(text, seconds)| (text.to_owned(), seconds)).into()
}

/// So many bans of different addresses.
fn many(set: &SetName, count: u32) -> Vec<Element> {
    let one = |n| Element {
        set: set.clone(),
        target: IpNet::from(IpAddr::from(Ipv4Addr::from(0x0a00_0000 + n * 3))),
        port: None,
        timeout: Some(HOUR),
    };
    (0..count).map(one).collect()
}

#[test]
fn a_ban_is_in_the_set_with_its_time_and_a_later_one_replaces_it() {
    let bench = Bench::new();
    bench.ban(&nft("h"), "192.0.2.1", Some(HOUR)).unwrap();
    bench.ban(&nft("h"), "::ffff:192.0.2.2", None).unwrap();
    bench.ban(&nft("h6"), "2001:db8::1", Some(HOUR)).unwrap();
    assert_eq!(bench.nft("h"), elements([("192.0.2.1", 3600), ("192.0.2.2", 0)]));
    assert_eq!(bench.nft("h6"), elements([("2001:db8::1", 3600)]));
    for hours in [5, 2] {
        bench.ban(&nft("h"), "192.0.2.1", Some(HOUR * hours)).unwrap();
        assert_eq!(bench.nft("h"), elements([("192.0.2.1", 3600 * u64::from(hours)), ("192.0.2.2", 0)]));
    }
    assert_eq!(bench.unban(&nft("h"), "192.0.2.1"), Ok(true));
    assert_eq!(bench.unban(&nft("h"), "192.0.2.1"), Ok(false));
    assert_eq!(bench.nft("h"), elements([("192.0.2.2", 0)]));
}

#[test]
fn a_ban_by_another_hand_gets_the_new_time() {
    let bench = Bench::new();
    bench.node.nft("add element inet t h { 192.0.2.1 timeout 1m }").unwrap();
    bench.ban(&nft("h"), "192.0.2.1", Some(HOUR)).unwrap();
    assert_eq!(bench.nft("h"), elements([("192.0.2.1", 3600)]));
}

#[test]
fn a_network_is_banned_where_the_set_can_hold_it_and_else_the_address() {
    let bench = Bench::new();
    bench.ban(&nft("i6"), "2001:db8::5/64", Some(HOUR)).unwrap();
    assert_eq!(bench.nft("i6"), elements([("2001:db8::/64", 3600)]));
    // Another address of it is the same element, with the new time.
    bench.ban(&nft("i6"), "2001:db8::6/64", Some(HOUR * 2)).unwrap();
    assert_eq!(bench.nft("i6"), elements([("2001:db8::/64", 7200)]));
    assert_eq!(bench.unban(&nft("i6"), "2001:db8::/64"), Ok(true));
    assert!(bench.nft("i6").is_empty());

    bench.enforcer.ban(Element { set: nft("h6"), target: net("2001:db8::5/64"), port: None, timeout: None });
    bench.enforcer.ban(Element { set: nft("h6"), target: net("2001:db8::6/64"), port: None, timeout: None });
    assert!(bench.enforcer.settle(PATIENCE));
    let warnings: Vec<String> = bench
        .reports
        .try_iter()
        .filter_map(|report| if let Report::Warning { message, .. } = report { Some(message) } else { None })
        .collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("flags interval,timeout"), "{warnings:?}");
    assert_eq!(bench.nft("h6"), elements([("2001:db8::5", 0), ("2001:db8::6", 0)]));
    assert_eq!(bench.unban(&nft("h6"), "2001:db8::ffff/64"), Ok(true));
    assert!(bench.nft("h6").is_empty());
    assert_eq!(bench.unban(&nft("h6"), "2001:db8::ffff/64"), Ok(false));
}

#[test]
fn a_network_takes_the_place_of_addresses_in_it_but_not_of_others_elements() {
    let bench = Bench::new();
    bench.ban(&nft("i"), "192.0.2.7", Some(HOUR * 5)).unwrap();
    bench.ban(&nft("i"), "192.0.2.9", Some(HOUR)).unwrap();
    bench.ban(&nft("i"), "192.0.2.0/24", Some(HOUR * 2)).unwrap();
    assert_eq!(bench.nft("i"), elements([("192.0.2.0/24", 7200)]));
    // Covered already.
    bench.ban(&nft("i"), "192.0.2.77", Some(HOUR)).unwrap();
    assert_eq!(bench.nft("i"), elements([("192.0.2.0/24", 7200)]));
    let covered = bench.unban(&nft("i"), "192.0.2.77").unwrap_err();
    assert!(covered.contains("holds 192.0.2.0/24, which covers it"), "{covered}");
    // When the network's ban is ended, the address that is wanted for itself is put back.
    assert_eq!(bench.unban(&nft("i"), "192.0.2.0/24"), Ok(true));
    bench.answer(|report| matches!(report, Report::Mended { count: 2, .. }).then_some(()));
    let left: BTreeSet<String> = bench.nft("i").into_iter().map(|(element, _)| element).collect();
    assert_eq!(left, BTreeSet::from(["192.0.2.7".to_owned(), "192.0.2.9".to_owned()]));

    bench.node.nft("add element inet t i { 198.51.100.7 }").unwrap();
    let refused = bench.ban(&nft("i"), "198.51.100.0/24", Some(HOUR)).unwrap_err();
    assert!(refused.contains("holds 198.51.100.7, which overlaps it"), "{refused}");
    assert!(bench.nft("i").contains(&("198.51.100.7".to_owned(), 0)));
}

#[test]
fn an_address_that_outlives_the_network_around_it_is_put_back_when_that_ends() {
    let bench = Bench::new();
    bench.ban(&nft("i"), "192.0.2.7", Some(HOUR)).unwrap();
    bench.ban(&nft("i"), "192.0.2.0/24", Some(Duration::from_secs(1))).unwrap();
    // One or the other, or for a moment neither.
    assert!(bench.nft("i").len() <= 1);
    bench.answer(|report| matches!(report, Report::Mended { count: 1, .. }).then_some(()));
    assert!(bench.nft("i").iter().any(|(element, _)| element == "192.0.2.7"));
}

#[test]
fn one_port_of_an_address_is_banned_in_a_set_of_ports_and_nothing_more_elsewhere() {
    let bench = Bench::new();
    let element = |set| Element { set, target: net("192.0.2.1"), port: Some(40_000), timeout: Some(HOUR) };
    bench.order(&element(nft("p"))).unwrap();
    assert_eq!(bench.nft("p"), elements([(r#"["192.0.2.1",40000]"#, 3600)]));
    let refused = bench.order(&element(nft("h"))).unwrap_err();
    assert_eq!(refused, "set inet t h holds ipv4_addr, not ipv4_addr . inet_service");
    let refused = bench.ban(&nft("p"), "192.0.2.1", None).unwrap_err();
    assert_eq!(refused, "set inet t p holds ipv4_addr . inet_service, not ipv4_addr");
    assert!(bench.nft("h").is_empty());
}

#[test]
fn a_failure_names_the_set_and_the_remedy_and_does_not_sink_the_others() {
    let bench = Bench::new();
    let refused = |set: &SetName, target, timeout| bench.ban(set, target, timeout).unwrap_err();
    assert_eq!(
        refused(&nft("none"), "192.0.2.1", None),
        "set inet t none does not exist; create it with `nft 'add table inet t; add set inet t none { type \
         ipv4_addr; flags interval,timeout; }'`"
    );
    assert_eq!(
        refused(&nft("plain"), "192.0.2.1", Some(HOUR)),
        "set inet t plain holds no timeouts; create it with `flags timeout`"
    );
    assert_eq!(refused(&nft("h"), "2001:db8::1", None), "set inet t h holds ipv4_addr, not ipv6_addr");
    assert_eq!(
        refused(&nft("ports"), "192.0.2.1", None),
        "set inet t ports holds inet_service, not ipv4_addr"
    );
    assert_eq!(
        refused(&ipset("none"), "192.0.2.1", None),
        "ipset none does not exist; create it with `ipset create none hash:net family inet timeout 0`"
    );
    bench.ban(&nft("plain"), "192.0.2.1", None).unwrap();
    // All at once, with good ones in between.
    let all = ["none", "h", "plain", "ports", "h"].map(|set| Element {
        set: nft(set),
        target: net(if set == "none" { "192.0.2.8" } else { "192.0.2.9" }),
        port: None,
        timeout: Some(HOUR),
    });
    for element in all {
        bench.enforcer.ban(element);
    }
    for element in many(&nft("small"), 5) {
        bench.enforcer.ban(element);
    }
    assert!(bench.enforcer.settle(PATIENCE));
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    for report in bench.reports.try_iter() {
        match report {
            Report::Banned { element, .. } => done.push(element.set),
            Report::Failed { failure, .. } => failed.push(failure.kind()),
            _ => {}
        }
    }
    assert_eq!(done, [nft("h"), nft("h"), nft("small"), nft("small"), nft("small")]);
    assert_eq!(failed, ["no_such_set", "no_timeouts", "wrong_type", "full", "full"]);
    assert_eq!(bench.nft("small").len(), 3);
    assert_eq!(bench.nft("h").len(), 1);
}

#[test]
fn an_expected_set_that_cannot_take_bans_is_told_before_the_first_ban() {
    let bench = Bench::new();
    let expect = |set: &SetName, target, timeout| {
        bench.enforcer.expect(Element { set: set.clone(), target: net(target), port: None, timeout });
        assert!(bench.enforcer.settle(PATIENCE));
        let told = bench.reports.try_iter().map(|report| match report {
            Report::Trouble { failure, .. } => failure.to_string(),
            Report::Warning { message, .. } => message,
            other => format!("{other:?}"),
        });
        told.collect::<Vec<_>>().join("\n")
    };
    assert!(expect(&nft("none"), "192.0.2.1", Some(HOUR)).starts_with("set inet t none does not exist"));
    assert!(expect(&ipset("none"), "192.0.2.1", Some(HOUR)).starts_with("ipset none does not exist"));
    assert_eq!(expect(&nft("h"), "192.0.2.1", Some(HOUR)), "");
    assert_eq!(
        expect(&nft("ports"), "192.0.2.1", None),
        "set inet t ports holds inet_service, not ipv4_addr"
    );
    let timed = expect(&nft("plain"), "192.0.2.1", Some(HOUR));
    assert_eq!(timed, "set inet t plain holds no timeouts; create it with `flags timeout`");
    assert!(expect(&nft("h6"), "2001:db8::1/64", None).contains("cannot hold networks"));
    // What is wrong stays wrong, and is not told twice; what is mended is told.
    bench.enforcer.compare();
    assert!(bench.enforcer.settle(PATIENCE));
    assert_eq!(bench.reports.try_iter().count(), 0);
    bench.node.nft("add set inet t none { type ipv4_addr; flags timeout; }").unwrap();
    let mended = bench.answer(|report| match report {
        Report::Recovered { set } => Some(set.clone()),
        _ => None,
    });
    assert_eq!(mended, nft("none"));
    assert!(bench.nft("h").is_empty() && bench.nft("none").is_empty());
}

#[test]
fn a_flushed_set_is_mended_and_so_is_a_ruleset_that_was_loaded_anew() {
    let bench = Bench::new();
    for n in 0..50 {
        bench.ban(&nft("h"), &format!("192.0.2.{n}"), Some(HOUR)).unwrap();
    }
    bench.ban(&nft("i6"), "2001:db8::/64", None).unwrap();
    let mended = |expected: SetName| {
        bench.answer(|report| match report {
            Report::Mended { set, count } if *set == expected => Some(*count),
            _ => None,
        })
    };
    bench.node.nft("flush set inet t h").unwrap();
    assert_eq!(mended(nft("h")), 50);
    assert_eq!(bench.nft("h").len(), 50);
    bench.node.nft("delete element inet t h { 192.0.2.7 }").unwrap();
    assert_eq!(mended(nft("h")), 1);
    bench.node.nft(&format!("flush ruleset; {TABLE}")).unwrap();
    assert_eq!(mended(nft("i6")), 1);
    // The other set's comes before or after it.
    assert!(bench.enforcer.settle(PATIENCE));
    assert_eq!(bench.nft("h").len(), 50);
    assert_eq!(bench.nft("i6"), elements([("2001:db8::/64", 0)]));
    // What was unbanned stays so.
    assert_eq!(bench.unban(&nft("h"), "192.0.2.7"), Ok(true));
    bench.node.nft("flush set inet t h").unwrap();
    assert_eq!(mended(nft("h")), 49);
    // A set that nothing is wanted in any more is left alone.
    bench.enforcer.forget(nft("h"));
    bench.node.nft("flush set inet t h").unwrap();
    bench.enforcer.compare();
    assert!(bench.enforcer.settle(PATIENCE));
    assert!(bench.nft("h").is_empty());
}

#[test]
fn a_set_that_is_made_later_gets_what_waited_for_it() {
    let bench = Bench::on(Lab::new().unwrap().node("fw").unwrap());
    bench.enforcer.restore(many(&nft("h"), 100));
    let trouble = bench.answer(|report| match report {
        Report::Trouble { failure, .. } => Some(failure.clone()),
        _ => None,
    });
    assert!(matches!(trouble, Failure::NoSuchSet { .. }));
    bench.answer(|report| matches!(report, Report::Restored { held: 0, failed: 100, .. }).then_some(()));
    bench.node.nft(TABLE).unwrap();
    bench.answer(|report| matches!(report, Report::Recovered { .. }).then_some(()));
    assert_eq!(bench.nft("h").len(), 100);
}

#[test]
fn twenty_thousand_bans_are_restored_and_what_is_there_is_left_alone() {
    for set in ["h", "i"] {
        let bench = Bench::new();
        // One that was there, with another time, and one that is not ours.
        bench.node.nft(&format!("add element inet t {set} {{ 10.0.0.0 timeout 5h, 192.0.2.1 }}")).unwrap();
        bench.enforcer.restore(many(&nft(set), 20_000));
        let took = bench.answer(|report| match report {
            Report::Restored { held: 20_000, failed: 0, took } => Some(*took),
            Report::Restored { .. } | Report::Trouble { .. } => panic!("{report:?}"),
            _ => None,
        });
        println!("20,000 bans restored into {set} in {took:?}");
        let held = bench.nft(set);
        assert_eq!(held.len(), 20_001);
        assert!(held.contains(&("10.0.0.0".into(), 5 * 3600)));
        // Again: nothing to do.
        bench.enforcer.restore(many(&nft(set), 20_000));
        bench.answer(|report| {
            matches!(report, Report::Restored { held: 20_000, failed: 0, .. }).then_some(())
        });
        assert_eq!(bench.nft(set).len(), 20_001);
    }
}

#[test]
fn ipsets_are_filled_mended_and_restored_too() {
    let node = Lab::new().unwrap().node("fw").unwrap();
    for (name, words) in [
        ("a", "hash:ip timeout 0"),
        ("n6", "hash:net family inet6 timeout 0"),
        ("p", "hash:ip,port timeout 0"),
        ("m", "hash:ip netmask 24 timeout 0"),
    ] {
        let words: Vec<&str> = ["ipset", "create", name].into_iter().chain(words.split(' ')).collect();
        node.exec(&words).unwrap();
    }
    let bench = Bench::on(node);
    let seen = |set: &str| {
        let text = bench.node.exec(&["ipset", "list", set]).unwrap();
        let mut lines: Vec<String> =
            text.lines().skip_while(|line| *line != "Members:").skip(1).map(str::to_owned).collect();
        lines.sort();
        lines
    };
    bench.ban(&ipset("a"), "192.0.2.1", None).unwrap();
    bench.ban(&ipset("a"), "::ffff:192.0.2.2", None).unwrap();
    bench.ban(&ipset("n6"), "2001:db8::5/64", None).unwrap();
    let element = Element { set: ipset("p"), target: net("192.0.2.1"), port: Some(25), timeout: None };
    bench.order(&element).unwrap();
    assert_eq!(seen("a"), ["192.0.2.1 timeout 0", "192.0.2.2 timeout 0"]);
    assert_eq!(seen("n6"), ["2001:db8::/64 timeout 0"]);
    assert_eq!(seen("p"), ["192.0.2.1,tcp:25 timeout 0"]);
    // A set under a mask would ban the neighbours.
    let refused = bench.ban(&ipset("m"), "192.0.2.1", None).unwrap_err();
    assert_eq!(refused, "ipset m holds hash:ip under a mask, not ipv4_addr");
    assert!(seen("m").is_empty());

    bench.node.exec(&["ipset", "flush"]).unwrap();
    let mut mended = BTreeSet::new();
    while mended.len() < 3 {
        mended.insert(bench.answer(|report| match report {
            Report::Mended { set, .. } => Some(set.clone()),
            _ => None,
        }));
    }
    assert_eq!((seen("a").len(), seen("n6").len(), seen("p").len()), (2, 1, 1));
    assert_eq!(bench.unban(&ipset("n6"), "2001:db8::/64"), Ok(true));
    assert!(seen("n6").is_empty());

    bench.enforcer.restore(many(&ipset("a"), 20_000));
    let took = bench.answer(|report| match report {
        Report::Restored { failed: 1, held, took } => Some((*held, *took)),
        _ => None,
    });
    println!("restored into ipset: {took:?}");
    assert_eq!(seen("a").len(), 20_002);
}

#[test]
fn what_is_ordered_before_the_end_is_carried_out() {
    let Bench { node, enforcer, reports } = Bench::new();
    for element in many(&nft("h"), 3000) {
        enforcer.ban(element);
    }
    drop(enforcer);
    let done = reports.iter().filter(|report| matches!(report, Report::Banned { .. })).count();
    assert_eq!(done, 3000);
    let text = node.exec(&["nft", "-j", "list", "set", "inet", "t", "h"]).unwrap();
    assert_eq!(text.matches("\"elem\": {").count(), 3000);
}
