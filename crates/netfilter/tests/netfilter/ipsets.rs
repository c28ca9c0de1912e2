//! ipsets on a real kernel, seen with `ipset` as well.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use ipnet::IpNet;
use unmasq_lab::{Lab, Node};
use unmasq_netfilter::ipset::{Ipsets, Name, SetInfo, SetType};
use unmasq_netfilter::sets::{Action, Change, Listed, Member, Verdict};

use crate::listener::namespace;

const DONE: Verdict = Verdict::Done { was_there: false };
const REMOVED: Verdict = Verdict::Done { was_there: true };
const HOUR: Duration = Duration::from_secs(3600);

struct Bench {
    node: Node,
    sets: Ipsets,
}

impl Bench {
    /// A namespace with these sets: the words after `ipset create`.
    fn new(created: &[&str]) -> Self {
        let node = Lab::new().unwrap().node("fw").unwrap();
        for words in created {
            let words: Vec<&str> = ["ipset", "create"].into_iter().chain(words.split(' ')).collect();
            node.exec(&words).unwrap();
        }
        let sets = Ipsets::open(&namespace(&node)).unwrap();
        Self { node, sets }
    }

    fn info(&mut self, set: &str) -> SetInfo {
        self.sets.info(&name(set)).unwrap().expect("the set was made")
    }

    fn apply(&mut self, set: &str, changes: &[Change]) -> Vec<Verdict> {
        let info = self.info(set);
        self.sets.apply(&name(set), &info, changes).unwrap()
    }

    fn list(&mut self, set: &str) -> Vec<Listed> {
        let (_, mut listed) = self.sets.list(&name(set)).unwrap().expect("the set was made");
        listed.sort_by_key(|one| one.member);
        listed
    }

    /// The lines in which ipset lists the elements.
    fn seen(&self, set: &str) -> Vec<String> {
        let text = self.node.exec(&["ipset", "list", set]).unwrap();
        text.lines().skip_while(|line| *line != "Members:").skip(1).map(str::to_owned).collect()
    }
}

fn name(set: &str) -> Name {
    set.parse().unwrap()
}

fn put(text: &str, port: Option<u16>, timeout: Option<Duration>) -> Change {
    let net: IpNet = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).unwrap();
    let member = Member::network(net, port);
    Change { set: 0, member, action: Action::Put(timeout), is_there: false }
}

fn removal(change: &Change) -> Change {
    Change { action: Action::Remove, is_there: true, ..*change }
}

#[test]
fn an_ipset_says_what_it_is_like() {
    let mut bench = Bench::new(&[
        "a hash:ip timeout 60 maxelem 77",
        "b hash:net family inet6",
        "c hash:ip,port timeout 0",
        "d hash:ip netmask 24",
        "e list:set",
    ]);
    let a = bench.info("a");
    assert_eq!((a.kind, a.is_v6, a.has_timeout, a.most), (SetType::HashIp, false, true, Some(77)));
    assert_eq!((a.default_timeout, a.count, a.type_name.as_str()), (Some(HOUR / 60), Some(0), "hash:ip"));
    let b = bench.info("b");
    assert_eq!((b.kind, b.is_v6, b.has_timeout), (SetType::HashNet, true, false));
    assert_eq!(b.type_name, "hash:net family inet6");
    let c = bench.info("c");
    assert_eq!((c.kind, c.has_timeout, c.default_timeout), (SetType::HashIpPort, true, None));
    assert!(bench.info("d").is_masked);
    assert_eq!(bench.info("e").kind, SetType::Other);
    assert_eq!(bench.sets.info(&name("none")).unwrap(), None);
    assert_eq!(bench.sets.list(&name("none")).unwrap(), None);
}

#[test]
fn elements_of_every_type_are_seen_by_ipset_and_listed() {
    let mut bench = Bench::new(&[
        "ip4 hash:ip timeout 0",
        "ip6 hash:ip family inet6 timeout 0",
        "net4 hash:net timeout 0",
        "net6 hash:net family inet6 timeout 0",
        "port4 hash:ip,port timeout 0",
        "port6 hash:ip,port family inet6 timeout 0",
    ]);
    for (set, changes, seen) in [
        ("ip4", [put("192.0.2.1", None, Some(HOUR)), put("192.0.2.2", None, None)], "192.0.2.2 timeout 0"),
        (
            "ip6",
            [put("2001:db8::1", None, Some(HOUR)), put("2001:db8::2", None, None)],
            "2001:db8::2 timeout 0",
        ),
        ("net4", [put("10.0.0.0/24", None, Some(HOUR)), put("10.0.0.7", None, None)], "10.0.0.7 timeout 0"),
        (
            "net6",
            [put("2001:db8::/64", None, Some(HOUR)), put("2001:db8:1::/48", None, None)],
            "2001:db8:1::/48 timeout 0",
        ),
        (
            "port4",
            [put("192.0.2.1", Some(22), Some(HOUR)), put("192.0.2.1", Some(80), None)],
            "192.0.2.1,tcp:80 timeout 0",
        ),
        (
            "port6",
            [put("2001:db8::1", Some(22), Some(HOUR)), put("2001:db8::1", Some(80), None)],
            "2001:db8::1,tcp:80 timeout 0",
        ),
    ] {
        assert_eq!(bench.apply(set, &changes), [DONE, DONE], "{set}");
        let lines = bench.seen(set);
        assert_eq!(lines.len(), 2, "{set}: {lines:?}");
        assert!(lines.iter().any(|line| line == seen), "{set}: {lines:?}");
        assert!(
            lines.iter().any(|line| line.contains(" timeout 35") || line.contains(" timeout 3600")),
            "{lines:?}"
        );
        let listed = bench.list(set);
        assert_eq!(listed.len(), 2, "{set}: {listed:?}");
        for change in &changes {
            let one = listed.iter().find(|one| one.member == change.member).expect(set);
            assert_eq!(one.expires.is_some(), change.action == Action::Put(Some(HOUR)), "{set}");
        }
        // A time is replaced.
        assert_eq!(
            bench.apply(set, &[Change { action: Action::Put(Some(HOUR * 10)), ..changes[0] }]),
            [DONE]
        );
        let longer =
            bench.list(set).iter().filter(|one| one.expires.is_some_and(|left| left > HOUR * 9)).count();
        assert_eq!(longer, 1, "{set}");
        let removals = [removal(&changes[0]), removal(&changes[1])];
        assert_eq!(bench.apply(set, &removals), [REMOVED, REMOVED], "{set}");
        assert_eq!(bench.apply(set, &removals), [DONE, DONE], "{set}");
        assert!(bench.seen(set).is_empty() && bench.info(set).count == Some(0), "{set}");
    }
}

#[test]
fn a_full_ipset_takes_what_it_can_and_says_so() {
    let mut bench = Bench::new(&["a hash:ip timeout 0 maxelem 50"]);
    let changes: Vec<Change> =
        (0..60_u32).map(|n| put(&Ipv4Addr::from(0x0a00_0000 + n).to_string(), None, Some(HOUR))).collect();
    let verdicts = bench.apply("a", &changes);
    let full = verdicts.iter().filter(|verdict| **verdict == Verdict::Full).count();
    let done = verdicts.iter().filter(|verdict| **verdict == DONE).count();
    assert_eq!((full + done, bench.list("a").len()), (60, done));
    assert!(full > 0, "{verdicts:?}");
}

#[test]
fn many_elements_are_put_and_the_bad_ones_left_out() {
    let mut bench = Bench::new(&["a hash:ip timeout 0 maxelem 100000", "p hash:net timeout 0"]);
    let mut changes: Vec<Change> = (0..20_000_u32)
        .map(|n| put(&Ipv4Addr::from(0x0a00_0000 + n).to_string(), None, Some(HOUR)))
        .collect();
    changes[7] = put("2001:db8::1", None, None);
    changes[8] = put("10.9.0.0/24", None, None);
    changes[19_999] = put("192.0.2.1", Some(4), None);
    // The kernel itself has no place for it.
    changes[500] = put("0.0.0.0", None, Some(HOUR));
    let verdicts = bench.apply("a", &changes);
    for (index, verdict) in verdicts.iter().enumerate() {
        match index {
            7 | 8 | 19_999 => assert_eq!(*verdict, Verdict::Refused(libc::EINVAL), "{index}"),
            500 => assert!(matches!(verdict, Verdict::Refused(number) if *number > 4096), "{verdict:?}"),
            _ => assert_eq!(*verdict, DONE, "{index}"),
        }
    }
    assert_eq!(bench.list("a").len(), 19_996);
    assert_eq!(bench.apply("p", &[put("0.0.0.0/0", None, None)]), [Verdict::Refused(libc::EINVAL)]);
}

#[test]
fn an_ipset_without_times_or_gone_says_so() {
    let mut bench = Bench::new(&["a hash:ip", "b hash:ip timeout 0"]);
    assert!(!bench.info("a").has_timeout);
    let info = bench.info("b");
    bench.node.exec(&["ipset", "destroy", "b"]).unwrap();
    let changes = [put("192.0.2.1", None, None), put("192.0.2.2", None, None)];
    assert_eq!(bench.sets.apply(&name("b"), &info, &changes).unwrap(), [Verdict::Refused(libc::ENOENT); 2]);
}

#[test]
fn a_time_is_never_rounded_to_for_ever_nor_cut_to_nothing() {
    let mut bench = Bench::new(&["a hash:ip timeout 60"]);
    let day = Duration::from_secs(86_400);
    let changes = [
        put("192.0.2.1", None, None),
        put("192.0.2.2", None, Some(day * 10_000)),
        put("192.0.2.3", None, Some(Duration::from_millis(1500))),
    ];
    assert_eq!(bench.apply("a", &changes), [DONE; 3]);
    let listed = bench.list("a");
    assert_eq!(listed[0].expires, None);
    assert!(listed[1].expires.is_some_and(|left| left > day * 24), "{listed:?}");
    assert!(
        listed.len() == 2 || listed[2].expires.is_some_and(|left| left <= Duration::from_secs(2)),
        "{listed:?}"
    );
}
