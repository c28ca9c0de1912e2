//! Is all there, unchanged and readable? Compares a stream's files with its chain, and a head that was kept elsewhere
//! with the chain.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use unmasq_flow::Timestamp;

use crate::chain::{self, Entry, Hash, What};
use crate::read::source::Stream;
use crate::run::{Damage, Run};
use crate::{Ledger, LedgerError, coverage, journal, layout};

/// What to compare with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VerifyOptions {
    /// A head that was kept elsewhere.
    pub head: Option<Hash>,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// A line of the chain was changed, or lines are missing.
    Chain {
        /// The chain.
        path: PathBuf,
        /// Counted from 1.
        line: u64,
        /// What is wrong with it.
        what: String,
    },
    /// A run that is in the chain is not there, and was not pruned.
    Missing {
        /// The run.
        path: PathBuf,
        /// Its hour, as `2026/11/21/08`.
        hour: String,
    },
    /// A run is another one than the chain says.
    Changed {
        /// The run.
        path: PathBuf,
    },
    /// A part of a run cannot be read; the others can.
    Block(Damage),
    /// A run cannot be read at all.
    Unreadable {
        /// The run.
        path: PathBuf,
        /// Why not.
        what: String,
    },
    /// A run that the chain does not know.
    Unchained {
        /// The run.
        path: PathBuf,
    },
    /// The coverage file or a journal is damaged.
    Damaged {
        /// The file.
        path: PathBuf,
        /// First damaged byte.
        from: u64,
        /// The byte behind the last.
        to: u64,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chain { path, line, what } => write!(f, "{}: line {line} {what}", path.display()),
            Self::Missing { path, hour } => {
                write!(f, "{}: missing, and not pruned: flows of hour {hour} are lost", path.display())
            }
            Self::Changed { path } => write!(f, "{}: is not the run that the chain says", path.display()),
            Self::Block(damage) => damage.fmt(f),
            Self::Unreadable { path, what } => write!(f, "{}: {what}", path.display()),
            Self::Unchained { path } => write!(f, "{}: is in no line of the chain", path.display()),
            Self::Damaged { path, from, to } => {
                write!(f, "{}: damaged from byte {from} to {to}", path.display())
            }
        }
    }
}

/// What was found in a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamReport {
    /// The stream.
    pub name: String,
    /// Entries of the chain.
    pub entries: u64,
    /// The last hash of the chain: to be kept elsewhere.
    pub head: Hash,
    /// Runs that were read.
    pub runs: u64,
    /// Rows in them.
    pub rows: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Hours that were pruned: what is missing of them is no damage.
    pub pruned_hours: u64,
    /// What is wrong.
    pub problems: Vec<Problem>,
}

/// Where a head that was kept elsewhere stands in the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeadCheck {
    /// In this chain: what came before it is as it was then.
    Found {
        /// The stream.
        stream: String,
        /// The entry's number.
        entry: u64,
        /// When it was written, by the writer's clock.
        at: Timestamp,
        /// Runs that were sealed since.
        runs: u64,
        /// Merges since.
        merges: u64,
        /// Hours pruned since.
        prunes: u64,
    },
    /// In no chain of the ledger: another ledger, or one that was changed.
    NotFound,
}

/// What was found in a ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyReport {
    /// Stream by stream.
    pub streams: Vec<StreamReport>,
    /// The answer for [`VerifyOptions::head`].
    pub head: Option<HeadCheck>,
}

impl VerifyReport {
    /// Is nothing wrong?
    pub fn is_sound(&self) -> bool {
        self.streams.iter().all(|stream| stream.problems.is_empty()) && self.head != Some(HeadCheck::NotFound)
    }
}

/// How far a verification is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyProgress<'a> {
    /// The stream.
    pub stream: &'a str,
    /// Runs read so far.
    pub done: u64,
    /// Runs to read in this stream.
    pub total: u64,
}

/// What the chain says there must be.
#[derive(Default)]
struct Due {
    runs: BTreeMap<(i64, u64), Hash>,
    report: Vec<Entry>,
    entries: u64,
    head: Hash,
    last_run: u64,
    pruned: u64,
    problems: Vec<Problem>,
}

impl Due {
    /// Reads the chain. Of the entries, those from the one whose hash is `since` are kept.
    fn read(stream: &Stream, since: Option<Hash>) -> Result<Self, LedgerError> {
        let path = stream.path.join(layout::CHAIN);
        let mut due = Self::default();
        let broken = chain::read(&path, &mut |entry| {
            match &entry.what {
                What::Run { hour, number, hash } => {
                    due.runs.insert((*hour, *number), *hash);
                }
                What::Merge { hour, number, hash, inputs } => {
                    for input in inputs {
                        due.runs.remove(&(*hour, *input));
                    }
                    due.runs.insert((*hour, *number), *hash);
                }
                What::Prune { hour, .. } => {
                    due.runs.retain(|(h, _), _| h != hour);
                    due.pruned += 1;
                }
            }
            due.entries = entry.number;
            due.head = entry.hash;
            due.last_run = entry.last_run;
            if !due.report.is_empty() || since == Some(entry.hash) {
                due.report.push(entry);
            }
        })?;
        due.problems.extend(broken.into_iter().map(|broken| Problem::Chain {
            path: path.clone(),
            line: broken.line,
            what: broken.what,
        }));
        Ok(due)
    }
}

impl Ledger {
    /// Reads everything and compares it with the chain. A writer may be at work meanwhile.
    pub fn verify(
        &self,
        options: &VerifyOptions,
        progress: &mut dyn FnMut(&VerifyProgress<'_>),
    ) -> Result<VerifyReport, LedgerError> {
        let mut head = options.head.map(|_| HeadCheck::NotFound);
        let mut streams = Vec::new();
        for info in self.streams() {
            let stream = &info.stream;
            let due = Due::read(stream, options.head)?;
            if let Some((first, since)) = due.report.split_first() {
                let count = |test: fn(&What) -> bool| since.iter().filter(|e| test(&e.what)).count() as u64;
                head = Some(HeadCheck::Found {
                    stream: stream.name.clone(),
                    entry: first.number,
                    at: first.at,
                    runs: count(|what| matches!(what, What::Run { .. })),
                    merges: count(|what| matches!(what, What::Merge { .. })),
                    prunes: count(|what| matches!(what, What::Prune { .. })),
                });
            }
            streams.push(verify_stream(stream, due, progress)?);
        }
        Ok(VerifyReport { streams, head })
    }
}

fn verify_stream(
    stream: &Stream,
    mut due: Due,
    progress: &mut dyn FnMut(&VerifyProgress<'_>),
) -> Result<StreamReport, LedgerError> {
    let mut report = StreamReport {
        name: stream.name.clone(),
        entries: due.entries,
        head: due.head,
        runs: 0,
        rows: 0,
        bytes: 0,
        pruned_hours: due.pruned,
        problems: std::mem::take(&mut due.problems),
    };
    let total = due.runs.len() as u64;
    for (((hour, number), hash), done) in due.runs.iter().zip(0..) {
        progress(&VerifyProgress { stream: &stream.name, done, total });
        let path = layout::run_path(&stream.path, *hour, *number);
        match Run::open(&path, &stream.name) {
            Ok(run) => {
                report.runs += 1;
                report.rows += run.header().rows;
                report.bytes += run.header().bytes;
                let damage = run.verify();
                // A damaged run has another hash as well: that it is damaged says more.
                if damage.is_empty() && run.header().sha256 != hash.0 {
                    report.problems.push(Problem::Changed { path });
                }
                report.problems.extend(damage.into_iter().map(Problem::Block));
            }
            Err(_) if !path.exists() => {
                // A writer may have merged or pruned it since the chain was read.
                if Due::read(stream, None)?.runs.contains_key(&(*hour, *number)) {
                    report.problems.push(Problem::Missing { path, hour: layout::hour_name(*hour) });
                }
            }
            Err(error) => report.problems.push(Problem::Unreadable { path, what: error.to_string() }),
        }
    }
    unchained(stream, &due, &mut report.problems)?;
    other_files(stream, &mut report.problems)?;
    Ok(report)
}

/// Runs that no line of the chain explains. What has a higher number than the chain's last run is being written.
fn unchained(stream: &Stream, due: &Due, problems: &mut Vec<Problem>) -> Result<(), LedgerError> {
    let mut found = Vec::new();
    for hour in layout::hours(&stream.path, i64::MIN, i64::MAX) {
        let runs = layout::hour_files(&stream.path, hour)?.runs;
        let is_strange = |number: &u64| !due.runs.contains_key(&(hour, *number)) && *number <= due.last_run;
        found.extend(runs.into_iter().filter(is_strange).map(|number| (hour, number)));
    }
    for (hour, number) in found {
        let path = layout::run_path(&stream.path, hour, number);
        // The inputs of a merge are removed a moment after the merge is in the chain.
        std::thread::sleep(std::time::Duration::from_millis(20));
        if path.exists() {
            problems.push(Problem::Unchained { path });
        }
    }
    Ok(())
}

fn other_files(stream: &Stream, problems: &mut Vec<Problem>) -> Result<(), LedgerError> {
    let path = stream.path.join(layout::COVERAGE);
    let summed = coverage::read(&path)?;
    for (from, to) in summed.damage {
        problems.push(Problem::Damaged { path: path.clone(), from, to });
    }
    for number in layout::journals(&stream.path)? {
        let path = layout::journal_path(&stream.path, number);
        let Some(file) = journal::open(&path).map_err(LedgerError::io("open", &path))? else { continue };
        journal::read(file, &stream.name, None, &mut |item| {
            if let journal::Item::Damage { from, to, is_tail: false } = item {
                problems.push(Problem::Damaged { path: path.clone(), from, to });
            }
            std::ops::ControlFlow::Continue(())
        })
        .map_err(LedgerError::io("read", &path))?;
    }
    Ok(())
}
