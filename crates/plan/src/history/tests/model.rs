//! Random histories: against a linear scan over the plans, and against what really was in force in a simulated world.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// What happens.
#[derive(Clone, Debug)]
enum Step {
    Wait(u32),
    Apply {
        change: Change,
        keeps_flows: bool,
        outcome: Outcome,
    },
    Settle,
    Drift(u32),
    Prune(u32),
    Reopen,
    /// The clock is set by so many seconds.
    Set(i32),
    /// The machine boots again, with its clock right or at the beginning of time.
    Reboot {
        is_behind: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    Applied,
    Refused,
    /// A crash before anybody could write it, and whether the kernel had taken it.
    Unknown(bool),
}

/// How the next plan differs.
#[derive(Clone, Debug)]
enum Change {
    /// Two clients change places, one is new.
    Few(u8, u8),
    /// All move.
    All(u8),
    /// There is nobody.
    Nobody,
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        6 => Just(Outcome::Applied),
        1 => Just(Outcome::Refused),
        1 => any::<bool>().prop_map(Outcome::Unknown),
    ]
}

fn apply() -> impl Strategy<Value = Step> {
    let change = prop_oneof![
        6 => any::<(u8, u8)>().prop_map(|(a, b)| Change::Few(a, b)),
        2 => any::<u8>().prop_map(Change::All),
        1 => Just(Change::Nobody),
    ];
    (change, any::<bool>(), outcome()).prop_map(|(change, keeps_flows, outcome)| Step::Apply {
        change,
        keeps_flows,
        outcome,
    })
}

const CLIENTS: u8 = 12;

fn changed(plan: &Plan, change: &Change) -> Plan {
    let mut tenths: Vec<u16> = plan.allocations.iter().map(|a| a.block.ports.first() / 10).collect();
    if tenths.is_empty() {
        tenths = (0..u16::from(CLIENTS)).map(|n| 100 + n).collect();
    }
    match change {
        Change::Few(a, b) => tenths.swap(usize::from(a % CLIENTS), usize::from(b % CLIENTS)),
        Change::All(by) => tenths.rotate_left(usize::from(by % CLIENTS)),
        Change::Nobody => return Plan::default(),
    }
    let who: Vec<(u8, u16)> = (1..=CLIENTS).zip(tenths).collect();
    self::plan(&who)
}

fn holder(plan: &Plan, port: u16) -> Option<Ipv4Addr> {
    plan.allocations.iter().find(|a| a.block.ports.contains(port)).map(|a| a.client)
}

/// A world with one clock, in seconds since the epoch and since boot.
struct World {
    folder: TempDir,
    writer: Option<HistoryWriter>,
    /// Time that really passed.
    now: i64,
    /// The wall clock is ahead of it by this.
    offset: i64,
    booted: i64,
    boots: u8,
    plans: BTreeMap<u64, Plan>,
    newest: Plan,
    /// Since when which revision was in the kernel (0: none), really.
    truth: Vec<(i64, u64)>,
    /// Since when the wall clock was ahead by how much.
    clock: Vec<(i64, i64)>,
    /// Whose flows lived on, from when to when.
    lingering: Vec<(u64, i64, i64)>,
    /// Was the clock touched since the last revision?
    is_touched: bool,
}

const TIMEOUT: i64 = 100;
/// A clock at the beginning of time.
const BEHIND: i64 = -10_000_000;

impl World {
    fn new() -> Self {
        let folder = folder();
        let writer = Some(open(&folder));
        Self {
            folder,
            writer,
            now: 20_000_000,
            offset: 0,
            booted: 19_000_000,
            boots: 1,
            plans: BTreeMap::new(),
            newest: Plan::default(),
            truth: vec![(0, 0)],
            clock: vec![(20_000_000, 0)],
            lingering: Vec::new(),
            is_touched: false,
        }
    }

    fn moment(&self) -> Moment {
        Moment {
            wall: at(self.now + self.offset),
            boot: Duration::from_secs((self.now - self.booted) as u64),
            boot_id: [self.boots; 16],
        }
    }

    fn writer(&mut self) -> &mut HistoryWriter {
        self.writer.as_mut().unwrap()
    }

    fn reopen(&mut self) {
        self.writer = None;
        self.writer = Some(open(&self.folder));
    }

    fn in_kernel(&self) -> u64 {
        self.truth.last().unwrap().1
    }

    fn takes(&mut self, number: u64, keeps_flows: bool) {
        let before = self.in_kernel();
        if keeps_flows && before != 0 {
            self.lingering.push((before, self.now, self.now + TIMEOUT));
        }
        self.truth.push((self.now, number));
    }

    fn end_flows(&mut self) {
        for (_, _, until) in &mut self.lingering {
            *until = self.now.min(*until);
        }
    }

    fn set(&mut self, offset: i64) {
        self.offset = offset;
        self.clock.push((self.now, offset));
        self.is_touched = true;
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Wait(seconds) => self.now += i64::from(*seconds),
            Step::Apply { change, keeps_flows, outcome } => self.apply(change, *keeps_flows, *outcome),
            Step::Settle => {
                let (number, now) = (self.in_kernel(), self.moment());
                if number != 0 {
                    self.writer().settled(number, now).unwrap();
                    self.end_flows();
                }
            }
            Step::Drift(seconds) => {
                let (from, until) = (self.moment(), at(self.now + self.offset + i64::from(*seconds)));
                self.writer().drifted(DriftReason::RulesChanged, from, until).unwrap();
            }
            Step::Prune(age) => {
                let now = self.moment();
                let before = now.wall - Duration::from_secs(u64::from(*age));
                self.writer().prune(before, now).unwrap();
            }
            Step::Reopen => self.reopen(),
            // One change of the clock between two revisions: of two, one can hide the other.
            Step::Set(_) | Step::Reboot { .. } if self.is_touched => {}
            // A clock that is behind is put right, by no other value.
            Step::Set(by) => self.set(if self.offset < 0 { 0 } else { i64::from(by.unsigned_abs() % 1000) }),
            Step::Reboot { is_behind } => {
                self.reopen();
                self.boots += 1;
                self.booted = self.now;
                self.end_flows();
                // Of a clock that was wrong before, too, nobody can tell how long the boot before went on.
                let offset = if *is_behind && self.offset == 0 { BEHIND } else { self.offset };
                self.set(offset);
            }
        }
    }

    fn apply(&mut self, change: &Change, keeps_flows: bool, outcome: Outcome) {
        let plan = changed(&self.newest, change);
        let new = NewRevision {
            keeps_flows,
            longest_timeout: Duration::from_secs(TIMEOUT as u64),
            ..new_revision(&plan)
        };
        let now = self.moment();
        let begun = self.writer().begin(new, now).unwrap();
        self.now += 2;
        if !matches!(outcome, Outcome::Refused | Outcome::Unknown(false)) {
            self.takes(begun.number, keeps_flows);
        }
        self.now += 2;
        let now = self.moment();
        match outcome {
            Outcome::Applied => self.writer().applied(begun, now).unwrap(),
            Outcome::Refused => self.writer().refused(begun, now).unwrap(),
            Outcome::Unknown(_) => self.reopen(),
        }
        self.is_touched = false;
        self.newest = plan.clone();
        self.plans.insert(begun.number, plan);
    }

    /// The revisions that really were in the kernel when the wall clock showed this.
    fn really(&self, wall: i64) -> Vec<u64> {
        let mut all = Vec::new();
        for (n, (from, offset)) in self.clock.iter().enumerate() {
            let real = wall - offset;
            let until = self.clock.get(n + 1).map_or(self.now, |(until, _)| *until);
            if *from <= real && real < until {
                let since = self.truth.iter().rev().find(|(since, _)| *since <= real);
                all.extend(since.map(|(_, number)| *number));
                // What ends with a boot is over when the next clock begins, in the same second.
                let lives = self.lingering.iter().filter(|(_, from, to)| *from <= real && real < *to);
                all.extend(lives.map(|(number, _, _)| *number + LINGERS));
            }
        }
        all
    }
}

/// Added to the number of a revision that was not in the kernel itself, but its flows were.
const LINGERS: u64 = 1 << 32;

fn is_pruned(held: &Held) -> bool {
    held.gaps.iter().any(|(_, gap)| *gap == PlanGap::Pruned)
}

/// The linear scan: who can have had a port in a window, by the times that were written alone. No clock was set.
fn scan(history: &History, plans: &BTreeMap<u64, Plan>, port: u16, window: Period) -> BTreeSet<Ipv4Addr> {
    let all: Vec<&Revision> = history.revisions().iter().filter(|r| r.was_in_force()).collect();
    let mut found = BTreeSet::new();
    for (n, revision) in all.iter().enumerate() {
        let mut periods = Vec::new();
        let mut until = Timestamp::MAX;
        for later in &all[n + 1..] {
            if later.keeps_flows {
                let latest = later.since().wall + later.longest_timeout;
                periods.push(Period::new(later.begun.wall, later.settled.map_or(latest, |s| s.min(latest))));
            }
            if matches!(later.outcome, super::Outcome::Applied(_)) {
                until = later.since().wall;
                break;
            }
        }
        periods.push(Period::new(revision.begun.wall, until));
        if periods.iter().any(|period| period.overlaps(window)) {
            found.extend(holder(&plans[&revision.number], port));
        }
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn holders_are_those_of_a_linear_scan(
        steps in proptest::collection::vec(
            prop_oneof![
                3 => (0_u32..300).prop_map(Step::Wait),
                5 => apply(),
                1 => Just(Step::Settle),
                1 => (0_u32..100).prop_map(Step::Drift),
                1 => Just(Step::Reopen),
                1 => (0_u32..500).prop_map(Step::Prune),
            ],
            1..40,
        ),
        questions in proptest::collection::vec((1000_u16..1120, -500_i64..3000, 0_i64..400), 20),
    ) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
        }
        let history = History::open(world.folder.path()).unwrap();
        for (port, from, length) in questions {
            let from = 20_000_000 + from;
            let window = Period::new(at(from), at(from + length));
            let found = held_in(&history, port, window);
            let expected = scan(&history, &world.plans, port, window);
            if is_pruned(&found) {
                prop_assert!(clients(&found).is_subset(&expected));
            } else {
                prop_assert_eq!(clients(&found), expected);
            }
            let drifts = history.drifts().iter().filter(|drift| drift.period.overlaps(window)).count();
            let told = found.gaps.iter().any(|(_, gap)| matches!(gap, PlanGap::Drift(_)));
            prop_assert_eq!(told, drifts > 0);
        }
        for (number, plan) in &world.plans {
            if !history.is_pruned(*number) {
                let mut expected = plan.allocations.clone();
                expected.sort_unstable();
                prop_assert_eq!(&history.plan(*number).unwrap().allocations, &expected);
            }
        }
        prop_assert_eq!(findings(world.folder.path()), Vec::<String>::new());
    }

    #[test]
    fn whoever_really_had_the_port_is_named_whatever_the_clock_did(
        steps in proptest::collection::vec(
            prop_oneof![
                4 => (0_u32..300).prop_map(Step::Wait),
                5 => apply(),
                1 => Just(Step::Settle),
                1 => Just(Step::Reopen),
                1 => (0_u32..500).prop_map(Step::Prune),
                2 => any::<i32>().prop_map(Step::Set),
                1 => any::<bool>().prop_map(|is_behind| Step::Reboot { is_behind }),
            ],
            1..40,
        ),
        questions in proptest::collection::vec((1000_u16..1120, -500_i64..3000, any::<bool>()), 60),
    ) {
        let mut world = World::new();
        // What the clock showed before anything was written, nobody can know.
        world.apply(&Change::All(0), false, Outcome::Applied);
        for step in &steps {
            world.step(step);
        }
        if world.is_touched {
            // Nor afterwards.
            world.apply(&Change::Few(0, 1), false, Outcome::Applied);
        }
        world.now += 50;
        let history = History::open(world.folder.path()).unwrap();
        for (port, wall, is_behind) in questions {
            let wall = 20_000_000 + wall + if is_behind { BEHIND } else { 0 };
            let found = held(&history, port, wall);
            let named = clients(&found);
            for number in world.really(wall) {
                let number = number % LINGERS;
                let Some(client) = world.plans.get(&number).and_then(|plan| holder(plan, port)) else { continue };
                let is_named = named.contains(&client) || is_pruned(&found);
                prop_assert!(is_named, "{client} had {port} by revision {number} at {wall}: {found:?}");
            }
            for sure in found.holders.iter().filter(|holder| holder.holding == Holding::InForce) {
                for number in world.really(wall).into_iter().filter(|number| *number < LINGERS) {
                    let really = world.plans.get(&number).and_then(|plan| holder(plan, port));
                    prop_assert_eq!(really, Some(sure.allocation.client), "{} at {}", port, wall);
                }
            }
        }
    }
}
