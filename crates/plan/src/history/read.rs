//! A history that is asked.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rustc_hash::FxHashSet;
use unmasq_flow::Timestamp;

use super::HistoryError;
use super::index;
use super::record::Revision;
use super::rows::{self, LONGEST, Rows};
use super::timeline::{Claim, Drift, Timeline};
use crate::plan::{Allocation, Layout, Plan};

/// So many files of rows are kept in memory: those of some revisions around a change.
const MOST_KEPT: usize = 64;

/// The plans that were applied on a gateway. Opening it reads the index; rows are read when they are asked for.
#[derive(Debug)]
pub struct History {
    directory: PathBuf,
    pub(super) timeline: Timeline,
    kept: Mutex<HashMap<u64, Arc<Rows>>>,
}

impl History {
    /// Opens the history in a folder.
    pub fn open(directory: &Path) -> Result<Self, HistoryError> {
        if !Self::is_in(directory) {
            return Err(HistoryError::NoPlan { path: directory.to_owned() });
        }
        Ok(Self::of(directory, index::read(directory)?.timeline))
    }

    /// The one whose index says this.
    pub(super) fn of(directory: &Path, timeline: Timeline) -> Self {
        Self { directory: directory.to_owned(), timeline, kept: Mutex::new(HashMap::new()) }
    }

    /// Is there a history in the folder?
    pub fn is_in(directory: &Path) -> bool {
        index::path(directory).exists()
    }

    /// The folder.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// All revisions in order of time, those that were refused and those that were pruned among them.
    pub fn revisions(&self) -> &[Revision] {
        &self.timeline.revisions
    }

    /// When each can have been in force.
    pub fn claims(&self) -> &[Claim] {
        &self.timeline.claims
    }

    /// When the kernel's rules were not those of the plan.
    pub fn drifts(&self) -> &[Drift] {
        &self.timeline.drifts
    }

    /// The newest revision that can be in force.
    pub fn newest(&self) -> Option<&Revision> {
        self.timeline.revisions.iter().rev().find(|revision| revision.was_in_force())
    }

    /// The newest revision that can be in force, unless its file cannot be read.
    pub fn newest_readable(&self) -> Option<&Revision> {
        self.newest().filter(|revision| !revision.is_unreadable)
    }

    /// The revision of that number.
    pub fn revision(&self, number: u64) -> Result<&Revision, HistoryError> {
        let numbers = || self.timeline.revisions.iter().map(|r| r.number);
        self.timeline.revisions.iter().find(|r| r.number == number).ok_or_else(|| HistoryError::NoRevision {
            number,
            first: numbers().min().unwrap_or(0),
            last: numbers().max().unwrap_or(0),
        })
    }

    /// Was the revision removed because of its age?
    pub fn is_pruned(&self, number: u64) -> bool {
        number < self.timeline.pruned_below
    }

    /// The rules file of a revision.
    pub fn rules_file(&self, revision: &Revision) -> PathBuf {
        self.directory.join(revision.file_name())
    }

    /// When a revision's time ended: the start of the next, if there is one.
    pub fn ended(&self, number: u64) -> Option<Timestamp> {
        let in_force = || self.timeline.revisions.iter().filter(|r| r.was_in_force());
        in_force().skip_while(|r| r.number != number).nth(1).map(|next| next.since().wall)
    }

    /// Who had what in a revision, in the order of clients.
    pub fn plan(&self, number: u64) -> Result<Plan, HistoryError> {
        let revision = self.revision(number)?;
        if self.is_pruned(number) {
            return Err(HistoryError::Pruned { number });
        }
        let mut files = Vec::new();
        self.walk(number, |rows| {
            files.push(Arc::clone(rows));
            true
        })?;
        let mut all: FxHashSet<Allocation> = FxHashSet::default();
        for rows in files.iter().rev() {
            for gone in rows.removed() {
                all.remove(&gone);
            }
            all.extend(rows.added());
        }
        let mut allocations: Vec<Allocation> = all.into_iter().collect();
        allocations.sort_unstable();
        let overflow = allocations.iter().find(|a| a.is_overflow()).map(|a| a.block);
        allocations.retain(|a| !a.is_overflow());
        let layout: Layout = revision.layout;
        Ok(Plan { layout, ports_per_client: revision.ports_per_client, allocations, overflow })
    }

    /// Goes through the files of a revision, from its own to the whole one, until `visit` has seen enough.
    pub(super) fn walk(
        &self,
        number: u64,
        mut visit: impl FnMut(&Arc<Rows>) -> bool,
    ) -> Result<(), HistoryError> {
        let mut next = Some(number);
        for _ in 0..=LONGEST {
            let Some(number) = next else { return Ok(()) };
            let rows = self.rows(number)?;
            if !visit(&rows) {
                return Ok(());
            }
            next = rows.base;
        }
        let path = rows::path(&self.directory, number);
        Err(HistoryError::damaged(&path, 0, format!("more than {LONGEST} files before a whole one")))
    }

    fn rows(&self, number: u64) -> Result<Arc<Rows>, HistoryError> {
        if let Some(rows) = self.kept.lock().get(&number) {
            return Ok(Arc::clone(rows));
        }
        let rows = Arc::new(rows::read(&self.directory, number)?);
        let mut kept = self.kept.lock();
        if kept.len() >= MOST_KEPT {
            kept.clear();
        }
        kept.insert(number, Arc::clone(&rows));
        Ok(rows)
    }
}
