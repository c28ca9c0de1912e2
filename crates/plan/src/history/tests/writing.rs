//! What is written, one thing at a time.

use super::*;
use Holding::{InForce, Lingering, Unconfirmed};

#[test]
fn the_holder_is_that_of_the_plan_in_force() {
    let folder = folder();
    let mut writer = open(&folder);
    apply(&mut writer, &plan(&[(1, 100), (2, 101)]), 1000);
    apply(&mut writer, &plan(&[(1, 101), (2, 100)]), 2000);
    let history = History::open(folder.path()).unwrap();
    assert_eq!(named(&held(&history, 1005, 1500)), [(1, InForce)]);
    assert_eq!(named(&held(&history, 1005, 3000)), [(2, InForce)]);
    // While it was loaded it was the one or the other.
    let between = held_in(&history, 1005, Period::at(at(2000) + Duration::from_millis(500)));
    assert_eq!(named(&between), [(1, Unconfirmed), (2, Unconfirmed)]);
    // Over a change, both.
    let over = held_in(&history, 1005, Period::new(at(1500), at(3000)));
    assert_eq!(named(&over), [(1, InForce), (2, InForce)]);
    assert_eq!(over.holders[0].period, Period::new(at(1001), at(2000)));
    assert_eq!((over.holders[1].revision, over.holders[1].period.to), (2, Timestamp::MAX));
    assert!(over.is_complete());
}

#[test]
fn what_a_plan_does_not_tell_is_said() {
    let folder = folder();
    let mut writer = open(&folder);
    apply(&mut writer, &plan(&[(1, 100)]), 1000);
    apply(&mut writer, &Plan::default(), 2000);
    let history = writer.history();
    let gaps = |address: [u8; 4], selector, protocol, window| {
        let held = history.held(address.into(), selector, protocol, window).unwrap().unwrap();
        assert_eq!(held.holders, []);
        held.gaps
    };
    let (here, point) = ([192, 0, 2, 1], Period::at(at(1500)));
    assert_eq!(gaps(here, Selector::Port(5), None, point), []);
    let other = gaps([192, 0, 2, 2], Selector::Port(1005), None, point);
    assert_eq!(other, [(point, PlanGap::NotPublic)]);
    for (selector, protocol) in [
        (Selector::Port(1005), Some(Protocol::SCTP)),
        (Selector::Port(1005), Some(Protocol::GRE)),
        (Selector::Id(1005), None),
        (Selector::Id(1005), Some(Protocol::ICMP)),
    ] {
        let found = gaps(here, selector, protocol, point);
        assert_eq!(found, [(point, PlanGap::Protocol(ProtocolSet::TCP_UDP))], "{selector:?} {protocol:?}");
    }
    let before = Period::new(at(0), at(10));
    assert_eq!(gaps(here, Selector::Port(1005), None, before), [(before, PlanGap::BeforeFirst)]);
    let after = Period::at(at(2500));
    assert_eq!(gaps(here, Selector::Port(1005), None, after), [(after, PlanGap::NoPorts)]);
    // An address alone has many holders.
    assert_eq!(history.held(PUBLIC, Selector::None, None, point).unwrap(), None);
    // Partly before the first.
    let held = held_in(history, 1005, Period::new(at(900), at(1500)));
    assert_eq!(held.gaps, [(Period::new(at(900), at(1000)), PlanGap::BeforeFirst)]);
    assert_eq!(named(&held), [(1, InForce)]);
}

#[test]
fn the_overflow_is_nobodys() {
    let folder = folder();
    let mut writer = open(&folder);
    let with = Plan { overflow: Some(allocation(9, 200).block), ..plan(&[(1, 100)]) };
    apply(&mut writer, &with, 1000);
    let history = writer.history();
    let found = held(history, 2005, 1500);
    assert_eq!((named(&found), found.gaps), (vec![], vec![(Period::at(at(1500)), PlanGap::Overflow)]));
    assert_eq!(named(&held(history, 1005, 1500)), [(1, InForce)]);
    assert_eq!(history.plan(1).unwrap(), with);
    assert_eq!(findings(folder.path()), Vec::<String>::new());
}

#[test]
fn after_a_crash_between_begin_and_applied_both_are_named() {
    let folder = folder();
    let mut writer = open(&folder);
    apply(&mut writer, &plan(&[(1, 100)]), 1000);
    let _ = writer.begin(new_revision(&plan(&[(2, 100)])), moment(2000)).unwrap();
    drop(writer);
    let mut writer = open(&folder);
    assert_eq!(named(&held(writer.history(), 1005, 1500)), [(1, InForce)]);
    assert_eq!(named(&held(writer.history(), 1005, 9000)), [(1, Unconfirmed), (2, Unconfirmed)]);
    // Another one that nobody knows of, and one that is known.
    let _ = writer.begin(new_revision(&plan(&[(3, 100)])), moment(3000)).unwrap();
    let all = [(1, Unconfirmed), (2, Unconfirmed), (3, Unconfirmed)];
    assert_eq!(named(&held(writer.history(), 1005, 9000)), all);
    apply(&mut writer, &plan(&[(4, 100)]), 4000);
    assert_eq!(named(&held(writer.history(), 1005, 3500)), all);
    assert_eq!(named(&held(writer.history(), 1005, 9000)), [(4, InForce)]);
}

#[test]
fn what_became_of_a_revision_can_be_said_after_a_crash() {
    let folder = folder();
    let mut writer = open(&folder);
    apply(&mut writer, &plan(&[(1, 100)]), 1000);
    let begun = writer.begin(new_revision(&plan(&[(2, 100)])), moment(2000)).unwrap();
    drop(writer);
    let mut writer = open(&folder);
    writer.applied(begun, moment(2500)).unwrap();
    assert_eq!(named(&held(writer.history(), 1005, 2200)), [(1, Unconfirmed), (2, Unconfirmed)]);
    assert_eq!(named(&held(writer.history(), 1005, 2600)), [(2, InForce)]);
}

#[test]
fn a_revision_that_was_refused_never_was() {
    let folder = folder();
    let mut writer = open(&folder);
    apply(&mut writer, &plan(&[(1, 100)]), 1000);
    let begun = writer.begin(new_revision(&plan(&[(2, 100)])), moment(2000)).unwrap();
    writer.refused(begun, moment(2001)).unwrap();
    for seconds in [1500, 2000, 5000] {
        assert_eq!(named(&held(writer.history(), 1005, seconds)), [(1, InForce)]);
    }
    assert_eq!(writer.history().newest().map(|r| r.number), Some(1));
    apply(&mut writer, &plan(&[(3, 100)]), 3000);
    assert_eq!(named(&held(writer.history(), 1005, 5000)), [(3, InForce)]);
    assert_eq!(findings(folder.path()), Vec::<String>::new());
}

#[test]
fn flows_that_were_left_alone_linger_until_settled_or_timed_out() {
    for settles in [None, Some(2050), Some(2500)] {
        let folder = folder();
        let mut writer = open(&folder);
        apply(&mut writer, &plan(&[(1, 100)]), 1000);
        let second = plan(&[(2, 100)]);
        let new = NewRevision { keeps_flows: true, ..new_revision(&second) };
        let begun = writer.begin(new, moment(2000)).unwrap();
        writer.applied(begun, moment(2001)).unwrap();
        if let Some(settles) = settles {
            writer.settled(begun.number, moment(settles)).unwrap();
        }
        let last = settles.unwrap_or(i64::MAX).min(2101);
        assert_eq!(named(&held(writer.history(), 1005, last)), [(2, InForce), (1, Lingering)]);
        assert_eq!(named(&held(writer.history(), 1005, last + 1)), [(2, InForce)]);
        // In force first, then left behind: only the time in force is sure.
        let over = held_in(writer.history(), 1005, Period::new(at(1500), at(last)));
        assert_eq!(named(&over), [(1, InForce), (2, InForce)]);
        assert_eq!(over.holders[0].period.to, at(2000));
    }
}

#[test]
fn flows_linger_behind_the_next_that_was_applied_when_one_before_is_unknown() {
    let folder = folder();
    let mut writer = open(&folder);
    apply(&mut writer, &plan(&[(1, 100)]), 1000);
    let _ = writer.begin(new_revision(&plan(&[(2, 100)])), moment(2000)).unwrap();
    let third = plan(&[(3, 100)]);
    let begun =
        writer.begin(NewRevision { keeps_flows: true, ..new_revision(&third) }, moment(3000)).unwrap();
    writer.applied(begun, moment(3001)).unwrap();
    // The kernel may never have taken the second: then the first was in force until the third.
    assert_eq!(named(&held(writer.history(), 1005, 3050)), [(3, InForce), (1, Lingering), (2, Lingering)]);
}

#[test]
fn a_client_that_keeps_its_block_is_sure_over_a_change() {
    let folder = folder();
    let mut writer = open(&folder);
    apply(&mut writer, &plan(&[(1, 100), (2, 101)]), 1000);
    apply(&mut writer, &plan(&[(1, 100), (3, 101)]), 2000);
    let window = Period::new(at(1500), at(2500));
    let found = held_in(writer.history(), 1005, window);
    assert_eq!(named(&found), [(1, InForce)]);
    assert_eq!(found.holders[0].period, Period::new(at(1001), Timestamp::MAX));
    assert_eq!(named(&held(writer.history(), 1005, 2000)), [(1, InForce)]);
    // The first one of all may have taken the place of none.
    assert_eq!(named(&held(writer.history(), 1005, 1000)), [(1, Unconfirmed)]);
}

#[test]
fn a_client_that_lost_its_block_and_got_it_again_is_not_sure_in_between() {
    let folder = folder();
    let mut writer = open(&folder);
    for (who, seconds) in [(1, 1000), (2, 2000), (1, 3000)] {
        apply(&mut writer, &plan(&[(who, 100)]), seconds);
    }
    let found = held_in(writer.history(), 1005, Period::new(at(1500), at(3500)));
    assert_eq!(named(&found), [(2, InForce), (1, InForce)]);
    assert_eq!(found.holders[1].period, Period::new(at(3001), Timestamp::MAX));
}

#[test]
fn an_address_that_is_given_out_no_more_is_not_public() {
    let folder = folder();
    let mut writer = open(&folder);
    let mut first = plan(&[(1, 100), (2, 101), (3, 102), (4, 103), (5, 104), (6, 105)]);
    first.allocations[0].block.address = Ipv4Addr::new(192, 0, 2, 2);
    apply(&mut writer, &first, 1000);
    // Stored as a difference that takes the only row of that address away.
    first.allocations.remove(0);
    apply(&mut writer, &first, 2000);
    let ask = |seconds| {
        let address = Ipv4Addr::new(192, 0, 2, 2);
        writer.history().held(address, Selector::Port(1500), None, Period::at(at(seconds))).unwrap().unwrap()
    };
    assert_eq!(ask(1500).gaps, []);
    assert_eq!(ask(2500).gaps, [(Period::at(at(2500)), PlanGap::NotPublic)]);
}

#[test]
fn a_drift_is_a_gap_and_an_open_one_is_ended_by_a_second() {
    let folder = folder();
    let mut writer = open(&folder);
    apply(&mut writer, &plan(&[(1, 100)]), 1000);
    writer.drifted(DriftReason::Shadowed, moment(2000), Timestamp::MAX).unwrap();
    let gaps = |writer: &HistoryWriter, seconds| held(writer.history(), 1005, seconds).gaps;
    let drift = |seconds| vec![(Period::at(at(seconds)), PlanGap::Drift(DriftReason::Shadowed))];
    assert_eq!((gaps(&writer, 1999), gaps(&writer, 9000)), (vec![], drift(9000)));
    writer.drifted(DriftReason::Shadowed, moment(2000), at(3000)).unwrap();
    assert_eq!((gaps(&writer, 2500), gaps(&writer, 9000)), (drift(2500), vec![]));
    assert_eq!(writer.history().drifts().len(), 1);
}

#[test]
fn a_history_has_one_writer() {
    let folder = folder();
    let writer = open(&folder);
    let refused = HistoryWriter::open(folder.path()).unwrap_err();
    assert!(matches!(refused, HistoryError::Locked { .. }), "{refused}");
    drop(writer);
    open(&folder);
}

#[test]
fn a_folder_without_a_plan_is_told() {
    let folder = folder();
    assert!(!History::is_in(folder.path()));
    assert!(matches!(History::open(folder.path()), Err(HistoryError::NoPlan { .. })));
    assert!(matches!(RulesFolder::open(folder.path()), Err(HistoryError::NoPlan { .. })));
    assert!(matches!(open(&folder).history().revision(1), Err(HistoryError::NoRevision { number: 1, .. })));
}

#[test]
fn rules_are_kept_under_the_name_that_the_script_would_give_them() {
    let folder = folder();
    let mut writer = open(&folder);
    let plan = plan(&[(1, 100)]);
    let new = NewRevision { format: Format::Iptables, ..new_revision(&plan) };
    for _ in 0..3 {
        let begun = writer.begin(new, moment(1000)).unwrap();
        writer.applied(begun, moment(1000)).unwrap();
    }
    let names: Vec<String> = writer.history().revisions().iter().map(Revision::file_name).collect();
    assert_eq!(names, ["rules.v4.1000", "rules.v4.1000.1", "rules.v4.1000.2"]);
    let link = std::fs::read_link(folder.path().join("rules.v4")).unwrap();
    assert_eq!(link.to_str(), Some("rules.v4.1000.2"));
    let text =
        std::fs::read_to_string(writer.history().rules_file(&writer.history().revisions()[1])).unwrap();
    assert_eq!(text, new.rules);
}

#[test]
fn a_file_that_is_no_link_is_left_alone() {
    let folder = folder();
    std::fs::write(folder.path().join("rules.nft"), "somebody's").unwrap();
    apply(&mut open(&folder), &plan(&[(1, 100)]), 1000);
    assert_eq!(std::fs::read_to_string(folder.path().join("rules.nft")).unwrap(), "somebody's");
}

#[test]
fn only_what_can_not_be_asked_about_any_more_is_pruned() {
    let folder = folder();
    let mut writer = open(&folder);
    for (who, seconds) in [(1, 1000), (2, 2000), (3, 3000)] {
        apply(&mut writer, &plan(&[(who, 100), (9, 200), (8, 300), (7, 400), (6, 500)]), seconds);
    }
    assert_eq!(writer.prune(at(1500), moment(5000)).unwrap(), 0);
    let opened_before = History::open(folder.path()).unwrap();
    assert_eq!(writer.prune(at(2600), moment(5000)).unwrap(), 1);
    assert!(matches!(writer.history().plan(1), Err(HistoryError::Pruned { number: 1 })));
    assert!(opened_before.plan(1).unwrap_err().is_gone());
    assert_eq!(named(&held(writer.history(), 1005, 2500)), [(2, InForce)]);
    assert_eq!(held(writer.history(), 1005, 1500).gaps, [(Period::at(at(1500)), PlanGap::Pruned)]);
    // Never the one in force, however old.
    assert_eq!(writer.prune(at(1_000_000), moment(5000)).unwrap(), 1);
    assert_eq!(writer.prune(at(1_000_000), moment(5000)).unwrap(), 0);
    assert_eq!(named(&held(writer.history(), 1005, 9_000_000)), [(3, InForce)]);
    assert_eq!(findings(folder.path()), Vec::<String>::new());
    let left = std::fs::read_dir(folder.path().join("revisions")).unwrap().count();
    assert_eq!(left, 1);
    // And it goes on.
    apply(&mut writer, &plan(&[(4, 100)]), 6000);
    drop(writer);
    assert_eq!(named(&held(open(&folder).history(), 1005, 7000)), [(4, InForce)]);
}

#[test]
fn one_that_may_still_be_in_force_is_not_pruned() {
    let folder = folder();
    let mut writer = open(&folder);
    apply(&mut writer, &plan(&[(1, 100)]), 1000);
    let _ = writer.begin(new_revision(&plan(&[(2, 100)])), moment(2000)).unwrap();
    assert_eq!(writer.prune(at(1_000_000), moment(5000)).unwrap(), 0);
    assert_eq!(named(&held(writer.history(), 1005, 9000)), [(1, Unconfirmed), (2, Unconfirmed)]);
}

#[test]
fn one_whose_flows_may_still_live_is_not_pruned() {
    let folder = folder();
    let mut writer = open(&folder);
    apply(&mut writer, &plan(&[(1, 100)]), 1000);
    let second = plan(&[(2, 100)]);
    let new = NewRevision { keeps_flows: true, longest_timeout: HOUR, ..new_revision(&second) };
    let begun = writer.begin(new, moment(2000)).unwrap();
    writer.applied(begun, moment(2001)).unwrap();
    assert_eq!(writer.prune(at(5000), moment(5000)).unwrap(), 0);
    assert_eq!(named(&held(writer.history(), 1005, 5000)), [(2, InForce), (1, Lingering)]);
    assert_eq!(writer.prune(at(6000), moment(6000)).unwrap(), 1);
}

#[test]
fn what_a_crash_left_of_pruning_goes_with_the_next() {
    let folder = folder();
    let mut writer = open(&folder);
    for (who, seconds) in [(1, 1000), (2, 2000), (3, 3000)] {
        apply(&mut writer, &plan(&[(who, 100)]), seconds);
    }
    let rows = folder.path().join("revisions/00000001.rows");
    let left = std::fs::read(&rows).unwrap();
    assert_eq!(writer.prune(at(2500), moment(5000)).unwrap(), 1);
    std::fs::write(&rows, left).unwrap();
    writer.prune(at(2500), moment(5001)).unwrap();
    assert!(!rows.exists());
}

#[test]
fn a_revision_of_a_part_that_changed_is_small() {
    let folder = folder();
    let mut writer = open(&folder);
    let mut all: Vec<(u8, u16)> = (1..=200).map(|n| (n, 100 + u16::from(n))).collect();
    for n in 0..40_u8 {
        all[usize::from(n)].1 = 1000 + u16::from(n);
        apply(&mut writer, &plan(&all), 1000 + 10 * i64::from(n));
    }
    let size = |n| std::fs::metadata(rows::path(folder.path(), n)).unwrap().len();
    let whole: Vec<u64> = (1..=40).filter(|n| size(*n) > 3000).collect();
    assert_eq!(whole, [1, 17, 33]);
    assert_eq!(size(2), 36 + 2 * 16);
    assert_eq!(findings(folder.path()), Vec::<String>::new());
}

#[test]
fn rows_that_say_the_same_twice_are_sound() {
    let folder = folder();
    let mut writer = open(&folder);
    apply(&mut writer, &plan(&[(1, 100), (2, 101), (1, 100)]), 1000);
    assert_eq!(findings(folder.path()), Vec::<String>::new());
    assert_eq!(named(&held(writer.history(), 1005, 1500)), [(1, InForce)]);
}
