//! Which revision was in force when, as far as the clocks tell.

use unmasq_flow::Period;

use super::clocks::{Clocks, Stretch, union};
use super::record::{DriftReason, Entry, Outcome, Revision};

/// A stretch of wall-clock time in which a revision can have been in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Place of the revision in the timeline.
    pub place: usize,
    /// The stretch.
    pub period: Period,
    /// What kind of claim.
    pub kind: Holding,
}

/// Why a revision can be meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Holding {
    /// It was in force.
    InForce,
    /// It was being loaded, or nobody wrote whether the kernel took it; or it was in force until the next one was, which
    /// was being loaded. Or the clock was set back, and that time passed twice.
    Unconfirmed,
    /// It was not in force any more, but flows that had begun under it were left alone.
    Lingering,
}

/// A stretch in which the kernel's rules were not those of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drift {
    /// When.
    pub period: Period,
    /// Why.
    pub reason: DriftReason,
}

/// All that an index says, in order of time.
#[derive(Clone, Debug, Default)]
pub(super) struct Timeline {
    /// In the order in which they were applied, whatever the wall clock said.
    pub(super) revisions: Vec<Revision>,
    pub(super) claims: Vec<Claim>,
    pub(super) drifts: Vec<Drift>,
    /// Revisions below this number were removed.
    pub(super) pruned_below: u64,
    /// Between two revisions the wall clock was set back: the stretches that passed twice, ascending and apart.
    pub(super) set_back: Vec<Period>,
    /// When the first revision of all was loaded: until then, none was in force.
    pub(super) first: Option<Period>,
}

/// A timeline that is read, one record after the other.
#[derive(Default)]
pub(super) struct Reading {
    timeline: Timeline,
    clocks: Clocks,
}

impl Reading {
    /// With room for so many records: an index has many, and growing costs more than reading them.
    pub(super) fn with_capacity(records: usize) -> Self {
        let mut reading = Self::default();
        // Most revisions have two.
        reading.timeline.revisions.reserve(records / 2 + 1);
        reading.clocks.revisions.reserve(records / 2 + 1);
        reading.clocks.samples.reserve(records);
        reading
    }

    pub(super) fn add(&mut self, entry: Entry) {
        let Self { timeline, clocks } = self;
        match entry {
            Entry::Begun(revision) => {
                clocks.begun(&revision);
                timeline.revisions.push(*revision);
            }
            Entry::Applied(number, moment) => {
                let place = timeline.of(number, |revision| revision.outcome = Outcome::Applied(moment));
                clocks.applied(place, moment);
            }
            Entry::Refused(number, moment) => {
                timeline.of(number, |r| r.outcome = Outcome::Refused);
                clocks.sample(moment);
            }
            Entry::Settled(number, moment) => {
                let place = timeline.of(number, |r| r.settled = Some(moment.wall));
                clocks.settled(place, moment);
            }
            Entry::Drift(reason, from, until) => {
                let drift = Drift { period: Period::new(from.wall, until), reason };
                // One that was open, without an end, is ended by a second record of the same beginning.
                let is_same = |d: &&mut Drift| d.reason == reason && d.period.from == drift.period.from;
                match timeline.drifts.iter_mut().rev().find(is_same) {
                    Some(open) => *open = drift,
                    None => timeline.drifts.push(drift),
                }
            }
            Entry::Pruned(below, moment) => {
                timeline.pruned_below = timeline.pruned_below.max(below);
                clocks.sample(moment);
            }
        }
    }

    pub(super) fn finish(mut self) -> Timeline {
        self.timeline.claim(&self.clocks);
        self.timeline
    }
}

impl Timeline {
    /// A record is about one of the newest revisions. Gives its place.
    fn of(&mut self, number: u64, change: impl FnOnce(&mut Revision)) -> Option<usize> {
        let place = self.revisions.iter().rposition(|r| r.number == number)?;
        change(&mut self.revisions[place]);
        Some(place)
    }

    fn claim(&mut self, clocks: &Clocks) {
        let in_force: Vec<usize> =
            (0..self.revisions.len()).filter(|place| self.revisions[*place].was_in_force()).collect();
        let (mut claims, mut zones) = (Vec::with_capacity(in_force.len() * 3), Vec::new());
        if let Some(&first) = in_force.first() {
            // Times before the first, when there was no plan, can have passed again.
            let (place, revision) = (clocks.of(first), &self.revisions[first]);
            zones.extend(clocks.before(place.begun(revision)).zones);
            self.first = Some(clocks.between(place.begun(revision), place.since(revision)).period);
        }
        for (nth, &place) in in_force.iter().enumerate() {
            let revision = &self.revisions[place];
            let mut claim = |stretch: Stretch, kind| {
                zones.extend(stretch.zones);
                claims.push(Claim { place, period: stretch.period, kind });
            };
            let (begun, since) = (clocks.of(place).begun(revision), clocks.of(place).since(revision));
            let kind = match revision.outcome {
                Outcome::Applied(applied) => {
                    if applied != revision.begun {
                        // Loaded at some moment between the two.
                        claim(clocks.between(begun, since), Holding::Unconfirmed);
                    }
                    Holding::InForce
                }
                Outcome::Unknown | Outcome::Refused => Holding::Unconfirmed,
            };
            let later = &in_force[nth + 1..];
            let Some(&next) = later.first() else {
                claim(clocks.since(since), kind);
                continue;
            };
            let next_begun = clocks.of(next).begun(&self.revisions[next]);
            // Two files of one second: the first may have been loaded for none of it.
            let is_of_same_second = !since.1.is_known() && next_begun.1.wall < since.1.wall;
            let kind = if is_of_same_second { Holding::Unconfirmed } else { kind };
            claim(clocks.between(since, next_begun), kind);
            // Until the next one was surely applied, this one can still have been in force: if nobody wrote whether the
            // kernel took the next, until one after it was.
            let is_applied = |place: &usize| matches!(self.revisions[*place].outcome, Outcome::Applied(_));
            let applied = later.iter().position(is_applied);
            claim(
                match applied.map(|last| later[last]) {
                    Some(place) => clocks.between(next_begun, clocks.of(place).since(&self.revisions[place])),
                    None => clocks.since(next_begun),
                },
                Holding::Unconfirmed,
            );
            // Each of those can be the one that left its flows alone.
            let taking_over = &later[..applied.map_or(later.len(), |last| last + 1)];
            let lingering = taking_over
                .iter()
                .filter(|place| self.revisions[**place].keeps_flows)
                .map(|place| clocks.lingering(*place, &self.revisions[*place]));
            if let Some(period) = lingering.reduce(union) {
                claims.push(Claim { place, period, kind: Holding::Lingering });
            }
        }
        self.set_back = merged(zones);
        if self.set_back.is_empty() {
            self.claims = claims;
            return;
        }
        for claim in claims {
            split(&mut self.claims, claim, &self.set_back);
        }
    }
}

/// Sorted, and those that touch as one.
fn merged(mut zones: Vec<Period>) -> Vec<Period> {
    zones.sort_unstable_by_key(|zone| zone.from);
    let mut merged: Vec<Period> = Vec::with_capacity(zones.len());
    for zone in zones {
        match merged.last_mut() {
            Some(last) if zone.from <= last.to => last.to = last.to.max(zone.to),
            _ => merged.push(zone),
        }
    }
    merged
}

/// Adds a claim. What is in force at a time that passed twice is not sure.
fn split(claims: &mut Vec<Claim>, claim: Claim, zones: &[Period]) {
    let Period { mut from, to } = claim.period;
    let first = zones.partition_point(|zone| zone.to < from);
    let touching = zones[first..].iter().take_while(|zone| zone.from <= to);
    if claim.kind != Holding::InForce || touching.clone().next().is_none() {
        claims.push(claim);
        return;
    }
    let mut part = |from, to, kind| claims.push(Claim { period: Period { from, to }, kind, ..claim });
    for zone in touching {
        if zone.from > from {
            part(from, zone.from, Holding::InForce);
        }
        part(zone.from.max(from), zone.to.min(to), Holding::Unconfirmed);
        from = zone.to;
    }
    if from < to {
        part(from, to, Holding::InForce);
    }
}
