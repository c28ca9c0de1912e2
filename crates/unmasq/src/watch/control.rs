//! The watch's control socket: questions come from its threads and are answered by the engine, between two batches.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use crossbeam_channel::{Receiver, Sender, bounded};
use rustix::event::{EventfdFlags, eventfd};
use unmasq_control::watch::WatchAsk;
use unmasq_control::{Ask, Reply};

use crate::control::server::Answers;

/// How long the engine may take to answer. It looks between two batches, which take milliseconds.
const PATIENCE: Duration = Duration::from_secs(8);
/// Questions under way; as many connections as the socket serves.
const MOST: usize = 16;

/// A question and where its answer goes.
pub(crate) struct Asked {
    pub(crate) ask: WatchAsk,
    pub(crate) answer: Sender<Result<Vec<Reply>, String>>,
}

/// The engine's side.
pub(crate) struct Desk {
    questions: Receiver<Asked>,
    bell: Arc<OwnedFd>,
}

/// The socket's side.
pub(crate) struct Counter {
    questions: Sender<Asked>,
    bell: Arc<OwnedFd>,
}

/// Both sides.
pub(crate) fn open() -> anyhow::Result<(Desk, Counter)> {
    let bell =
        eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).context("cannot make an eventfd")?;
    let bell = Arc::new(bell);
    let (ask, questions) = bounded(MOST);
    Ok((Desk { questions, bell: Arc::clone(&bell) }, Counter { questions: ask, bell }))
}

impl Desk {
    /// Readable when there are questions.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    /// The next question, if there is one.
    pub(crate) fn next(&self) -> Option<Asked> {
        // An empty bell says EAGAIN, which is as good.
        let _ = rustix::io::read(&*self.bell, &mut [0; 8]);
        self.questions.try_recv().ok()
    }
}

impl Answers for Counter {
    fn answer(&self, ask: Ask) -> Result<Vec<Reply>, String> {
        let Ask::Watch(ask) = ask else {
            return Err("this is a watch; ask the recorder at its own socket".to_owned());
        };
        let (answer, answered) = bounded(1);
        let busy = |()| "the watch is busy; try again".to_owned();
        self.questions.try_send(Asked { ask, answer }).map_err(|_| busy(()))?;
        // Full means that it rings already.
        let _ = rustix::io::write(&*self.bell, &1_u64.to_ne_bytes());
        answered.recv_timeout(PATIENCE).map_err(|_| busy(()))?
    }
}
