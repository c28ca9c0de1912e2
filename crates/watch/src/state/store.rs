//! The open transaction, and the files that it ends up in.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;
use rustix::io::Errno;
use unmasq_flow::Timestamp;

use super::change::{Change, append};
use super::core::Core;
use super::frame::{self, HEADER, Kind};
use super::keeper::{Keeper, create_log, path, write_snapshot};
use super::{Limits, Recovered, StateError, recover};
use crate::client::Capture;

/// A log gets so many times as long as its snapshot before another takes its place.
const LOG_TO_SNAPSHOT: u64 = 2;
/// A transaction that cannot be written for so many bytes is given up for a snapshot.
const OPEN_BYTES: usize = 16 << 20;
/// Time between two attempts at a snapshot, where the first failed.
const RETRY: Duration = Duration::from_secs(2);
/// How long another holder of the directory may take to leave.
const LEAVING: Duration = Duration::from_secs(3);

/// The saved side of the state.
#[derive(Debug)]
pub(super) struct Store {
    directory: PathBuf,
    /// Held for its lock.
    _lock: File,
    generation: u64,
    log: Arc<File>,
    length: u64,
    snapshot_bytes: u64,
    /// The least length of a log before that.
    log_bytes: u64,
    /// The last transaction that is in the log.
    sequence: u64,
    /// The open transaction as a frame, or nothing.
    open: Vec<u8>,
    /// Changes are in memory that are in no log: a snapshot must bring them to the disk.
    needs_snapshot: bool,
    /// Not before then another attempt.
    retry: Option<Instant>,
    keeper: Keeper,
}

impl Store {
    /// Reads the directory and begins a new log in it.
    pub(super) fn open(directory: &Path, limits: Limits) -> Result<(Core, Self, Recovered), StateError> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(directory).map_err(StateError::io("create the directory", directory))?;
        let lock = lock(directory, LEAVING)?;
        let mut found = recover::read(directory, limits)?;
        found.tidy()?;
        let generation = found.generation + 1;
        let log = create_log(directory, generation)?;
        let mut recovered = Recovered {
            waits: found.waits(),
            positions: found.core.positions.clone(),
            notes: std::mem::take(&mut found.notes),
            is_new: found.is_new,
            captures: Vec::new(),
        };
        let keeper = Keeper::start(directory, generation, log)?;
        let mut store = Self {
            directory: directory.to_owned(),
            _lock: lock,
            generation,
            log: keeper.log(),
            length: HEADER as u64,
            snapshot_bytes: 0,
            log_bytes: limits.log_bytes,
            sequence: found.sequence,
            open: Vec::new(),
            needs_snapshot: false,
            retry: None,
            keeper,
        };
        if found.core.instance == [0; 16] {
            found.core.instance = instance()?;
            append(store.buffer(found.core.clock), &Change::Instance(found.core.instance));
            // Before any mail gets its name from it.
            store.write_open()?;
        }
        if !found.is_new {
            let snapshot = store.snapshot(&mut found.core, generation, &found.captures);
            store.keeper.rotate(generation, store.log.clone(), Some(snapshot));
        }
        recovered.captures = found.captures;
        Ok((found.core, store, recovered))
    }

    /// Where the next change of the open transaction is appended; it begins with the clock as it is.
    pub(super) fn buffer(&mut self, clock: Timestamp) -> &mut Vec<u8> {
        if self.open.is_empty() {
            frame::begin(&mut self.open);
            append(&mut self.open, &(self.sequence + 1, self.keeper.synced(), clock));
        }
        &mut self.open
    }

    /// Writes the open transaction.
    pub(super) fn commit<'c>(
        &mut self,
        core: &mut Core,
        captures: impl IntoIterator<Item = &'c Capture>,
    ) -> Result<(), StateError> {
        let failure = self.keeper.failure();
        self.needs_snapshot |= failure.as_ref().is_some_and(|failure| failure.is_doubtful);
        if self.needs_snapshot {
            return self.save_whole(core, captures);
        }
        if !self.open.is_empty() {
            self.write_open()?;
        }
        let is_long = self.length > self.log_bytes.max(LOG_TO_SNAPSHOT * self.snapshot_bytes);
        if is_long && !self.keeper.is_busy() && self.may_try() {
            self.rotate(core, captures)?;
        }
        failure.map_or(Ok(()), |failure| Err(failure.error))
    }

    fn write_open(&mut self) -> Result<(), StateError> {
        frame::close(&mut self.open, 0);
        // At a place, not at the end: what an attempt before left is overwritten.
        if let Err(error) = self.log.write_all_at(&self.open, self.length) {
            if self.open.len() > OPEN_BYTES {
                self.open = Vec::new();
                self.needs_snapshot = true;
            }
            let path = path(&self.directory, Kind::Log, self.generation);
            return Err(StateError::io("write the log", &path)(error));
        }
        self.sequence += 1;
        self.length += self.open.len() as u64;
        self.keeper.written(self.length);
        self.open.clear();
        self.open.shrink_to(1 << 20);
        Ok(())
    }

    /// A new log, while the thread writes the snapshot that it begins from.
    fn rotate<'c>(
        &mut self,
        core: &mut Core,
        captures: impl IntoIterator<Item = &'c Capture>,
    ) -> Result<(), StateError> {
        let generation = self.generation + 1;
        self.retry = Some(Instant::now() + RETRY);
        let log = Arc::new(create_log(&self.directory, generation)?);
        let snapshot = self.snapshot(core, generation, captures);
        self.continue_in(generation, log);
        self.keeper.rotate(generation, self.log.clone(), Some(snapshot));
        Ok(())
    }

    /// Brings the whole state to the disk before anything else is written.
    fn save_whole<'c>(
        &mut self,
        core: &mut Core,
        captures: impl IntoIterator<Item = &'c Capture>,
    ) -> Result<(), StateError> {
        // The changes are in memory, where the snapshot takes them from.
        self.open = Vec::new();
        if !self.may_try() {
            return Err(StateError::Unsaved { directory: self.directory.clone() });
        }
        let written = self.write_whole(core, captures);
        self.needs_snapshot = written.is_err();
        self.retry = written.as_ref().err().map(|_| Instant::now() + RETRY);
        written
    }

    fn write_whole<'c>(
        &mut self,
        core: &mut Core,
        captures: impl IntoIterator<Item = &'c Capture>,
    ) -> Result<(), StateError> {
        self.sequence += 1;
        let generation = self.generation + 1;
        let snapshot = self.snapshot(core, generation, captures);
        let log = Arc::new(create_log(&self.directory, generation)?);
        write_snapshot(&self.directory, generation, &snapshot)?;
        self.continue_in(generation, log);
        self.keeper.rotate(generation, self.log.clone(), None);
        Ok(())
    }

    fn may_try(&self) -> bool {
        self.retry.is_none_or(|retry| Instant::now() >= retry)
    }

    fn continue_in(&mut self, generation: u64, log: Arc<File>) {
        (self.generation, self.log, self.length) = (generation, log, HEADER as u64);
    }

    /// The state as a snapshot's file.
    fn snapshot<'c>(
        &mut self,
        core: &mut Core,
        generation: u64,
        captures: impl IntoIterator<Item = &'c Capture>,
    ) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.snapshot_bytes as usize + HEADER);
        out.extend_from_slice(&frame::header(Kind::Snapshot, generation));
        frame::begin(&mut out);
        core.save(self.sequence, captures, &mut out);
        frame::close(&mut out, HEADER);
        self.snapshot_bytes = out.len() as u64;
        out
    }
}

/// Locks the directory. A process that was killed is followed by its programs: one that was about to be run holds the lock
/// until it is.
pub(super) fn lock(directory: &Path, patience: Duration) -> Result<File, StateError> {
    let path = directory.join("lock");
    let file = File::create(&path).map_err(StateError::io("create", &path))?;
    let until = Instant::now() + patience;
    loop {
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(Errno::WOULDBLOCK) if Instant::now() < until => thread::sleep(Duration::from_millis(20)),
            Err(Errno::WOULDBLOCK) => {
                return Err(StateError::Locked { directory: directory.to_owned() });
            }
            Err(error) => return Err(StateError::io("lock", &path)(error.into())),
        }
    }
}

fn instance() -> Result<[u8; 16], StateError> {
    let path = Path::new("/dev/urandom");
    let mut bytes = [0; 16];
    let mut file = File::open(path).map_err(StateError::io("open", path))?;
    file.read_exact(&mut bytes).map_err(StateError::io("read", path))?;
    Ok(bytes)
}
