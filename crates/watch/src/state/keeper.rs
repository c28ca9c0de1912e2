//! The thread that makes durable what was written: once a second for the log, and whole snapshots.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use parking_lot::Mutex;

use super::StateError;
use super::frame::{self, HEADER, Kind};

/// Longest time that what was written stays only with the operating system.
const SYNC_EVERY: Duration = Duration::from_secs(1);

/// The file of a generation.
pub(super) fn path(directory: &Path, kind: Kind, generation: u64) -> PathBuf {
    let ending = match kind {
        Kind::Snapshot => "snapshot",
        Kind::Log => "log",
    };
    directory.join(format!("state-{generation:016x}.{ending}"))
}

/// The generations of which there are such files, in order.
pub(super) fn generations(directory: &Path, kind: Kind) -> io::Result<Vec<u64>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix("state-")?.get(..16));
        let Some(number) = number.and_then(|number| u64::from_str_radix(number, 16).ok()) else { continue };
        if path(directory, kind, number).file_name() == Some(&name) {
            found.push(number);
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// A new log with its header; one of that name was never used.
pub(super) fn create_log(directory: &Path, generation: u64) -> Result<File, StateError> {
    let path = path(directory, Kind::Log, generation);
    let mut file = writable(&path).map_err(StateError::io("create the log", &path))?;
    file.write_all(&frame::header(Kind::Log, generation))
        .map_err(StateError::io("write the log's header", &path))?;
    Ok(file)
}

fn writable(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

/// Puts a snapshot in its place and returns when it is on the disk. Generations before the last one are removed: that
/// one stays, in case the new snapshot cannot be read one day.
pub(super) fn write_snapshot(directory: &Path, generation: u64, bytes: &[u8]) -> Result<(), StateError> {
    let target = path(directory, Kind::Snapshot, generation);
    let aside = target.with_extension("new");
    let written = writable(&aside).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    if let Err(error) = written {
        // It would take the room that it could not be written for.
        let _ = fs::remove_file(&aside);
        return Err(StateError::io("write the snapshot", &aside)(error));
    }
    fs::rename(&aside, &target).map_err(StateError::io("rename the snapshot", &aside))?;
    sync_directory(directory)?;
    let listed = |kind| generations(directory, kind).map_err(StateError::io("list", directory));
    let snapshots = listed(Kind::Snapshot)?;
    let Some(previous) = snapshots.iter().rev().nth(1) else { return Ok(()) };
    for kind in [Kind::Snapshot, Kind::Log] {
        for old in listed(kind)?.into_iter().filter(|generation| generation < previous) {
            let path = path(directory, kind, old);
            fs::remove_file(&path).map_err(StateError::io("remove", &path))?;
        }
    }
    Ok(())
}

fn sync_directory(directory: &Path) -> Result<(), StateError> {
    File::open(directory)
        .and_then(|file| file.sync_all())
        .map_err(StateError::io("sync the directory", directory))
}

/// The log that is written just now.
#[derive(Debug)]
struct Current {
    file: Arc<File>,
    generation: u64,
    /// Bytes written, and those known to be on the disk.
    written: u64,
    synced: u64,
}

/// Something that went wrong in the thread.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: StateError,
    /// What was written may not be on the disk and never get there: all must be written again.
    pub(super) is_doubtful: bool,
}

#[derive(Debug)]
struct Shared {
    directory: PathBuf,
    current: Mutex<Current>,
    failure: Mutex<Option<Failure>>,
    /// A snapshot is asked for and not yet written.
    is_busy: AtomicBool,
}

impl Shared {
    fn fail(&self, error: StateError, is_doubtful: bool) {
        let mut failure = self.failure.lock();
        let is_doubtful = is_doubtful || failure.as_ref().is_some_and(|failure| failure.is_doubtful);
        *failure = Some(Failure { error, is_doubtful });
    }

    fn sync(&self) {
        let (file, generation, written) = {
            let current = self.current.lock();
            if current.synced >= current.written {
                return;
            }
            (current.file.clone(), current.generation, current.written)
        };
        if let Err(error) = file.sync_data() {
            let path = path(&self.directory, Kind::Log, generation);
            self.fail(StateError::io("sync the log", &path)(error), true);
            return;
        }
        let mut current = self.current.lock();
        if current.generation == generation {
            current.synced = written;
        }
    }

    fn keep(&self, snapshot: &Snapshot) {
        // In this order: the new log is never known to be on the disk before the one that it continues.
        if let Err(error) = snapshot.before.sync_data() {
            self.fail(StateError::io("sync the log", &self.directory)(error), true);
            return;
        }
        if let Err(error) = sync_directory(&self.directory)
            .and_then(|()| write_snapshot(&self.directory, snapshot.generation, &snapshot.bytes))
        {
            self.fail(error, false);
        }
    }
}

/// A snapshot to be written, and the log that ends with it.
#[derive(Debug)]
struct Snapshot {
    generation: u64,
    bytes: Vec<u8>,
    before: Arc<File>,
}

/// The thread, from the engine's side.
#[derive(Debug)]
pub(super) struct Keeper {
    shared: Arc<Shared>,
    jobs: Option<Sender<Snapshot>>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    pub(super) fn start(directory: &Path, generation: u64, log: File) -> Result<Self, StateError> {
        let current = Current { file: Arc::new(log), generation, written: HEADER as u64, synced: 0 };
        let shared = Arc::new(Shared {
            directory: directory.to_owned(),
            current: Mutex::new(current),
            failure: Mutex::new(None),
            is_busy: AtomicBool::new(false),
        });
        let (jobs, inbox) = crossbeam_channel::unbounded();
        let thread = std::thread::Builder::new()
            .name("state".into())
            .spawn({
                let shared = shared.clone();
                move || run(&shared, &inbox)
            })
            .map_err(StateError::io("start the thread that syncs", directory))?;
        Ok(Self { shared, jobs: Some(jobs), thread: Some(thread) })
    }

    /// The log that is written.
    pub(super) fn log(&self) -> Arc<File> {
        self.shared.current.lock().file.clone()
    }

    /// The log has so many bytes now.
    pub(super) fn written(&self, bytes: u64) {
        self.shared.current.lock().written = bytes;
    }

    /// So many bytes of the log are on the disk.
    pub(super) fn synced(&self) -> u64 {
        self.shared.current.lock().synced
    }

    /// From now on that log is written. Its snapshot is written aside, or was (`None`).
    pub(super) fn rotate(&self, generation: u64, log: Arc<File>, snapshot: Option<Vec<u8>>) {
        let mut current = self.shared.current.lock();
        let before = std::mem::replace(&mut current.file, log);
        (current.generation, current.written, current.synced) = (generation, HEADER as u64, 0);
        drop(current);
        if let (Some(bytes), Some(jobs)) = (snapshot, &self.jobs) {
            self.shared.is_busy.store(true, Ordering::Relaxed);
            // Only a thread that has ended does not take it, and that ends with the keeper.
            let _ = jobs.send(Snapshot { generation, bytes, before });
        }
    }

    /// Is a snapshot being written?
    pub(super) fn is_busy(&self) -> bool {
        self.shared.is_busy.load(Ordering::Relaxed)
    }

    /// What went wrong since the last call.
    pub(super) fn failure(&self) -> Option<Failure> {
        self.shared.failure.lock().take()
    }
}

impl Drop for Keeper {
    /// Waits until all is on the disk.
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}

fn run(shared: &Shared, jobs: &Receiver<Snapshot>) {
    // The log was made just now: its name, and perhaps the directory's, must outlast a power cut as well.
    let above = shared.directory.parent().filter(|above| !above.as_os_str().is_empty());
    if let Err(error) = above.into_iter().chain([&*shared.directory]).try_for_each(sync_directory) {
        shared.fail(error, false);
    }
    let mut due = Instant::now() + SYNC_EVERY;
    loop {
        match jobs.recv_deadline(due) {
            Ok(snapshot) => {
                shared.keep(&snapshot);
                shared.is_busy.store(false, Ordering::Relaxed);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                shared.sync();
                return;
            }
        }
        if Instant::now() >= due {
            shared.sync();
            due = Instant::now() + SYNC_EVERY;
        }
    }
}
