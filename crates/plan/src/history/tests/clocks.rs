//! Clocks that are set, and machines that boot again.

use super::*;
use Holding::{InForce, Unconfirmed};

fn history_of(steps: &[(u8, Moment, Moment)]) -> (TempDir, HistoryWriter) {
    let folder = folder();
    let mut writer = open(&folder);
    for (who, begun, applied) in steps {
        let begun = writer.begin(new_revision(&plan(&[(*who, 100)])), *begun).unwrap();
        writer.applied(begun, *applied).unwrap();
    }
    (folder, writer)
}

/// The wall clock and the boot clock, in seconds.
fn clocks(wall: i64, boot: u64) -> Moment {
    Moment { wall: at(wall), boot: Duration::from_secs(boot), boot_id: BOOT }
}

fn after_reboot(wall: i64, boot: u64) -> Moment {
    Moment { boot_id: [8; 16], ..clocks(wall, boot) }
}

fn who(writer: &HistoryWriter, seconds: i64) -> Vec<(u8, Holding)> {
    named(&held(writer.history(), 1005, seconds))
}

#[test]
fn a_clock_that_is_set_forward_stretches_the_time_of_a_plan() {
    let (_folder, writer) =
        history_of(&[(1, clocks(1000, 0), clocks(1000, 0)), (2, clocks(9000, 100), clocks(9000, 100))]);
    assert_eq!(who(&writer, 5000), [(1, InForce)]);
    assert_eq!(who(&writer, 9001), [(2, InForce)]);
}

#[test]
fn a_clock_that_is_set_back_makes_two_plans_possible() {
    // 1000 seconds passed, the clock went on by 400: it was set back by 600.
    let (_folder, writer) = history_of(&[
        (9, clocks(0, 0), clocks(0, 0)),
        (1, clocks(1000, 1000), clocks(1000, 1000)),
        (2, clocks(1400, 2000), clocks(1400, 2000)),
    ]);
    // Before 1000, it can have been the first again.
    assert_eq!(who(&writer, 300), [(9, InForce)]);
    assert_eq!(who(&writer, 500), [(9, Unconfirmed), (1, Unconfirmed)]);
    // Between the two zones there is no doubt.
    assert_eq!(who(&writer, 1200), [(1, InForce)]);
    // After 1400 it was the second, or the first before the clock was set back.
    assert_eq!(who(&writer, 1900), [(1, Unconfirmed), (2, Unconfirmed)]);
    assert_eq!(who(&writer, 2001), [(2, InForce)]);
    assert!(held(writer.history(), 1005, 1900).notes[0].contains("set back"));
    assert_eq!(held(writer.history(), 1005, 1200).notes, Vec::<String>::new());
}

#[test]
fn a_correction_of_less_than_a_tenth_of_a_second_is_none() {
    let second = Moment { boot: Duration::from_millis(100_090), ..clocks(1100, 0) };
    let (_folder, writer) = history_of(&[(1, clocks(1000, 0), clocks(1000, 0)), (2, second, second)]);
    assert_eq!(who(&writer, 1050), [(1, InForce)]);
    assert_eq!(writer.history().timeline.set_back, []);
}

#[test]
fn a_reboot_that_the_clock_survives_changes_nothing() {
    let (_folder, writer) = history_of(&[
        (1, clocks(1000, 50_000), clocks(1001, 50_001)),
        (2, after_reboot(2000, 60), after_reboot(2001, 61)),
    ]);
    assert_eq!(who(&writer, 1900), [(1, InForce)]);
    assert_eq!(who(&writer, 2002), [(2, InForce)]);
    assert_eq!(writer.history().timeline.set_back, []);
}

#[test]
fn a_reboot_with_a_clock_that_is_behind_leaves_open_how_long_the_plan_before_lasted() {
    let (_folder, mut writer) = history_of(&[
        (1, clocks(100_000, 50_000), clocks(100_000, 50_000)),
        (2, after_reboot(500, 60), after_reboot(500, 60)),
    ]);
    // Since that boot began at 440.
    assert_eq!(who(&writer, 400), []);
    assert_eq!(who(&writer, 450), [(1, Unconfirmed)]);
    assert_eq!(who(&writer, 600), [(1, Unconfirmed), (2, Unconfirmed)]);
    assert_eq!(who(&writer, 150_000), [(1, Unconfirmed), (2, Unconfirmed)]);
    // The clock is right again: from then on it is sure.
    let third = after_reboot(200_000, 100_000);
    let begun = writer.begin(new_revision(&plan(&[(3, 100)])), third).unwrap();
    writer.applied(begun, third).unwrap();
    assert_eq!(who(&writer, 150_000), [(1, Unconfirmed), (2, Unconfirmed)]);
    assert_eq!(who(&writer, 200_001), [(3, InForce)]);
}

#[test]
fn equal_times_name_both() {
    let (_folder, writer) = history_of(&[
        (1, clocks(1000, 0), clocks(1000, 0)),
        (2, clocks(1000, 0), clocks(1000, 0)),
        (3, clocks(1000, 0), clocks(1000, 0)),
    ]);
    assert_eq!(who(&writer, 1000).len(), 3);
    assert_eq!(who(&writer, 1001), [(3, InForce)]);
    assert_eq!(who(&writer, 999), []);
}

#[test]
fn flows_linger_also_at_times_that_the_clock_was_set_back_to() {
    let folder = folder();
    let mut writer = open(&folder);
    let (first, second) = (plan(&[(1, 100)]), plan(&[(2, 100)]));
    apply(&mut writer, &first, 10_000);
    let new = NewRevision { keeps_flows: true, longest_timeout: HOUR, ..new_revision(&second) };
    let begun = writer.begin(new, moment(20_000)).unwrap();
    writer.applied(begun, moment(20_001)).unwrap();
    // Ten minutes later the clock shows an hour less.
    writer.settled(begun.number, clocks(17_000, 20_600)).unwrap();
    // Both plans were in force while these times passed, and flows of the first lived on under the second.
    assert_eq!(who(&writer, 16_000), [(1, InForce)]);
    assert_eq!(who(&writer, 16_500), [(1, Unconfirmed), (2, Unconfirmed)]);
    assert_eq!(who(&writer, 20_500), [(2, Unconfirmed), (1, Holding::Lingering)]);
    assert_eq!(who(&writer, 20_700), [(2, InForce)]);
}
