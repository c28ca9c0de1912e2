use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_seconds(second)
}

fn ban(target: &str, until: Option<i64>, now: i64) -> Ban {
    Ban {
        kind: SetKind::Nft,
        set: "ip filter bans".into(),
        target: target.parse().unwrap(),
        port: None,
        since: at(now),
        until: until.map(at),
        by: "sshd[3]".into(),
    }
}

fn listed(bans: &Bans, now: i64) -> Vec<(String, Option<Timestamp>)> {
    bans.list(at(now)).into_iter().map(|ban| (ban.target.to_string(), ban.until)).collect()
}

#[test]
fn banning_again_extends_and_never_shortens() {
    let mut bans = Bans::new(10);
    assert_eq!(bans.place(&ban("192.0.2.7/32", Some(100), 0), at(0)), Ok(Placed::New));
    assert_eq!(bans.place(&ban("192.0.2.7/32", Some(150), 50), at(50)), Ok(Placed::Extended));
    assert_eq!(bans.place(&ban("192.0.2.7/32", Some(60), 50), at(50)), Ok(Placed::Unchanged));
    assert_eq!(listed(&bans, 100), [("192.0.2.7/32".to_owned(), Some(at(150)))]);
    assert_eq!(bans.list(at(100))[0].since, at(0));
    assert_eq!(listed(&bans, 150), []);
    bans.forget_past(at(150));
    assert!(bans.is_empty());
    assert_eq!(bans.place(&ban("192.0.2.7/32", None, 200), at(200)), Ok(Placed::New));
    assert_eq!(bans.place(&ban("192.0.2.7/32", Some(300), 200), at(200)), Ok(Placed::Unchanged));
    assert_eq!(listed(&bans, 1_000_000), [("192.0.2.7/32".to_owned(), None)]);
}

#[test]
fn another_spelling_is_no_other_ban() {
    let mut bans = Bans::new(10);
    bans.place(&ban("192.0.2.7/32", Some(100), 0), at(0)).unwrap();
    assert_eq!(bans.place(&ban("::ffff:192.0.2.7/128", Some(90), 0), at(0)), Ok(Placed::Unchanged));
    assert!(
        bans.lift(SetKind::Nft, "ip filter bans", "::ffff:192.0.2.7/128".parse().unwrap(), None).is_some()
    );
    assert!(bans.is_empty());
}

#[test]
fn a_port_or_another_set_makes_another_ban() {
    let mut bans = Bans::new(10);
    let one = ban("192.0.2.7/32", Some(100), 0);
    for other in [
        one.clone(),
        Ban { port: Some(22), ..one.clone() },
        Ban { kind: SetKind::Ipset, ..one.clone() },
        Ban { set: "ip filter mail".into(), ..one.clone() },
    ] {
        assert_eq!(bans.place(&other, at(0)), Ok(Placed::New));
        assert_eq!(bans.find(other.kind, &other.set, other.target, other.port, at(1)), Some(other));
    }
    assert_eq!(bans.of("192.0.2.7".parse().unwrap(), at(1)).len(), 4);
    assert_eq!(bans.of("192.0.2.8".parse().unwrap(), at(1)).len(), 0);
}

#[test]
fn there_is_a_limit_and_what_is_over_makes_room() {
    let mut bans = Bans::new(2);
    bans.place(&ban("192.0.2.1/32", Some(10), 0), at(0)).unwrap();
    bans.place(&ban("192.0.2.2/32", Some(20), 0), at(0)).unwrap();
    assert_eq!(bans.place(&ban("192.0.2.3/32", Some(30), 0), at(0)), Err(Full { most: 2 }));
    assert_eq!(bans.place(&ban("192.0.2.2/32", Some(30), 0), at(0)), Ok(Placed::Extended));
    assert_eq!(bans.place(&ban("192.0.2.3/32", Some(30), 10), at(10)), Ok(Placed::New));
}

#[test]
fn twenty_thousand_bans_extended_over_and_over_stay_small() {
    let mut bans = Bans::new(100_000);
    for round in 0..10 {
        for n in 0..20_000u32 {
            let target = IpNet::from(std::net::IpAddr::from(n.to_be_bytes()));
            let one = Ban { target, ..ban("192.0.2.1/32", Some(1000 + round), 0) };
            bans.place(&one, at(0)).unwrap();
        }
    }
    let bytes = bans.held.capacity() * (size_of::<(Element, Held)>() + 1)
        + bans.ends.capacity() * size_of::<(Timestamp, Element)>();
    assert!(bytes < 10 << 20, "{bytes} bytes");
}

proptest! {
    #[test]
    fn bans_are_as_a_plain_list_would_have_them(
        steps in prop::collection::vec((0u8..3, 0u8..4, 0u64..20, 0u64..5), 0..80)
    ) {
        let mut bans = Bans::new(1000);
        let mut plain: HashMap<u8, Timestamp> = HashMap::new();
        let mut now = at(0);
        for (what, who, long, passed) in steps {
            now = now + Duration::from_secs(passed);
            plain.retain(|_, until| *until > now);
            let target: IpNet = format!("192.0.2.{who}/32").parse().unwrap();
            if what == 0 {
                prop_assert_eq!(
                    bans.lift(SetKind::Nft, "s", target, None).is_some_and(|ban| ban.until.is_none_or(|until| until > now)),
                    plain.remove(&who).is_some()
                );
            } else {
                let until = if long == 0 { Timestamp::MAX } else { now + Duration::from_secs(long) };
                let one = Ban {
                    set: "s".into(), target, until: (long > 0).then_some(until), ..ban("::/0", None, 0)
                };
                bans.place(&one, now).unwrap();
                let held = plain.entry(who).or_insert(until);
                *held = until.max(*held);
            }
            let mut expected: Vec<_> = plain.iter().map(|(who, until)| (format!("192.0.2.{who}/32"), *until)).collect();
            expected.sort();
            let found: Vec<_> = bans.list(now).into_iter()
                .map(|ban| (ban.target.to_string(), ban.until.unwrap_or(Timestamp::MAX))).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
