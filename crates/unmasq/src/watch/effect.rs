//! What the chains cause, and whoever carries it out: the running watch, or a trial that only tells.

use std::time::Duration;

use ipnet::IpNet;
use unmasq_entry::Entry;
use unmasq_flow::Timestamp;
use unmasq_watch::bans::Placed;
use unmasq_watch::client::{Capture, Client, Masked};
use unmasq_watch::enforce::SetName;
use unmasq_watch::guard::Refusal;
use unmasq_watch::journal_log::Level;
use unmasq_watch::machine::Visit;
use unmasq_watch::program::{Program, StepId};
use unmasq_watch::report::{self, Details};

/// One thing that an action causes, its arguments filled in.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Effect<'e> {
    /// `action_noop`.
    Noop,
    /// `action_log`.
    Log { level: Level, message: &'e str },
    /// `action_email`; the mail's id is the same when the same entry sends it again.
    Email { id: &'e str, subject: &'e str, message: &'e str },
    /// `action_dailyReport`.
    Report { level: report::Level, details: Details, message: &'e str },
    /// `action_nftBan`, `action_ipsetBan`: what the guard let pass.
    Ban(Banning<'e>),
    /// The same: what it did not.
    Refused { refusal: &'e Refusal },
    /// `action_counterRaise`, and the count.
    Raise { counter: &'e str, key: &'e str, keep: Option<Duration>, count: u64 },
    /// `action_counterReset`.
    Reset { counter: &'e str, key: &'e str, grace: Option<Duration> },
    /// `action_dnatCapture`.
    Capture(&'e Capture),
    /// `action_dnatReplace` that knew the client, or learnt it while the entry waited.
    Replace { masked: &'e Masked, client: &'e Client },
}

/// A ban that is to be in force.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Banning<'e> {
    pub(crate) set: &'e SetName,
    pub(crate) target: IpNet,
    pub(crate) port: Option<u16>,
    /// The end; `None` for ever.
    pub(crate) until: Option<Timestamp>,
    /// What the chain asked for, grown for a repeat offender.
    pub(crate) duration: Option<Duration>,
    /// New, longer than before, or just as it was.
    pub(crate) placed: Placed,
    /// When the entry was written that caused it.
    pub(crate) caused: Timestamp,
}

/// Where an effect comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At<'e> {
    pub(crate) program: &'e Program,
    pub(crate) step: StepId,
    /// The cursor or the line number of the entry.
    pub(crate) place: &'e str,
    /// Had the watch itself written the entry?
    pub(crate) is_own: bool,
}

/// Carries effects out, or tells of them.
pub(crate) trait Hands {
    /// Does it want to know the place of every entry whose action it carries out? Finding it costs something.
    const WANTS_PLACE: bool;

    /// Carries one out. An error ends the entry's way.
    fn carry_out(&mut self, at: At<'_>, effect: Effect<'_>) -> Result<(), String>;

    /// Sends the daily report.
    fn send_report(&mut self, id: &str, text: &str, html: &str) -> Result<(), String>;

    /// Tells the administrator of something that concerns no step.
    fn warn(&mut self, message: &str);

    /// Hears of a step that failed.
    fn trouble(&mut self, at: At<'_>, message: &str);

    /// Sees an entry that was run, with what the chains wrote into it, and the way that it took, if ways are watched.
    /// `is_resumed`: it had waited.
    fn ran(&mut self, _entry: &Entry, _path: &[Visit], _is_resumed: bool) {}
}
