//! What the machine asks of the world around it. The machine itself does no I/O and reads no clock.

use std::time::Duration;

use ipnet::IpNet;
use unmasq_entry::{Entry, Value};
use unmasq_flow::Timestamp;

use crate::client::{Answer, Capture, Question, Subset};
use crate::counters::CategoryId;
use crate::enforce::SetName;
use crate::journal_log::Level;
use crate::program::{IfShared, Prefix, StepId};
use crate::report::{self, Details};

/// Counters, users, translations and effects. In `watch test` all of it is pretended.
pub trait World {
    /// The engine's time: the entry's own, never going back and never in the future.
    fn now(&self) -> Timestamp;

    /// Counts one more for the key, which is forgotten after `keep` (`None`: never), and gives the count.
    fn raise(
        &mut self,
        step: StepId,
        category: CategoryId,
        key: Value<'_>,
        keep: Option<Duration>,
    ) -> Result<u64, String>;

    /// Forgets all counts of the key, and lets it be for `grace`.
    fn reset(
        &mut self,
        step: StepId,
        category: CategoryId,
        key: Value<'_>,
        grace: Option<Duration>,
    ) -> Result<(), String>;

    /// Is there a user of that name, as the system's name service says?
    fn user_exists(&mut self, name: &str) -> Result<bool, String>;

    /// Keeps a translation that a log line told of.
    fn capture(&mut self, step: StepId, capture: Capture) -> Result<(), String>;

    /// Who is behind that? `asked` says which words of the question are compared. [`Answer::Later`] only if the question
    /// may wait.
    fn replace(&mut self, step: StepId, asked: Subset, question: &Question) -> Answer;

    /// Does what an action says. An error ends the entry's way.
    fn act(&mut self, step: StepId, act: Act<'_>, entry: &Entry) -> Result<(), String>;

    /// Hears of a step that failed: a filter that fails does not pass, an action that fails ends the entry's way.
    fn trouble(&mut self, step: StepId, message: &str);
}

/// What an action does to the world, its arguments read and its templates filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act<'a> {
    /// Nothing.
    Noop,
    /// A line in the system's log.
    Log {
        /// How urgent.
        level: Level,
        /// The line; may have several.
        message: &'a str,
    },
    /// A mail.
    Email {
        /// As the configuration has it, never from an entry.
        subject: &'a str,
        /// The body.
        message: &'a str,
    },
    /// A message for the daily report.
    Report {
        /// Its section.
        level: report::Level,
        /// Which of its times are shown.
        details: Details,
        /// The message.
        message: &'a str,
    },
    /// A ban.
    Ban(BanOrder<'a>),
}

/// Whom to ban, where and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BanOrder<'a> {
    /// The address (a network of one) or network, host bits cleared, IPv4-mapped made IPv4; not yet widened to `prefix`.
    pub target: IpNet,
    /// The port that the entry has, where the step names its field.
    pub port: Option<u16>,
    /// The set for the target's family.
    pub set: &'a SetName,
    /// The set of addresses with ports for that family, where the step names one.
    pub port_set: Option<&'a SetName>,
    /// `None`: for ever.
    pub duration: Option<Duration>,
    /// What to do when others stand behind the address.
    pub if_shared: IfShared,
    /// Does the time grow for repeat offenders?
    pub escalate: bool,
    /// How much of a single address is banned.
    pub prefix: Prefix,
}
