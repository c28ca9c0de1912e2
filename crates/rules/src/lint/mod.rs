//! Warns of what the kernel would load without a word.
//!
//! Each warning has a code that stays the same, a place, a sentence and a remedy. [`CODES`] lists them.
//!
//! ```
//! use unmasq_rules::{Form, lint::{Surroundings, lint}, ruleset::Ruleset};
//!
//! let text = "*filter\n-A INPUT -j DROP\n-A INPUT -p tcp --dport 22 -j ACCEPT\nCOMMIT\n";
//! let ruleset = Ruleset::of_iptables(Form::Iptables, text)?;
//! let warnings = lint(&ruleset, text, &Surroundings::default());
//! assert_eq!((warnings[0].code, warnings[0].line), ("unreachable-rule", Some(3)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod anatomy;
mod loggers;
mod reach;
mod session;
mod statements;

use serde::Serialize;

pub use self::loggers::Loggers;
pub use self::session::{Fate, Prospects, Session, SessionError};
use crate::Form;
use crate::ruleset::{Chain, Ruleset, Table, flushes};

/// Every code, with what it means.
pub const CODES: [(&str, &str); 7] = [
    ("cuts-session", "the session one is logged in by would be dropped, or could not be opened again"),
    ("flush-ruleset", "`flush ruleset` takes away everybody's tables"),
    ("jump-to-nothing", "iptables: a jump to a chain that is not declared, and that is no target"),
    ("log-without-logger", "a log rule for a protocol family whose packets no logger of the kernel takes"),
    ("queue-without-bypass", "packets are dropped while no program takes them from the queue"),
    ("tproxy-fails-open", "nft's tproxy lets packets pass to the real server while no proxy listens"),
    (
        "unreachable-rule",
        "a rule that no packet comes to, behind one that ends the chain for all its packets",
    ),
];

/// A warning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// One of [`CODES`].
    pub code: &'static str,
    /// The line of the file, from 1, if it is known.
    pub line: Option<usize>,
    /// The table and the chain: `inet filter input`. Empty if it is about the whole.
    pub place: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub remedy: String,
}

/// What the ruleset is judged against; what is not known is not judged.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// The session that must not be cut.
    pub session: Option<Session>,
    /// What takes the kernel's log messages, on the machine where the rules are to run.
    pub loggers: Option<Loggers>,
}

/// All warnings about a ruleset, in the order of their lines. `source` is the text that it was made from.
pub fn lint(ruleset: &Ruleset, source: &str, surroundings: &Surroundings) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if ruleset.form == Form::Nft {
        warnings.extend(flushes(source).into_iter().map(|line| Warning {
            code: "flush-ruleset",
            line: Some(line),
            place: String::new(),
            message: "takes away the tables of everybody, also those of Docker, fail2ban and of bans made meanwhile".to_owned(),
            remedy: "write `table FAMILY NAME` and `delete table FAMILY NAME` for each table of this file instead".to_owned(),
        }));
    }
    if let Some(session) = &surroundings.session {
        warnings.extend(cut(session, ruleset));
    }
    for (table, chain) in ruleset.chains() {
        let place = Place { table, chain };
        warnings.extend(reach::unreachable(place));
        warnings.extend(statements::all(place, surroundings.loggers.as_ref()));
    }
    warnings.sort_by_key(|warning| warning.line);
    warnings
}

/// Where a rule stands.
#[derive(Clone, Copy)]
struct Place<'r> {
    table: &'r Table,
    chain: &'r Chain,
}

impl Place<'_> {
    fn warning(self, code: &'static str, line: Option<usize>, message: String, remedy: &str) -> Warning {
        let place = format!("{} {} {}", self.table.family, self.table.name, self.chain.name);
        Warning { code, line, place, message, remedy: remedy.to_owned() }
    }
}

fn cut(session: &Session, ruleset: &Ruleset) -> Option<Warning> {
    let prospects = session.under(ruleset);
    let who = format!("{} to {}", session.client.ip(), session.server);
    let (message, remedy) = match (prospects.established, prospects.new) {
        (Fate::Dropped, _) => (
            format!("the session from {who} would be cut off: its packets are dropped"),
            "accept `ct state established,related` (iptables: -m conntrack --ctstate ESTABLISHED,RELATED) before all that \
             drops, on the way in and out",
        ),
        (_, Fate::Dropped) => (
            format!(
                "the session from {who} would go on, but another could not be opened: new connections are dropped"
            ),
            "accept new connections to this port from where you are",
        ),
        _ => return None,
    };
    let (code, place, remedy) = ("cuts-session", String::new(), remedy.to_owned());
    Some(Warning { code, line: None, place, message, remedy })
}

#[cfg(test)]
mod tests;
