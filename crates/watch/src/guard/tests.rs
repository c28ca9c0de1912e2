//! The guard as a whole.

use proptest::prelude::*;

use super::*;

fn net(text: &str) -> IpNet {
    text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(1_800_000_000 + seconds)
}

fn guard() -> Guard {
    let mut guard = Guard::new(Options {
        allow: vec![net("192.0.2.0/24"), net("2001:db8:a::/48"), net("::ffff:198.51.100.4/128")],
        allow_names: vec!["admin.example".into()],
        masking: vec![net("100.64.0.0/10"), net("203.0.113.9")],
        ..Options::default()
    });
    guard.set_local(["10.1.2.3", "fd00::1", "::ffff:10.1.2.4"].map(|a| a.parse().unwrap()));
    guard.set_resolved("admin.example", ["203.0.113.77".parse().unwrap()]);
    guard
}

fn kind(guard: &Guard, target: &str) -> Option<RefusalKind> {
    guard.judge(net(target), Reach::Everything, at(0)).err().map(|refusal| refusal.kind)
}

#[test]
fn what_must_not_be_banned_is_refused_by_its_kind() {
    let mut guard = guard();
    guard.note_masking("203.0.113.50".parse().unwrap(), at(0));
    for (target, expected) in [
        ("127.0.0.1", RefusalKind::Loopback),
        ("127.9.9.9", RefusalKind::Loopback),
        ("::1", RefusalKind::Loopback),
        ("0.0.0.0", RefusalKind::Unspecified),
        ("::", RefusalKind::Unspecified),
        ("224.0.0.1", RefusalKind::Multicast),
        ("255.255.255.255", RefusalKind::Multicast),
        ("ff02::1", RefusalKind::Multicast),
        ("::ffff:127.0.0.1", RefusalKind::Loopback),
        ("10.1.2.3", RefusalKind::Local),
        ("::ffff:10.1.2.3", RefusalKind::Local),
        ("10.1.2.4", RefusalKind::Local),
        ("fd00::1", RefusalKind::Local),
        ("192.0.2.200", RefusalKind::Allowed),
        ("::ffff:192.0.2.200", RefusalKind::Allowed),
        ("198.51.100.4", RefusalKind::Allowed),
        ("2001:db8:a:ffff::1", RefusalKind::Allowed),
        ("203.0.113.77", RefusalKind::Allowed),
        ("100.100.0.1", RefusalKind::Masking),
        ("203.0.113.9", RefusalKind::Masking),
        ("203.0.113.50", RefusalKind::Masking),
        ("::ffff:203.0.113.50", RefusalKind::Masking),
        // Networks that hold one of these.
        ("10.1.0.0/16", RefusalKind::Local),
        ("fd00::/64", RefusalKind::Local),
        ("192.0.0.0/16", RefusalKind::Allowed),
        ("2001:db8::/32", RefusalKind::Allowed),
        ("203.0.113.0/28", RefusalKind::Masking),
        ("203.0.113.48/30", RefusalKind::Masking),
        ("0.0.0.0/0", RefusalKind::Loopback),
        ("::/64", RefusalKind::Loopback),
        ("::fffe:0:0/95", RefusalKind::Mapped),
    ] {
        assert_eq!(kind(&guard, target), Some(expected), "{target}");
    }
    for target in
        ["198.51.100.5", "10.1.2.5", "2001:db8:b::1", "2001:db8:b::/48", "203.0.113.51", "1.0.0.0/8"]
    {
        assert_eq!(kind(&guard, target), None, "{target}");
    }
}

#[test]
fn a_refusal_says_why() {
    let guard = guard();
    let refusal = guard.judge(net("::ffff:192.0.2.9"), Reach::Everything, at(0)).unwrap_err();
    assert_eq!(refusal.to_string(), "192.0.2.9 is on the allow list (192.0.2.0/24)");
    let refusal = guard.judge(net("203.0.113.77"), Reach::Everything, at(0)).unwrap_err();
    assert_eq!(refusal.to_string(), "203.0.113.77 is on the allow list (admin.example)");
    let refusal = guard.judge(net("10.1.2.9/24"), Reach::Everything, at(0)).unwrap_err();
    assert_eq!(refusal.to_string(), "10.1.2.0/24 holds 10.1.2.3, an address of this machine");
}

#[test]
fn one_port_of_a_masking_address_may_be_banned_but_not_of_an_allowed_one() {
    let guard = guard();
    assert!(guard.judge(net("203.0.113.9"), Reach::OnePort, at(0)).is_ok());
    assert!(guard.judge(net("192.0.2.9"), Reach::OnePort, at(0)).is_err());
    assert!(guard.judge(net("10.1.2.3"), Reach::OnePort, at(0)).is_err());
    assert!(guard.masks_others(net("203.0.113.9"), at(0)).is_some());
}

#[test]
fn masking_addresses_are_forgotten_with_time_and_bounded() {
    let options = Options { masking_keep: Duration::from_secs(100), masking_most: 3, ..Options::default() };
    let mut guard = Guard::new(options);
    let address = |n: u8| IpAddr::from([198, 51, 100, n]);
    guard.note_masking(address(1), at(0));
    assert_eq!(kind(&guard, "198.51.100.1"), Some(RefusalKind::Masking));
    assert!(guard.judge(net("198.51.100.1"), Reach::Everything, at(101)).is_ok());
    // Told of again, it is kept longer, and is not the first to go.
    guard.note_masking(address(2), at(1));
    guard.note_masking(address(1), at(90));
    guard.note_masking(address(3), at(91));
    guard.note_masking(address(4), at(92));
    assert_eq!(guard.masking_len(), 3);
    assert!(guard.judge(net("198.51.100.2"), Reach::Everything, at(92)).is_ok());
    assert!(guard.judge(net("198.51.100.1"), Reach::Everything, at(150)).is_err());
    guard.note_masking(address(5), at(500));
    assert_eq!(guard.masking_len(), 1);
}

#[test]
fn the_last_good_answer_for_a_name_stays() {
    let mut guard = guard();
    guard.set_resolved("admin.example", []);
    assert_eq!(kind(&guard, "203.0.113.77"), Some(RefusalKind::Allowed));
    guard.set_resolved("admin.example", ["203.0.113.78".parse().unwrap()]);
    assert_eq!(kind(&guard, "203.0.113.77"), None);
    assert_eq!(kind(&guard, "203.0.113.78"), Some(RefusalKind::Allowed));
    guard.set_resolved("other.example", ["198.51.100.9".parse().unwrap()]);
    assert_eq!(kind(&guard, "198.51.100.9"), None);
    let options =
        Options { allow_names: vec!["admin.example".into(), "new.example".into()], ..Options::default() };
    guard.reload(options);
    assert_eq!(guard.unresolved().collect::<Vec<_>>(), ["new.example"]);
    assert_eq!(kind(&guard, "203.0.113.78"), Some(RefusalKind::Allowed));
    assert_eq!(kind(&guard, "10.1.2.3"), Some(RefusalKind::Local));
}

fn braked(step_bans_per_minute: u32, bans_per_minute: u32) -> Guard {
    Guard::new(Options {
        allow: vec![net("192.0.2.0/24")],
        step_bans_per_minute,
        bans_per_minute,
        cool_down: Duration::from_secs(300),
        ..Options::default()
    })
}

fn target(n: u32) -> IpNet {
    IpNet::from(IpAddr::from((0xc633_0000 + n).to_be_bytes()))
}

#[test]
fn a_step_that_bans_too_many_is_stopped_and_told_once() {
    let mut guard = braked(5, 0);
    for n in 0..5 {
        // The same target again is no other target.
        for _ in 0..3 {
            guard.admit(1, target(n), Reach::Everything, at(0)).unwrap();
        }
    }
    let stop = guard.admit(1, target(5), Reach::Everything, at(1)).unwrap_err();
    assert_eq!((stop.kind, stop.is_news), (RefusalKind::Brake, true));
    let stop = guard.admit(1, target(0), Reach::Everything, at(2)).unwrap_err();
    assert_eq!((stop.kind, stop.is_news), (RefusalKind::Brake, false));
    // Others go on.
    guard.admit(2, target(6), Reach::Everything, at(2)).unwrap();
    assert!(guard.admit(1, target(6), Reach::Everything, at(300)).is_err());
    guard.admit(1, target(6), Reach::Everything, at(301)).unwrap();
}

#[test]
fn bans_that_are_spread_over_time_do_not_trip_the_brake() {
    let mut guard = braked(5, 0);
    for n in 0..100 {
        guard.admit(1, target(n), Reach::Everything, at(i64::from(n) * 12)).unwrap();
    }
}

#[test]
fn all_steps_together_are_stopped() {
    let mut guard = braked(0, 8);
    for n in 0..8 {
        guard.admit(n % 4, target(n), Reach::Everything, at(0)).unwrap();
    }
    assert!(guard.admit(0, target(8), Reach::Everything, at(0)).unwrap_err().is_news);
    assert_eq!(guard.admit(3, target(9), Reach::Everything, at(1)).unwrap_err().kind, RefusalKind::Brake);
}

#[test]
fn a_step_that_often_aims_at_the_allow_list_is_stopped() {
    let mut guard = braked(0, 0);
    for n in 0..7 {
        guard.admit(1, target(n), Reach::Everything, at(0)).unwrap();
    }
    for n in 0..2 {
        // One monitor that fails all the time is one target.
        for _ in 0..50 {
            let refusal = guard.admit(1, net(&format!("192.0.2.{n}")), Reach::Everything, at(1)).unwrap_err();
            assert_eq!(refusal.kind, RefusalKind::Allowed);
        }
    }
    let refusal = guard.admit(1, net("192.0.2.77"), Reach::Everything, at(2)).unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::Allowed);
    assert!(refusal.reason.contains("the brake has stopped this step"), "{refusal}");
    assert_eq!(guard.admit(1, target(50), Reach::Everything, at(3)).unwrap_err().kind, RefusalKind::Brake);
    guard.admit(2, target(50), Reach::Everything, at(3)).unwrap();
}

fn any_net() -> impl Strategy<Value = IpNet> {
    let v4 = (any::<[u8; 4]>(), 0_u8..=32).prop_map(|(a, p)| IpNet::new(IpAddr::from(a), p).unwrap());
    let v6 = (any::<[u8; 16]>(), 0_u8..=128).prop_map(|(a, p)| IpNet::new(IpAddr::from(a), p).unwrap());
    let mapped = (any::<[u8; 4]>(), 90_u8..=128).prop_map(|(a, p)| {
        IpNet::new(IpAddr::from(std::net::Ipv4Addr::from(a).to_ipv6_mapped()), p).unwrap()
    });
    prop_oneof![v4, v6, mapped]
}

proptest! {
    #[test]
    fn a_network_is_let_through_only_if_it_holds_nothing_protected(
        target in any_net(),
        allow in prop::collection::vec(any_net(), 0..3),
        masking in prop::collection::vec(any_net(), 0..3),
        local in prop::collection::vec(any::<[u8; 4]>(), 0..3),
        learnt in prop::collection::vec(any::<[u8; 4]>(), 0..3),
    ) {
        let protected: Vec<IpNet> = allow.iter().chain(&masking).copied()
            .chain(local.iter().chain(&learnt).map(|a| IpNet::from(IpAddr::from(*a))))
            .collect();
        let mut guard = Guard::new(Options { allow, masking, ..Options::default() });
        guard.set_local(local.into_iter().map(IpAddr::from));
        for address in learnt {
            guard.note_masking(IpAddr::from(address), at(0));
        }
        if guard.judge(target, Reach::Everything, at(0)).is_ok() {
            // In IPv6's spelling everything can be compared with everything.
            let ends = |net: &IpNet| [net.network(), net.broadcast()].map(|a| match a {
                IpAddr::V4(v4) => u128::from(v4.to_ipv6_mapped()),
                IpAddr::V6(v6) => u128::from(v6),
            });
            let [first, last] = ends(&target);
            for net in &protected {
                let [from, to] = ends(&canonical(*net));
                prop_assert!(last < from || to < first || net.prefix_len() < 96 && matches!(net, IpNet::V6(_)) && matches!(canonical(target), IpNet::V4(_)), "{} {}", target, net);
            }
        }
    }
}
