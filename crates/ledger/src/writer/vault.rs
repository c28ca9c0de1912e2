//! The sealed part of a stream and everything that changes it: journals become runs, runs become fewer, hours go.
//!
//! One order holds everywhere: bytes, then their name, then the chain, then the coverage file, and only then is what
//! they replace removed. Whatever moment the power goes, every flow is in a run of the chain or in a journal.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustc_hash::FxHashMap;
use unmasq_flow::Timestamp;

use super::tiers::{self, Phase, Piece};
use crate::chain::{Chain, What};
use crate::coverage::{CoverageFile, Mark};
use crate::journal::{self, Summary};
use crate::run::{self, Builder, Row, Run, WriteOptions};
use crate::storage::{Appender, Storage};
use crate::{Hash, LedgerError, layout};

/// Rows that are collected for runs take no more memory than this; then the largest hour is written.
const ROWS_MEMORY: usize = 32 << 20;

/// What the vault did so far, for the writer's figures.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    /// Bytes of all runs on the disk.
    pub(super) bytes: u64,
    /// Rows and bytes of those runs that were written since the stream was opened and are still there.
    pub(super) recent_rows: u64,
    pub(super) recent_bytes: u64,
    /// Rows that journals gave.
    pub(super) sealed_rows: u64,
    /// Bytes written, merges included.
    pub(super) written: u64,
}

/// The sealed part of a stream.
#[derive(Debug)]
pub(super) struct Vault {
    pub(super) storage: Arc<dyn Storage>,
    pub(super) stream: PathBuf,
    pub(super) name: String,
    pub(super) chain: Chain,
    pub(super) coverage: CoverageFile,
    /// Runs of each hour that has a directory.
    pub(super) hours: BTreeMap<i64, Vec<Piece>>,
    /// Hours in which a merge may be due.
    pub(super) touched: BTreeSet<i64>,
    /// Hours that are over and were made one run since the stream was opened.
    finished: BTreeSet<i64>,
    /// Hours with a damaged run, which cannot be merged.
    refused: BTreeSet<i64>,
    pub(super) tally: Tally,
    /// Rows and bytes of the runs that `tally` calls recent.
    recent: FxHashMap<u64, (u64, u64)>,
    /// Set when merging must stop at once.
    pub(super) is_hurried: Arc<AtomicBool>,
}

/// Counts what goes through, and stops when hurried.
struct Sink<'a> {
    file: &'a dyn Appender,
    buffer: Vec<u8>,
    stop: Option<&'a AtomicBool>,
}

impl Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) {
            return Err(io::Error::other("put off: the writer is leaving"));
        }
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= 256 << 10 {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

impl Vault {
    /// Opens the sealed part and brings it in order: what a power cut or a kill left half done is finished or undone.
    pub(super) fn open(
        storage: Arc<dyn Storage>,
        stream: &Path,
        name: &str,
        is_hurried: Arc<AtomicBool>,
    ) -> Result<Self, LedgerError> {
        let chain = Chain::open(storage.clone(), stream)?;
        let coverage = CoverageFile::open(storage.clone(), stream)?;
        let mut vault = Self {
            storage,
            stream: stream.to_owned(),
            name: name.to_owned(),
            chain,
            coverage,
            hours: BTreeMap::new(),
            touched: BTreeSet::new(),
            finished: BTreeSet::new(),
            refused: BTreeSet::new(),
            tally: Tally::default(),
            recent: FxHashMap::default(),
            is_hurried,
        };
        vault.take_stock()?;
        Ok(vault)
    }

    fn take_stock(&mut self) -> Result<(), LedgerError> {
        for hour in layout::hours(&self.stream, i64::MIN, i64::MAX) {
            let directory = layout::hour_path(&self.stream, hour);
            let mut pieces = Vec::new();
            for entry in fs::read_dir(&directory).map_err(LedgerError::io("list", &directory))? {
                let entry = entry.map_err(LedgerError::io("list", &directory))?;
                let path = entry.path();
                let Some(file_name) = path.file_name().and_then(|n| n.to_str()) else { continue };
                let number = file_name.strip_suffix(".run").and_then(|n| n.parse::<u64>().ok());
                // A run that the chain does not know: its journal, or the runs that it was made of, are still there.
                let is_unknown = number.is_some_and(|n| n >= self.chain.next_run());
                if file_name.ends_with(layout::UNFINISHED) || is_unknown {
                    self.storage.remove(&path).map_err(LedgerError::io("remove", &path))?;
                } else if let Some(number) = number {
                    let bytes = entry.metadata().map_err(LedgerError::io("open", &path))?.len();
                    pieces.push(Piece { number, bytes });
                    self.tally.bytes += bytes;
                }
            }
            pieces.sort_unstable_by_key(|piece| piece.number);
            self.hours.insert(hour, pieces);
            self.touched.insert(hour);
        }
        // Of the last entry, what it replaces may still be there.
        match self.chain.last().map(|entry| entry.what.clone()) {
            Some(What::Merge { hour, inputs, .. }) => self.remove_runs(hour, &inputs),
            Some(What::Prune { hour, .. }) => self.remove_hour(hour),
            Some(What::Run { .. }) | None => Ok(()),
        }
    }

    /// The newest hour that was carried.
    pub(super) fn carried(&self) -> Option<i64> {
        let is_carried = |hour: &i64| layout::hour_path(&self.stream, *hour).join(layout::CARRIED).exists();
        self.hours.keys().rev().copied().find(is_carried)
    }

    /// Makes runs of a journal and removes it. `now` is the writer's clock.
    pub(super) fn seal(&mut self, number: u64, now: Timestamp) -> Result<Summary, LedgerError> {
        let path = layout::journal_path(&self.stream, number);
        if number <= self.coverage.journal() {
            // All of it is in runs, and only its removal was not done or not durable.
            self.remove_journal(&path)?;
            return Ok(Summary::default());
        }
        let Some(file) = journal::open(&path).map_err(LedgerError::io("open", &path))? else {
            return Ok(Summary::default());
        };
        let mut builders: BTreeMap<i64, Builder> = BTreeMap::new();
        let mut failed = None;
        let mut rows = 0;
        let file_name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let stream = self.name.clone();
        let mut pushed = 0usize;
        let summary = journal::fold(file, &file_name, &stream, None, false, &mut |hour, row: Row, _| {
            let builder =
                builders.entry(hour).or_insert_with(|| Builder::new(hour, &WriteOptions::default()));
            builder.push(&row.flow, row.continues);
            rows += 1;
            pushed += 1;
            if pushed.is_multiple_of(4096)
                && failed.is_none()
                && builders.values().map(Builder::memory).sum::<usize>() > ROWS_MEMORY
                && let Some(largest) = builders.iter().max_by_key(|b| b.1.memory()).map(|b| *b.0)
                && let Some(builder) = builders.remove(&largest)
            {
                failed = self.write_run(largest, builder, now).err();
            }
        })
        .map_err(LedgerError::io("read", &path))?;
        if let Some(error) = failed {
            return Err(error);
        }
        for (hour, builder) in builders {
            self.write_run(hour, builder, now)?;
        }
        for hour in &summary.carried {
            self.note_carried(*hour)?;
        }
        self.coverage.add(number, &journal::condense(summary.marks.clone()))?;
        self.tally.sealed_rows += rows;
        self.remove_journal(&path)?;
        Ok(summary)
    }

    fn remove_journal(&self, path: &Path) -> Result<(), LedgerError> {
        match self.storage.remove(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(LedgerError::io("remove", path)(error))
            }
            _ => Ok(()),
        }
    }

    fn note_carried(&mut self, hour: i64) -> Result<(), LedgerError> {
        let directory = layout::hour_path(&self.stream, hour);
        layout::create_dirs(&*self.storage, &directory)?;
        self.hours.entry(hour).or_default();
        let path = directory.join(layout::CARRIED);
        if !path.exists() {
            self.storage.create(&path).map_err(LedgerError::io("create", &path))?;
        }
        layout::sync_parent(&*self.storage, &path)
    }

    fn write_run(&mut self, hour: i64, builder: Builder, now: Timestamp) -> Result<(), LedgerError> {
        let number = self.chain.next_run();
        let finish =
            |sink: &mut Sink<'_>, path: &Path| builder.finish(sink).map_err(LedgerError::io("write", path));
        let written = self.create_run(hour, number, None, finish)?;
        self.chain.add(now, What::Run { hour, number, hash: Hash(written.sha256) })?;
        self.note_run(hour, number, written);
        Ok(())
    }

    fn note_run(&mut self, hour: i64, number: u64, written: run::Summary) {
        self.hours.entry(hour).or_default().push(Piece { number, bytes: written.bytes });
        self.touched.insert(hour);
        self.tally.bytes += written.bytes;
        self.tally.written += written.bytes;
        self.tally.recent_rows += written.rows;
        self.tally.recent_bytes += written.bytes;
        self.recent.insert(number, (written.rows, written.bytes));
    }

    /// Writes a run aside, syncs it, gives it its name, and syncs that.
    fn create_run(
        &self,
        hour: i64,
        number: u64,
        stop: Option<&AtomicBool>,
        fill: impl FnOnce(&mut Sink<'_>, &Path) -> Result<run::Summary, LedgerError>,
    ) -> Result<run::Summary, LedgerError> {
        let path = layout::run_path(&self.stream, hour, number);
        layout::create_dirs(&*self.storage, &layout::hour_path(&self.stream, hour))?;
        let aside = path.with_extension(format!("run{}", layout::UNFINISHED));
        let file = self.storage.create(&aside).map_err(LedgerError::io("create", &aside))?;
        let mut sink = Sink { file: &*file, buffer: Vec::new(), stop };
        let written = fill(&mut sink, &aside).and_then(|written| {
            sink.flush().and_then(|()| file.sync()).map_err(LedgerError::io("write", &aside))?;
            Ok(written)
        });
        if written.is_err() {
            // Room for what is more urgent; if it cannot be removed, the next opening does it.
            let _ = self.storage.remove(&aside);
        }
        let written = written?;
        self.storage.rename(&aside, &path).map_err(LedgerError::io("rename to", &path))?;
        layout::sync_parent(&*self.storage, &path)?;
        Ok(written)
    }

    /// Is there a merge to do?
    pub(super) fn is_merge_due(&mut self, now: Timestamp) -> bool {
        if self.due(now, false).is_some() {
            return true;
        }
        // A settled hour needs no second look until it gets another run.
        let finished = &mut self.finished;
        self.touched.retain(|hour| {
            let is_settled = tiers::is_settled(*hour, now);
            if is_settled {
                finished.insert(*hour);
            }
            !is_settled
        });
        false
    }

    fn due(&self, now: Timestamp, is_final: bool) -> Option<(i64, Vec<u64>)> {
        self.touched.iter().copied().filter(|hour| !self.refused.contains(hour)).find_map(|hour| {
            let pieces = self.hours.get(&hour)?;
            let phase = if is_final {
                Phase::Ending
            } else if !tiers::is_settled(hour, now) {
                Phase::Live
            } else if self.finished.contains(&hour) {
                Phase::Finished
            } else {
                Phase::Ending
            };
            let inputs = tiers::plan(pieces, phase)?;
            Some((hour, inputs.iter().map(|p| p.number).collect()))
        })
    }

    /// Does one merge that is due; of all runs of an hour if `is_final`. Says whether there was one.
    pub(super) fn merge_one(&mut self, now: Timestamp, is_final: bool) -> Result<bool, LedgerError> {
        let Some((hour, inputs)) = self.due(now, is_final) else { return Ok(false) };
        let merged = self.merge(hour, &inputs, now);
        if merged.is_err() && self.is_hurried.load(Ordering::Relaxed) {
            return Ok(false);
        }
        if merged.as_ref().is_err_and(|error| matches!(error, LedgerError::Run(_))) {
            self.refused.insert(hour);
        }
        merged.map(|()| true)
    }

    fn merge(&mut self, hour: i64, inputs: &[u64], now: Timestamp) -> Result<(), LedgerError> {
        let open = |number: &u64| Run::open(&layout::run_path(&self.stream, hour, *number), &self.name);
        let runs = inputs.iter().map(open).collect::<Result<Vec<_>, _>>()?;
        let number = self.chain.next_run();
        let stop = self.is_hurried.clone();
        let fill = |sink: &mut Sink<'_>, aside: &Path| {
            run::merge(&runs, &WriteOptions::default(), sink).map_err(|error| match error {
                // An output that cannot be written is no fault of the runs.
                run::RunError::Io { source, doing, .. } if doing.starts_with("write") => {
                    LedgerError::Io { doing: "write", path: aside.to_owned(), source }
                }
                other => other.into(),
            })
        };
        let written = self.create_run(hour, number, Some(&stop), fill)?;
        let what = What::Merge { hour, number, hash: Hash(written.sha256), inputs: inputs.to_vec() };
        self.chain.add(now, what)?;
        self.note_run(hour, number, written);
        self.remove_runs(hour, inputs)
    }

    fn remove_runs(&mut self, hour: i64, numbers: &[u64]) -> Result<(), LedgerError> {
        let Some(pieces) = self.hours.get_mut(&hour) else { return Ok(()) };
        for number in numbers {
            let Some(at) = pieces.iter().position(|piece| piece.number == *number) else { continue };
            let path = layout::run_path(&self.stream, hour, *number);
            self.storage.remove(&path).map_err(LedgerError::io("remove", &path))?;
            self.tally.bytes = self.tally.bytes.saturating_sub(pieces[at].bytes);
            if let Some((rows, bytes)) = self.recent.remove(number) {
                self.tally.recent_rows -= rows;
                self.tally.recent_bytes -= bytes;
            }
            pieces.remove(at);
        }
        let directory = layout::hour_path(&self.stream, hour);
        self.storage.sync_dir(&directory).map_err(LedgerError::io("sync", &directory))
    }

    /// Removes an hour, into the chain first.
    pub(super) fn prune_hour(&mut self, hour: i64, reason: &str, now: Timestamp) -> Result<(), LedgerError> {
        let runs = self.hours.get(&hour).map_or(0, Vec::len) as u64;
        self.chain.add(now, What::Prune { hour, runs, reason: reason.to_owned() })?;
        self.remove_hour(hour)
    }

    fn remove_hour(&mut self, hour: i64) -> Result<(), LedgerError> {
        let numbers: Vec<u64> =
            self.hours.get(&hour).into_iter().flatten().map(|piece| piece.number).collect();
        let directory = layout::hour_path(&self.stream, hour);
        if directory.is_dir() {
            self.remove_runs(hour, &numbers)?;
            let carried = directory.join(layout::CARRIED);
            if carried.exists() {
                self.storage.remove(&carried).map_err(LedgerError::io("remove", &carried))?;
            }
            // The day, month and year go when they are empty; what else somebody put there stays, and keeps them.
            let mut empty = directory.as_path();
            while empty != self.stream && self.storage.remove_dir(empty).is_ok() {
                let Some(parent) = empty.parent() else { break };
                self.storage.sync_dir(parent).map_err(LedgerError::io("sync", parent))?;
                empty = parent;
            }
        }
        self.hours.remove(&hour);
        self.touched.remove(&hour);
        self.finished.remove(&hour);
        Ok(())
    }

    /// States something about coverage that stands in no journal.
    pub(super) fn state(&mut self, marks: &[Mark]) -> Result<(), LedgerError> {
        self.coverage.add(self.coverage.journal(), marks)
    }
}
