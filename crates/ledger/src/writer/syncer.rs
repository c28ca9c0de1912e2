//! The thread that syncs the journal, so that the one who accepts flows never waits for the disk.
//!
//! It also makes the next journal before it is needed: its name must be durable before the first flow is in it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

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
    /// The thread is making the spare just now.
    is_making: bool,
    is_dirty: bool,
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
        while state.is_making {
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

fn run(shared: &Shared) {
    let mut state = shared.state.lock();
    loop {
        let mut problem = None;
        let next = state.current.as_ref().map(|current| current.number + 1);
        if let (None, Some(number)) = (&state.spare, next) {
            state.is_making = true;
            let made = parking_lot::MutexGuard::unlocked(&mut state, || {
                create(&*shared.storage, &shared.stream, number)
            });
            state.is_making = false;
            shared.changed.notify_all();
            match made {
                Ok(journal) => state.spare = Some(journal),
                Err(error) => problem = Some(error.to_string()),
            }
        }
        if std::mem::take(&mut state.is_dirty) {
            let mut due = std::mem::take(&mut state.left);
            due.extend(state.current.clone());
            let synced = parking_lot::MutexGuard::unlocked(&mut state, || {
                due.iter().try_for_each(|journal| {
                    let path = layout::journal_path(&shared.stream, journal.number);
                    journal.file.sync().map_err(LedgerError::io("sync", &path))
                })
            });
            if let Err(error) = synced {
                problem = Some(error.to_string());
                state.is_dirty = true;
                let current = state.current.as_ref().map(|journal| journal.number);
                state.left.extend(due.into_iter().filter(|journal| Some(journal.number) != current));
            }
        }
        state.problem = problem;
        if state.is_leaving {
            return;
        }
        shared.changed.wait_for(&mut state, INTERVAL);
    }
}
