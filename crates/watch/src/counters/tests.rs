use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

const SSHD: CategoryId = CategoryId(0);

fn at(second: i64) -> Timestamp {
    Timestamp::from_seconds(second)
}

#[expect(clippy::unnecessary_wraps, reason = "it reads as the argument that it is")]
fn seconds(seconds: u64) -> Option<Duration> {
    Some(Duration::from_secs(seconds))
}

fn nth(n: u32) -> Key {
    Key::text(&std::net::Ipv4Addr::from(n).to_string())
}

#[test]
fn each_raise_expires_on_its_own() {
    let mut counters = Counters::new(Limits::default());
    let key = Key::text("192.0.2.7");
    let counts = [0, 2, 4].map(|second| counters.raise(SSHD, &key, seconds(3), at(second)));
    assert_eq!(counts, [1, 2, 2]);
    assert_eq!(counters.count(SSHD, &key, at(5)), 1);
    assert_eq!(counters.count(SSHD, &key, at(7)), 0);
}

#[test]
fn nothing_is_counted_during_a_grace() {
    let mut counters = Counters::new(Limits::default());
    let key = Key::text("192.0.2.7");
    assert_eq!(counters.raise(SSHD, &key, None, at(0)), 1);
    counters.reset(SSHD, &key, seconds(2), at(0));
    assert_eq!([1, 2, 3].map(|second| counters.raise(SSHD, &key, None, at(second))), [0, 1, 2]);
}

#[test]
fn a_plain_reset_leaves_a_grace_as_it_is() {
    let mut counters = Counters::new(Limits::default());
    let key = Key::text("192.0.2.7");
    counters.reset(SSHD, &key, seconds(10), at(0));
    counters.reset(SSHD, &key, None, at(1));
    counters.reset(SSHD, &key, seconds(0), at(1));
    assert_eq!(counters.raise(SSHD, &key, None, at(9)), 0);
    assert_eq!(counters.raise(SSHD, &key, None, at(10)), 1);
}

#[test]
fn categories_do_not_mix() {
    let mut counters = Counters::new(Limits::default());
    let key = Key::text("192.0.2.7");
    counters.raise(CategoryId(3), &key, None, at(0));
    assert_eq!(counters.raise(SSHD, &key, None, at(0)), 1);
    assert_eq!(counters.raise(CategoryId(3), &key, Some(Duration::ZERO), at(0)), 2, "zero is for ever");
}

/// A flood of a million addresses, each seen once, while some come again and again.
#[test]
fn a_flood_does_not_push_out_those_who_come_often() {
    let limits = Limits { keys: 4096, ticks: 16_384 };
    let mut counters = Counters::new(limits);
    let regulars: Vec<Key> = (0..50).map(|n| Key::text(&format!("10.0.0.{n}"))).collect();
    let graced = Key::text("10.9.9.9");
    counters.reset(SSHD, &graced, seconds(100_000), at(0));
    let mut counts = vec![0; regulars.len()];
    for n in 0..1_000_000u32 {
        let now = at(i64::from(n / 1000));
        if n % 20_000 == 0 {
            for (key, count) in regulars.iter().zip(&mut counts) {
                *count = counters.raise(SSHD, key, seconds(600), now);
            }
        }
        // The flood begins when the regulars have been seen three times.
        if n > 60_000 {
            counters.raise(SSHD, &nth(n), seconds(600), now);
        }
    }
    let usage = counters.usage(SSHD);
    assert!(usage.keys <= limits.keys && usage.ticks <= limits.ticks, "{usage:?}");
    assert!(usage.bytes < 1 << 20, "{usage:?}");
    assert!(usage.evicted > 900_000, "{usage:?}");
    // Every 20 seconds for 600: thirty alive.
    assert!(counts.iter().all(|count| *count == 30), "{counts:?}");
    assert_eq!(counters.raise(SSHD, &graced, None, at(1000)), 0, "who is protected stays so");
}

#[test]
fn one_busy_key_cannot_take_all_ticks() {
    let mut counters = Counters::new(Limits { keys: 100, ticks: 10_000 });
    let busy = nth(1);
    let millis = |n: i64| Timestamp::from_millis(n);
    let mut count = 0;
    for n in 0..200_000 {
        count = counters.raise(SSHD, &busy, seconds(60), millis(n));
    }
    let usage = counters.usage(SSHD);
    assert!(usage.ticks <= 400, "{usage:?}");
    // 60,000 are alive; joined ones may be over by a 256th of the minute too early, never too late.
    assert!((60_000 - 60_000 / 256 - 1..=60_000).contains(&count), "{count}");
}

#[test]
fn what_nobody_counts_any_more_is_freed_by_those_who_count() {
    let mut counters = Counters::new(Limits::default());
    for n in 0..10_000 {
        counters.raise(SSHD, &nth(n), seconds(10), at(0));
    }
    for n in 0..5_000 {
        counters.raise(SSHD, &nth(n % 7), seconds(10), at(20));
    }
    let usage = counters.usage(SSHD);
    assert!(usage.keys < 10 && usage.evicted == 0, "{usage:?}");
}

#[test]
fn a_hundred_thousand_live_counters_are_small() {
    let mut counters = Counters::new(Limits::default());
    for n in 0..300_000 {
        counters.raise(SSHD, &nth(n % 100_000), seconds(600), at(i64::from(n / 1000)));
    }
    let usage = counters.usage(SSHD);
    assert_eq!((usage.keys, usage.evicted), (100_000, 0));
    assert!(usage.bytes < 16 << 20, "{usage:?}");
}

/// Two steps that keep the same counter for different times, as many ticks as there may be: every raise is refused or
/// counted, and nothing is lost track of.
#[test]
fn ticks_out_of_order_and_out_of_room_stay_consistent() {
    let mut counters = Counters::new(Limits { keys: 2, ticks: 3 });
    for n in 0..1000 {
        let keep = [5, 1, 60][n as usize % 3];
        counters.raise(SSHD, &nth(n % 5), seconds(keep), at(i64::from(n / 10)));
        let usage = counters.usage(SSHD);
        assert!(usage.keys <= 2 && usage.ticks <= 3, "{usage:?}");
    }
    for n in 0..5 {
        counters.reset(SSHD, &nth(n), None, at(1000));
    }
    assert_eq!(counters.usage(SSHD).ticks, 0);
}

/// Saved and loaded again.
fn copy_of(counters: &mut Counters, limits: Limits) -> Counters {
    let bytes = postcard::to_stdvec(&counters.save(1)[0]).expect("it is written");
    let mut copy = Counters::new(limits);
    copy.load(SSHD, &postcard::from_bytes(&bytes).expect("it is read"));
    copy
}

#[test]
fn with_less_room_some_are_left_out() {
    let mut counters = Counters::new(Limits::default());
    for n in 0..100 {
        counters.raise(SSHD, &nth(n), seconds(10), at(0));
    }
    let copy = copy_of(&mut counters, Limits { keys: 30, ticks: 50 });
    let usage = copy.usage(SSHD);
    assert_eq!((usage.keys, usage.ticks, usage.evicted), (30, 30, 70));
    assert_eq!(copy.count(SSHD, &nth(7), at(1)), 1);
}

/// Pyruse's rules, plainly.
#[derive(Default)]
struct Model {
    held: HashMap<u32, (Vec<Timestamp>, Timestamp)>,
}

impl Model {
    fn raise(&mut self, key: u32, keep: u64, now: Timestamp) -> u64 {
        let (ticks, grace) = self.held.entry(key).or_insert((Vec::new(), Timestamp::MIN));
        if *grace > now {
            return 0;
        }
        ticks.retain(|tick| *tick > now);
        ticks.push(if keep == 0 { Timestamp::MAX } else { now + Duration::from_secs(keep) });
        ticks.len() as u64
    }

    fn reset(&mut self, key: u32, seconds: u64, now: Timestamp) {
        let (ticks, grace) = self.held.entry(key).or_insert((Vec::new(), Timestamp::MIN));
        ticks.clear();
        if seconds > 0 {
            *grace = now + Duration::from_secs(seconds);
        }
    }
}

proptest! {
    #[test]
    fn counters_count_as_pyruse_does(
        steps in prop::collection::vec((0u8..12, 0u32..6, 0u64..8, 0i64..3), 0..400),
    ) {
        let mut counters = Counters::new(Limits::default());
        let mut model = Model::default();
        let mut now = at(0);
        for (what, key, long, passed) in steps {
            now = now + Duration::from_secs(passed as u64);
            match what {
                0 => {
                    counters.reset(SSHD, &nth(key), Some(Duration::from_secs(long)), now);
                    model.reset(key, long, now);
                }
                1 => {
                    // Saved and loaded again, in the middle of everything.
                    counters = copy_of(&mut counters, Limits::default());
                }
                _ => {
                    let keep = Duration::from_secs(long);
                    prop_assert_eq!(counters.raise(SSHD, &nth(key), Some(keep), now), model.raise(key, long, now));
                }
            }
            for key in 0..6 {
                let expected = model.held.get(&key).map_or(0, |(ticks, _)| ticks.iter().filter(|tick| **tick > now).count());
                prop_assert_eq!(counters.count(SSHD, &nth(key), now), expected as u64);
            }
        }
    }

    /// With hardly any room: the bounds hold, a count is never above the true one, and a copy made by saving and loading
    /// goes the same way.
    #[test]
    fn bounds_hold_and_a_copy_goes_the_same_way(
        steps in prop::collection::vec((0u8..20, 0u32..40, 0u64..8, 0i64..3), 0..300),
        has_graces: bool,
        keys in 1usize..8,
        ticks in 1usize..20,
    ) {
        let limits = Limits { keys, ticks };
        let mut counters = Counters::new(limits);
        let mut copy: Option<Counters> = None;
        let mut model = Model::default();
        let mut now = at(0);
        for (what, key, long, passed) in steps {
            now = now + Duration::from_secs(passed as u64);
            match what {
                0 => {
                    let long = if has_graces { long } else { 0 };
                    for all in std::iter::once(&mut counters).chain(&mut copy) {
                        all.reset(SSHD, &nth(key), Some(Duration::from_secs(long)), now);
                    }
                    model.reset(key, long, now);
                }
                1 => {
                    copy = Some(copy_of(&mut counters, limits));
                }
                _ => {
                    let keep = Some(Duration::from_secs(long));
                    let count = counters.raise(SSHD, &nth(key), keep, now);
                    // Where nothing but graces is held, one of them gives way.
                    prop_assert!(count <= model.raise(key, long, now) || has_graces);
                    if let Some(copy) = &mut copy {
                        prop_assert_eq!(copy.raise(SSHD, &nth(key), keep, now), count);
                    }
                }
            }
            let usage = counters.usage(SSHD);
            prop_assert!(usage.keys <= keys && usage.ticks <= ticks, "{:?}", usage);
        }
    }
}
