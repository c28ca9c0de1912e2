//! What a directory holds: the newest snapshot that can be read, and the logs from it on.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::change::Transaction;
use super::core::Core;
use super::frame::{self, BadHeader, HEADER, Kind, VERSION};
use super::keeper::{generations, path};
use super::{Limits, StateError};
use crate::client::Capture;

/// The state as it was found; nothing was changed on the disk.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) core: Core,
    /// The last transaction.
    pub(super) sequence: u64,
    /// The newest generation of any file.
    pub(super) generation: u64,
    pub(super) captures: Vec<Capture>,
    pub(super) notes: Vec<String>,
    pub(super) is_new: bool,
    /// What a power cut left behind a log's end.
    pub(super) cut: Option<(PathBuf, u64)>,
    /// Logs that go on from transactions which a power cut took.
    pub(super) dropped: Vec<PathBuf>,
}

/// A log and what was read of it.
struct Log {
    file: PathBuf,
    bytes: Vec<u8>,
}

impl Log {
    /// Transactions from `at` on, passing over damage.
    fn transactions(&self, at: usize) -> impl Iterator<Item = Transaction<'_>> {
        let start = if frame::read(&self.bytes, at).is_some() { Some(at) } else { self.next(at) };
        let starts = std::iter::successors(start, |start| {
            let end = frame::read(&self.bytes, *start)?.end;
            if frame::read(&self.bytes, end).is_some() { Some(end) } else { self.next(end) }
        });
        starts.filter_map(|start| Transaction::read(&self.bytes[frame::read(&self.bytes, start)?]).ok())
    }

    fn next(&self, at: usize) -> Option<usize> {
        frame::find(&self.bytes, at)
    }

    /// Is there a transaction behind `at` that was written when more than that was on the disk?
    fn was_synced_beyond(&self, at: usize) -> bool {
        self.transactions(at).any(|transaction| transaction.synced > at as u64)
    }
}

/// Reads a directory.
pub(super) fn read(directory: &Path, limits: Limits) -> Result<Found, StateError> {
    let list = |kind| generations(directory, kind).map_err(StateError::io("list", directory));
    let (snapshots, logs) = (list(Kind::Snapshot)?, list(Kind::Log)?);
    let newest = snapshots.last().max(logs.last()).copied().unwrap_or(0);
    let mut found = Found {
        core: Core::new(limits),
        sequence: 0,
        generation: newest,
        captures: Vec::new(),
        notes: Vec::new(),
        is_new: snapshots.is_empty() && logs.is_empty(),
        cut: None,
        dropped: Vec::new(),
    };
    let base = load_snapshot(directory, limits, &snapshots, &mut found)?;
    // The first log of all begins with nothing and needs no snapshot.
    if base.is_none() && !found.is_new && logs.first() != Some(&1) {
        let newest = snapshots.last().or(logs.first()).copied().unwrap_or(0);
        return Err(StateError::NoSnapshot { file: path(directory, Kind::Snapshot, newest) });
    }
    let mut chain = Vec::new();
    for generation in logs.into_iter().filter(|generation| *generation >= base.unwrap_or(0)) {
        let file = path(directory, Kind::Log, generation);
        let bytes = fs::read(&file).map_err(StateError::io("read the log", &file))?;
        match frame::open(&bytes, Kind::Log, generation) {
            Err(BadHeader::Version(version)) => {
                return Err(StateError::Version { file, found: version, known: VERSION });
            }
            // Of a whole header that is wrong, the disk is to blame, unless nothing behind it was ever synced.
            Err(BadHeader::Damaged) | Ok(()) => chain.push((generation, Log { file, bytes })),
        }
    }
    replay(&mut found, &chain)?;
    let now = found.core.clock;
    found.captures.retain(|capture| capture.until >= now);
    Ok(found)
}

/// The newest snapshot that can be read, taken over; its generation.
fn load_snapshot(
    directory: &Path,
    limits: Limits,
    snapshots: &[u64],
    found: &mut Found,
) -> Result<Option<u64>, StateError> {
    for generation in snapshots.iter().rev().copied() {
        let file = path(directory, Kind::Snapshot, generation);
        let bytes = fs::read(&file).map_err(StateError::io("read the snapshot", &file))?;
        if let Err(BadHeader::Version(version)) = frame::open(&bytes, Kind::Snapshot, generation) {
            return Err(StateError::Version { file, found: version, known: VERSION });
        }
        let is_whole = frame::open(&bytes, Kind::Snapshot, generation).is_ok();
        let payload = frame::read(&bytes, HEADER).filter(|range| is_whole && range.end == bytes.len());
        let loaded = payload.and_then(|range| Core::load(&bytes[range], limits, &mut found.captures));
        if let Some((core, sequence)) = loaded {
            (found.core, found.sequence) = (core, sequence);
            return Ok(Some(generation));
        }
        found.captures.clear();
        found.notes.push(format!("{}: damaged; the one before it and its log are used", file.display()));
    }
    Ok(None)
}

/// Applies the logs in order. Where bytes are no frame, or transactions are missing, the question is whether they were
/// ever known to be on the disk: then the disk is damaged, and that is an error; else a write was cut short by the end
/// of the process or of the power, and what was written after it is dropped with it.
fn replay(found: &mut Found, chain: &[(u64, Log)]) -> Result<(), StateError> {
    // The first bytes that are no frame in the log before.
    let mut torn: Option<(&Log, usize)> = None;
    for (nth, (generation, log)) in chain.iter().enumerate() {
        let mut at = if frame::open(&log.bytes, Kind::Log, *generation).is_ok() { HEADER } else { 0 };
        while at < log.bytes.len() {
            let read = if at < HEADER { None } else { frame::read(&log.bytes, at) };
            let Some(range) = read else {
                if log.was_synced_beyond(at) {
                    return Err(StateError::Damaged { file: log.file.clone(), offset: at as u64 });
                }
                torn = Some((log, at));
                break;
            };
            let end = range.end;
            let damaged = || StateError::Damaged { file: log.file.clone(), offset: at as u64 };
            let transaction = Transaction::read(&log.bytes[range]).map_err(|_| damaged())?;
            if transaction.sequence > found.sequence + 1 {
                return gap(found, &chain[nth..], torn, transaction.sequence);
            }
            // What the snapshot holds already is passed over.
            if transaction.sequence == found.sequence + 1 {
                apply(found, &transaction).ok_or_else(damaged)?;
            }
            // It goes on behind what was torn, so nothing is missing there.
            torn = None;
            at = end;
        }
    }
    if let Some((log, at)) = torn {
        cut(found, log, at);
    }
    Ok(())
}

fn apply(found: &mut Found, transaction: &Transaction<'_>) -> Option<()> {
    found.core.clock = transaction.clock;
    for change in transaction.changes() {
        if !found.core.apply(change.ok()?, &mut found.captures) {
            return None;
        }
    }
    found.sequence = transaction.sequence;
    Some(())
}

/// Transactions are missing before the first log of `rest`.
fn gap(
    found: &mut Found,
    rest: &[(u64, Log)],
    torn: Option<(&Log, usize)>,
    first: u64,
) -> Result<(), StateError> {
    let was_synced = rest.iter().any(|(_, log)| log.transactions(HEADER).any(|t| t.synced > 0));
    match (was_synced, torn) {
        (true, Some((log, at))) => Err(StateError::Damaged { file: log.file.clone(), offset: at as u64 }),
        (true, None) => {
            let file = rest.first().map(|(_, log)| log.file.clone()).unwrap_or_default();
            Err(StateError::Gap { file, last: found.sequence, found: first })
        }
        (false, torn) => {
            if let Some((log, at)) = torn {
                cut(found, log, at);
            }
            for (_, log) in rest {
                found.notes.push(format!(
                    "{}: dropped: what it continues never reached the disk",
                    log.file.display()
                ));
                found.dropped.push(log.file.clone());
            }
            Ok(())
        }
    }
}

fn cut(found: &mut Found, log: &Log, at: usize) {
    let left = log.bytes.len() - at;
    found.notes.push(format!("{}: the last {left} bytes are a write that was cut short", log.file.display()));
    found.cut = Some((log.file.clone(), at as u64));
}

impl Found {
    /// Takes away what [`read`] passed over, so that nothing takes it for more later.
    pub(super) fn tidy(&self) -> Result<(), StateError> {
        if let Some((file, length)) = &self.cut {
            let open = fs::OpenOptions::new().write(true).open(file);
            open.and_then(|open| open.set_len(*length)).map_err(StateError::io("cut the log", file))?;
        }
        for file in &self.dropped {
            match fs::remove_file(file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(StateError::io("remove", file)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    pub(super) fn waits(&self) -> BTreeMap<u64, Box<[u8]>> {
        self.core.waits.clone()
    }
}

/// For fuzzing: any bytes as the payload of a snapshot and of a transaction.
pub fn fuzz_state(bytes: &[u8]) {
    let limits = Limits::default();
    let mut captures = Vec::new();
    let core = Core::load(bytes, limits, &mut captures);
    let mut core = core.map_or_else(|| Core::new(limits), |(core, _)| core);
    if let Ok(transaction) = Transaction::read(bytes) {
        core.clock = transaction.clock;
        for change in transaction.changes().map_while(Result::ok) {
            if !core.apply(change, &mut captures) {
                break;
            }
        }
    }
    core.save(0, &captures, &mut Vec::new());
}
