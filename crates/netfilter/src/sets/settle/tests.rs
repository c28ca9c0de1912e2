//! Transactions against a model of the kernel's set.

use std::collections::BTreeMap;
use std::net::IpAddr;

use proptest::prelude::*;

use super::*;

/// A set of intervals that takes a transaction whole or not at all, as the kernel's does.
#[derive(Clone, Debug, Default)]
struct Model {
    held: BTreeMap<Member, Option<Duration>>,
    most: usize,
    commits: usize,
    /// So many answers are `Again` before one is given.
    busy: usize,
}

impl Model {
    fn commit(&mut self, changes: &[Change], steps: &Steps) -> Answer {
        self.commits += 1;
        if self.busy > 0 {
            self.busy -= 1;
            return Answer::Again;
        }
        let mut held = self.held.clone();
        let mut failures = Vec::new();
        for (place, (index, step)) in steps.iter().enumerate() {
            let member = changes[*index].member;
            match step {
                Step::Delete => {
                    if held.remove(&member).is_none() {
                        failures.push((place, libc::ENOENT));
                    }
                }
                Step::Add(timeout) => {
                    if held.keys().any(|other| other.overlaps(&member)) {
                        failures.push((place, libc::EEXIST));
                    } else if held.len() >= self.most {
                        failures.push((place, libc::ENFILE));
                    } else {
                        held.insert(member, *timeout);
                    }
                }
            }
        }
        if failures.is_empty() {
            self.held = held;
            Answer::Taken
        } else {
            Answer::Refused(failures)
        }
    }

    fn settle(&mut self, changes: &[Change]) -> Vec<Verdict> {
        settle(changes, &mut |steps, _| Ok(self.commit(changes, steps))).unwrap()
    }
}

fn member(first: u8, last: u8) -> Member {
    Member::range(IpAddr::from([192, 0, 2, first]), IpAddr::from([192, 0, 2, last]), None).unwrap()
}

fn put(member: Member, seconds: u64, is_there: bool) -> Change {
    Change { set: 0, member, action: Action::Put(Some(Duration::from_secs(seconds))), is_there }
}

#[test]
fn one_transaction_is_enough_when_all_can_be_done() {
    let mut model = Model { most: 100, ..Model::default() };
    let changes: Vec<Change> = (0..50).map(|n| put(member(n, n), 60, false)).collect();
    assert!(model.settle(&changes).iter().all(|v| *v == Verdict::Done { was_there: false }));
    assert_eq!((model.commits, model.held.len()), (1, 50));
}

#[test]
fn a_time_is_replaced_whether_or_not_the_element_was_known_to_be_there() {
    for is_there in [true, false] {
        let mut model = Model { most: 10, ..Model::default() };
        model.settle(&[put(member(1, 1), 60, false)]);
        let verdicts = model.settle(&[put(member(1, 1), 600, is_there), put(member(2, 2), 5, is_there)]);
        assert_eq!(verdicts, [Verdict::Done { was_there: true }, Verdict::Done { was_there: false }]);
        assert_eq!(model.held[&member(1, 1)], Some(Duration::from_secs(600)));
    }
}

#[test]
fn a_full_set_takes_as_many_as_it_can() {
    let mut model = Model { most: 3, ..Model::default() };
    let changes: Vec<Change> = (0..5).map(|n| put(member(n, n), 60, false)).collect();
    let full = model.settle(&changes).iter().filter(|verdict| **verdict == Verdict::Full).count();
    assert_eq!((full, model.held.len()), (2, 3));
}

#[test]
fn an_overlap_does_not_sink_the_others() {
    let mut model = Model { most: 100, ..Model::default() };
    model.settle(&[put(member(0, 15), 60, false)]);
    let changes =
        [put(member(3, 3), 60, false), put(member(16, 16), 60, false), put(member(8, 31), 60, true)];
    let verdicts = model.settle(&changes);
    assert_eq!(verdicts, [Verdict::Overlaps, Verdict::Done { was_there: false }, Verdict::Overlaps]);
    assert_eq!(model.held.len(), 2);
}

#[test]
fn a_kernel_that_is_busy_is_asked_again_but_not_for_ever() {
    let mut model = Model { most: 10, busy: 3, ..Model::default() };
    assert_eq!(model.settle(&[put(member(1, 1), 60, false)]), [Verdict::Done { was_there: false }]);
    model.busy = 10_000;
    let verdicts = model.settle(&[put(member(2, 2), 60, false), put(member(3, 3), 60, false)]);
    assert_eq!(verdicts, [Verdict::Refused(libc::EAGAIN); 2]);
}

proptest! {
    #[test]
    fn what_a_verdict_says_is_so(
        before in prop::collection::btree_set(0_u8..40, 0..20),
        wanted in prop::collection::btree_map(0_u8..40, (0_u8..4, any::<bool>(), any::<bool>()), 0..30),
        most in 5_usize..50,
    ) {
        let mut model = Model { most, ..Model::default() };
        let first: Vec<Change> = before.iter().map(|n| put(member(*n, *n), 1, false)).collect();
        model.settle(&first);
        let held = model.held.clone();
        let changes: Vec<Change> = wanted.iter().map(|(n, (width, is_removal, hint))| {
            let member = member(*n, n + width);
            match is_removal {
                true => Change { set: 0, member, action: Action::Remove, is_there: true },
                false => put(member, 2, *hint),
            }
        }).collect();
        let verdicts = model.settle(&changes);
        for (change, verdict) in changes.iter().zip(&verdicts) {
            let now = model.held.get(&change.member).copied();
            match (change.action, verdict) {
                (Action::Put(timeout), Verdict::Done { was_there }) => {
                    prop_assert_eq!(now, Some(timeout));
                    prop_assert_eq!(*was_there, held.contains_key(&change.member));
                }
                (Action::Remove, Verdict::Done { was_there }) => {
                    prop_assert_eq!(now, None);
                    prop_assert_eq!(*was_there, held.contains_key(&change.member));
                }
                (Action::Put(_), Verdict::Overlaps) => {
                    prop_assert!(model.held.keys().any(|other| other.overlaps(&change.member)));
                }
                (Action::Put(_), Verdict::Full) => {}
                other => prop_assert!(false, "{:?}", other),
            }
        }
        prop_assert!(model.held.len() <= most);
        // What nobody spoke of is as it was.
        for member in held.keys().filter(|member| changes.iter().all(|change| change.member != **member)) {
            prop_assert!(model.held.contains_key(member));
        }
    }
}
