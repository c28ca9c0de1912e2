//! What is wanted in a set, and what of it the kernel lacks. Pure: the time and what the kernel holds are handed in.

use std::cmp::Reverse;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use ipnet::IpNet;
use unmasq_netfilter::sets::{Listed, Member};

use super::Failure;

/// How much earlier than wanted an element may end in the kernel. ipset counts in seconds.
const TOLERANCE: Duration = Duration::from_secs(2);

/// An order's target: the address with the network around it, and the port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) target: IpNet,
    pub(super) port: Option<u16>,
}

/// When an element is to end; `None` is never.
pub(super) type End = Option<Instant>;

/// What is wanted of one set.
#[derive(Debug, Default)]
pub(super) struct WantedSet {
    pub(super) elements: HashMap<Key, End, RandomState>,
    /// An element such as may be ordered, and whether it ends: with none there yet, it tells whether the set could take one.
    pub(super) sample: Option<(Key, bool)>,
    /// What was last told of the set as a whole.
    pub(super) trouble: Option<Failure>,
    /// Was it told that the set cannot hold networks?
    pub(super) is_warned: bool,
    /// Glances at the set that are left out, and how many the last fruitless one cost.
    pub(super) glances_to_skip: u32,
    pub(super) fruitless: u32,
}

/// An element as the set can hold it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) member: Member,
    pub(super) end: End,
}

/// An element to be put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Missing {
    pub(super) target: Target,
    /// It is there, but ends too early.
    pub(super) is_there: bool,
}

/// How a set keeps elements that lie within others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nesting {
    /// It cannot: a wider one stands for them.
    Never,
    /// Each by itself, or there are only single addresses.
    Free,
}

/// The later of two ends.
pub(super) fn later(a: End, b: End) -> End {
    a.zip(b).map(|(a, b)| a.max(b))
}

/// The time from now to an end; `None` for ever.
pub(super) fn remaining(end: End, now: Instant) -> Option<Duration> {
    end.map(|end| end.saturating_duration_since(now))
}

/// The time to put an element for: whole seconds, rounded up, so that what was ordered for ten minutes reads as ten
/// minutes although it was ordered a moment ago.
pub(super) fn time_to_put(end: End, now: Instant) -> Option<Duration> {
    let left = remaining(end, now)?;
    Some(Duration::from_secs(left.as_secs().saturating_add(u64::from(left.subsec_nanos() > 0)).max(1)))
}

/// The earlier of two moments to wake up at, where `None` is no such moment.
pub(super) fn sooner(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, other) => one.or(other),
    }
}

impl WantedSet {
    /// Forgets what is over.
    pub(super) fn expire(&mut self, now: Instant) {
        self.elements.retain(|_, end| end.is_none_or(|end| end > now));
    }

    /// Forgets a target and, if it is a network, all that were banned by the same network. Returns what it forgot.
    pub(super) fn remove(&mut self, key: &Key) -> Vec<Key> {
        let is_single = key.target.prefix_len() == key.target.max_prefix_len();
        let is_meant = |other: &Key| {
            other == key
                || (!is_single && other.port == key.port && other.target.trunc() == key.target.trunc())
        };
        // A single address is found by itself: nothing has to be searched through.
        if is_single {
            return self.elements.remove(key).map(|_| *key).into_iter().collect();
        }
        self.elements.extract_if(|other, _| is_meant(other)).map(|(key, _)| key).collect()
    }
}

/// Each element once, with its latest end; where nesting is not possible, without those that lie in others. Also when
/// to look again, because an element outlives the one that it lies in.
pub(super) fn effective(
    mut targets: Vec<Target>,
    nesting: Nesting,
    now: Instant,
) -> (Vec<Target>, Option<Instant>) {
    targets.retain(|target| target.end.is_none_or(|end| end > now));
    // In the order of their first address, the wider before what lies in it.
    targets.sort_unstable_by_key(|target| {
        let member = &target.member;
        (member.ports(), member.first(), Reverse(member.last()))
    });
    let mut kept: Vec<Target> = Vec::with_capacity(targets.len());
    let mut wake = None;
    for target in targets {
        match kept.last_mut() {
            Some(last) if last.member == target.member => last.end = later(last.end, target.end),
            Some(last) if nesting == Nesting::Never && last.member.covers(&target.member) => {
                if later(last.end, target.end) != last.end {
                    wake = sooner(wake, last.end);
                }
            }
            _ => kept.push(target),
        }
    }
    (kept, wake)
}

/// What has to be put so that all targets are in effect; and when to look again, because something that covers a
/// target ends before it. `most` is the longest time that the set can keep an element.
pub(super) fn missing(
    targets: &[Target],
    held: &[Listed],
    nesting: Nesting,
    most: Duration,
    now: Instant,
) -> (Vec<Missing>, Option<Instant>) {
    let mut by_place: Vec<&Listed> = held.iter().collect();
    by_place
        .sort_unstable_by_key(|listed| (listed.member.ports(), listed.member.first(), listed.member.last()));
    let mut wake = None;
    let mut all = Vec::new();
    for target in targets {
        let wanted = remaining(target.end, now);
        let after = by_place.partition_point(|listed| {
            (listed.member.ports(), listed.member.first(), listed.member.last())
                <= (target.member.ports(), target.member.first(), target.member.last())
        });
        let at_or_before = after.checked_sub(1).map(|index| by_place[index]);
        match at_or_before.filter(|listed| listed.member == target.member) {
            Some(same) if is_enough(same.expires, wanted, most) => {}
            Some(_) => all.push(Missing { target: *target, is_there: true }),
            // Where elements do not nest, only the one before can cover it, or one that begins at the same address.
            None => {
                let next = by_place.get(after).copied();
                let covering =
                    [at_or_before, next].into_iter().flatten().find(|l| l.member.covers(&target.member));
                match covering.filter(|_| nesting == Nesting::Never) {
                    Some(cover) if is_enough(cover.expires, wanted, most) => {}
                    Some(cover) => wake = sooner(wake, cover.expires.map(|left| now + left)),
                    None => all.push(Missing { target: *target, is_there: false }),
                }
            }
        }
    }
    (all, wake)
}

/// Does the kernel keep it long enough?
fn is_enough(left: Option<Duration>, wanted: Option<Duration>, most: Duration) -> bool {
    match (left, wanted) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(left), Some(wanted)) => left + TOLERANCE >= wanted.min(most),
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use proptest::prelude::*;

    use super::*;

    const FOR_EVER: Duration = Duration::MAX;

    fn member(text: &str) -> Member {
        let net = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).unwrap();
        Member::network(net, None)
    }

    fn target(text: &str, end: End) -> Target {
        Target { member: member(text), end }
    }

    fn listed(text: &str, seconds: Option<u64>) -> Listed {
        let expires = seconds.map(Duration::from_secs);
        Listed { member: member(text), timeout: expires, expires }
    }

    #[test]
    fn a_time_is_put_in_whole_seconds_and_never_too_short() {
        let now = Instant::now();
        let put = |milliseconds| time_to_put(Some(now + Duration::from_millis(milliseconds)), now);
        assert_eq!(put(600_000), Some(Duration::from_secs(600)));
        assert_eq!(put(599_999), Some(Duration::from_secs(600)));
        assert_eq!(put(0), Some(Duration::from_secs(1)));
        assert_eq!(time_to_put(None, now), None);
    }

    #[test]
    fn a_wider_element_stands_for_those_in_it() {
        let now = Instant::now();
        let after = |seconds| Some(now + Duration::from_secs(seconds));
        let targets = vec![
            target("10.0.0.7", after(50)),
            target("10.0.0.0/24", after(100)),
            target("10.0.0.8", None),
            target("10.0.0.0", after(5)),
            target("10.0.1.0", after(5)),
            target("10.0.0.0/24", after(90)),
            target("10.0.2.0", Some(now)),
        ];
        let (kept, wake) = effective(targets.clone(), Nesting::Never, now);
        assert_eq!(kept, [target("10.0.0.0/24", after(100)), target("10.0.1.0", after(5))]);
        // 10.0.0.8 is to stay after the network has ended.
        assert_eq!(wake, after(100));
        let (kept, wake) = effective(targets, Nesting::Free, now);
        assert_eq!((kept.len(), wake), (5, None));
    }

    #[test]
    fn what_is_gone_or_ends_too_early_is_missing() {
        let now = Instant::now();
        let after = |seconds| Some(now + Duration::from_secs(seconds));
        let targets = [
            target("10.0.0.1", after(100)),
            target("10.0.0.2", after(100)),
            target("10.0.0.3", after(100)),
            target("10.0.0.4", None),
            target("10.0.0.5", None),
            target("10.1.0.9", after(100)),
            target("10.2.0.9", after(100)),
        ];
        let held = [
            listed("10.0.0.1", Some(99)),
            listed("10.0.0.2", Some(50)),
            listed("10.0.0.4", Some(1000)),
            listed("10.0.0.5", None),
            listed("10.1.0.0/16", Some(200)),
            listed("10.2.0.0/16", Some(20)),
        ];
        let (all, wake) = missing(&targets, &held, Nesting::Never, FOR_EVER, now);
        let found: Vec<(String, bool)> =
            all.iter().map(|one| (one.target.member.to_string(), one.is_there)).collect();
        let expected = [("10.0.0.2", true), ("10.0.0.3", false), ("10.0.0.4", true)];
        assert_eq!(found, expected.map(|(text, is_there)| (text.to_owned(), is_there)));
        assert_eq!(wake, after(20));
        // No set keeps an element longer than it can.
        let (all, _) = missing(&targets[..1], &held, Nesting::Never, Duration::from_secs(60), now);
        assert!(all.is_empty());
    }

    #[test]
    fn the_end_of_a_ban_by_a_network_takes_all_of_the_network() {
        let key = |text: &str, port| Key { target: text.parse().unwrap(), port };
        let mut set = WantedSet::default();
        for key in [
            key("2001:db8::5/64", None),
            key("2001:db8::6/64", None),
            key("2001:db8::6/128", None),
            key("2001:db8::6/64", Some(1)),
        ] {
            set.elements.insert(key, None);
        }
        assert_eq!(set.remove(&key("2001:db8::7/128", None)), []);
        assert_eq!(set.remove(&key("2001:db8::/64", None)).len(), 2);
        assert_eq!(set.remove(&key("2001:db8::6/128", None)).len(), 1);
        assert_eq!(set.elements.len(), 1);
    }

    proptest! {
        #[test]
        fn every_target_is_in_what_is_kept(
            nets in prop::collection::vec((any::<[u8; 2]>(), 16_u8..=32, 1_u64..1000), 0..40),
        ) {
            let now = Instant::now();
            let targets: Vec<Target> = nets.iter().map(|([c, d], prefix, seconds)| Target {
                member: Member::network(IpNet::new(IpAddr::from([10, 0, c & 3, d & 15]), *prefix).unwrap(), None),
                end: Some(now + Duration::from_secs(*seconds)),
            }).collect();
            let (kept, _) = effective(targets.clone(), Nesting::Never, now);
            for target in &targets {
                prop_assert!(kept.iter().any(|k| k.member.covers(&target.member)));
            }
            for (i, a) in kept.iter().enumerate() {
                prop_assert!(targets.iter().any(|target| target.member == a.member));
                for b in &kept[i + 1..] {
                    prop_assert!(!a.member.overlaps(&b.member));
                }
            }
            // A kernel that holds just that lacks nothing; an empty one lacks all of it.
            let held: Vec<Listed> = kept.iter().map(|k| Listed {
                member: k.member, timeout: None, expires: remaining(k.end, now),
            }).collect();
            prop_assert_eq!(missing(&kept, &held, Nesting::Never, FOR_EVER, now).0.len(), 0);
            prop_assert_eq!(missing(&kept, &[], Nesting::Never, FOR_EVER, now).0.len(), kept.len());
            // Nor does it lack any target that is not outlived.
            let (lacks, wake) = missing(&targets, &held, Nesting::Never, FOR_EVER, now);
            prop_assert!(lacks.iter().all(|one| one.is_there) || wake.is_some() || lacks.is_empty());
        }
    }
}
