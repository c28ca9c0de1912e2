//! The thread that turns journals into runs, merges runs and prunes, while flows keep coming.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use parking_lot::Mutex;
use unmasq_flow::Timestamp;

use super::retention::Retention;
use super::vault::{Tally, Vault};
use crate::{Hash, LedgerError};

/// After a failure, the same is tried again so much later by the writer's clock.
const RETRY_SECONDS: i64 = 10;

enum Order {
    /// This journal is complete.
    Seal(u64),
    /// The writer's clock says so.
    Time(Timestamp),
    /// The settings changed.
    Retain(Retention),
    /// Seal and merge all that there is, and say how it went.
    Everything(Sender<Result<(), LedgerError>>),
}

/// What the thread lets others see.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    pub(super) tally: Tally,
    /// Journals that wait to be sealed.
    pub(super) waiting: usize,
    /// Why the last step failed, if it did.
    pub(super) problem: Option<String>,
    pub(super) head: Hash,
    pub(super) pruned_hours: u64,
}

/// The handle on the thread.
#[derive(Debug)]
pub(super) struct Sealer {
    stream: PathBuf,
    orders: Option<Sender<Order>>,
    view: Arc<Mutex<View>>,
    is_hurried: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

struct Worker {
    vault: Vault,
    waiting: VecDeque<u64>,
    now: Timestamp,
    retention: Retention,
    /// Not before this time after a failure.
    retry_at: Timestamp,
    pruned_at: i64,
    pruned_hours: u64,
    problem: Option<String>,
    view: Arc<Mutex<View>>,
}

impl Sealer {
    /// Starts the thread. `waiting` are complete journals that could not be sealed before.
    pub(super) fn start(
        vault: Vault,
        waiting: Vec<u64>,
        retention: Retention,
        now: Timestamp,
    ) -> Result<Self, LedgerError> {
        let stream = vault.stream.clone();
        let is_hurried = vault.is_hurried.clone();
        let (orders, inbox) = unbounded();
        let view = Arc::new(Mutex::new(View::default()));
        let mut worker = Worker {
            vault,
            waiting: waiting.into(),
            now,
            retention,
            retry_at: Timestamp::MIN,
            pruned_at: i64::MIN,
            pruned_hours: 0,
            problem: None,
            view: view.clone(),
        };
        worker.show();
        let thread = std::thread::Builder::new()
            .name("ledger-seal".to_owned())
            .spawn(move || worker.run(&inbox))
            .map_err(LedgerError::io("start a thread for", &stream))?;
        Ok(Self { stream, orders: Some(orders), view, is_hurried, thread: Some(thread) })
    }

    fn order(&self, order: Order) {
        if let Some(orders) = &self.orders {
            // A thread that is gone shows in `problem`; the journals stay where they are.
            let _ = orders.send(order);
        }
    }

    pub(super) fn seal(&self, number: u64) {
        self.order(Order::Seal(number));
    }

    pub(super) fn time(&self, now: Timestamp) {
        self.order(Order::Time(now));
    }

    pub(super) fn retain(&self, retention: Retention) {
        self.order(Order::Retain(retention));
    }

    /// Waits until everything is sealed and each hour is one run.
    pub(super) fn everything(&self) -> Result<(), LedgerError> {
        let (done, result) = bounded(1);
        self.order(Order::Everything(done));
        result.recv().unwrap_or_else(|_| Err(self.gone()))
    }

    fn gone(&self) -> LedgerError {
        LedgerError::Sealer { path: self.stream.clone(), what: "its thread has ended".to_owned() }
    }

    pub(super) fn view(&self) -> View {
        let mut view = self.view.lock().clone();
        if self.thread.as_ref().is_some_and(JoinHandle::is_finished) {
            view.problem = Some(self.gone().to_string());
        }
        view
    }

    /// Ends the thread: what it is writing is put off, what is written stays.
    pub(super) fn stop(&mut self) {
        self.is_hurried.store(true, Ordering::Relaxed);
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Sealer {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Worker {
    fn run(&mut self, inbox: &Receiver<Order>) {
        loop {
            let order = if self.has_work() {
                match inbox.try_recv() {
                    Ok(order) => Some(order),
                    Err(crossbeam_channel::TryRecvError::Empty) => None,
                    Err(crossbeam_channel::TryRecvError::Disconnected) => return,
                }
            } else {
                match inbox.recv() {
                    Ok(order) => Some(order),
                    Err(_) => return,
                }
            };
            match order {
                Some(Order::Seal(number)) => self.waiting.push_back(number),
                Some(Order::Time(now)) => self.now = now,
                Some(Order::Retain(retention)) => {
                    self.retention = retention;
                    self.pruned_at = i64::MIN;
                }
                Some(Order::Everything(done)) => {
                    let outcome = self.everything();
                    // What it did shows before it is said to be done.
                    self.show();
                    // The receiver waits for it, or has left: both are fine.
                    let _ = done.send(outcome);
                }
                None => self.step(),
            }
            self.show();
        }
    }

    fn may_try(&self) -> bool {
        self.now >= self.retry_at
    }

    fn has_work(&mut self) -> bool {
        self.may_try()
            && (!self.waiting.is_empty()
                || self.pruned_at != self.now.hour()
                || self.vault.is_merge_due(self.now))
    }

    /// One piece of work: sealing first, since a journal takes more room than its runs and readers pass over it whole.
    fn step(&mut self) {
        let done = if let Some(number) = self.waiting.front().copied() {
            self.vault.seal(number, self.now).map(|_| {
                self.waiting.pop_front();
            })
        } else if self.vault.is_merge_due(self.now) {
            self.vault.merge_one(self.now, false).map(|_| ())
        } else {
            self.pruned_at = self.now.hour();
            Ok(())
        };
        // By size at every step, by age with the hours: both find out quickly that nothing is due.
        let pruned = self.vault.prune(self.retention, self.now);
        let done = done.and(pruned.map(|hours| self.pruned_hours += hours));
        self.problem = done.err().map(|error| {
            self.retry_at = Timestamp::from_seconds(self.now.as_seconds().saturating_add(RETRY_SECONDS));
            error.to_string()
        });
    }

    fn everything(&mut self) -> Result<(), LedgerError> {
        while let Some(number) = self.waiting.front().copied() {
            self.vault.seal(number, self.now)?;
            self.waiting.pop_front();
        }
        while self.vault.merge_one(self.now, true)? {
            self.show();
        }
        self.pruned_hours += self.vault.prune(self.retention, self.now)?;
        Ok(())
    }

    fn show(&self) {
        *self.view.lock() = View {
            tally: self.vault.tally.clone(),
            waiting: self.waiting.len(),
            problem: self.problem.clone(),
            head: self.vault.chain.head(),
            pruned_hours: self.pruned_hours,
        };
    }
}
