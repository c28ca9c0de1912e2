//! A history that is written.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::{Errno, FdFlags, fcntl_setfd};
use unmasq_flow::Timestamp;

use super::HistoryError;
use super::index;
use super::read::History;
use super::record::{Digest, DriftReason, Entry, Format, LENGTH, Moment, Outcome, Revision};
use super::rows::{self, Content, LONGEST};
use crate::plan::{Allocation, Plan, apart};

/// Writes a history. There is one at a time.
///
/// Programs that are started while it is open hold the history, too: one that outlives a writer that was killed may still be
/// loading that writer's rules into the kernel, over those of the next.
#[derive(Debug)]
pub struct HistoryWriter {
    directory: PathBuf,
    index: File,
    /// Where the next record goes.
    end: u64,
    chain: Digest,
    next: u64,
    newest: Option<Newest>,
    history: History,
    /// Held, never read.
    _lock: File,
}

/// The last revision.
#[derive(Debug)]
struct Newest {
    number: u64,
    /// How many files it is away from a whole one.
    depth: u64,
    rows: Vec<Allocation>,
}

/// A plan that is about to be applied.
#[derive(Clone, Copy, Debug)]
pub struct NewRevision<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// The rules, as they will be loaded.
    pub rules: &'a str,
    /// In which form.
    pub format: Format,
    /// Are flows left alone that leave by ports which their client has no more?
    pub keeps_flows: bool,
    /// How long such flows may live on without a packet.
    pub longest_timeout: Duration,
}

/// A revision that was begun. Say what became of it; if nobody does, both it and the one before are named for what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Begun {
    /// Its number.
    pub number: u64,
}

impl HistoryWriter {
    /// Opens the history in a folder, and makes it if there is none.
    pub fn open(directory: &Path) -> Result<Self, HistoryError> {
        let revisions = directory.join("revisions");
        fs::create_dir_all(&revisions).map_err(HistoryError::io("making", &revisions))?;
        let lock_path = directory.join("lock");
        let lock = OpenOptions::new().write(true).create(true).truncate(false).open(&lock_path);
        let lock = lock.map_err(HistoryError::io("opening", &lock_path))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => return Err(HistoryError::Locked { path: directory.to_owned() }),
            other => other.map_err(|e| HistoryError::io("locking", &lock_path)(e.into()))?,
        }
        fcntl_setfd(&lock, FdFlags::empty())
            .map_err(|e| HistoryError::io("sharing", &lock_path)(e.into()))?;
        let path = index::path(directory);
        if !path.exists() {
            replace(&path, &index::header())?;
        }
        let read = index::read(directory)?;
        let file = OpenOptions::new().write(true).open(&path).map_err(HistoryError::io("opening", &path))?;
        if read.torn > 0 {
            // What a crash left of a record that nobody was told of.
            file.set_len(read.end as u64).map_err(HistoryError::io("cutting", &path))?;
        }
        let history = History::of(directory, read.timeline);
        let next = history.revisions().iter().map(|r| r.number).max().unwrap_or(0) + 1;
        Ok(Self {
            directory: directory.to_owned(),
            index: file,
            end: read.end as u64,
            chain: read.chain,
            next,
            newest: None,
            history,
            _lock: lock,
        })
    }

    /// What is in it.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Writes a revision that is about to be loaded into the kernel.
    pub fn begin(&mut self, new: NewRevision<'_>, now: Moment) -> Result<Begun, HistoryError> {
        let name = self.free_name(new.format, now.wall.as_seconds());
        let revision = Revision {
            number: self.next,
            begun: now,
            outcome: Outcome::Unknown,
            layout: new.plan.layout,
            format: new.format,
            clients: new.plan.client_count() as u32,
            ports_per_client: new.plan.ports_per_client,
            protocols: new.plan.protocols(),
            keeps_flows: new.keeps_flows,
            longest_timeout: new.longest_timeout,
            settled: None,
            is_adopted: false,
            is_unreadable: false,
            has_other_rules: false,
            name,
            rows: rows::digest(&new.plan.rows()),
            rules: Digest::of(new.rules.as_bytes()),
        };
        self.write(revision, new.plan, new.rules.as_bytes())
    }

    /// Writes the files of a revision, then its record.
    pub(super) fn write(
        &mut self,
        revision: Revision,
        plan: &Plan,
        rules: &[u8],
    ) -> Result<Begun, HistoryError> {
        let (number, new) = (revision.number, plan.rows());
        let whole = || rows::encode(number, Content::Whole(&new));
        let (depth, bytes) = match self.newest()? {
            Some(newest) if newest.depth + 1 < LONGEST => {
                let (removed, added) = apart(newest.rows.clone(), new.clone());
                let content = Content::Difference { base: newest.number, added: &added, removed: &removed };
                // Half of a whole one is too little gain for a walk.
                if (added.len() + removed.len()) * 2 < new.len() {
                    (newest.depth + 1, rows::encode(number, content))
                } else {
                    (0, whole())
                }
            }
            _ => (0, whole()),
        };
        replace(&rows::path(&self.directory, number), &bytes)?;
        replace(&self.directory.join(revision.file_name()), rules)?;
        self.append(&Entry::Begun(Box::new(revision)))?;
        self.newest = Some(Newest { number, depth, rows: new });
        self.next += 1;
        self.refresh()?;
        Ok(Begun { number })
    }

    /// The revision is in force.
    pub fn applied(&mut self, begun: Begun, now: Moment) -> Result<(), HistoryError> {
        self.append(&Entry::Applied(begun.number, now))?;
        self.point_at_newest()
    }

    /// The kernel did not take it; the one before is still in force.
    pub fn refused(&mut self, begun: Begun, now: Moment) -> Result<(), HistoryError> {
        self.append(&Entry::Refused(begun.number, now))?;
        self.refresh()
    }

    /// The flows that this revision left alone are over.
    pub fn settled(&mut self, number: u64, now: Moment) -> Result<(), HistoryError> {
        self.append(&Entry::Settled(number, now))?;
        self.refresh()
    }

    /// From one moment to another, the kernel's rules were not those of the plan. Open if it ends with [`Timestamp::MAX`];
    /// ended by another with the same beginning and reason.
    pub fn drifted(
        &mut self,
        reason: DriftReason,
        from: Moment,
        until: Timestamp,
    ) -> Result<(), HistoryError> {
        self.append(&Entry::Drift(reason, from, until))?;
        self.refresh()
    }

    /// Removes the files of revisions that can have been in force, or whose flows can have lived, before a moment only.
    /// The one in force stays. Gives their number.
    pub fn prune(&mut self, before: Timestamp, now: Moment) -> Result<usize, HistoryError> {
        let history = &self.history;
        let mut last: Vec<Option<Timestamp>> = vec![None; history.revisions().len()];
        for claim in history.claims() {
            let last = &mut last[claim.place];
            *last = (*last).max(Some(claim.period.to));
        }
        let is_needed = |last: &Option<Timestamp>| last.is_some_and(|last| last >= before);
        let Some(keep) = last.iter().position(is_needed).map(|place| history.revisions()[place].number)
        else {
            return Ok(0);
        };
        let (gone, kept): (Vec<Revision>, Vec<Revision>) =
            history.revisions().iter().cloned().partition(|revision| revision.number < keep);
        let count = gone.iter().filter(|revision| !history.is_pruned(revision.number)).count();
        if count > 0 {
            // The oldest that stays must not lean on one that goes.
            let plan = history.plan(keep)?;
            let rows = rows::encode(keep, Content::Whole(&plan.rows()));
            replace(&rows::path(&self.directory, keep), &rows)?;
            self.append(&Entry::Pruned(keep, now))?;
            self.newest = None;
            self.refresh()?;
        }
        // Also those that a crash left when it came between the record and this.
        let names: HashSet<String> = kept.iter().map(Revision::file_name).collect();
        for revision in &gone {
            remove(&rows::path(&self.directory, revision.number))?;
            let name = revision.file_name();
            // With the clock set back, a later revision can have got the name again.
            if !names.contains(&name) {
                remove(&self.directory.join(name))?;
            }
        }
        Ok(count)
    }

    /// Is a name of that second taken, a number is added to it.
    pub(super) fn free_name(&self, format: Format, seconds: i64) -> (i64, u16) {
        let base = self.directory.join(format!("{}.{seconds}", format.file_name()));
        if !base.exists() {
            return (seconds, 0);
        }
        let is_free =
            |n: &u16| !self.directory.join(format!("{}.{seconds}.{n}", format.file_name())).exists();
        (seconds, (1..u16::MAX).find(is_free).unwrap_or(u16::MAX))
    }

    /// The plan that the next rows can be a difference to: of the last revision, also of one that was refused.
    fn newest(&mut self) -> Result<&Option<Newest>, HistoryError> {
        if self.newest.is_none()
            && let Some(last) = self.history.revisions().last().filter(|last| !last.is_unreadable)
        {
            let mut files = 0;
            self.history.walk(last.number, |_| {
                files += 1;
                true
            })?;
            let plan = self.history.plan(last.number)?;
            self.newest = Some(Newest { number: last.number, depth: files - 1, rows: plan.rows() });
        }
        Ok(&self.newest)
    }

    /// Reads again what was just written.
    fn refresh(&mut self) -> Result<(), HistoryError> {
        self.history = History::open(&self.directory)?;
        Ok(())
    }

    /// The number of the next revision.
    pub(super) const fn next_number(&self) -> u64 {
        self.next
    }

    pub(super) fn append(&mut self, entry: &Entry) -> Result<(), HistoryError> {
        let path = index::path(&self.directory);
        let (bytes, chain) = entry.encode(self.chain);
        self.index
            .write_all_at(&bytes, self.end)
            .and_then(|()| self.index.sync_data())
            .map_err(HistoryError::io("writing", &path))?;
        self.end += LENGTH as u64;
        self.chain = chain;
        Ok(())
    }

    /// The symbolic link, as eduVPN's script leaves it.
    pub(super) fn point_at_newest(&mut self) -> Result<(), HistoryError> {
        self.refresh()?;
        let Some(newest) = self.history.newest() else { return Ok(()) };
        let link = self.directory.join(newest.format.file_name());
        // A file that is no link was put there by somebody else.
        if link.exists() && !link.is_symlink() {
            return Ok(());
        }
        let scratch = self.directory.join(".link");
        remove(&scratch)?;
        std::os::unix::fs::symlink(newest.file_name(), &scratch)
            .and_then(|()| fs::rename(&scratch, &link))
            .map_err(HistoryError::io("linking", &link))
    }
}

/// Writes a file in one step: whole, or not at all. It is on the disk when this returns.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), HistoryError> {
    let scratch = path.with_extension("new");
    let write = || {
        let mut file = File::create(&scratch)?;
        file.write_all(bytes)?;
        file.sync_data()?;
        fs::rename(&scratch, path)?;
        match path.parent() {
            Some(parent) => File::open(parent)?.sync_all(),
            None => Ok(()),
        }
    };
    write().map_err(HistoryError::io("writing", path))
}

fn remove(path: &Path) -> Result<(), HistoryError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(HistoryError::io("removing", path)),
    }
}
