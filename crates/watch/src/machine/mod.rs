//! The machine: runs entries through a [`Program`].
//!
//! ```text
//!  Entry ──► step ──► step ──► … ──► Ended::Done        every step is a number, every field a slot
//!              │                └──► Ended::Waits        a replace whose translation is not known yet; resume goes on
//!              └─ World: counters, users, translations, acts, trouble
//! ```
//!
//! Nothing is allocated for an entry but what templates need; their buffer is used again. `benches/machine.rs` guards
//! that.

mod action;
mod failure;
mod filter;
mod fuzz;
#[cfg(test)]
mod tests;
mod world;

use std::sync::Arc;
use std::time::Instant;

use jiff::tz::TimeZone;
use unmasq_dialect::Captures;
use unmasq_entry::Entry;

pub use fuzz::fuzz_program;
pub use world::{Act, BanOrder, World};

use crate::client::{Client, Question};
use crate::program::step::{Action, Next, OnTimeout, Work};
use crate::program::switch::Switch;
use crate::program::{Program, Resume, StepId};

/// Runs entries through a program; one for each thread.
#[derive(Debug)]
pub struct Machine {
    program: Arc<Program>,
    scratch: Scratch,
    stats: Vec<StepStats>,
    turns: Vec<Turns>,
    /// The way of the last entry, if it is watched.
    path: Option<Vec<Visit>>,
}

/// Buffers that are used again for each entry.
#[derive(Debug)]
pub(crate) struct Scratch {
    captures: Vec<Captures>,
    out: String,
    zone: TimeZone,
}

/// How often entries came into a switch and left it, at each of its filters; who came in at one and left at another
/// was seen by all between.
#[derive(Clone, Debug)]
struct Turns {
    came: Vec<u64>,
    /// One more than filters: past the last.
    left: Vec<u64>,
}

/// What a step has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepStats {
    /// Entries that came to it.
    pub seen: u64,
    /// Entries that passed the filter, or for which the action worked.
    pub matched: u64,
    /// Entries on which it failed.
    pub errors: u64,
    /// Time spent in it, in nanoseconds; counted while the machine [watches](Machine::watch).
    pub nanos: u64,
}

/// A step on an entry's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Visit {
    /// Which.
    pub step: StepId,
    /// How it went.
    pub outcome: Outcome,
}

/// How a step went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The filter passed, the action worked.
    Yes,
    /// The filter did not pass.
    No,
    /// The step failed.
    Failed,
    /// The entry waits here.
    Waits,
}

/// How an entry left the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Its way is at its end.
    Done,
    /// It waits for its translation: keep the entry, and [resume](Machine::resume) it.
    Waits {
        /// Where.
        resume: Resume,
        /// For what, and how long.
        question: Question,
    },
}

/// Why a waiting entry goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resumed {
    /// Its client is known.
    Corrected {
        /// The question that it waited for.
        question: Question,
        /// The client.
        client: Client,
    },
    /// It waited long enough (or its place was needed): the step's `onTimeout` says what then.
    TimedOut,
    /// It goes on as it is.
    Pass,
    /// Its way ends.
    Skip,
}

impl Machine {
    /// Times in templates are shown in the system's time zone.
    pub fn new(program: Arc<Program>) -> Self {
        Self::in_zone(program, TimeZone::system())
    }

    /// Times in templates are shown in `zone`.
    pub fn in_zone(program: Arc<Program>, zone: TimeZone) -> Self {
        let captures = program.patterns.iter().map(Captures::new).collect();
        let stats = vec![StepStats::default(); program.steps.len()];
        let turns = |switch: &Switch| Turns { came: vec![0; switch.len()], left: vec![0; switch.len() + 1] };
        let turns = program.switches.iter().map(turns).collect();
        Self { scratch: Scratch { captures, out: String::new(), zone }, stats, turns, path: None, program }
    }

    /// Its program.
    pub fn program(&self) -> &Arc<Program> {
        &self.program
    }

    /// From now on each entry's way is kept for [`Machine::path`], and the time of each step is taken; slower.
    pub fn watch(&mut self) {
        self.path = Some(Vec::new());
    }

    /// The steps that the last entry came to, in order; empty if the machine does not watch.
    pub fn path(&self) -> &[Visit] {
        self.path.as_deref().unwrap_or_default()
    }

    /// What each step has done, in the order of [`Program::steps`].
    pub fn stats(&self) -> Vec<StepStats> {
        let mut stats = self.stats.clone();
        for (switch, turns) in self.program.switches.iter().zip(&self.turns) {
            let mut within = 0;
            for (member, step) in switch.steps().enumerate() {
                within += turns.came[member];
                stats[step].seen += within;
                stats[step].matched += turns.left[member];
                within -= turns.left[member];
            }
        }
        stats
    }

    /// Runs an entry from the first step on.
    pub fn run(&mut self, entry: &mut Entry, world: &mut impl World) -> Ended {
        let start = self.program.start;
        let at = Place { next: start.0, main: start.1 };
        self.go(at, entry, world)
    }

    /// Goes on with an entry that waited.
    pub fn resume(
        &mut self,
        entry: &mut Entry,
        resume: Resume,
        resumed: &Resumed,
        world: &mut impl World,
    ) -> Ended {
        let program = Arc::clone(&self.program);
        let Some(step) = program.steps.get(resume.step.index()) else { return Ended::Done };
        let Work::Action(Action::Replace(replace)) = &step.work else { return Ended::Done };
        let goes_on = match resumed {
            Resumed::Corrected { question, client } => {
                action::correct(replace, &program, entry, &question.masked, client);
                true
            }
            Resumed::TimedOut => replace.on_timeout == OnTimeout::Pass,
            Resumed::Pass => true,
            Resumed::Skip => false,
        };
        if !goes_on {
            return Ended::Done;
        }
        self.stats[resume.step.index()].matched += 1;
        self.go(Place { next: step.then, main: resume.main }, entry, world)
    }

    fn go(&mut self, at: Place, entry: &mut Entry, world: &mut impl World) -> Ended {
        match &mut self.path {
            Some(path) => {
                path.clear();
                self.advance::<true>(at, entry, world)
            }
            None => self.advance::<false>(at, entry, world),
        }
    }

    /// The hot loop.
    fn advance<const WATCHED: bool>(
        &mut self,
        mut at: Place,
        entry: &mut Entry,
        world: &mut impl World,
    ) -> Ended {
        let program = &*self.program;
        while let Some(index) = at.step(program) {
            // Watched, each filter is asked, so that the way shows all of them.
            if !WATCHED && let Some(place) = program.switch_of[index] {
                let switch = &program.switches[place.switch as usize];
                let (member, exit) = switch.turn(entry.text(switch.field), place.member);
                let turns = &mut self.turns[place.switch as usize];
                turns.came[place.member as usize] += 1;
                turns.left[member] += 1;
                at = Place { next: exit.next, main: exit.main };
                continue;
            }
            let step = &program.steps[index];
            let id = StepId(index as u32);
            let stats = &mut self.stats[index];
            let started = WATCHED.then(Instant::now);
            stats.seen += 1;
            let (outcome, next, waits) = match &step.work {
                Work::Filter(filter) => {
                    match filter::passes(filter, program, entry, &mut self.scratch, world) {
                        Ok(true) => (Outcome::Yes, step.then, None),
                        Ok(false) => (Outcome::No, step.otherwise, None),
                        Err(failure) => {
                            world.trouble(id, &failure.to_string());
                            (Outcome::Failed, step.otherwise, None)
                        }
                    }
                }
                Work::Action(action) => {
                    match action::perform(action, id, program, entry, &mut self.scratch, world) {
                        Ok(action::Went::On) => (Outcome::Yes, step.then, None),
                        Ok(action::Went::Waits(question)) => (Outcome::Waits, Next::STOP, Some(question)),
                        Err(failure) => {
                            world.trouble(id, &failure.to_string());
                            (Outcome::Failed, Next::STOP, None)
                        }
                    }
                }
            };
            match outcome {
                Outcome::Yes => stats.matched += 1,
                Outcome::Failed => stats.errors += 1,
                Outcome::No | Outcome::Waits => (),
            }
            if WATCHED {
                let nanos = started.map_or(0, |started| started.elapsed().as_nanos());
                stats.nanos += u64::try_from(nanos).unwrap_or(u64::MAX);
                self.path.get_or_insert_default().push(Visit { step: id, outcome });
            }
            if let Some(question) = waits {
                return Ended::Waits { resume: Resume { step: id, main: at.main }, question };
            }
            at.next = next;
        }
        Ended::Done
    }
}

/// Where an entry is: the next step, and the top-level chain that an unresolved exit comes back to.
#[derive(Clone, Copy, Debug)]
struct Place {
    next: Next,
    main: u32,
}

impl Place {
    /// The next step's number; `None` at the end.
    fn step(&mut self, program: &Program) -> Option<usize> {
        while self.next == Next::MAIN {
            self.main += 1;
            self.next = program.mains.get(self.main as usize).copied().unwrap_or(Next::STOP);
        }
        self.next.index()
    }
}
