//! All that was said about a stream's coverage, folded into stretches, and the answer to "was it complete then?".
//!
//! Pure: marks in, coverage out. Everything that no stretch covers is a gap, whoever forgot to say so: a recorder that
//! was killed and never came back leaves a gap that begins at its last statement and has no end.

use std::collections::BTreeMap;

use unmasq_flow::{ClockReading, Coverage, Gap, GapReason, Period, Scope, Timestamp};

use super::mark::{Absence, CoverageEvent, Mark, Span, Step};

/// A jump of the wall clock against the boot clock by more than this is a step.
const STEP_NANOS: u64 = 100_000_000;

/// What a stream says of an import whose completeness nobody stated.
const IMPORTED: &str = "imported from a log of which nobody stated that it is complete";

/// Coverage of one stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Timeline {
    spans: Vec<Span>,
    gaps: Vec<Gap>,
    steps: Vec<Step>,
    absences: Vec<Absence>,
    /// Number in `spans` of the stretch that is being extended, for each namespace.
    active: BTreeMap<Box<str>, usize>,
    last: Option<ClockReading>,
    pruned_until: Option<Timestamp>,
}

impl Timeline {
    /// Takes one more mark into account.
    pub(crate) fn apply(&mut self, mark: &Mark) {
        match mark {
            Mark::Event(CoverageEvent::Started { scope, clock }) => {
                self.read(*clock);
                for absence in &mut self.absences {
                    if absence.namespace == scope.namespace && absence.period.to == Timestamp::MAX {
                        absence.period.to = clock.wall.max(absence.period.from);
                    }
                }
                self.begin(scope.clone(), Period::at(clock.wall), clock.is_synchronised);
            }
            Mark::Event(CoverageEvent::Alive { clock }) => self.read(*clock),
            Mark::Event(CoverageEvent::Gap(gap)) => self.add_gap(gap.clone()),
            Mark::Event(CoverageEvent::Stopped { namespace: Some(namespace), clock }) => {
                self.read(*clock);
                self.active.remove(namespace);
                self.absences.push(Absence {
                    namespace: namespace.clone(),
                    period: Period::new(clock.wall, Timestamp::MAX),
                });
            }
            Mark::Event(CoverageEvent::Stopped { namespace: None, clock }) => {
                self.read(*clock);
                self.active.clear();
            }
            Mark::Event(CoverageEvent::Imported { scope, period, is_complete }) => {
                let span = Span {
                    scope: scope.clone(),
                    period: *period,
                    is_synchronised: true,
                    is_complete: *is_complete,
                };
                // An import that is run again says the same again.
                if !self.spans.contains(&span) {
                    self.spans.push(span);
                }
            }
            Mark::Session => {
                self.active.clear();
            }
            Mark::Span(span) => self.spans.push(span.clone()),
            Mark::Step(step) => self.steps.push(*step),
            Mark::Absent(absence) => self.absences.push(absence.clone()),
            Mark::Pruned(until) => self.forget_before(*until),
            Mark::Clock(clock) => self.last = Some(*clock),
        }
    }

    fn add_gap(&mut self, gap: Gap) {
        if let Some(last) = self.gaps.last_mut()
            && last.reason == gap.reason
            && !matches!(gap.reason, GapReason::Overrun { .. })
            && last.namespace == gap.namespace
            && last.period.overlaps(gap.period)
        {
            last.period.from = last.period.from.min(gap.period.from);
            last.period.to = last.period.to.max(gap.period.to);
            return;
        }
        self.gaps.push(gap);
    }

    fn begin(&mut self, scope: Scope, period: Period, is_synchronised: bool) {
        self.active.insert(scope.namespace.clone(), self.spans.len());
        self.spans.push(Span { scope, period, is_synchronised, is_complete: true });
    }

    /// A reading of the clocks: what is active is complete up to there.
    fn read(&mut self, clock: ClockReading) {
        let step = match self.last {
            Some(last) if !self.active.is_empty() && clock.boot >= last.boot => clock.step_since(last),
            _ => 0,
        };
        let before = self.last.map_or(clock.wall, |last| last.wall);
        let is_step = step.unsigned_abs() > STEP_NANOS;
        if is_step {
            self.steps.push(Step { before, after: clock.wall, by: step });
        }
        let active: Vec<usize> = self.active.values().copied().collect();
        for number in active {
            let span = &mut self.spans[number];
            if is_step || span.is_synchronised != clock.is_synchronised {
                // What a step forward passes over was lived through, under another reading: it is covered, and the
                // step is told with it. A step back begins earlier, a second time.
                let next = Period::new(before, clock.wall);
                let scope = span.scope.clone();
                self.begin(scope, next, clock.is_synchronised);
            } else {
                span.period.to = span.period.to.max(clock.wall);
            }
        }
        self.last = Some(clock);
    }

    /// The last reading that was stated: when the writer was last known to be alive.
    pub(crate) fn last_reading(&self) -> Option<ClockReading> {
        self.last
    }

    /// The namespaces that were being recorded when the last statement was made.
    pub(crate) fn active_namespaces(&self) -> Vec<Box<str>> {
        self.active.keys().cloned().collect()
    }

    /// When the first stretch begins.
    pub(crate) fn begins(&self) -> Option<Timestamp> {
        self.spans.iter().map(|span| span.period.from).min()
    }

    /// Up to when all was pruned.
    pub(crate) fn pruned_until(&self) -> Option<Timestamp> {
        self.pruned_until
    }

    /// Drops what lies wholly before `until`; from now on that is called pruned.
    pub(crate) fn forget_before(&mut self, until: Timestamp) {
        if self.pruned_until.is_some_and(|already| already >= until) {
            return;
        }
        self.pruned_until = Some(until);
        let mut kept = Vec::new();
        let mut active = BTreeMap::new();
        for (number, mut span) in std::mem::take(&mut self.spans).into_iter().enumerate() {
            let extends = self.active.iter().find(|(_, n)| **n == number).map(|(name, _)| name.clone());
            if span.period.to < until && extends.is_none() {
                continue;
            }
            span.period.from = span.period.from.max(until);
            span.period.to = span.period.to.max(until);
            active.extend(extends.map(|name| (name, kept.len())));
            kept.push(span);
        }
        self.spans = kept;
        self.active = active;
        self.gaps.retain(|gap| gap.period.to >= until);
        self.steps.retain(|step| step.before.max(step.after) >= until);
        self.absences.retain(|absence| absence.period.to >= until);
    }

    /// Takes over what another reading of the same stream, a moment later, says was pruned meanwhile. Nothing else of it: the
    /// later one may also claim to be complete where this one's flows were not read.
    pub(crate) fn prune_as(&mut self, later: &Self) {
        if let Some(until) = later.pruned_until {
            self.forget_before(until);
        }
        for gap in later.gaps.iter().filter(|gap| gap.reason == GapReason::Pruned) {
            if !self.gaps.contains(gap) {
                self.add_gap(gap.clone());
            }
        }
    }

    /// The fewest marks that say the same, but for what is active: a session that reads them back has ended.
    pub(crate) fn summary(&self) -> Vec<Mark> {
        let mut marks: Vec<Mark> = self.pruned_until.map(Mark::Pruned).into_iter().collect();
        let is_active = |number: usize| self.active.values().any(|n| *n == number);
        let mut joined: Vec<Span> = Vec::new();
        for (number, span) in self.spans.iter().enumerate() {
            match joined.iter_mut().rev().find(|earlier| earlier.scope.namespace == span.scope.namespace) {
                Some(earlier)
                    if earlier.scope == span.scope
                        && earlier.is_synchronised == span.is_synchronised
                        && earlier.is_complete == span.is_complete
                        && earlier.period.overlaps(span.period)
                        && !is_active(number) =>
                {
                    earlier.period.from = earlier.period.from.min(span.period.from);
                    earlier.period.to = earlier.period.to.max(span.period.to);
                }
                _ => joined.push(span.clone()),
            }
        }
        marks.extend(joined.into_iter().map(Mark::Span));
        marks.extend(self.gaps.iter().cloned().map(|gap| Mark::Event(CoverageEvent::Gap(gap))));
        marks.extend(self.steps.iter().copied().map(Mark::Step));
        marks.extend(self.absences.iter().cloned().map(Mark::Absent));
        marks.extend(self.last.map(Mark::Clock));
        for number in self.active.values() {
            let (Some(span), Some(last)) = (self.spans.get(*number), self.last) else { continue };
            marks.push(Mark::Event(CoverageEvent::Started { scope: span.scope.clone(), clock: last }));
        }
        marks
    }

    /// What is known about a period. The stretches and the gaps together fill it.
    pub(crate) fn coverage(&self, period: Period) -> Coverage {
        let clip = |p: Period| {
            let clipped = Period { from: p.from.max(period.from), to: p.to.min(period.to) };
            (clipped.from <= clipped.to).then_some(clipped)
        };
        let complete: Vec<&Span> = self.spans.iter().filter(|span| span.is_complete).collect();
        let mut gaps: Vec<Gap> = Vec::new();
        // Nobody recorded anything: one gap for all of the stream.
        let anyone = complete.iter().filter_map(|span| clip(span.period)).collect();
        for hole in holes(period, anyone) {
            self.name_hole(hole, None, &mut gaps);
        }
        // Somebody recorded, but not this namespace, which was recorded before.
        let mut by_namespace: BTreeMap<&str, Vec<&Span>> = BTreeMap::new();
        for span in &complete {
            by_namespace.entry(&span.scope.namespace).or_default().push(span);
        }
        let several = by_namespace.len() > 1;
        for (namespace, spans) in &by_namespace {
            let Some(first) = spans.iter().map(|span| span.period.from).min() else { continue };
            let Some(life) = clip(Period { from: first.min(period.to), to: Timestamp::MAX }) else {
                continue;
            };
            if !several || first > period.to {
                continue;
            }
            let mut known: Vec<Period> = spans.iter().map(|span| span.period).collect();
            known.extend(self.absences.iter().filter(|a| &*a.namespace == *namespace).map(|a| a.period));
            known.extend(gaps.iter().filter(|gap| gap.namespace.is_none()).map(|gap| gap.period));
            for hole in holes(life, known) {
                self.name_hole(hole, Some(namespace), &mut gaps);
            }
        }
        let stated: Vec<Gap> = self
            .gaps
            .iter()
            .filter_map(|gap| Some(Gap { period: clip(gap.period)?, ..gap.clone() }))
            .collect();
        let mut covered = Vec::new();
        let mut is_clock_synchronised = true;
        for span in &complete {
            let Some(inside) = clip(span.period) else { continue };
            is_clock_synchronised &= span.is_synchronised;
            let lost: Vec<Period> = stated
                .iter()
                .filter(|gap| gap.namespace.as_ref().is_none_or(|name| *name == span.scope.namespace))
                .map(|gap| gap.period)
                .collect();
            covered.extend(holes(inside, lost).into_iter().map(|left| (left, span.scope.clone())));
        }
        gaps.extend(stated);
        gaps.sort_by_key(|gap| (gap.period.from, gap.period.to));
        covered.sort_by_key(|(stretch, _)| (stretch.from, stretch.to));
        let clock_steps = self
            .steps
            .iter()
            .filter(|step| Period::new(step.before, step.after).overlaps(period))
            .map(|step| (step.after, step.by))
            .collect();
        Coverage { covered, gaps, clock_steps, is_clock_synchronised }
    }

    /// A stretch that nothing covers, with the reason as far as it is known.
    fn name_hole(&self, hole: Period, namespace: Option<&str>, gaps: &mut Vec<Gap>) {
        let named = || namespace.map(Into::into);
        let mut rest = hole;
        if let Some(until) = self.pruned_until
            && rest.from < until
        {
            let to = rest.to.min(until);
            gaps.push(Gap {
                period: Period { from: rest.from, to },
                namespace: named(),
                reason: GapReason::Pruned,
            });
            if rest.to <= until {
                return;
            }
            rest.from = until;
        }
        let imported: Vec<Period> = self
            .spans
            .iter()
            .filter(|span| !span.is_complete && namespace.is_none_or(|n| *n == *span.scope.namespace))
            .map(|span| span.period)
            .collect();
        let down = holes(rest, imported);
        for period in holes(rest, down.clone()) {
            let reason = GapReason::Failed(IMPORTED.to_owned());
            gaps.push(Gap { period, namespace: named(), reason });
        }
        gaps.extend(down.into_iter().map(|period| Gap {
            period,
            namespace: named(),
            reason: GapReason::Down,
        }));
    }
}

/// What is left of a period without the others. Touching ends leave nothing between.
fn holes(period: Period, mut others: Vec<Period>) -> Vec<Period> {
    others.sort_by_key(|p| (p.from, p.to));
    let mut holes = Vec::new();
    let mut from = period.from;
    let mut is_first = true;
    for other in others.iter().filter(|other| other.overlaps(period)) {
        if from < other.from {
            holes.push(Period { from, to: other.from });
        }
        from = from.max(other.to);
        is_first = false;
        if other.to >= period.to {
            return holes;
        }
    }
    if from < period.to || is_first {
        holes.push(Period { from, to: period.to });
    }
    holes
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use unmasq_flow::{DestinationPolicy, ScopeKind};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn clock(seconds: i64) -> ClockReading {
        ClockReading {
            wall: at(seconds),
            boot: Duration::from_secs(seconds.unsigned_abs()),
            is_synchronised: true,
        }
    }

    fn scope(namespace: &str) -> Scope {
        Scope { namespace: namespace.into(), kind: ScopeKind::All, destinations: DestinationPolicy::Keep }
    }

    fn started(namespace: &str, seconds: i64) -> Mark {
        Mark::Event(CoverageEvent::Started { scope: scope(namespace), clock: clock(seconds) })
    }

    fn alive(seconds: i64) -> Mark {
        Mark::Event(CoverageEvent::Alive { clock: clock(seconds) })
    }

    fn fold(marks: &[Mark]) -> Timeline {
        let mut timeline = Timeline::default();
        for mark in marks {
            timeline.apply(mark);
        }
        timeline
    }

    fn gaps(timeline: &Timeline, from: i64, to: i64) -> Vec<(i64, i64, &'static str)> {
        let coverage = timeline.coverage(Period::new(at(from), at(to)));
        let word = |reason: &GapReason| match reason {
            GapReason::Down => "down",
            GapReason::Pruned => "pruned",
            GapReason::Overrun { .. } => "overrun",
            _ => "other",
        };
        let gap = |g: &Gap| (g.period.from.as_seconds(), g.period.to.as_seconds(), word(&g.reason));
        coverage.gaps.iter().map(gap).collect()
    }

    #[test]
    fn a_recorder_that_died_and_never_came_back_leaves_a_gap_without_end() {
        let timeline = fold(&[started("", 100), alive(101), alive(160)]);
        assert!(timeline.coverage(Period::new(at(100), at(160))).is_complete());
        assert_eq!(gaps(&timeline, 150, 1000), [(160, 1000, "down")]);
        assert_eq!(gaps(&timeline, 500, 500), [(500, 500, "down")]);
        assert_eq!(gaps(&timeline, 50, 120), [(50, 100, "down")]);
        assert_eq!(gaps(&Timeline::default(), 1, 2), [(1, 2, "down")]);
    }

    #[test]
    fn the_time_between_two_sessions_is_a_gap() {
        let timeline = fold(&[started("", 100), alive(160), Mark::Session, started("", 300), alive(400)]);
        assert_eq!(gaps(&timeline, 110, 390), [(160, 300, "down")]);
    }

    #[test]
    fn a_stated_gap_is_not_covered_by_later_statements() {
        let gap = Gap {
            period: Period::new(at(120), at(130)),
            namespace: None,
            reason: GapReason::Overrun { lost: Some(7) },
        };
        let timeline =
            fold(&[started("", 100), alive(125), Mark::Event(CoverageEvent::Gap(gap)), alive(200)]);
        assert_eq!(gaps(&timeline, 100, 200), [(120, 130, "overrun")]);
        let covered = timeline.coverage(Period::new(at(100), at(200))).covered;
        assert_eq!(covered.iter().map(|c| c.0.from.as_seconds()).collect::<Vec<_>>(), [100, 130]);
    }

    #[test]
    fn a_namespace_that_went_is_no_gap_but_one_that_was_forgotten_is() {
        let stop = Mark::Event(CoverageEvent::Stopped { namespace: Some("vpn".into()), clock: clock(150) });
        let gone = fold(&[started("", 100), started("vpn", 110), stop, alive(200)]);
        assert_eq!(gaps(&gone, 100, 200), []);
        let forgotten = fold(&[
            started("", 100),
            started("vpn", 110),
            alive(150),
            Mark::Session,
            started("", 150),
            alive(200),
        ]);
        let coverage = forgotten.coverage(Period::new(at(160), at(170)));
        assert_eq!(coverage.gaps.len(), 1);
        assert_eq!(coverage.gaps[0].namespace.as_deref(), Some("vpn"));
    }

    #[test]
    fn a_clock_that_steps_is_told_and_costs_no_coverage() {
        let forward = ClockReading { boot: Duration::from_secs(102), ..clock(162) };
        let back = ClockReading { boot: Duration::from_secs(103), ..clock(50) };
        let event = |clock| Mark::Event(CoverageEvent::Alive { clock });
        let timeline = fold(&[started("", 100), alive(101), event(forward), event(back)]);
        let coverage = timeline.coverage(Period::new(at(120), at(130)));
        assert!(coverage.is_complete());
        assert_eq!(coverage.clock_steps, [(at(162), 60_000_000_000), (at(50), -113_000_000_000)]);
        assert!(timeline.coverage(Period::new(at(55), at(60))).is_complete());
        let slewed = ClockReading { boot: Duration::from_millis(101_950), ..clock(102) };
        assert!(fold(&[started("", 100), alive(101), event(slewed)]).steps.is_empty());
    }

    #[test]
    fn an_import_is_complete_only_if_somebody_said_so() {
        let import = |is_complete| {
            let period = Period::new(at(100), at(200));
            fold(&[Mark::Event(CoverageEvent::Imported { scope: scope(""), period, is_complete })])
        };
        assert_eq!(gaps(&import(false), 150, 160), [(150, 160, "other")]);
        assert_eq!(gaps(&import(true), 150, 160), []);
        assert_eq!(gaps(&import(false), 90, 160), [(90, 100, "down"), (100, 160, "other")]);
    }

    #[test]
    fn what_was_pruned_is_called_so() {
        let timeline = fold(&[started("", 100), alive(200), Mark::Pruned(at(150)), alive(300)]);
        assert_eq!(gaps(&timeline, 160, 300), []);
        assert_eq!(gaps(&timeline, 110, 300), [(110, 150, "pruned")]);
        let later = fold(&[
            started("", 100),
            alive(120),
            Mark::Session,
            started("", 160),
            alive(200),
            Mark::Pruned(at(150)),
        ]);
        assert_eq!(gaps(&later, 110, 200), [(110, 150, "pruned"), (150, 160, "down")]);
    }

    #[test]
    fn a_summary_says_the_same_and_can_be_continued() {
        let marks = [
            started("", 100),
            started("vpn", 110),
            alive(150),
            Mark::Session,
            started("", 160),
            alive(170),
            Mark::Pruned(at(105)),
        ];
        let mut whole = fold(&marks);
        let mut read_back = fold(&whole.summary());
        for timeline in [&mut whole, &mut read_back] {
            timeline.apply(&alive(190));
        }
        for (from, to) in [(90, 200), (100, 120), (155, 158), (160, 190), (180, 250)] {
            let period = Period::new(at(from), at(to));
            assert_eq!(read_back.coverage(period).gaps, whole.coverage(period).gaps, "{from} to {to}");
        }
        assert_eq!(read_back.last_reading(), whole.last_reading());
    }
}
