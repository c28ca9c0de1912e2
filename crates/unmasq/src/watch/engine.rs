//! The engine: reads the sources, runs each entry through the machine, and lets waiting entries go on. One thread, no
//! clock of its own; the running watch and a trial drive it.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use unmasq_entry::Entry;
use unmasq_entry::saved::SavedEntry;
use unmasq_flow::Timestamp;
use unmasq_source::{Read, SourceError};
use unmasq_watch::client::{Client, Key, Question, Released, Subset, Wait};
use unmasq_watch::machine::{Ended, Machine, Resumed};
use unmasq_watch::program::{OnTimeout, Program, Resume, ResumePlace};
use unmasq_watch::report::{Heading, Schedule, render_html, render_text};

use super::effect::{Effect, Hands};
use super::world::{OwnLines, Payload, Surroundings};

/// How waits have ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct WaitsEnded {
    /// The client became known.
    pub(crate) corrected: u64,
    /// Time was over, and the entry went on as it was.
    pub(crate) passed: u64,
    /// Time was over, and the entry's way ended.
    pub(crate) skipped: u64,
    /// The queue was full.
    pub(crate) crowded: u64,
}

/// A waiting entry, to be saved.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SavedWait {
    entry: SavedEntry,
    resume: ResumePlace,
    question: Question,
    place: String,
    deadline: Timestamp,
}

impl SavedWait {
    fn of(wait: &Wait<Payload>, program: &Program) -> Self {
        Self {
            entry: SavedEntry::new(&wait.payload.entry, program.fields()),
            resume: program.place_of(wait.payload.resume),
            question: wait.question.clone(),
            place: wait.payload.place.clone(),
            deadline: wait.deadline,
        }
    }
}

/// The machine and its surroundings.
pub(crate) struct Engine<H> {
    pub(crate) machine: Machine,
    pub(crate) world: Surroundings<H>,
    pub(crate) waits_ended: WaitsEnded,
    /// Entries for which no action did anything.
    pub(crate) unhandled: u64,
    /// When the report is sent; none in a trial.
    pub(crate) schedule: Option<Schedule>,
    pub(crate) report_title: String,
    next_report: Timestamp,
    entry: Entry,
    /// The steps that ask for clients, and the words that they compare.
    askers: Vec<(u32, Subset)>,
    own_lines: OwnLines,
    /// Was a translation captured, while entries waited, since all of them were looked at?
    pub(crate) has_captured: bool,
    /// Answers of another host's book, for entries that are not the first of their queue yet.
    answered: HashMap<u64, Client>,
}

impl<H: Hands> Engine<H> {
    pub(crate) fn new(machine: Machine, world: Surroundings<H>) -> Self {
        let program = Arc::clone(machine.program());
        Self {
            entry: Entry::new(program.fields()),
            askers: askers(&program),
            own_lines: OwnLines::new(program.fields()),
            machine,
            world,
            waits_ended: WaitsEnded::default(),
            unhandled: 0,
            schedule: None,
            report_title: String::new(),
            next_report: Timestamp::MIN,
            has_captured: false,
            answered: HashMap::new(),
        }
    }

    /// Reads and runs up to `most` entries of a source; gives how many, and what the source said last. `wall` is the
    /// wall clock, that no entry is later than; `None` where only entries tell the time.
    pub(crate) fn pump(
        &mut self,
        source: usize,
        most: usize,
        wall: Option<Timestamp>,
    ) -> Result<(usize, Read), SourceError> {
        let program = Arc::clone(self.machine.program());
        for count in 0..most {
            self.entry.clear();
            match self.world.sources[source].read(&mut self.entry, program.fields())? {
                Read::Entry => self.run(source, wall),
                end @ (Read::Idle | Read::End) => return Ok((count, end)),
            }
        }
        Ok((most, Read::Entry))
    }

    fn run(&mut self, source: usize, wall: Option<Timestamp>) {
        let world = &mut self.world;
        let written = self.entry.time.or(wall).unwrap_or(world.clock);
        world.clock = world.clock.max(wall.map_or(written, |wall| written.min(wall)));
        world.caused = written;
        world.current = source;
        world.place.clear();
        if world.clock >= self.next_report {
            self.report_if_due();
        }
        self.world.has_acted = false;
        self.world.own = self.own_lines.judge(&self.entry);
        let ended = self.machine.run(&mut self.entry, &mut self.world);
        self.world.hands.ran(&self.entry, self.machine.path(), false);
        self.unhandled += u64::from(ended == Ended::Done && !self.world.has_acted);
        if let Ended::Waits { resume, question } = ended {
            let fresh = Entry::new(self.machine.program().fields());
            let entry = std::mem::replace(&mut self.entry, fresh);
            self.park(entry, resume, question);
        }
        self.release_captured();
        self.release_due();
    }

    /// Puts an entry among those that wait.
    fn park(&mut self, entry: Entry, resume: Resume, question: Question) {
        let program = Arc::clone(self.machine.program());
        let Some(asked) = program.asked_by(resume.step) else { return };
        let world = &mut self.world;
        let place = world.place();
        let key = Key::new(resume.step.index() as u32, asked, &question.masked);
        let clock = world.clock;
        let id = world.waits.add(key, question, clock, Payload { entry, resume, asked, place });
        if let Some(wait) = world.waits.get(id)
            && let Err(error) = world.state.wait_added(id, &SavedWait::of(wait, &program), clock)
        {
            world.hands.warn(&format!("a waiting entry cannot be saved: {error}"));
        }
        world.ask_elsewhere(id);
    }

    /// Lets entries go on whose translation was captured.
    fn release_captured(&mut self) {
        while let Some(masked) = self.world.captured.pop() {
            self.has_captured = true;
            for nth in 0..self.askers.len() {
                let (step, asked) = self.askers[nth];
                self.release(&Key::new(step, asked, &masked));
            }
        }
    }

    /// Looks again for the clients of all that wait: the kernel or another host may know them now.
    pub(crate) fn release_known(&mut self) {
        self.has_captured = false;
        let keys: Vec<Key> = self.world.waits.keys().cloned().collect();
        for key in keys {
            self.release(&key);
        }
    }

    /// Another host's book knows the client of a waiting entry.
    pub(crate) fn answer(&mut self, id: u64, client: Client) {
        let Some(key) = self.world.waits.get(id).map(|wait| wait.key.clone()) else { return };
        self.answered.insert(id, client);
        self.release(&key);
    }

    fn release(&mut self, key: &Key) {
        while let Some(head) = self.world.waits.head(key) {
            let (id, question, asked) = (head.id, head.question.clone(), head.payload.asked);
            let known = self.answered.remove(&id).or_else(|| self.world.find(asked, &question));
            let Some(client) = known else { return };
            let Some(wait) = self.world.waits.take(id) else { return };
            self.waits_ended.corrected += 1;
            let step = wait.payload.resume.step;
            self.world.place.clone_from(&wait.payload.place);
            let told =
                self.world.carry_out(step, Effect::Replace { masked: &question.masked, client: &client });
            if let Err(reason) = told {
                self.world.hands.warn(&reason);
            }
            self.resume(wait, &Resumed::Corrected { question, client });
        }
    }

    /// Lets entries go on whose time is over.
    fn release_due(&mut self) {
        while let Some((wait, why)) = self.world.waits.due(self.world.clock) {
            self.answered.remove(&wait.id);
            let on_timeout = self.machine.program().on_timeout(wait.payload.resume.step);
            match (why, on_timeout) {
                (Released::Crowded, _) => self.waits_ended.crowded += 1,
                (Released::TimedOut, OnTimeout::Pass) => self.waits_ended.passed += 1,
                (Released::TimedOut, OnTimeout::Skip) => self.waits_ended.skipped += 1,
            }
            self.resume(wait, &Resumed::TimedOut);
        }
    }

    fn resume(&mut self, wait: Wait<Payload>, resumed: &Resumed) {
        let Wait { id, payload: Payload { mut entry, resume, place, .. }, question, .. } = wait;
        let world = &mut self.world;
        world.state.wait_ended(id, world.clock);
        world.caused = question.time;
        world.place = place;
        world.own = self.own_lines.judge(&entry);
        let ended = self.machine.resume(&mut entry, resume, resumed, world);
        world.hands.ran(&entry, self.machine.path(), true);
        if let Ended::Waits { resume, question } = ended {
            self.park(entry, resume, question);
        }
    }

    /// Nothing was to be read: time goes on by the wall clock.
    pub(crate) fn idle(&mut self, wall: Timestamp) {
        self.world.clock = self.world.clock.max(wall);
        self.world.captures.expire(wall);
        self.release_due();
        if self.world.clock >= self.next_report {
            self.report_if_due();
        }
    }

    /// No entry will come any more: what waits has waited long enough.
    pub(crate) fn finish(&mut self) {
        while let Some(deadline) = self.world.waits.next_deadline() {
            self.world.clock = self.world.clock.max(deadline);
            self.release_due();
            self.release_captured();
        }
    }

    /// Entries that waited when the watch ended go on waiting.
    pub(crate) fn restore_waits(&mut self, saved: impl IntoIterator<Item = (u64, SavedWait)>) -> u64 {
        let program = Arc::clone(self.machine.program());
        let mut lost = 0;
        for (id, saved) in saved {
            self.world.state.wait_ended(id, self.world.clock);
            let Some(resume) = program.resume_at(&saved.resume) else {
                lost += 1;
                continue;
            };
            let mut entry = Entry::new(program.fields());
            saved.entry.restore(&mut entry, program.fields());
            let left = saved.deadline.since(self.world.clock);
            self.world.place = saved.place;
            self.park(entry, resume, Question { wait: Some(left), ..saved.question });
        }
        lost
    }

    /// All that waits, to be restored under another program.
    pub(crate) fn take_waits(&mut self) -> Vec<(u64, SavedWait)> {
        let program = Arc::clone(self.machine.program());
        let ids: Vec<u64> = self.world.waits.iter().map(|wait| wait.id).collect();
        let taken = ids.into_iter().filter_map(|id| self.world.waits.take(id));
        taken.map(|wait| (wait.id, SavedWait::of(&wait, &program))).collect()
    }

    /// Goes on with other chains. What waits is kept where its step is still there; gives how many entries were not.
    pub(crate) fn load(&mut self, machine: Machine) -> u64 {
        let waits = self.take_waits();
        let program = Arc::clone(machine.program());
        self.askers = askers(&program);
        self.own_lines = OwnLines::new(program.fields());
        self.entry = Entry::new(program.fields());
        self.world.load(program);
        self.machine = machine;
        self.restore_waits(waits)
    }

    fn report_if_due(&mut self) {
        let Some(schedule) = &self.schedule else {
            self.next_report = Timestamp::MAX;
            return;
        };
        let due = self.world.state.report_due(schedule, self.world.clock);
        self.next_report = schedule.next(self.world.clock);
        if let Some(until) = due
            && let Err(error) = self.send_report(until)
        {
            self.world.hands.warn(&format!("the report cannot be sent: {error}"));
        }
    }

    /// Sends the report of what happened until then, and begins a new one.
    pub(crate) fn send_report(&mut self, until: Timestamp) -> Result<String, String> {
        let zone = self.schedule.as_ref().map_or(jiff::tz::TimeZone::UTC, |s| s.zone().clone());
        let heading = Heading { title: &self.report_title, zone: &zone };
        let world = &mut self.world;
        let report = world.state.report();
        let (text, html) = (render_text(report, &heading), render_html(report, &heading));
        let name = format!("report until {until}");
        let id = world.state.next_mail("report", Some(name.as_bytes()), world.clock);
        world.hands.send_report(&id, &text, &html)?;
        world.state.report_sent(until, world.clock);
        Ok(id)
    }
}

fn askers(program: &Program) -> Vec<(u32, Subset)> {
    program.steps().filter_map(|(id, _)| Some((id.index() as u32, program.asked_by(id)?))).collect()
}
