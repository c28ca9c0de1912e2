//! The hands of the running watch: log, mail, kernel sets.

use std::sync::Arc;

use anyhow::Context;
use crossbeam_channel::{Receiver, unbounded};
use unmasq_flow::Timestamp;
use unmasq_watch::bans::Placed;
use unmasq_watch::config::Config;
use unmasq_watch::enforce::{self, Element, Enforcer};
use unmasq_watch::journal_log::{Level, Log, Record, Target};
use unmasq_watch::mail::{Message, News, Outbox, Transport};
use unmasq_watch::metrics::Metrics;

use super::effect::{At, Banning, Effect, Hands};

/// Log, mail and kernel sets.
pub(crate) struct Live {
    pub(crate) log: Log,
    pub(crate) outbox: Outbox,
    pub(crate) enforcer: Enforcer,
    reports: Receiver<(enforce::Report, Timestamp)>,
    /// When the entry was written that caused the ban of an element, until the kernel has it.
    caused: std::collections::HashMap<Element, Timestamp>,
    pub(crate) metrics: Arc<Metrics>,
    from: String,
    to: Vec<String>,
    subject: String,
    /// The last trouble with mail or sets, for the status.
    pub(crate) trouble: Option<String>,
    /// Bans that the kernel did not take when they were ordered.
    pub(crate) failed: Failed,
}

/// Bans that were not carried out.
#[derive(Debug, Default)]
pub(crate) struct Failed {
    pub(crate) bans: u64,
    /// Why the last of them was not.
    pub(crate) last: String,
}

impl Live {
    /// Opens log, outbox and enforcer.
    pub(crate) fn open(config: &Config, metrics: Arc<Metrics>) -> anyhow::Result<Self> {
        let outbox =
            Outbox::open(config.storage.join("mail"), &Transport::configured(&config.email.transport)?)?;
        let (tell, reports) = unbounded();
        let enforcer = Enforcer::start(enforce::Options::default(), move |report| {
            // The watch may be gone by now.
            let _ = tell.send((report, Timestamp::now()));
        })
        .context("cannot start the thread that changes the kernel's sets")?;
        Ok(Self {
            log: log(config),
            outbox,
            enforcer,
            reports,
            caused: std::collections::HashMap::new(),
            metrics,
            from: config.email.from.clone(),
            to: config.email.to.clone(),
            subject: config.email.subject.clone(),
            trouble: None,
            failed: Failed::default(),
        })
    }

    /// Takes up a changed configuration.
    pub(crate) fn reload(&mut self, config: &Config) -> anyhow::Result<()> {
        self.outbox.set_transport(&Transport::configured(&config.email.transport)?)?;
        self.log = log(config);
        self.from.clone_from(&config.email.from);
        self.to.clone_from(&config.email.to);
        self.subject.clone_from(&config.email.subject);
        Ok(())
    }

    /// Writes into the log that the watch itself writes into.
    pub(crate) fn tell(&mut self, level: Level, message: &str) {
        self.log.write(&Record { level, message: message.as_bytes(), chain: None, step: None, again: false });
    }

    /// Hears what became of bans and mails.
    pub(crate) fn hear(&mut self) {
        while let Ok((report, heard)) = self.reports.try_recv() {
            match report {
                enforce::Report::Banned { element, .. } => {
                    if let Some(caused) = self.caused.remove(&element) {
                        self.metrics.log_to_kernel.note(heard.since(caused));
                    }
                }
                enforce::Report::Failed { element, failure } => {
                    self.caused.remove(&element);
                    let message = format!("{element} cannot be put into {}: {failure}", element.set);
                    self.failed.bans += 1;
                    self.failed.last.clone_from(&message);
                    self.metrics.bans_failed.add([&element.set.to_string()], 1);
                    if self.trouble.as_ref() != Some(&message) {
                        self.tell(Level::Err, &message);
                    }
                    self.trouble = Some(message);
                }
                other => self.hear_other(&other),
            }
        }
        while let Ok(news) = self.outbox.news().try_recv() {
            match news {
                News::Sent { .. } => {}
                News::Delayed { reason } => self.tell(Level::Warning, &format!("mail waits: {reason}")),
                News::Failed { id, reason } => {
                    self.tell(Level::Err, &format!("the mail {id} was refused: {reason}"));
                }
                News::Trouble { reason } => self.tell(Level::Err, &format!("mail: {reason}")),
            }
        }
    }

    fn hear_other(&mut self, report: &enforce::Report) {
        use enforce::Report;
        match report {
            Report::Mended { set, count } => {
                self.metrics.bans_mended.add([&set.to_string()], *count as u64);
                self.tell(Level::Warning, &format!("{count} bans were missing from {set} and were put back"));
            }
            Report::Restored { held, failed, took } => {
                let level = if *failed == 0 { Level::Info } else { Level::Err };
                self.tell(level, &format!("{held} bans restored in {took:.1?}, {failed} could not be"));
            }
            Report::Trouble { set, failure } => {
                let message = format!("bans in {set} have to wait: {failure}");
                self.tell(Level::Err, &message);
                self.trouble = Some(message);
            }
            Report::Recovered { set } => {
                self.trouble = None;
                self.tell(Level::Notice, &format!("{set} takes bans again"));
            }
            Report::Warning { set, message } => self.tell(Level::Warning, &format!("{set}: {message}")),
            Report::Connection { reason } => {
                self.tell(Level::Err, &format!("the connection to the kernel's sets broke: {reason}"));
            }
            // Asked for, and counted where it matters; a kind to come is told in the log of the enforcer's version.
            _ => {}
        }
    }
}

impl Hands for Live {
    const WANTS_PLACE: bool = false;

    fn carry_out(&mut self, at: At<'_>, effect: Effect<'_>) -> Result<(), String> {
        match effect {
            Effect::Log { level, message } => {
                let info = at.program.step(at.step);
                let step = info.index.to_string();
                self.log.write(&Record {
                    level,
                    message: message.as_bytes(),
                    chain: Some(&info.chain),
                    step: Some(&step),
                    again: at.is_own,
                });
                Ok(())
            }
            Effect::Email { id, subject, message } => {
                let message = Message {
                    id: id.to_owned(),
                    from: self.from.clone(),
                    to: self.to.clone(),
                    subject: subject.to_owned(),
                    text: message.to_owned(),
                    html: None,
                };
                self.outbox.queue(&message).map(drop).map_err(|error| error.to_string())
            }
            Effect::Ban(ban) => {
                self.ban(&ban);
                Ok(())
            }
            Effect::Refused { refusal, .. } => {
                self.metrics.refusals.add([refusal.kind.as_str()], 1);
                Ok(())
            }
            Effect::Noop
            | Effect::Report { .. }
            | Effect::Raise { .. }
            | Effect::Reset { .. }
            | Effect::Capture(_)
            | Effect::Replace { .. } => Ok(()),
        }
    }

    fn send_report(&mut self, id: &str, text: &str, html: &str) -> Result<(), String> {
        let message = Message {
            id: id.to_owned(),
            from: self.from.clone(),
            to: self.to.clone(),
            subject: self.subject.clone(),
            text: text.to_owned(),
            html: Some(html.to_owned()),
        };
        self.outbox.queue(&message).map(drop).map_err(|error| error.to_string())
    }

    fn warn(&mut self, message: &str) {
        self.tell(Level::Warning, message);
    }

    fn trouble(&mut self, at: At<'_>, message: &str) {
        let info = at.program.step(at.step);
        let step = info.index.to_string();
        let message = format!("{info} {}: {message}", info.name);
        self.log.write(&Record {
            level: Level::Err,
            message: message.as_bytes(),
            chain: Some(&info.chain),
            step: Some(&step),
            again: at.is_own,
        });
    }
}

impl Live {
    fn ban(&mut self, ban: &Banning<'_>) {
        if ban.placed == Placed::Unchanged {
            return;
        }
        let timeout = match ban.until {
            Some(until) => {
                let left = until.since(Timestamp::now());
                // The entry was read long after it was written: its ban is over.
                if left.is_zero() {
                    return;
                }
                Some(left)
            }
            None => None,
        };
        let element = Element { set: ban.set.clone(), target: ban.target, port: ban.port, timeout };
        self.metrics.bans_ordered.add([&ban.set.to_string()], 1);
        self.caused.insert(element.clone(), ban.caused);
        self.enforcer.ban(element);
    }
}

fn log(config: &Config) -> Log {
    let target = match &config.log.file {
        Some(file) => Target::File(file.clone()),
        None if config.log.journal => Target::Any,
        None => Target::Stderr,
    };
    Log::open(&config.log.identifier, &target).at_least(config.log.level)
}
