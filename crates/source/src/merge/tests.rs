//! With sources of a script and a clock of the test.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::collection::vec;
use proptest::prelude::*;
use unmasq_entry::Value;

use super::*;

/// What the wall clock shows when the steady one shows 0, in milliseconds.
const BASE: i64 = 1_795_251_448_000;

const ALLOWANCE: u64 = 1000;

/// A record: when it can be read, and the time it bears, by the steady clock in milliseconds.
#[derive(Clone, Copy, Debug)]
struct Record {
    arrives: u64,
    bears: u64,
}

/// Gives the records that have arrived. The field `id` of each says whose it is and the how manieth.
struct Script {
    number: usize,
    records: Vec<Record>,
    next: usize,
    clock: Arc<AtomicU64>,
    has_places: bool,
    ends: bool,
}

impl Source for Script {
    fn read(&mut self, entry: &mut Entry, fields: &Fields) -> Result<Read, SourceError> {
        assert_eq!(entry.iter().count(), 0, "an entry to read into is clear");
        match self.records.get(self.next) {
            Some(record) if record.arrives <= self.clock.load(Ordering::Relaxed) => {
                entry.time = Some(Timestamp::from_millis(BASE + record.bears as i64));
                let id = format!("{}:{}", self.number, self.next);
                entry.set(fields.find("id").unwrap(), Value::Text(&id));
                self.next += 1;
                Ok(Read::Entry)
            }
            None if self.ends => Ok(Read::End),
            _ => Ok(Read::Idle),
        }
    }

    fn position(&mut self) -> Result<Position, SourceError> {
        Ok(if self.has_places { Position::Cursor(self.next.to_string()) } else { Position::None })
    }

    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        Vec::new()
    }

    fn name(&self) -> &'static str {
        "script"
    }
}

/// The merge of some scripts, and its clock.
struct World {
    merge: Merge<Script>,
    clock: Arc<AtomicU64>,
    fields: Fields,
    entry: Entry,
}

/// An entry that came out.
#[derive(Clone, Debug, PartialEq)]
struct Out {
    id: String,
    bears: u64,
    at: u64,
}

impl World {
    fn new(order: Order) -> Self {
        let mut fields = Fields::default();
        fields.slot("id");
        let entry = Entry::new(&fields);
        Self { merge: Merge::new("all", order), clock: Arc::default(), fields, entry }
    }

    fn live() -> Self {
        Self::new(Order::Live { allowance: Duration::from_millis(ALLOWANCE) })
    }

    fn add(&mut self, records: &[Record], has_places: bool, ends: bool) {
        self.add_at(records, 0, None, has_places, ends);
    }

    /// As [`World::add`], with what was saved in an earlier run.
    fn add_at(
        &mut self,
        records: &[Record],
        next: usize,
        saved: Option<&MemberPosition>,
        has_places: bool,
        ends: bool,
    ) {
        let number = self.merge.len();
        let clock = Arc::clone(&self.clock);
        let script = Script { number, records: records.to_vec(), next, clock, has_places, ends };
        self.merge.add(number.to_string(), script, saved).unwrap();
    }

    fn now(&self) -> u64 {
        self.clock.load(Ordering::Relaxed)
    }

    /// One step at the clock's time.
    fn step(&mut self) -> Option<Out> {
        let at = self.now();
        let now = Now { wall: Timestamp::from_millis(BASE + at as i64), steady: Duration::from_millis(at) };
        self.entry.clear();
        if self.merge.step(&mut self.entry, &self.fields, now).unwrap() != Read::Entry {
            return None;
        }
        let id = self.entry.text(self.fields.find("id").unwrap()).unwrap().to_owned();
        let bears = (self.entry.time.unwrap().as_millis() - BASE) as u64;
        Some(Out { id, bears, at })
    }

    /// Steps until there is nothing, then lets the time pass to the next record or the next wish to be woken.
    fn run(&mut self, most: usize) -> Vec<Out> {
        let mut out = Vec::new();
        while out.len() < most {
            if let Some(entry) = self.step() {
                out.push(entry);
                continue;
            }
            let now = self.now();
            let scripts = self.merge.members.iter().map(|member| &member.source);
            let arrivals = scripts.filter_map(|script| Some(script.records.get(script.next)?.arrives));
            let wake = self.merge.wake().map(|wake| now + wake.as_millis().max(1) as u64);
            let Some(next) = arrivals.filter(|&at| at > now).chain(wake).min() else { break };
            self.clock.store(next, Ordering::Relaxed);
        }
        out
    }
}

fn record(arrives: u64, bears: u64) -> Record {
    Record { arrives, bears }
}

fn bears(out: &[Out]) -> Vec<u64> {
    out.iter().map(|entry| entry.bears).collect()
}

#[test]
fn a_late_line_of_one_host_comes_before_the_later_ones_of_another() {
    let mut world = World::live();
    world.add(&[record(10, 10), record(600, 600)], true, false);
    world.add(&[record(500, 5)], true, false);
    assert_eq!(bears(&world.run(9)), [5, 10, 600]);
}

#[test]
fn a_silent_source_delays_by_the_allowance_and_an_ended_one_not_at_all() {
    for (ends, expected) in [(false, ALLOWANCE), (true, 0)] {
        let mut world = World::live();
        world.add(&[record(7, 7)], true, false);
        world.add(&[], true, ends);
        let out = world.run(9);
        assert!((7 + expected..=8 + expected).contains(&out[0].at), "{out:?}");
    }
}

#[test]
fn what_is_older_than_the_allowance_waits_for_nobody() {
    let mut world = World::live();
    world.clock.store(60_000, Ordering::Relaxed);
    let records: Vec<_> = (0..500).map(|n| record(0, n)).collect();
    world.add(&records, true, false);
    world.add(&[], true, false);
    let out = world.run(500);
    assert_eq!(out.len(), 500);
    assert_eq!(out[499].at, 60_000);
}

#[test]
fn a_clock_that_is_ahead_delays_its_entries_by_the_allowance_at_most() {
    let mut world = World::live();
    let records: Vec<_> = (0..50).map(|n| record(n * 10, 3_600_000 + n * 10)).collect();
    world.add(&records, true, false);
    world.add(&[], true, false);
    let out = world.run(50);
    for (entry, record) in out.iter().zip(&records) {
        assert!(entry.at <= record.arrives + ALLOWANCE, "{entry:?} of {record:?}");
    }
}

#[test]
fn more_than_memory_is_meant_for_is_given_before_its_time() {
    let mut world = World::live();
    let records = vec![record(0, 0); MOST_ENTRIES + 10];
    world.add(&records, true, false);
    world.add(&[], true, false);
    let mut given = 0;
    while world.step().is_some() {
        given += 1;
    }
    assert_eq!(given, 11, "the first, and one for each that made it too many");
    assert_eq!(world.merge.hurried(), 11);
    assert!(world.merge.notice().unwrap().message.contains("11 entries"));
    assert_eq!(world.merge.notice(), None);
}

#[test]
fn held_entries_are_fitted_to_other_fields() {
    let mut world = World::live();
    world.add(&[record(0, 0), record(0, 1)], true, false);
    world.add(&[], true, false);
    assert_eq!(world.step(), None);
    let mut fields = Fields::default();
    fields.slot("another");
    fields.slot("id");
    world.merge.refit(&world.fields, &fields);
    world.entry = Entry::new(&fields);
    world.fields = fields;
    let ids: Vec<_> = world.run(9).into_iter().map(|entry| entry.id).collect();
    assert_eq!(ids, ["0:0", "0:1"]);
}

#[test]
fn an_exact_merge_waits_for_a_source_that_has_nothing_now() {
    let mut world = World::new(Order::Exact);
    world.add(&[record(0, 10)], true, true);
    world.add(&[record(50, 5)], true, true);
    assert_eq!(world.step(), None);
    assert_eq!(bears(&world.run(9)), [5, 10]);
}

/// Records of one source: pauses between them, and how much later than its time each comes, at most `latest`.
fn records(latest: u64) -> impl Strategy<Value = Vec<Record>> {
    vec((0..400u64, 0..=latest), 0..30).prop_map(|parts| {
        let (mut bears, mut arrives) = (0, 0);
        parts
            .into_iter()
            .map(|(pause, late)| {
                bears += pause;
                arrives = (bears + late).max(arrives);
                record(arrives, bears)
            })
            .collect()
    })
}

/// How often each record came out, and whether those of one source came in their order.
fn came_once(out: &[Out], sources: &[Vec<Record>]) -> bool {
    (0..sources.len()).all(|number| {
        let prefix = format!("{number}:");
        let of: Vec<_> = out.iter().filter_map(|entry| entry.id.strip_prefix(&prefix)).collect();
        of.iter().map(|id| id.parse::<usize>().ok()).eq((0..sources[number].len()).map(Some))
    })
}

proptest! {
    #[test]
    fn to_the_end_the_order_is_that_of_the_times(sources in vec(records(5000), 1..5)) {
        let mut world = World::new(Order::Exact);
        for records in &sources {
            world.add(records, true, true);
        }
        let out = world.run(usize::MAX);
        prop_assert!(came_once(&out, &sources));
        prop_assert!(bears(&out).is_sorted());
    }

    #[test]
    fn within_the_allowance_the_order_is_that_of_the_times(sources in vec(records(ALLOWANCE), 1..5)) {
        let mut world = World::live();
        for records in &sources {
            world.add(records, true, false);
        }
        let out = world.run(usize::MAX);
        prop_assert!(came_once(&out, &sources));
        prop_assert!(bears(&out).is_sorted(), "{:?}", out);
    }

    #[test]
    fn however_late_nothing_is_dropped_and_nothing_waits_longer_than_the_allowance(
        sources in vec(records(5000), 1..5), ends: [bool; 5],
    ) {
        let mut world = World::live();
        for (records, ends) in sources.iter().zip(ends) {
            world.add(records, true, ends);
        }
        let out = world.run(usize::MAX);
        prop_assert!(came_once(&out, &sources));
        for entry in &out {
            let (number, index) = entry.id.split_once(':').unwrap();
            let record = sources[number.parse::<usize>().unwrap()][index.parse::<usize>().unwrap()];
            prop_assert!(entry.at <= record.arrives + ALLOWANCE + 1, "{:?} of {:?}", entry, record);
        }
    }

    #[test]
    fn a_restart_at_any_moment_neither_loses_nor_repeats(
        sources in vec((records(3000), any::<bool>()), 1..5), stops in vec(0..40usize, 1..4),
    ) {
        let mut out = Vec::new();
        let mut world = World::live();
        for (records, has_places) in &sources {
            world.add(records, *has_places, false);
        }
        for stop in stops {
            out.extend(world.run(stop));
            let Position::Merged(places) = world.merge.position().unwrap() else { panic!("several") };
            let read: Vec<_> = world.merge.members.iter().map(|member| member.source.next).collect();
            let clock = world.now();
            world = World::live();
            world.clock.store(clock, Ordering::Relaxed);
            for (number, (records, has_places)) in sources.iter().enumerate() {
                let place = places.iter().find(|place| place.name == number.to_string()).unwrap();
                let next = match &place.place {
                    Position::Cursor(next) => next.parse().unwrap(),
                    // What a socket gave is gone.
                    _ => read[number],
                };
                world.add_at(records, next, Some(place), *has_places, false);
            }
        }
        out.extend(world.run(usize::MAX));
        let sources: Vec<_> = sources.into_iter().map(|(records, _)| records).collect();
        prop_assert!(came_once(&out, &sources), "{:?}", out);
    }
}
