//! What the keeper is told and what it says: one JSON text a line, over a socket that is its standard input.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use unmasq_rules::store::Revision;

use super::read::Source;
use super::session::Session;

/// What is to be done.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    /// Folder of the history.
    pub(crate) history: PathBuf,
    /// Folder of what is true until the machine restarts.
    pub(crate) run: PathBuf,
    /// A git repository that keeps revisions, too.
    pub(crate) git: Option<PathBuf>,
    pub(crate) what: What,
}

/// Which of the two.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum What {
    /// Load, and put back unless confirmed.
    Test {
        sources: Vec<Source>,
        /// For how long, in milliseconds.
        millis: u64,
        /// The session that it was asked for in.
        session: Session,
    },
    /// Commit, in this order.
    Commit { sources: Vec<Source>, author: String, message: String },
}

/// What the one who asked says later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// The rules stay.
    Confirm,
    /// The rules before come back now.
    Return,
    /// What is going on? Only over the socket of the test.
    Status,
}

/// What the keeper says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Event {
    /// The new rules are in force, for so many milliseconds.
    Loaded { millis: u64, told: Vec<String> },
    /// A ruleset is committed.
    Committed { revision: Box<Revision>, told: Vec<String> },
    /// All is done as asked. A test: it was confirmed.
    Done { told: Vec<String> },
    /// The rules before are back.
    Returned { why: String, told: Vec<String> },
    /// It was not to be done, and nothing has changed.
    Refused { why: String },
    /// Something went wrong.
    Failed { why: String },
}
