//! The wall clock between the moments at which something was written, and what a clock that was set back makes of it.

use std::time::Duration;

use unmasq_flow::{Period, Timestamp};

use super::record::{LOADED_WITHIN, Moment, Outcome, Revision};

/// Every moment at which something was written, in order: they tell when the clock was set back.
#[derive(Default)]
pub(super) struct Clocks {
    pub(super) samples: Vec<Moment>,
    /// For each revision, how many samples there were when it was begun, applied and settled, its own included.
    pub(super) revisions: Vec<Counts>,
    /// Was the clock ever set back? Else there is nothing to look for, which thousands of revisions notice.
    is_set_back: bool,
}

/// Did the wall clock go on by less than the time that passed?
fn set_back(from: Moment, to: Moment) -> bool {
    from.until(to).is_some_and(|elapsed| from.wall + elapsed > to.wall + STEP)
}

#[derive(Clone, Copy)]
pub(super) struct Counts {
    begun: usize,
    applied: Option<usize>,
    settled: Option<usize>,
}

/// How many samples there were then, and the moment.
pub(super) type Place = (usize, Moment);

impl Counts {
    pub(super) const fn begun(self, revision: &Revision) -> Place {
        (self.begun, revision.begun)
    }

    pub(super) fn since(self, revision: &Revision) -> Place {
        (
            self.applied.filter(|_| revision.outcome != Outcome::Unknown).unwrap_or(self.begun),
            revision.since(),
        )
    }
}

impl Clocks {
    pub(super) fn sample(&mut self, moment: Moment) -> usize {
        self.is_set_back |=
            self.samples.last().is_some_and(|last| last.wall > moment.wall || set_back(*last, moment));
        self.samples.push(moment);
        self.samples.len()
    }

    pub(super) fn begun(&mut self, revision: &Revision) {
        let begun = self.sample(revision.begun);
        self.revisions.push(Counts { begun, applied: None, settled: None });
    }

    pub(super) fn applied(&mut self, place: Option<usize>, moment: Moment) {
        // The time that an adopted file was loaded by is computed, and can be written any time later.
        let count = if moment.is_known() { self.sample(moment) } else { self.samples.len() };
        if let Some(place) = place {
            self.revisions[place].applied = Some(count);
        }
    }

    pub(super) fn settled(&mut self, place: Option<usize>, moment: Moment) {
        let count = self.sample(moment);
        if let Some(place) = place {
            self.revisions[place].settled = Some(count);
        }
    }

    pub(super) fn of(&self, place: usize) -> Counts {
        self.revisions[place]
    }

    /// The wall-clock time from one moment to another.
    pub(super) fn between(&self, (from_count, from): Place, (to_count, to): Place) -> Stretch {
        // Without `to` itself, which is the last of them if it is one.
        let inner = self.samples.get(from_count..to_count.saturating_sub(1)).unwrap_or(&[]);
        if !self.is_set_back {
            return Stretch { period: Period::new(from.wall, to.wall), zones: Vec::new() };
        }
        self.along(from, from_count, inner.iter().chain([&to]))
    }

    /// Up to a moment.
    pub(super) fn before(&self, (count, to): Place) -> Stretch {
        self.between((1, self.samples.first().copied().unwrap_or(to)), (count, to))
    }

    /// From a moment on.
    pub(super) fn since(&self, (count, from): Place) -> Stretch {
        let mut stretch = self.along(from, count, self.samples[count..].iter());
        stretch.period.to = Timestamp::MAX;
        stretch
    }

    fn along<'a>(&self, from: Moment, count: usize, to: impl Iterator<Item = &'a Moment>) -> Stretch {
        let mut whole = Stretch { period: Period::at(from.wall), zones: Vec::new() };
        let mut before = from;
        for (n, moment) in to.enumerate() {
            let passing =
                self.samples[(count + n).min(self.samples.len())..].iter().map(|sample| sample.wall);
            whole.extend(before, *moment, passing);
            before = *moment;
        }
        whole
    }

    /// How long flows may live on that a revision left alone.
    pub(super) fn lingering(&self, place: usize, taking: &Revision) -> Period {
        let (counts, timeout) = (self.revisions[place], taking.longest_timeout);
        let applied = counts.applied.unwrap_or(counts.begun);
        let end = counts.settled.unwrap_or(self.samples.len()).max(applied);
        let (mut until, mut beyond, mut latest) = (applied, applied, taking.since().wall + timeout);
        for moment in &self.samples[applied..end] {
            let Some(passed) = taking.since().until(*moment) else { break };
            // What the wall clock showed at the timeout, if it was set before this moment.
            latest = latest.max(moment.wall - passed + timeout);
            beyond += 1;
            if passed > timeout {
                break;
            }
            until = beyond;
        }
        let along = |end| self.along(taking.begun, counts.begun, self.samples[counts.begun..end].iter());
        let (stretch, from) = (along(until), along(beyond).period.from);
        // Beyond the timeout, nobody lingers, whatever the clock showed when that was written. In another boot only the wall
        // clock tells that it was earlier, and only if nobody set it back since.
        let is_of_another_boot = |settled: &usize| {
            let (since, last) = (taking.since(), self.samples[*settled - 1]);
            let written = &self.samples[applied.saturating_sub(1)..*settled];
            let goes_on = |pair: &[Moment]| pair[0].wall <= pair[1].wall && !set_back(pair[0], pair[1]);
            since.until(last).is_none() && last.wall >= since.wall && written.windows(2).all(goes_on)
        };
        let last = match counts.settled {
            Some(settled) if settled == until => stretch.period.to,
            Some(settled) if is_of_another_boot(&settled) => self.samples[settled - 1].wall.min(latest),
            Some(_) | None => latest.max(stretch.period.to),
        };
        Period { from, to: last.max(taking.begun.wall) }
    }
}

/// The wall-clock time of a number of moments, with all that a clock set back makes of it.
pub(super) struct Stretch {
    pub(super) period: Period,
    /// Of that, what passed twice, or may have: what was in force before or after then is not sure.
    pub(super) zones: Vec<Period>,
}

/// A clock is corrected by less than this all the time.
const STEP: Duration = Duration::from_millis(100);

impl Stretch {
    /// Adds the time between two moments. `passing` are the times on the wall clock at later moments, in the order in which
    /// they came.
    fn extend(&mut self, from: Moment, to: Moment, mut passing: impl Iterator<Item = Timestamp>) {
        let (first, last) = (from.wall, to.wall);
        match from.until(to) {
            // The wall clock went on by less than the time that passed: it was set back somewhere on the way. If that was
            // at the beginning, the time before `first` passed again; if at the end, that after `last` will.
            Some(elapsed) if first + elapsed > last + STEP => {
                self.zones.push(Period::new(last - elapsed, first));
                self.zones.push(Period::new(last, first + elapsed));
                self.period = union(self.period, Period::new(last - elapsed, first + elapsed));
            }
            // Another boot began with a clock that is behind. How long the one before went on, nobody wrote; but when a
            // later moment is beyond, the clock was right again.
            None if last + LOADED_WITHIN < first => {
                let began = if to.is_known() { last - to.boot } else { last };
                let zone = Period::new(began, passing.find(|wall| *wall > first).unwrap_or(Timestamp::MAX));
                self.zones.push(zone);
                self.period = union(self.period, zone);
            }
            Some(_) | None => self.period = union(self.period, Period::new(first, last)),
        }
    }
}

pub(super) fn union(a: Period, b: Period) -> Period {
    Period { from: a.from.min(b.from), to: a.to.max(b.to) }
}
