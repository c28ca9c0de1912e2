//! The state itself: pure, changed by [`Change`]s only, so that a replay of them gives the same again.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use unmasq_flow::Timestamp;

use super::Limits;
use super::change::{BanRecord, Bytes, Change, Net};
use crate::bans::{Bans, Offence, Offences};
use crate::client::Capture;
use crate::counters::{CategoryId, Counters, SavedCategory};
use crate::report::Report;

/// All that is saved, but for captures, which the book keeps.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) limits: Limits,
    /// The engine's time.
    pub(super) clock: Timestamp,
    /// Random, made with the state: sets its mails apart from other machines'.
    pub(super) instance: [u8; 16],
    pub(super) mails: u64,
    /// Names of the categories, by number.
    pub(super) categories: Vec<Box<str>>,
    pub(super) counters: Counters,
    pub(super) report: Report,
    /// Up to when reports were sent; `None` before the first.
    pub(super) report_until: Option<Timestamp>,
    pub(super) bans: Bans,
    pub(super) offences: Offences,
    pub(super) waits: BTreeMap<u64, Box<[u8]>>,
    pub(super) positions: BTreeMap<Box<str>, Box<[u8]>>,
}

/// A [`Core`] as it is written; borrows what it can. `C` is a category.
#[derive(Serialize, Deserialize)]
struct Snapshot<'a, C> {
    /// The last transaction that it holds.
    sequence: u64,
    clock: Timestamp,
    instance: [u8; 16],
    mails: u64,
    #[serde(borrow)]
    categories: Vec<(&'a str, C)>,
    report: Cow<'a, Report>,
    report_until: Option<Timestamp>,
    #[serde(borrow)]
    bans: Vec<BanRecord<'a>>,
    offences: Vec<(Net, Offence)>,
    #[serde(borrow)]
    waits: Vec<(u64, Bytes<'a>)>,
    #[serde(borrow)]
    positions: Vec<(&'a str, Bytes<'a>)>,
    captures: Vec<Cow<'a, Capture>>,
}

impl Core {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            clock: Timestamp::from_nanos(0),
            instance: [0; 16],
            mails: 0,
            categories: Vec::new(),
            counters: Counters::new(limits.counters),
            report: Report::default(),
            report_until: None,
            bans: Bans::new(limits.bans),
            offences: Offences::new(limits.offenders),
            waits: BTreeMap::new(),
            positions: BTreeMap::new(),
        }
    }

    /// Takes a change over; `false` for one that cannot be.
    pub(super) fn apply(&mut self, change: Change<'_>, captures: &mut Vec<Capture>) -> bool {
        let now = self.clock;
        match change {
            Change::Clock(nanos) => {
                self.clock = Timestamp::from_nanos(now.as_nanos().saturating_add(nanos));
            }
            Change::Instance(instance) => self.instance = instance,
            Change::Category(name) => self.categories.push(name.into()),
            Change::Raise { category, .. } | Change::Reset { category, .. }
                if usize::from(category.0) >= self.categories.len() =>
            {
                return false;
            }
            Change::Raise { category, key, keep } => {
                self.counters.raise(category, &key, keep, now);
            }
            Change::Reset { category, key, grace } => self.counters.reset(category, &key, grace, now),
            Change::Event(event) => self.report.add(&event, &self.limits.report),
            Change::ReportSent(until) => {
                self.report = Report::default();
                self.report_until = Some(until);
            }
            Change::ReportBegins(since) => self.report_until = Some(since),
            Change::Ban(record) => {
                let Some(ban) = record.ban() else { return false };
                // Full: the limit is lower than when this was written, and this one is beyond it.
                let _ = self.bans.place(&ban, now);
            }
            Change::Unban { kind, set, target, port } => {
                let Some(target) = target.net() else { return false };
                self.bans.lift(kind, set, target, port);
            }
            Change::Offence(target, offence) => {
                let Some(target) = target.net() else { return false };
                self.offences.note(target, offence);
            }
            Change::Capture(capture) => captures.push(capture),
            Change::WaitAdded(id, bytes) => {
                self.waits.insert(id, bytes.0.into());
            }
            Change::WaitEnded(id) => {
                self.waits.remove(&id);
            }
            Change::Mail => self.mails += 1,
            Change::Position(source, bytes) => {
                self.positions.insert(source.into(), bytes.0.into());
            }
        }
        true
    }

    /// The whole as bytes behind `out`.
    pub(super) fn save<'c>(
        &mut self,
        sequence: u64,
        captures: impl IntoIterator<Item = &'c Capture>,
        out: &mut Vec<u8>,
    ) {
        let now = self.clock;
        self.bans.forget_past(now);
        let counters = self.counters.save(self.categories.len());
        let bans = self.bans.list(now);
        let captures = captures.into_iter().filter(|capture| capture.until >= now);
        let snapshot = Snapshot {
            sequence,
            clock: now,
            instance: self.instance,
            mails: self.mails,
            categories: self.categories.iter().map(|name| &**name).zip(counters).collect(),
            report: Cow::Borrowed(&self.report),
            report_until: self.report_until,
            bans: bans.iter().map(BanRecord::of).collect(),
            offences: self.offences.iter().map(|(target, offence)| (target.into(), offence)).collect(),
            waits: self.waits.iter().map(|(id, bytes)| (*id, Bytes(bytes))).collect(),
            positions: self.positions.iter().map(|(source, bytes)| (&**source, Bytes(bytes))).collect(),
            captures: captures.map(Cow::Borrowed).collect(),
        };
        super::change::append(out, &snapshot);
        // As after loading this: what has to give way next is then the same here as in a replay.
        self.offences.rewind();
    }

    /// What a snapshot holds; `None` if it is not one.
    pub(super) fn load(payload: &[u8], limits: Limits, captures: &mut Vec<Capture>) -> Option<(Self, u64)> {
        let snapshot: Snapshot<'_, SavedCategory> = postcard::from_bytes(payload).ok()?;
        let mut core = Self::new(limits);
        core.clock = snapshot.clock;
        core.instance = snapshot.instance;
        core.mails = snapshot.mails;
        for (nth, (name, saved)) in snapshot.categories.into_iter().enumerate() {
            core.categories.push(name.into());
            core.counters.load(CategoryId(u16::try_from(nth).ok()?), &saved);
        }
        core.report = snapshot.report.into_owned();
        core.report_until = snapshot.report_until;
        for record in &snapshot.bans {
            // Full: the limit is lower than when this was written, and this one is beyond it.
            let _ = core.bans.place(&record.ban()?, core.clock);
        }
        for (target, offence) in snapshot.offences {
            core.offences.note(target.net()?, offence);
        }
        core.offences.rewind();
        core.waits = snapshot.waits.into_iter().map(|(id, bytes)| (id, bytes.0.into())).collect();
        core.positions =
            snapshot.positions.into_iter().map(|(s, bytes)| (s.into(), bytes.0.into())).collect();
        *captures = snapshot.captures.into_iter().map(Cow::into_owned).collect();
        Some((core, snapshot.sequence))
    }
}
