//! The thread that syncs the journal, so that the one who accepts flows never waits for the disk.
//!
//! It also makes the next journal before it is needed: its name must be durable before the first flow is in it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::storage::{Appender, Storage};
use crate::{LedgerError, layout};

/// Half of what a power cut may cost, so that a slow sync still ends within a second.
const INTERVAL: Duration = Duration::from_millis(500);

/// A journal that is being written, or is ready to be.
#[derive(Clone, Debug)]
pub(super) struct Journal {
    pub(super) number: u64,
    pub(super) file: Arc<dyn Appender>,
}

#[derive(Debug, Default)]
struct State {
    current: Option<Journal>,
    /// Journals that were left since the last sync.
    left: Vec<Journal>,
    spare: Option<Journal>,
    /// The spare that the thread is making just now.
    making: Option<u64>,
    is_dirty: bool,
    /// Somebody is syncing just now.
    is_syncing: bool,
    is_leaving: bool,
    problem: Option<String>,
}

#[derive(Debug)]
struct Shared {
    storage: Arc<dyn Storage>,
    stream: PathBuf,
    state: Mutex<State>,
    changed: Condvar,
}

/// The handle on the thread.
#[derive(Debug)]
pub(super) struct Syncer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// Makes a journal whose name is durable.
pub(super) fn create(storage: &dyn Storage, stream: &Path, number: u64) -> Result<Journal, LedgerError> {
    let path = layout::journal_path(stream, number);
    let file = storage.create(&path).map_err(LedgerError::io("create", &path))?;
    layout::sync_parent(storage, &path)?;
    Ok(Journal { number, file })
}

impl Syncer {
    pub(super) fn start(
        storage: Arc<dyn Storage>,
        stream: &Path,
        first: Journal,
    ) -> Result<Self, LedgerError> {
        let state = State { current: Some(first), ..State::default() };
        let shared = Arc::new(Shared {
            storage,
            stream: stream.to_owned(),
            state: Mutex::new(state),
            changed: Condvar::new(),
        });
        let thread = std::thread::Builder::new()
            .name("ledger-sync".to_owned())
            .spawn({
                let shared = shared.clone();
                move || run(&shared)
            })
            .map_err(LedgerError::io("start a thread for", stream))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Something was written to the current journal.
    pub(super) fn wrote(&self) {
        self.shared.state.lock().is_dirty = true;
    }

    /// Returns when all that was written is on the disk, in whichever journal it stands.
    pub(super) fn sync(&self) -> Result<(), LedgerError> {
        let mut state = self.shared.state.lock();
        while state.is_syncing {
            self.shared.changed.wait(&mut state);
        }
        sync(&self.shared, &mut state)
    }

    /// The next journal, if it is ready. The one before is synced in the background.
    pub(super) fn take_next(&self) -> Option<Journal> {
        let mut state = self.shared.state.lock();
        let next = state.spare.take()?;
        let left = state.current.replace(next.clone());
        state.left.extend(left);
        state.is_dirty = true;
        self.shared.changed.notify_all();
        Some(next)
    }

    /// The next journal, made here and now if it is not ready.
    pub(super) fn make_next(&self, number: u64) -> Result<Journal, LedgerError> {
        let mut state = self.shared.state.lock();
        // Two that make the same file would empty it under each other.
        while state.making.is_some() {
            self.shared.changed.wait(&mut state);
        }
        if state.spare.is_none() {
            state.spare = Some(create(&*self.shared.storage, &self.shared.stream, number)?);
        }
        drop(state);
        self.take_next().ok_or_else(|| LedgerError::Sealer {
            path: self.shared.stream.clone(),
            what: "no journal could be made".to_owned(),
        })
    }

    /// Why the last sync, or the making of the next journal, failed; if it did.
    pub(super) fn problem(&self) -> Option<String> {
        self.shared.state.lock().problem.clone()
    }

    /// Ends the thread.
    pub(super) fn stop(&mut self) {
        self.shared.state.lock().is_leaving = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed; the journal is synced by the caller.
            let _ = thread.join();
        }
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Syncs every journal that was written since it was last done, without holding the lock meanwhile.
fn sync(shared: &Shared, state: &mut MutexGuard<'_, State>) -> Result<(), LedgerError> {
    let mut due = std::mem::take(&mut state.left);
    due.extend(state.current.clone());
    state.is_dirty = false;
    state.is_syncing = true;
    let synced = MutexGuard::unlocked(state, || {
        due.iter().try_for_each(|journal| {
            let path = layout::journal_path(&shared.stream, journal.number);
            journal.file.sync().map_err(LedgerError::io("sync", &path))
        })
    });
    state.is_syncing = false;
    if synced.is_err() {
        state.is_dirty = true;
        let current = state.current.as_ref().map(|journal| journal.number);
        state.left.extend(due.into_iter().filter(|journal| Some(journal.number) != current));
    }
    shared.changed.notify_all();
    synced
}

fn run(shared: &Shared) {
    let mut state = shared.state.lock();
    loop {
        let mut problem = None;
        let next = state.current.as_ref().map(|current| current.number + 1);
        if let (None, Some(number)) = (&state.spare, next) {
            state.making = Some(number);
            let made = MutexGuard::unlocked(&mut state, || create(&*shared.storage, &shared.stream, number));
            state.making = None;
            shared.changed.notify_all();
            match made {
                Ok(journal) => state.spare = Some(journal),
                Err(error) => problem = Some(error.to_string()),
            }
        }
        if state.is_dirty && !state.is_syncing {
            problem = sync(shared, &mut state).err().map(|error| error.to_string()).or(problem);
        }
        state.problem = problem;
        if state.is_leaving {
            return;
        }
        shared.changed.wait_for(&mut state, INTERVAL);
    }
}
