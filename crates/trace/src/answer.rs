//! The answer: every witness is asked, what they say is put together, and what is not known is said.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use unmasq_flow::{Bound, Coverage, Flow, Period, Timestamp};

use crate::candidate::{Candidate, Certainty, Cut, Hop, Reading, contradict, contradicts_plan, merge};
use crate::completeness::{Found, Shortfall, shortfalls};
use crate::plan::{self, PlanSays};
use crate::{
    Hit, Inquiry, Neighbours, Question, ServerCheck, StreamCoverage, StreamKind, Testimony, Verdict, Witness,
    WitnessError,
};

/// How many flows behind one another are followed.
const MOST_HOPS: usize = 8;
/// A step of the clock is noticed at most this long after it was made.
const STEP_NOTICED_WITHIN: Duration = Duration::from_secs(2);

/// What is known about an inquiry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What was asked.
    pub inquiry: Inquiry,
    /// Who it can have been, the best founded first.
    pub candidates: Vec<Candidate>,
    /// Candidates (by index) that cannot both be true.
    pub contradictions: Vec<(usize, usize)>,
    /// Why the record is not complete; empty if it is.
    pub shortfalls: Vec<Shortfall>,
    /// Files that could not be read.
    pub damage: Vec<String>,
    /// Witnesses that did not answer, with the reason.
    pub silent: Vec<String>,
    /// Steps of a recorder's clock that the window touches.
    pub clock_steps: Vec<ClockStep>,
    /// Streams whose clock the kernel did not call synchronised.
    pub unsynchronised: Vec<String>,
    /// What would tell several clients apart.
    pub deciders: Vec<Decider>,
    /// The nearest flows on the masked endpoint, when there is no candidate.
    pub neighbours: Neighbours,
    /// What else there is to know, as sentences.
    pub notes: Vec<String>,
}

/// A step of a recorder's wall clock.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClockStep {
    /// The stream.
    pub stream: String,
    /// The wall clock after the step.
    pub at: Timestamp,
    /// By how many nanoseconds it was set forward (back, if negative).
    pub by: i64,
}

/// What would tell several clients apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Decider {
    /// The port or id, because an address alone was asked for.
    Port,
    /// The protocol.
    Protocol,
    /// The destination: the far side's own address and port.
    Destination,
    /// A more precise time: the candidates were not all alive at once.
    Time,
    /// Which gateway, namespace or zone it was.
    Place,
}

impl Decider {
    /// The word in JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Port => "port",
            Self::Protocol => "protocol",
            Self::Destination => "destination",
            Self::Time => "time",
            Self::Place => "place",
        }
    }
}

impl Answer {
    /// Is the record complete for what was asked?
    pub fn is_complete(&self) -> bool {
        self.shortfalls.is_empty() && self.damage.is_empty()
    }

    /// Can it have been more than one client?
    pub fn is_ambiguous(&self) -> bool {
        self.client_count() > 1
    }

    /// The distinct addresses of the clients, the best founded first.
    pub fn clients(&self) -> Vec<IpAddr> {
        let mut clients = Vec::new();
        for candidate in &self.candidates {
            let address = candidate.client().address;
            if !clients.contains(&address) {
                clients.push(address);
            }
        }
        clients
    }

    /// How many clients it can have been. The same address in two namespaces is two clients.
    pub fn client_count(&self) -> usize {
        distinct(self.candidates.iter().map(|c| &c.hops[c.hops.len() - 1]))
    }

    /// What it amounts to.
    pub fn verdict(&self) -> Verdict {
        Verdict::of(self.client_count(), self.shortfalls.is_empty(), !self.damage.is_empty())
    }
}

/// Asks all witnesses and puts together what they say.
///
/// A witness that cannot be asked does not stop the others: the answer says which one is missing.
pub fn answer(inquiry: &Inquiry, witnesses: &mut [Box<dyn Witness>]) -> Answer {
    let mut asking = Asking {
        witnesses,
        question: inquiry.question(Period::at(inquiry.now)),
        now: inquiry.now,
        damage: BTreeSet::new(),
        silent: BTreeSet::new(),
    };
    let mut candidates = Vec::new();
    let mut coverage = Vec::new();
    let mut neighbours = Neighbours::default();
    let mut steps = BTreeSet::new();
    let mut plans = Vec::new();
    for (index, window) in inquiry.windows.iter().enumerate() {
        let window = until(*window, inquiry.now);
        let heard = asking.all(&inquiry.question(window));
        steps.extend(touched_steps(window, &heard.coverage));
        nearest(&mut neighbours, heard.neighbours);
        let found =
            asking.candidates(heard.hits, &heard.plans, window, &heard.coverage, Reading::Asked(index));
        add(&mut candidates, found);
        coverage.push((window, heard.coverage));
        plans.push(heard.plans);
    }
    for step in &steps {
        for window in &inquiry.windows {
            for shifted in other_readings(*window, step).into_iter().map(|w| until(w, inquiry.now)) {
                let heard = asking.all(&inquiry.question(shifted));
                let reading = Reading::Shifted(step.by);
                let found = asking.candidates(heard.hits, &heard.plans, shifted, &heard.coverage, reading);
                add(&mut candidates, found);
            }
        }
    }
    drop_inner(&mut candidates);
    let any_flow = candidates.iter().any(|c| !c.hops[0].is_plan_only());
    candidates.sort_by_key(|c| (trust(c), c.certainty, c.reading, c.outer().start.earliest()));
    let found = Found { any: any_flow, is_tuple_settled: is_tuple_settled(inquiry, &candidates) };
    let mut missing: Vec<Shortfall> = Vec::new();
    for (window, coverage) in &coverage {
        for shortfall in shortfalls(*window, coverage, found, inquiry.now) {
            if !missing.contains(&shortfall) {
                missing.push(shortfall);
            }
        }
    }
    let notes = reconcile(&mut candidates, &mut missing, &plans);
    let unsynchronised = unsynchronised(coverage.iter().flat_map(|(_, c)| c));
    let (damage, silent) = (asking.damage.into_iter().collect(), asking.silent.into_iter().collect());
    if found.any {
        neighbours = Neighbours::default();
    }
    Answer {
        inquiry: inquiry.clone(),
        contradictions: contradictions(&candidates),
        shortfalls: missing,
        damage,
        silent,
        clock_steps: steps.into_iter().collect(),
        unsynchronised,
        deciders: deciders(inquiry, &candidates),
        neighbours,
        candidates,
        notes,
    }
}

/// What plans (those of each window) say beside the record: where both know, they must agree; where one does not know, the
/// other may. Gives notes.
fn reconcile(
    candidates: &mut Vec<Candidate>,
    missing: &mut Vec<Shortfall>,
    plans: &[Vec<PlanSays>],
) -> Vec<String> {
    let says = || plans.iter().flatten();
    let mut notes: Vec<String> = Vec::new();
    for note in says().flat_map(|says| &says.held.notes) {
        if !notes.contains(note) {
            notes.push(note.clone());
        }
    }
    let is_plan_only = |candidate: &Candidate| candidate.hops[0].is_plan_only();
    if missing.is_empty() {
        let flows: Vec<Hop> =
            candidates.iter().filter(|c| !is_plan_only(c)).map(|c| c.hops[0].clone()).collect();
        if !flows.is_empty() {
            // The record is complete, so whoever else could have had the port did not use it then; but a flow that should
            // not be on it is shown with the client whose it was.
            candidates
                .retain(|c| !is_plan_only(c) || flows.iter().any(|flow| contradicts_plan(flow, &c.hops[0])));
        } else if !candidates.is_empty() {
            missing.push(Shortfall::Unseen);
        }
        notes.extend(says().flat_map(PlanSays::shortfalls).map(|gap| gap.to_string()));
        return notes;
    }
    let is_told = |of_window: &Vec<PlanSays>| of_window.iter().any(|says| says.held.is_complete());
    let is_future = missing.contains(&Shortfall::Future);
    if !plans.is_empty() && plans.iter().all(is_told) && !is_future {
        if candidates.is_empty() {
            notes.push(
                "the plan gives this port to no client: it can be one of the gateway's own connections"
                    .to_owned(),
            );
        } else if !missing.iter().all(|shortfall| *shortfall == Shortfall::NothingRecords) {
            notes.push(
                "the record is incomplete there; that the plan gives the port to one client alone settles it"
                    .to_owned(),
            );
        }
        missing.clear();
        return notes;
    }
    let gaps: Vec<Shortfall> =
        says().filter(|says| says.concerns() || plans.len() == 1).flat_map(PlanSays::shortfalls).collect();
    if !gaps.is_empty() {
        missing.retain(|shortfall| *shortfall != Shortfall::NothingRecords);
        missing.extend(gaps);
    }
    notes
}

/// The smaller, the more a candidate is to be trusted: flows of the kernel, then a plan, then log lines.
fn trust(candidate: &Candidate) -> u8 {
    match (candidate.is_import_only(), candidate.hops[0].is_plan_only()) {
        (false, false) => 0,
        (_, true) => 1,
        (true, false) => 2,
    }
}

/// How many different clients these flows have. The same address in another namespace or zone is another client; an
/// import and the kernel's table do not say where they stand, so they add none of their own to an address.
pub(crate) fn distinct<'a>(hops: impl Iterator<Item = &'a Hop>) -> usize {
    let mut places = BTreeSet::new();
    let mut placeless = BTreeSet::new();
    for hop in hops {
        let flow = &hop.flow;
        if hop.is_recorded() {
            let origin = &flow.origin;
            places.insert((flow.client.address, &origin.stream, &origin.namespace, origin.zones.original));
        } else {
            placeless.insert(flow.client.address);
        }
    }
    let placed: BTreeSet<IpAddr> = places.iter().map(|(address, ..)| *address).collect();
    places.len() + placeless.difference(&placed).count()
}

/// The witnesses, and what went wrong while asking them.
struct Asking<'a> {
    witnesses: &'a mut [Box<dyn Witness>],
    /// What was asked, of whatever time.
    question: Question,
    now: Timestamp,
    damage: BTreeSet<String>,
    silent: BTreeSet<String>,
}

impl Asking<'_> {
    /// What all witnesses say to a question.
    fn all(&mut self, question: &Question) -> Testimony {
        self.each(question, |witness| witness.ask(question))
    }

    fn each(
        &mut self,
        question: &Question,
        ask: impl Fn(&mut dyn Witness) -> Result<Testimony, WitnessError>,
    ) -> Testimony {
        let mut heard = Testimony::default();
        if question.window.from > self.now {
            return heard;
        }
        for witness in self.witnesses.iter_mut() {
            match ask(&mut **witness) {
                Ok(testimony) => {
                    heard.hits.extend(testimony.hits);
                    heard.plans.extend(testimony.plans);
                    heard.coverage.extend(testimony.coverage);
                    self.damage.extend(testimony.damage);
                    nearest(&mut heard.neighbours, testimony.neighbours);
                }
                Err(error @ WitnessError::Unreadable { .. }) => {
                    self.damage.insert(error.to_string());
                }
                Err(error @ WitnessError::Silent { .. }) => {
                    self.silent.insert(error.to_string());
                }
            }
        }
        heard
    }

    fn candidates(
        &mut self,
        hits: Vec<Hit>,
        plans: &[PlanSays],
        window: Period,
        coverage: &[StreamCoverage],
        reading: Reading,
    ) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        let mut hops =
            merge(hits.into_iter().filter(|hit| hit.server != ServerCheck::Differs).collect(), self.now);
        plan::join(&mut hops, plans, &self.question);
        for hop in hops {
            if !hop.flow.overlaps(window) {
                // Another witness knew its bounds better.
                continue;
            }
            let certainty = certainty(&hop, window, coverage);
            let candidate = Candidate { hops: vec![hop], certainty, reading, cut: None };
            self.follow(candidate, window, &mut candidates);
        }
        candidates
    }

    /// Looks behind a candidate's client: is it a masked endpoint somewhere else?
    fn follow(&mut self, mut candidate: Candidate, window: Period, done: &mut Vec<Candidate>) {
        if candidate.hops[candidate.hops.len() - 1].is_plan_only() {
            // No port of the client's own is known that could be looked behind.
            done.push(candidate);
            return;
        }
        let inner = candidate.inner();
        let question = Question {
            masked: inner.client,
            protocol: Some(inner.protocol),
            server: inner.target.endpoint(),
            window: Period {
                from: window.from.max(inner.start.earliest()),
                to: window.to.min(inner.end.latest()),
            },
        };
        let heard = self.each(&question, |witness| witness.hits(&question));
        let mut behind = merge(
            heard
                .hits
                .into_iter()
                // A flow whose client is not translated leads nowhere.
                .filter(|hit| {
                    hit.server != ServerCheck::Differs
                        && hit.flow.masked == question.masked
                        && hit.flow.client != question.masked
                })
                .collect(),
            self.now,
        );
        plan::join(&mut behind, &heard.plans, &question);
        behind.retain(|hop| hop.flow.overlaps(question.window));
        let known = behind.len();
        behind.retain(|hop| {
            !candidate.hops.iter().any(|h| h.flow.same_tuples(&hop.flow) || h.flow.masked == hop.flow.client)
        });
        if behind.is_empty() {
            if known > 0 {
                candidate.cut = Some(Cut::Loop);
            }
            done.push(candidate);
            return;
        }
        if candidate.hops.len() >= MOST_HOPS {
            candidate.cut = Some(Cut::TooDeep);
            done.push(candidate);
            return;
        }
        for hop in behind {
            let mut next = candidate.clone();
            next.certainty = next.certainty.max(certainty(&hop, question.window, &heard.coverage));
            next.hops.push(hop);
            self.follow(next, question.window, done);
        }
    }
}

/// Adds the candidates of another reading, each only once.
fn add(candidates: &mut Vec<Candidate>, more: Vec<Candidate>) {
    for candidate in more {
        let is_known = |known: &Candidate| {
            known.hops.len() == candidate.hops.len()
                && known.hops.iter().zip(&candidate.hops).all(|(a, b)| a.flow == b.flow)
        };
        if !candidates.iter().any(is_known) {
            candidates.push(candidate);
        }
    }
}

/// Drops candidates that are the inner end of another: a namespace that passes a flow on untranslated has the same masked
/// endpoint as the one behind it, so both flows were found.
fn drop_inner(candidates: &mut Vec<Candidate>) {
    let is_inner_of = |inner: &Candidate, outer: &Candidate| {
        let start = outer.hops.len().saturating_sub(inner.hops.len());
        start > 0 && outer.hops[start..].iter().zip(&inner.hops).all(|(a, b)| a.flow == b.flow)
    };
    let inner: Vec<bool> =
        candidates.iter().map(|c| candidates.iter().any(|other| is_inner_of(c, other))).collect();
    let mut inner = inner.into_iter();
    candidates.retain(|_| !inner.next().unwrap_or(false));
}

/// Was the flow surely alive in the window? One that is still open was, if it was seen alive just now, or if its
/// recorder was running and would have recorded its end.
fn certainty(hop: &Hop, window: Period, coverage: &[StreamCoverage]) -> Certainty {
    if let Some(holder) = hop.plan.as_ref().filter(|_| hop.is_plan_only()) {
        return plan::certainty(holder, window);
    }
    let flow = &hop.flow;
    // The ledger that has it, not only the book that lacks it: the ledger may not have heard of its end yet.
    let was_recorded_throughout = || {
        let mut own = coverage.iter().filter(|c| c.stream == *flow.origin.stream).peekable();
        own.peek().is_some() && own.all(|c| c.coverage.is_complete())
    };
    let is_sure = match flow.end {
        Bound::Unknown => false,
        Bound::Open => flow.start.latest() <= window.to && (hop.is_alive() || was_recorded_throughout()),
        Bound::Exact(_) | Bound::Read(_) | Bound::Between(..) => flow.surely_overlaps(window),
    };
    if is_sure { Certainty::Sure } else { Certainty::Possible }
}

/// Does a candidate have the whole reply tuple that was asked for, for the whole window? The kernel lets no other have it.
fn is_tuple_settled(inquiry: &Inquiry, candidates: &[Candidate]) -> bool {
    let is_tuple_whole = inquiry.server.is_some_and(|s| s.selector.number().is_some())
        && inquiry.masked.selector.number().is_some();
    is_tuple_whole
        && candidates.iter().any(|c| {
            c.hops[0].server == ServerCheck::Same
                && c.certainty == Certainty::Sure
                && inquiry.protocol.is_some_and(|p| p == c.outer().protocol)
        })
}

/// A window as far as it has come.
fn until(window: Period, now: Timestamp) -> Period {
    if window.from > now { window } else { Period { from: window.from, to: window.to.min(now) } }
}

fn nearest(mine: &mut Neighbours, other: Neighbours) {
    if let Some(hit) = other.before
        && mine.before.as_ref().is_none_or(|b| b.flow.end.latest() < hit.flow.end.latest())
    {
        mine.before = Some(hit);
    }
    if let Some(hit) = other.after
        && mine.after.as_ref().is_none_or(|a| a.flow.start.earliest() > hit.flow.start.earliest())
    {
        mine.after = Some(hit);
    }
}

/// The steps whose disputed stretch (from the reading before to the reading after) the window touches.
fn touched_steps(window: Period, coverage: &[StreamCoverage]) -> Vec<ClockStep> {
    let mut steps = Vec::new();
    for stream in coverage.iter().filter(|s| s.kind == StreamKind::Recorder) {
        for (at, by) in &stream.coverage.clock_steps {
            let step = ClockStep { stream: stream.stream.clone(), at: *at, by: *by };
            let Period { from, to } = disputed(&step);
            if window.overlaps(Period { from: from - STEP_NOTICED_WITHIN, to: to + STEP_NOTICED_WITHIN }) {
                steps.push(step);
            }
        }
    }
    steps
}

/// From the wall clock's reading before the step to that after it, in order of time.
fn disputed(step: &ClockStep) -> Period {
    Period::new(step.at, Timestamp::from_nanos(step.at.as_nanos().saturating_sub(step.by)))
}

/// The window as the recorder's clock had it, if the clock was wrong before the step, and if it was wrong after.
///
/// What happened at `t` was recorded as `t − by` before the step if the clock was right afterwards, and as `t + by` after the step if
/// it was right before. Each applies only to that side of the step.
fn other_readings(window: Period, step: &ClockStep) -> Vec<Period> {
    let shift = |t: Timestamp, by: i64| {
        if t.is_finite() { Timestamp::from_nanos(t.as_nanos().saturating_add(by)) } else { t }
    };
    let shifted = |by: i64| Period { from: shift(window.from, by), to: shift(window.to, by) };
    let before_end = shift(step.at, step.by.saturating_neg()) + STEP_NOTICED_WITHIN;
    let after_begin = step.at - STEP_NOTICED_WITHIN;
    let wrong_before = shifted(step.by.saturating_neg());
    let wrong_after = shifted(step.by);
    [
        Period { from: wrong_before.from, to: wrong_before.to.min(before_end) },
        Period { from: wrong_after.from.max(after_begin), to: wrong_after.to },
    ]
    .into_iter()
    .filter(|p| p.from <= p.to)
    .collect()
}

fn unsynchronised<'a>(coverage: impl Iterator<Item = &'a StreamCoverage>) -> Vec<String> {
    let is_unsynchronised = |c: &Coverage| !c.covered.is_empty() && !c.is_clock_synchronised;
    let streams: BTreeSet<&str> = coverage
        .filter(|s| s.kind == StreamKind::Recorder && is_unsynchronised(&s.coverage))
        .map(|s| s.stream.as_str())
        .collect();
    streams.into_iter().map(str::to_owned).collect()
}

fn contradictions(candidates: &[Candidate]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for (i, a) in candidates.iter().enumerate() {
        for (j, b) in candidates.iter().enumerate().skip(i + 1) {
            // Where the paths part, the two flows share a masked endpoint.
            let parting = a.hops.iter().zip(&b.hops).find(|(x, y)| x.flow != y.flow);
            if parting.is_some_and(|(x, y)| contradict(x, y) || contradicts_plan(x, y)) {
                found.push((i, j));
            }
        }
    }
    found
}

/// What would tell the candidates apart, if they are several clients.
fn deciders(inquiry: &Inquiry, candidates: &[Candidate]) -> Vec<Decider> {
    if distinct(candidates.iter().map(|c| &c.hops[c.hops.len() - 1])) < 2 {
        return Vec::new();
    }
    let flows: Vec<&Flow> = candidates.iter().map(Candidate::outer).collect();
    let mut deciders = Vec::new();
    let differ = |value: fn(&Flow) -> String| flows.iter().any(|f| value(f) != value(flows[0]));
    if inquiry.masked.selector.number().is_none() && differ(|f| f.masked.to_string()) {
        deciders.push(Decider::Port);
    }
    if inquiry.protocol.is_none() && differ(|f| f.protocol.to_string()) {
        deciders.push(Decider::Protocol);
    }
    let is_server_whole = inquiry.server.is_some_and(|s| s.selector.number().is_some());
    if !is_server_whole
        && flows.iter().all(|f| f.server.endpoint().is_some())
        && differ(|f| f.server.to_string())
    {
        deciders.push(Decider::Destination);
    }
    let lifetimes = || flows.iter().map(|f| Period { from: f.start.earliest(), to: f.end.latest() });
    if lifetimes().any(|a| lifetimes().any(|b| !a.overlaps(b))) {
        deciders.push(Decider::Time);
    }
    if differ(|f| f.origin.to_string()) {
        deciders.push(Decider::Place);
    }
    deciders
}

#[cfg(test)]
mod tests;
