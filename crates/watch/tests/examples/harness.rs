//! An example's chains in a machine, and a world that writes down what they do.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use unmasq_entry::format::{Context, Format, Parser, Record};
use unmasq_entry::{Entry, Value};
use unmasq_flow::Timestamp;
use unmasq_watch::client::{Answer, Capture, Captures, Question, Subset};
use unmasq_watch::config::Config;
use unmasq_watch::counters::CategoryId;
use unmasq_watch::machine::{Act, Ended, Machine, Resumed, World};
use unmasq_watch::program::{Program, Resume, StepId};

/// A shipped example.
pub(crate) fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name)
}

/// What the chains did.
#[derive(Debug, Default)]
pub(crate) struct Deeds {
    /// Keys that were counted, in order.
    pub(crate) counted: Vec<String>,
    /// Addresses that were banned, in order.
    pub(crate) banned: Vec<String>,
    /// Lines written into the log.
    pub(crate) logged: Vec<String>,
    /// Steps that failed.
    pub(crate) troubles: Vec<String>,
}

struct Recorder {
    deeds: Deeds,
    /// Added to each count: a large one makes the first failure the last.
    ahead: u64,
    counts: HashMap<(String, String), u64>,
    captures: Captures,
    now: Timestamp,
}

impl World for Recorder {
    fn now(&self) -> Timestamp {
        self.now
    }

    fn raise(
        &mut self,
        _: StepId,
        category: CategoryId,
        key: Value<'_>,
        _: Option<Duration>,
    ) -> Result<u64, String> {
        let key = key.as_text().unwrap_or_default().to_owned();
        self.deeds.counted.push(key.clone());
        let count = self.counts.entry((format!("{category:?}"), key)).or_insert(self.ahead);
        *count += 1;
        Ok(*count)
    }

    fn reset(&mut self, _: StepId, _: CategoryId, _: Value<'_>, _: Option<Duration>) -> Result<(), String> {
        Ok(())
    }

    fn user_exists(&mut self, _: &str) -> Result<bool, String> {
        Ok(false)
    }

    fn capture(&mut self, _: StepId, capture: Capture) -> Result<(), String> {
        self.captures.insert(capture);
        Ok(())
    }

    fn replace(&mut self, _: StepId, asked: Subset, question: &Question) -> Answer {
        match self.captures.find(&question.masked, asked, question.time, self.now) {
            Some(client) => Answer::Known(client),
            None if question.wait.is_some() => Answer::Later,
            None => Answer::Unknown,
        }
    }

    fn act(&mut self, _: StepId, act: Act<'_>, _: &Entry) -> Result<(), String> {
        match act {
            Act::Ban(order) => self.deeds.banned.push(order.target.addr().to_string()),
            Act::Log { message, .. } => self.deeds.logged.push(message.to_owned()),
            Act::Noop | Act::Email { .. } | Act::Report { .. } => {}
        }
        Ok(())
    }

    fn trouble(&mut self, _: StepId, message: &str) {
        self.deeds.troubles.push(message.to_owned());
    }
}

/// An example at work.
pub(crate) struct Example {
    machine: Machine,
    world: Recorder,
    waiting: Vec<(Entry, Resume, Question)>,
}

impl Example {
    /// Counters count as they are.
    pub(crate) fn new(name: &str) -> Self {
        Self::ahead(name, 0)
    }

    /// Any failure is one too many, so that whoever is blamed is banned at once.
    pub(crate) fn impatient(name: &str) -> Self {
        Self::ahead(name, 1000)
    }

    fn ahead(name: &str, ahead: u64) -> Self {
        let loaded = Config::load(&path(name)).unwrap_or_else(|error| panic!("{error}"));
        let compiled =
            Program::compile(&loaded).unwrap_or_else(|problems| panic!("{}", loaded.show(problems)));
        let program = Arc::new(compiled.program);
        let world = Recorder {
            deeds: Deeds::default(),
            ahead,
            counts: HashMap::new(),
            captures: Captures::new(&program.asked(), 100_000),
            now: Timestamp::default(),
        };
        Self { machine: Machine::new(program), world, waiting: Vec::new() }
    }

    /// Runs one record. `more` are fields that the format does not give.
    pub(crate) fn record(&mut self, format: Format, line: &str, more: &[(&str, Value<'_>)]) {
        let program = Arc::clone(self.machine.program());
        let mut entry = Entry::new(program.fields());
        let mut parser = Parser::new(format, Context::default());
        parser.parse(Record::Text(line), &mut entry, program.fields()).expect("a record of the format");
        for (name, value) in more {
            if let Some(slot) = program.fields().find(name) {
                entry.set(slot, *value);
            }
        }
        self.world.now = entry.time.unwrap_or(self.world.now);
        let ended = self.machine.run(&mut entry, &mut self.world);
        self.wait(entry, ended);
        self.wake();
    }

    /// Runs a message as a program of root's has it in the journal.
    pub(crate) fn journal(&mut self, identifier: &str, comm: &str, uid: i64, message: &str) {
        let fields = [
            ("SYSLOG_IDENTIFIER", Value::Text(identifier)),
            ("_TRANSPORT", Value::Text("syslog")),
            ("_COMM", Value::Text(comm)),
            ("_UID", Value::Integer(uid)),
        ];
        self.record(Format::Plain, message, &fields);
    }

    fn wait(&mut self, entry: Entry, ended: Ended) {
        if let Ended::Waits { resume, question } = ended {
            self.waiting.push((entry, resume, question));
        }
    }

    /// Lets those go on whose client is known now.
    fn wake(&mut self) {
        for (mut entry, resume, question) in std::mem::take(&mut self.waiting) {
            let asked = self.machine.program().asked_by(resume.step).expect("it waits at a replace");
            match self.world.captures.find(&question.masked, asked, question.time, self.world.now) {
                Some(client) => {
                    let resumed = Resumed::Corrected { question, client };
                    let ended = self.machine.resume(&mut entry, resume, &resumed, &mut self.world);
                    self.wait(entry, ended);
                }
                None => self.waiting.push((entry, resume, question)),
            }
        }
    }

    /// Entries that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// What was done since the last time.
    pub(crate) fn deeds(&mut self) -> Deeds {
        std::mem::take(&mut self.world.deeds)
    }
}
