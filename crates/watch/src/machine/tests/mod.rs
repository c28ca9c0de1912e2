//! A pretended world, and what the tests of the machine share.

mod actions;
mod filters;
mod scenario;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use unmasq_entry::{Entry, Value};
use unmasq_flow::Timestamp;

use super::{Act, Ended, Machine, World};
use crate::client::{Answer, Capture, Question, Subset};
use crate::config::{Config, Spelling};
use crate::counters::{CategoryId, Counters, Key};
use crate::program::{Program, StepId};

/// Remembers what was asked of it.
#[derive(Debug)]
pub(super) struct Pretended {
    pub(super) now: Timestamp,
    pub(super) counters: Counters,
    pub(super) users: Vec<&'static str>,
    pub(super) captures: Vec<Capture>,
    pub(super) questions: Vec<(StepId, Subset, Question)>,
    pub(super) answer: Answer,
    /// Each act, as text.
    pub(super) acts: Vec<String>,
    /// What the next acts come to.
    pub(super) refuses: Option<String>,
    pub(super) troubles: Vec<(StepId, String)>,
}

impl Default for Pretended {
    fn default() -> Self {
        Self {
            now: Timestamp::from_seconds(1_700_000_000),
            counters: Counters::new(crate::counters::Limits::default()),
            users: vec!["root"],
            captures: Vec::new(),
            questions: Vec::new(),
            answer: Answer::Unknown,
            acts: Vec::new(),
            refuses: None,
            troubles: Vec::new(),
        }
    }
}

impl World for Pretended {
    fn now(&self) -> Timestamp {
        self.now
    }

    fn raise(
        &mut self,
        _step: StepId,
        category: CategoryId,
        key: Value<'_>,
        keep: Option<Duration>,
    ) -> Result<u64, String> {
        let key = Key::new(key).ok_or("no key")?;
        Ok(self.counters.raise(category, &key, keep, self.now))
    }

    fn reset(
        &mut self,
        _step: StepId,
        category: CategoryId,
        key: Value<'_>,
        grace: Option<Duration>,
    ) -> Result<(), String> {
        let key = Key::new(key).ok_or("no key")?;
        self.counters.reset(category, &key, grace, self.now);
        Ok(())
    }

    fn user_exists(&mut self, name: &str) -> Result<bool, String> {
        Ok(self.users.contains(&name))
    }

    fn capture(&mut self, _step: StepId, capture: Capture) -> Result<(), String> {
        self.captures.push(capture);
        Ok(())
    }

    fn replace(&mut self, step: StepId, asked: Subset, question: &Question) -> Answer {
        self.questions.push((step, asked, question.clone()));
        self.answer.clone()
    }

    fn act(&mut self, _step: StepId, act: Act<'_>, _entry: &Entry) -> Result<(), String> {
        if let Some(reason) = &self.refuses {
            return Err(reason.clone());
        }
        self.acts.push(match act {
            Act::Noop => "noop".to_owned(),
            Act::Log { level, message } => format!("log {level:?} {message}"),
            Act::Email { subject, message } => format!("email [{subject}] {message}"),
            Act::Report { level, details, message } => format!("report {level:?} {details:?} {message}"),
            Act::Ban(order) => {
                format!("ban {} in {} for {:?}", order.target, order.set, order.duration.map(|d| d.as_secs()))
            }
        });
        Ok(())
    }

    fn trouble(&mut self, step: StepId, message: &str) {
        self.troubles.push((step, message.to_owned()));
    }
}

/// A machine for chains in Pyruse's spelling; panics with the problems if there are any errors.
pub(super) fn machine(actions: &str) -> Machine {
    let text = format!("{{\"actions\": {actions}}}");
    let loaded = Config::parse(Path::new("test.json"), &text, Spelling::Json).expect("a configuration");
    let compiled = Program::compile(&loaded).unwrap_or_else(|problems| panic!("{}", loaded.show(problems)));
    Machine::in_zone(Arc::new(compiled.program), TimeZone::UTC)
}

/// An entry of these fields.
pub(super) fn entry(machine: &Machine, values: &[(&str, Value<'_>)]) -> Entry {
    let fields = machine.program().fields();
    let mut entry = Entry::new(fields);
    for (name, value) in values {
        if let Some(slot) = fields.find(name) {
            entry.set(slot, *value);
        }
    }
    entry
}

/// A field of an entry, as `Debug` shows it; "missing" if it is.
pub(super) fn shown(machine: &Machine, entry: &Entry, field: &str) -> String {
    let slot = machine.program().fields().find(field).expect("a field of the program");
    entry.get(slot).map_or_else(|| "missing".to_owned(), |value| format!("{value:?}"))
}

/// Runs an entry of these fields through the machine.
pub(super) fn run(
    machine: &mut Machine,
    world: &mut Pretended,
    values: &[(&str, Value<'_>)],
) -> (Ended, Entry) {
    let mut entry = entry(machine, values);
    let ended = machine.run(&mut entry, world);
    (ended, entry)
}

/// How often each label of a `HashMap` comes; for the scenario.
pub(super) fn count<'a>(acts: impl IntoIterator<Item = &'a String>) -> HashMap<&'a str, usize> {
    let mut counts = HashMap::new();
    for act in acts {
        let word = act.split(' ').next().unwrap_or_default();
        *counts.entry(word).or_insert(0) += 1;
    }
    counts
}
