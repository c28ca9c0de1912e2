//! The book of another host, or of another process: asked over TLS, or over its control socket.
//!
//! ```text
//!  engine ──ask(id, …)──► queue ──► thread ──one line each, several under way──► recorder
//!     ▲                                │                                            │
//!     └── descriptor, answers ◄────────┴──── flows and coverage, or why not ◄───────┘
//! ```
//!
//! The engine never waits: it asks, polls [`RemoteBook::descriptor`], and takes what has come. A question that is not
//! answered in time is answered with [`Unanswered::TimedOut`]. A connection that broke is made anew, and what was under
//! way is asked again.

mod link;
mod worker;

use std::collections::VecDeque;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::Mutex;
use rustix::event::{EventfdFlags, eventfd};
use unmasq_control::tls::{Identity, TlsError};
use unmasq_control::{Ask, Covered};
use unmasq_flow::Flow;

use link::Opener;

/// Questions under way, and answers not yet taken, at most.
const MOST: usize = 4096;

/// Where a book can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// `tls://host:port`: a recorder that has `tls_listen`.
    Tls {
        /// A name or an address; the recorder's certificate must bear it.
        host: String,
        /// The port.
        port: u16,
    },
    /// `unix:/path`: the control socket of a recorder on this host.
    Unix(PathBuf),
}

impl FromStr for Place {
    type Err = RemoteError;

    fn from_str(text: &str) -> Result<Self, RemoteError> {
        let wrong = || RemoteError::Place(text.chars().take(200).collect());
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.starts_with('/') { Ok(Self::Unix(path.into())) } else { Err(wrong()) };
        }
        let (host, port) =
            text.strip_prefix("tls://").and_then(|rest| rest.rsplit_once(':')).ok_or_else(wrong)?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let port: u16 = port.parse().map_err(|_| wrong())?;
        if host.is_empty() || port == 0 || host.contains(['/', '@', ' ']) {
            return Err(wrong());
        }
        Ok(Self::Tls { host: host.to_owned(), port })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tls { host, port } if host.contains(':') => write!(f, "tls://[{host}]:{port}"),
            Self::Tls { host, port } => write!(f, "tls://{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Why a book cannot be asked at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemoteError {
    /// A place that cannot be read.
    #[error("{0:?} is no place of a book; write \"tls://gateway:port\" or \"unix:/run/unmasq/control.sock\"")]
    Place(String),
    /// TLS without certificates.
    #[error("a book over TLS needs `certificate`, `key` and `authority`")]
    NoIdentity,
    /// Certificates that cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A name that no certificate can bear.
    #[error("{0:?} is no name of a host that a certificate can bear")]
    Name(String),
    /// The system refused a thread or a descriptor.
    #[error("cannot ask a remote book: {0}")]
    System(#[from] std::io::Error),
}

/// The queue of questions is full: the question is not asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{MOST} questions to the book are under way already")]
pub struct Full;

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answered {
    /// The number that the question was given.
    pub id: u64,
    /// What the book knows, or why it could not be asked.
    pub outcome: Result<Found, Unanswered>,
}

/// What the book knows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// The flows that match, newest first as the recorder sends them; at most 1000.
    pub flows: Vec<Flow>,
    /// For which time and scope the recorder has everything. None of a moment and no flow: it does not know.
    pub covered: Vec<Covered>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// Not in time: the recorder is slow or cannot be reached.
    #[error("the book did not answer in time")]
    TimedOut,
    /// The recorder refuses the question.
    #[error("the book refused: {0}")]
    Refused(String),
}

/// How the connection is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// There is one.
    Connected,
    /// There is none: not yet, or for this reason.
    Broken(String),
}

/// A book elsewhere, and the thread that asks it. Dropped, it stops.
#[derive(Debug)]
pub struct RemoteBook {
    shared: Arc<Shared>,
    place: Place,
    thread: Option<JoinHandle<()>>,
}

/// How long is waited.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// For the answer to a question.
    patience: Duration,
    /// For a word of a recorder that has something to answer.
    silence: Duration,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Tells the thread of questions, and of a connection that was made.
    wake: OwnedFd,
    /// Tells the engine of answers.
    ready: OwnedFd,
}

#[derive(Debug)]
struct State {
    questions: VecDeque<(u64, Ask)>,
    answers: VecDeque<Answered>,
    /// Asked, and the answer not yet taken.
    outstanding: usize,
    standing: Standing,
    stop: bool,
}

impl Shared {
    fn new() -> std::io::Result<Self> {
        let state = State {
            questions: VecDeque::new(),
            answers: VecDeque::new(),
            outstanding: 0,
            standing: Standing::Broken("not connected yet".to_owned()),
            stop: false,
        };
        Ok(Self { state: Mutex::new(state), wake: event()?, ready: event()? })
    }
}

impl RemoteBook {
    /// Begins to connect to a book. `identity` is needed for TLS. `patience` is how long a question may take. That the
    /// recorder cannot be reached is no error: it may come.
    pub fn connect(
        place: Place,
        identity: Option<&Identity>,
        patience: Duration,
    ) -> Result<Self, RemoteError> {
        Self::connect_within(place, identity, Limits { patience, silence: worker::SILENCE })
    }

    fn connect_within(
        place: Place,
        identity: Option<&Identity>,
        limits: Limits,
    ) -> Result<Self, RemoteError> {
        let opener = Opener::new(&place, identity)?;
        let shared = Arc::new(Shared::new()?);
        let worker = worker::Worker::new(Arc::clone(&shared), opener, limits);
        let thread = thread::Builder::new().name("book".to_owned()).spawn(move || worker.run())?;
        Ok(Self { shared, place, thread: Some(thread) })
    }

    /// Where it is.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Asks. The answer comes with this number, in time.
    pub fn ask(&self, id: u64, ask: Ask) -> Result<(), Full> {
        let mut state = self.shared.state.lock();
        if state.outstanding >= MOST {
            return Err(Full);
        }
        state.outstanding += 1;
        state.questions.push_back((id, ask));
        drop(state);
        signal(&self.shared.wake);
        Ok(())
    }

    /// Readable when there are answers.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.shared.ready.as_fd()
    }

    /// Takes the answers that have come.
    pub fn answers(&self) -> Vec<Answered> {
        settle(&self.shared.ready);
        let mut state = self.shared.state.lock();
        state.outstanding -= state.answers.len();
        state.answers.drain(..).collect()
    }

    /// How the connection is, for messages and metrics.
    pub fn standing(&self) -> Standing {
        self.shared.state.lock().standing.clone()
    }
}

impl Drop for RemoteBook {
    fn drop(&mut self) {
        self.shared.state.lock().stop = true;
        signal(&self.shared.wake);
        if let Some(thread) = self.thread.take() {
            // It has nothing to say that anybody would still hear.
            let _ = thread.join();
        }
    }
}

/// Any bytes as what a recorder answers to three questions; for fuzzing. They are read or refused.
pub fn fuzz_replies(bytes: &[u8]) {
    worker::fuzz(bytes);
}

fn event() -> std::io::Result<OwnedFd> {
    Ok(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)
}

/// Makes an event readable.
fn signal(event: &OwnedFd) {
    // It fails only when the counter is full: then it is readable already.
    let _ = rustix::io::write(event, &1u64.to_ne_bytes());
}

/// Makes it unreadable.
fn settle(event: &OwnedFd) {
    // It fails when it was not readable.
    let _ = rustix::io::read(event, &mut [0; 8]);
}

#[cfg(test)]
mod tests;
