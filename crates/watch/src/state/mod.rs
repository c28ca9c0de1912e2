//! Everything that chains remember, saved so that each entry takes effect exactly once.
//!
//! ```text
//!  raise, reset, report, ban, wait … ──► in memory, at once
//!                 └──► the open transaction ──commit(positions)──► one frame of the log ──► fsync (a thread, each second)
//!                                                    └─ the log got long ──► snapshot (the same thread) and a new log
//! ```
//!
//! A transaction holds the effects of some entries *and* the places in the sources up to which they were read. What a
//! SIGKILL leaves is therefore the state after some entry, and the sources are read on from that entry. A power cut
//! costs at most the last second, which is then read again.
//!
//! ```
//! use std::time::Duration;
//! use unmasq_flow::Timestamp;
//! use unmasq_watch::counters::{CategoryId, Key};
//! use unmasq_watch::state::{Limits, State};
//!
//! # let folder = tempfile::tempdir().expect("a folder");
//! # let directory = folder.path().join("state");
//! let now = Timestamp::from_seconds(1_795_251_448);
//! let (mut state, recovered) = State::open(&directory, Limits::default())?;
//! assert_eq!(recovered.position::<u64>("journal")?, None);
//! state.bind_categories(&["sshd"]);
//! state.raise(CategoryId(0), &Key::text("203.0.113.7"), Some(Duration::from_secs(600)), now);
//! state.commit(&[("journal", 17u64)], [])?;
//! drop(state);
//!
//! let (mut state, recovered) = State::open(&directory, Limits::default())?;
//! assert_eq!(recovered.position::<u64>("journal")?, Some(17));
//! state.bind_categories(&["sshd"]);
//! assert_eq!(state.raise(CategoryId(0), &Key::text("203.0.113.7"), None, now), 2);
//! # Ok::<(), unmasq_watch::state::StateError>(())
//! ```

mod change;
mod core;
mod error;
mod frame;
mod keeper;
mod recover;
mod store;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use ipnet::IpNet;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use unmasq_flow::Timestamp;

use self::change::{BanRecord, Bytes, Change, append};
use self::core::Core;
use self::store::Store;
use crate::bans::{Ban, Bans, Escalation, Full, Offence, Placed, SetKind, canonical};
use crate::client::Capture;
use crate::counters::{self, CategoryId, Key, Usage};
use crate::report::{self, Event, Report, Schedule};

pub use error::StateError;
pub use recover::fuzz_state;

/// How much may be remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of each category of counters.
    pub counters: counters::Limits,
    /// Of the report.
    pub report: report::Limits,
    /// Most bans.
    pub bans: usize,
    /// Most addresses or networks of which earlier bans are remembered.
    pub offenders: usize,
    /// A log is at least so many bytes long before a snapshot takes its place; more where the snapshot is long itself.
    pub log_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            counters: counters::Limits::default(),
            report: report::Limits::default(),
            bans: 1 << 18,
            offenders: 1 << 16,
            log_bytes: 16 << 20,
        }
    }
}

/// What a ban is to be.
#[derive(Clone, Copy, Debug)]
pub struct BanRequest<'a> {
    /// Kind of the set.
    pub kind: SetKind,
    /// The set.
    pub set: &'a str,
    /// Who.
    pub target: IpNet,
    /// Only for this port.
    pub port: Option<u16>,
    /// How long, before it grows by escalation; `None` for ever.
    pub duration: Option<Duration>,
    /// What asks for it: chain and step, or a command.
    pub by: &'a str,
}

/// What a ban became.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Banned {
    /// A new one, or one that there was.
    pub placed: Placed,
    /// First moment at which it no longer holds; `None` for ever.
    pub until: Option<Timestamp>,
    /// How often the target was banned before, as far as that is remembered; 0 without escalation.
    pub before: u32,
}

/// What was found when the state was opened.
#[derive(Debug, Default)]
pub struct Recovered {
    /// The translations that log lines told of and that may still be known, oldest first.
    pub captures: Vec<Capture>,
    /// What is remarkable, for the log: a transaction cut short, an older snapshot that had to serve.
    pub notes: Vec<String>,
    /// Nothing was saved here before.
    pub is_new: bool,
    waits: BTreeMap<u64, Box<[u8]>>,
    positions: BTreeMap<Box<str>, Box<[u8]>>,
}

impl Recovered {
    /// Where a source was, if it was ever read.
    pub fn position<P: DeserializeOwned>(&self, source: &str) -> Result<Option<P>, StateError> {
        let read = |bytes| saved(bytes, || format!("position of {source}"));
        self.positions.get(source).map(|bytes| read(&**bytes)).transpose()
    }

    /// The sources that were read.
    pub fn sources(&self) -> impl Iterator<Item = &str> {
        self.positions.keys().map(|source| &**source)
    }

    /// The entries that waited, in the order of their numbers.
    pub fn waits<W: DeserializeOwned>(&self) -> impl Iterator<Item = Result<(u64, W), StateError>> {
        self.waits.iter().map(|(id, bytes)| Ok((*id, saved(bytes, || format!("waiting entry {id}"))?)))
    }
}

fn saved<T: DeserializeOwned>(bytes: &[u8], what: impl FnOnce() -> String) -> Result<T, StateError> {
    postcard::from_bytes(bytes).map_err(|source| StateError::Saved { what: what(), source })
}

/// All state of `unmasq watch`.
#[derive(Debug)]
pub struct State {
    core: Core,
    /// For the numbers that the running chains use for their categories, ours.
    binding: Vec<CategoryId>,
    /// `None` where nothing is saved.
    store: Option<Store>,
}

impl State {
    /// The state saved in a directory, or a new one there. The directory is made if need be, and belongs to this process
    /// until the state is dropped.
    pub fn open(directory: &Path, limits: Limits) -> Result<(Self, Recovered), StateError> {
        let (core, store, recovered) = Store::open(directory, limits)?;
        Ok((Self { core, binding: Vec::new(), store: Some(store) }, recovered))
    }

    /// A state that is never saved, for trying chains.
    pub fn in_memory(limits: Limits) -> Self {
        Self { core: Core::new(limits), binding: Vec::new(), store: None }
    }

    /// From now on, `CategoryId(n)` is the category of the nth of these names. Categories of other names keep what they
    /// count. To be called before the first raise, and whenever other chains are loaded.
    pub fn bind_categories(&mut self, names: &[impl AsRef<str>]) {
        let mut binding = Vec::with_capacity(names.len());
        for name in names.iter().map(AsRef::as_ref) {
            let known = self.core.categories.iter().position(|known| **known == *name);
            let number = known.unwrap_or_else(|| {
                self.core.categories.push(name.into());
                if let Some(store) = &mut self.store {
                    append(store.buffer(self.core.clock), &Change::Category(name));
                }
                self.core.categories.len() - 1
            });
            binding.push(CategoryId(number as u16));
        }
        self.binding = binding;
    }

    /// The engine's time as of the last change: it must not go back.
    pub fn clock(&self) -> Timestamp {
        self.core.clock
    }

    /// Raises a counter and gives how many raises count now; see [`counters::Counters::raise`]. Hot:
    /// `benches/state.rs` guards it.
    pub fn raise(&mut self, category: CategoryId, key: &Key, keep: Option<Duration>, now: Timestamp) -> u64 {
        let Some(category) = self.bound(category) else { return 0 };
        self.note(now, || Change::Raise { category, key: *key, keep });
        self.core.counters.raise(category, key, keep, self.core.clock)
    }

    /// Resets a counter; see [`counters::Counters::reset`].
    pub fn reset(&mut self, category: CategoryId, key: &Key, grace: Option<Duration>, now: Timestamp) {
        let Some(category) = self.bound(category) else { return };
        self.note(now, || Change::Reset { category, key: *key, grace });
        self.core.counters.reset(category, key, grace, self.core.clock);
    }

    /// What each category holds.
    pub fn counters(&self) -> impl Iterator<Item = (&str, Usage)> {
        let numbered = self.core.categories.iter().enumerate();
        numbered.map(|(nth, name)| (&**name, self.core.counters.usage(CategoryId(nth as u16))))
    }

    /// Adds an event to the report.
    pub fn report_event(&mut self, event: &Event<'_>, now: Timestamp) {
        self.note(now, || Change::Event(*event));
        self.core.report.add(event, &self.core.limits.report);
    }

    /// The report as it is now.
    pub fn report(&self) -> &Report {
        &self.core.report
    }

    /// If the report is due at `now`, the end of the time that it is about. To be asked before each entry and when there
    /// are none; it costs nothing while `now` is before [`Schedule::next`] of the last answer. A new state has nothing due.
    pub fn report_due(&mut self, schedule: &Schedule, now: Timestamp) -> Option<Timestamp> {
        let Some(until) = self.core.report_until else {
            let since = schedule.last(now);
            self.note(now, || Change::ReportBegins(since));
            self.core.report_until = Some(since);
            return None;
        };
        schedule.due(until, now)
    }

    /// The report up to `until` is on its way; a new one begins.
    pub fn report_sent(&mut self, until: Timestamp, now: Timestamp) {
        self.note(now, || Change::ReportSent(until));
        self.core.report = Report::default();
        self.core.report_until = Some(until);
    }

    /// Bans, or extends a ban. With escalation it lasts the longer the more often the target was banned before; bans for
    /// ever do not grow.
    pub fn ban(
        &mut self,
        request: &BanRequest<'_>,
        escalation: Option<&Escalation>,
        now: Timestamp,
    ) -> Result<Banned, Full> {
        let now = now.max(self.core.clock);
        let target = canonical(request.target);
        let growth = escalation.zip(request.duration).map(|(escalation, base)| {
            let before = self.core.offences.before(&target, escalation.decay, now);
            (before, escalation.duration(base, before))
        });
        let (before, duration) =
            growth.map_or((0, request.duration), |(before, grown)| (before, Some(grown)));
        let ban = Ban {
            kind: request.kind,
            set: request.set.into(),
            target,
            port: request.port,
            since: now,
            until: duration.map(|duration| now + duration),
            by: request.by.into(),
        };
        let banned = self.place(&ban, now)?;
        if let (Some(_), Some(until)) = (growth, ban.until) {
            let offence = Offence { times: before + 1, until };
            self.note(now, || Change::Offence(target.into(), offence));
            self.core.offences.note(target, offence);
        }
        Ok(Banned { before, ..banned })
    }

    /// Places a ban as it is: one that was imported.
    pub fn place(&mut self, ban: &Ban, now: Timestamp) -> Result<Banned, Full> {
        let placed = self.core.bans.place(ban, now.max(self.core.clock))?;
        if placed != Placed::Unchanged {
            self.note(now, || Change::Ban(BanRecord::of(ban)));
        }
        let held = self.core.bans.find(ban.kind, &ban.set, ban.target, ban.port, self.core.clock.max(now));
        Ok(Banned { placed, until: held.map_or(ban.until, |held| held.until), before: 0 })
    }

    /// Lifts a ban and gives it, if there was one.
    pub fn unban(
        &mut self,
        kind: SetKind,
        set: &str,
        target: IpNet,
        port: Option<u16>,
        now: Timestamp,
    ) -> Option<Ban> {
        let lifted = self.core.bans.lift(kind, set, target, port)?;
        let target = canonical(target).into();
        self.note(now, || Change::Unban { kind, set, target, port });
        Some(lifted)
    }

    /// The bans that are wanted.
    pub fn bans(&self) -> &Bans {
        &self.core.bans
    }

    /// Saves a translation that a log line told of. It is kept by the caller, who gives all to [`State::commit`].
    pub fn capture_added(&mut self, capture: &Capture, now: Timestamp) {
        self.note(now, || Change::Capture(capture.clone()));
    }

    /// Saves an entry that waits. No two wait under one number at a time.
    pub fn wait_added(&mut self, id: u64, wait: &impl Serialize, now: Timestamp) -> Result<(), StateError> {
        if self.store.is_none() {
            return Ok(());
        }
        let bytes = postcard::to_stdvec(wait)
            .map_err(|source| StateError::Saved { what: format!("waiting entry {id}"), source })?;
        self.note(now, || Change::WaitAdded(id, Bytes(&bytes)));
        self.core.waits.insert(id, bytes.into());
        Ok(())
    }

    /// An entry waits no more.
    pub fn wait_ended(&mut self, id: u64, now: Timestamp) {
        self.note(now, || Change::WaitEnded(id));
        self.core.waits.remove(&id);
    }

    /// A name for a mail, of 32 hexadecimal digits: the same when the same entry makes the same step send it again after a
    /// crash, and another for any other. An entry that nothing identifies takes the next number.
    pub fn next_mail(&mut self, step: &str, entry: Option<&[u8]>, now: Timestamp) -> String {
        self.note(now, || Change::Mail);
        self.core.mails += 1;
        let mut hash = Sha256::new();
        hash.update(self.core.instance);
        hash.update((step.len() as u64).to_le_bytes());
        hash.update(step);
        match entry {
            Some(entry) => {
                hash.update([1]);
                hash.update(entry);
            }
            None => hash.update(self.core.mails.to_le_bytes()),
        }
        let mut name = [0; 16];
        name.copy_from_slice(&hash.finalize()[..16]);
        format!("{:032x}", u128::from_be_bytes(name))
    }

    /// Saves all changes since the last commit, together with the sources' positions. `captures` are those that are held,
    /// asked for only when a snapshot is made.
    ///
    /// An error says what could not be done. Nothing in memory is lost then: the changes stay in the open transaction, and
    /// the next commit saves them too.
    pub fn commit<'c, P: Serialize>(
        &mut self,
        positions: &[(&str, P)],
        captures: impl IntoIterator<Item = &'c Capture>,
    ) -> Result<(), StateError> {
        let Some(store) = &mut self.store else { return Ok(()) };
        for (source, position) in positions {
            let bytes = postcard::to_stdvec(position).map_err(|error| StateError::Saved {
                what: format!("position of {source}"),
                source: error,
            })?;
            if self.core.positions.get(*source).is_some_and(|known| **known == *bytes) {
                continue;
            }
            append(store.buffer(self.core.clock), &Change::Position(source, Bytes(&bytes)));
            self.core.positions.insert((*source).into(), bytes.into());
        }
        store.commit(&mut self.core, captures)
    }

    fn bound(&self, category: CategoryId) -> Option<CategoryId> {
        self.binding.get(usize::from(category.0)).copied()
    }

    /// Moves the clock on, and writes a change into the open transaction.
    fn note<'c>(&mut self, now: Timestamp, change: impl FnOnce() -> Change<'c>) {
        let passed = now.as_nanos().saturating_sub(self.core.clock.as_nanos());
        let Some(store) = &mut self.store else {
            self.core.clock = self.core.clock.max(now);
            return;
        };
        let buffer = store.buffer(self.core.clock);
        if passed > 0 {
            append(buffer, &Change::Clock(passed));
            self.core.clock = now;
        }
        append(buffer, &change());
    }
}
