//! The files of a stream as a reader finds them while a writer is at work.
//!
//! A flow goes from a journal into a run, and from runs into a larger one; what it leaves is removed only when what it
//! went into has its name. So a reader that opens the journals first, then the coverage file, then the runs, and lists
//! an hour again when a run of it has vanished, can see a flow twice (which [`reconcile`](crate::run::reconcile) mends)
//! but never miss it.
//!
//! What is pruned goes for good, and the coverage file says so before. So a reader that has read the runs looks whether
//! that file has changed meanwhile, and if it has, takes over what was pruned: it never calls complete what it found gone.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use unmasq_flow::{Endpoint, Period};

use crate::LedgerError;
use crate::coverage::{self, Timeline};
use crate::journal;
use crate::layout::{self, StreamKind};
use crate::run::{Damage, Filter, Row, Run, RunError};

/// How often a vanished run makes a reader list the hour again before it gives up: far more than merges can follow.
const PATIENCE: usize = 100;

/// A stream that is read.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub(crate) path: PathBuf,
    pub(crate) name: String,
    pub(crate) kind: StreamKind,
}

/// Where a row was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Run { hour: i64, number: u64, row: u64 },
    Journal { number: u64, byte: u64 },
}

impl Place {
    /// The run's file within its stream.
    pub(crate) fn run_name(hour: i64, number: u64) -> String {
        format!("{}/{number:06}.run", layout::hour_name(hour))
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Run { hour, number, row } => {
                write!(f, "{} row {row}", Self::run_name(*hour, *number))
            }
            Self::Journal { number, byte } => write!(f, "journal.{number:06} byte {byte}"),
        }
    }
}

/// A row and where it was found.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) row: Row,
    pub(crate) place: Place,
}

/// The unsealed part of a stream, read at one moment.
#[derive(Debug, Default)]
pub(crate) struct Live {
    /// Rows with their hours.
    pub(crate) rows: Vec<(i64, Found)>,
    carried: Vec<i64>,
    pub(crate) timeline: Timeline,
    pub(crate) damage: Vec<String>,
    /// The coverage file that the timeline was read from.
    stamp: Option<Stamp>,
}

/// Tells one state of a file from another: its inode, its length, and when it was last written.
type Stamp = (u64, u64, i64, i64);

fn stamp(path: &Path) -> Option<Stamp> {
    let found = fs::metadata(path).ok()?;
    Some((found.ino(), found.len(), found.mtime(), found.mtime_nsec()))
}

impl Live {
    /// Rows of an hour.
    pub(crate) fn of_hour(&self, hour: i64) -> impl Iterator<Item = &Found> {
        self.rows.iter().filter(move |(h, _)| *h == hour).map(|(_, found)| found)
    }

    /// The hours that it has rows of.
    pub(crate) fn hours(&self) -> impl Iterator<Item = i64> {
        self.rows.iter().map(|(hour, _)| *hour)
    }
}

/// The runs of an hour, open.
#[derive(Debug, Default)]
pub(crate) struct Hour {
    /// Counted since the Unix epoch.
    pub(crate) number: i64,
    /// Numbers of the runs.
    pub(crate) numbers: Vec<u64>,
    pub(crate) runs: Vec<Run>,
    pub(crate) is_carried: bool,
}

impl Stream {
    /// Opens every stream of a ledger.
    pub(crate) fn all(ledger: &Path) -> Result<Vec<Self>, LedgerError> {
        let mut streams = Vec::new();
        for name in layout::streams(ledger)? {
            let path = ledger.join(&name);
            if let Some(kind) = layout::read_stream(&path)? {
                streams.push(Self { path, name, kind });
            }
        }
        Ok(streams)
    }

    /// Reads the unsealed part (of flows, those that meet the filter at some time) and the coverage.
    pub(crate) fn live(&self, filter: &Filter) -> Result<Live, LedgerError> {
        let filter = Filter { period: Period::ALWAYS, ..*filter };
        let masked = filter.masked.filter(|range| range.first == range.last);
        let masked = masked.map(|range| Endpoint::new(range.first, filter.masked_selector));
        let mut files: Vec<(u64, File)> = Vec::new();
        for number in layout::journals(&self.path)? {
            let path = layout::journal_path(&self.path, number);
            if let Some(file) = journal::open(&path).map_err(LedgerError::io("open", &path))? {
                files.push((number, file));
            }
        }
        let path = self.path.join(layout::COVERAGE);
        // Before it is read: what changes meanwhile is looked at again.
        let stamp = stamp(&path);
        let summed = coverage::read(&path)?;
        let mut live = Live { timeline: summed.timeline, stamp, ..Live::default() };
        let damaged = |(from, to)| format!("{} is damaged from byte {from} to {to}", path.display());
        live.damage.extend(summed.damage.into_iter().map(damaged));
        for (number, file) in files {
            let path = layout::journal_path(&self.path, number);
            let rows = &mut live.rows;
            let summary = journal::fold(
                file,
                &format!("journal.{number:06}"),
                &self.name,
                masked,
                true,
                &mut |hour, row, byte| {
                    if filter.matches(&row.flow) {
                        rows.push((hour, Found { row, place: Place::Journal { number, byte } }));
                    }
                },
            )
            .map_err(LedgerError::io("read", &path))?;
            if number > summed.journal {
                summary.marks.iter().for_each(|mark| live.timeline.apply(mark));
            }
            live.carried.extend(summary.carried);
            live.damage.extend(summary.damage.iter().map(|what| format!("{}/{what}", self.path.display())));
        }
        Ok(live)
    }

    /// After the runs were read: takes over what was pruned while they were. Cheap where nothing was.
    pub(crate) fn note_pruned(&self, live: &mut Live) -> Result<(), LedgerError> {
        let path = self.path.join(layout::COVERAGE);
        if stamp(&path) != live.stamp {
            live.timeline.prune_as(&coverage::read(&path)?.timeline);
        }
        Ok(())
    }

    /// Opens the runs of an hour. Those that cannot be read are told in `damage`.
    pub(crate) fn hour(&self, hour: i64, live: &Live, damage: &mut Vec<String>) -> Result<Hour, LedgerError> {
        let mut patience = PATIENCE;
        'again: loop {
            let files = layout::hour_files(&self.path, hour)?;
            let is_carried = files.is_carried || live.carried.contains(&hour);
            let mut opened = Hour { number: hour, is_carried, ..Hour::default() };
            let mut bad = Vec::new();
            for number in files.runs {
                match Run::open(&layout::run_path(&self.path, hour, number), &self.name) {
                    Ok(run) => {
                        opened.numbers.push(number);
                        opened.runs.push(run);
                    }
                    Err(error) if patience > 0 && is_gone(&error) => {
                        patience -= 1;
                        continue 'again;
                    }
                    Err(error) => bad.push(describe(&error)),
                }
            }
            damage.extend(bad);
            return Ok(opened);
        }
    }

    /// The hours of a range that have anything, lowest first.
    pub(crate) fn hours(&self, from: i64, to: i64, live: &Live) -> Vec<i64> {
        let mut hours = layout::hours(&self.path, from, to);
        hours.extend(live.hours().filter(|hour| (from..=to).contains(hour)));
        hours.sort_unstable();
        hours.dedup();
        hours
    }
}

fn is_gone(error: &RunError) -> bool {
    matches!(error, RunError::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound)
}

/// An error with what caused it, in a line.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

impl Hour {
    /// The runs with their numbers.
    pub(crate) fn numbered(&self) -> impl Iterator<Item = (u64, &Run)> {
        self.numbers.iter().copied().zip(&self.runs)
    }

    /// Do the rows come from one run, in which each flow has one row? Otherwise another row may say more of it.
    pub(crate) fn is_united(&self, live: &Live) -> bool {
        self.runs.len() < 2 && live.of_hour(self.number).next().is_none()
    }

    /// Rows on a masked endpoint that can have been alive in the period.
    pub(crate) fn find(
        &self,
        filter: &Filter,
        masked: Endpoint,
        period: Period,
        live: &Live,
        damage: &mut Vec<String>,
        each: &mut dyn FnMut(Found),
    ) {
        for (number, run) in self.numbered() {
            let found = run.find(masked, filter.protocol, period, &mut |row, place| {
                each(Found { row, place: Place::Run { hour: self.number, number, row: place } });
            });
            note(found, damage);
        }
        let filter = Filter { period, ..*filter };
        live.of_hour(self.number).filter(|found| filter.matches(&found.row.flow)).cloned().for_each(each);
    }
}

/// Damage in words, each once.
pub(crate) fn note(found: Vec<Damage>, damage: &mut Vec<String>) {
    for one in found {
        let text = one.to_string();
        if !damage.contains(&text) {
            damage.push(text);
        }
    }
}
