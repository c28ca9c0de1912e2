//! The thread that writes notes down, once it is known whose they are.
//!
//! Without a book a note is written at once. With one, notes of a connection wait until the book has answered who it is, at
//! most as long as a question may take.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};
use rustc_hash::FxBuildHasher;
use unmasq_control::Ask;
use unmasq_honeypot::server::Method;
use unmasq_watch::client::remote::{Answered, RemoteBook, Standing};

use super::metrics::Metrics;
use super::note::{News, Note, Opened};
use super::output::{Client, Outlets};

/// Notes that are written together, at most.
const BATCH: usize = 512;
/// How long the thread sleeps while there is nothing to write.
const IDLE: Duration = Duration::from_millis(200);
/// How often it looks for the book's answers while notes wait for them.
const LOOK: Duration = Duration::from_millis(2);
/// Notes that wait for an answer, at most; then the oldest questions count as unanswered.
const MOST_WAITING: usize = 65_536;
/// How far around its start a connection's translation is looked for: clocks of two hosts differ.
const AROUND: i64 = 5_000_000_000;

/// The thread's own.
pub(super) struct Writer {
    notes: Receiver<Note>,
    outlets: Outlets,
    asking: Option<Asking>,
    metrics: Arc<Metrics>,
    /// Of each of [`METHODS`], since the last batch.
    attempts: [u64; METHODS.len()],
    reopen: Arc<AtomicBool>,
}

/// Questions under way.
struct Asking {
    book: RemoteBook,
    /// By the number of the session.
    open: HashMap<u64, Answer, FxBuildHasher>,
    waiting: usize,
    /// What was told of the connection to the book.
    told: Standing,
}

enum Answer {
    /// What waits for it.
    Awaited(Vec<Note>),
    Known(Client),
}

impl Writer {
    pub(super) fn new(
        notes: Receiver<Note>,
        outlets: Outlets,
        book: Option<RemoteBook>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let asking =
            book.map(|book| Asking { told: Standing::Connected, book, open: HashMap::default(), waiting: 0 });
        Self { notes, outlets, asking, metrics, attempts: [0; METHODS.len()], reopen: Arc::default() }
    }

    /// Set, the files are opened anew.
    pub(super) fn reopen(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.reopen)
    }

    /// Writes until all workers have ended.
    pub(super) fn run(&mut self) {
        loop {
            let is_waiting = self.asking.as_ref().is_some_and(|asking| asking.waiting > 0);
            let first = match self.notes.recv_timeout(if is_waiting { LOOK } else { IDLE }) {
                Ok(note) => Some(note),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            if self.reopen.swap(false, Ordering::Relaxed) {
                self.outlets.reopen();
            }
            let more: Vec<Note> = self.notes.try_iter().take(BATCH).collect();
            for note in first.into_iter().chain(more) {
                self.take(note);
            }
            self.hear();
            self.flush();
        }
        // What still waits is written with what the connection itself tells.
        let open = self.asking.as_mut().map(|asking| std::mem::take(&mut asking.open)).unwrap_or_default();
        for answer in open.into_values() {
            if let Answer::Awaited(notes) = answer {
                for note in &notes {
                    self.write(note, &seen(&note.opened));
                }
            }
        }
        self.flush();
    }

    fn take(&mut self, note: Note) {
        let Some(asking) = &mut self.asking else { return self.write(&note, &seen(&note.opened)) };
        match asking.take(note, &self.metrics) {
            Taken::Waits => {}
            Taken::Write(note, client) => self.write(&note, &client),
        }
    }

    /// Takes the book's answers.
    fn hear(&mut self) {
        let Some(asking) = &mut self.asking else { return };
        let mut ready = Vec::new();
        for answered in asking.book.answers() {
            ready.extend(asking.answer(&answered, &self.metrics));
        }
        for (note, client) in ready {
            self.write(&note, &client);
        }
    }

    fn write(&mut self, note: &Note, client: &Client) {
        if let News::Attempt { attempt, .. } = &note.news {
            self.attempts[method_index(&attempt.method)] += 1;
        }
        self.outlets.add(note, client);
    }

    fn flush(&mut self) {
        // A number with labels is looked up by their texts: once a batch, not for each attempt.
        for (method, count) in METHODS.iter().zip(&mut self.attempts) {
            if *count > 0 {
                self.metrics.attempts.add([method], std::mem::take(count));
            }
        }
        let written = self.outlets.flush();
        if written.lines > 0 {
            self.metrics.lines.add(["written"], written.lines);
        }
        if written.lost > 0 {
            self.metrics.lines.add(["lost"], written.lost);
        }
    }
}

enum Taken {
    Waits,
    Write(Note, Client),
}

impl Asking {
    fn take(&mut self, note: Note, metrics: &Metrics) -> Taken {
        let session = note.opened.session;
        if matches!(note.news, News::Accepted) {
            let question = question(&note.opened);
            if self.waiting < MOST_WAITING && self.book.ask(session, question).is_ok() {
                self.open.insert(session, Answer::Awaited(Vec::new()));
            } else {
                metrics.book.add(["failed"], 1);
            }
            return Taken::Waits;
        }
        let is_end = matches!(note.news, News::Ended { .. });
        match self.open.get_mut(&session) {
            Some(Answer::Awaited(notes)) => {
                notes.push(note);
                self.waiting += 1;
                Taken::Waits
            }
            Some(Answer::Known(client)) => {
                let client = *client;
                if is_end {
                    self.open.remove(&session);
                }
                Taken::Write(note, client)
            }
            None => {
                let client = seen(&note.opened);
                Taken::Write(note, client)
            }
        }
    }

    /// The notes that an answer lets go.
    fn answer(&mut self, answered: &Answered, metrics: &Metrics) -> Vec<(Note, Client)> {
        let Some(Answer::Awaited(notes)) = self.open.remove(&answered.id) else { return Vec::new() };
        self.waiting -= notes.len();
        let found = match &answered.outcome {
            // Two clients at one port in these seconds: nobody can say which it was.
            Ok(found) => found.flows.split_first().and_then(|(flow, others)| {
                let is_clear = others.iter().all(|other| other.client == flow.client);
                let port = flow.client.selector.number().filter(|_| is_clear)?;
                Some(Client { endpoint: (flow.client.address, port).into(), from: Some("conntrack") })
            }),
            Err(_) => None,
        };
        let outcome = match (&answered.outcome, found) {
            (Err(_), _) => "failed",
            (Ok(_), Some(_)) => "found",
            (Ok(_), None) => "unknown",
        };
        metrics.book.add([outcome], 1);
        let standing = self.book.standing();
        if standing != self.told {
            match &standing {
                Standing::Connected => eprintln!("unmasq: the book at {} answers again", self.book.place()),
                Standing::Broken(reason) => eprintln!(
                    "unmasq: the book at {} cannot be asked who clients are: {reason}; addresses are written as they are seen",
                    self.book.place()
                ),
            }
            self.told = standing;
        }
        let is_over = notes.iter().any(|note| matches!(note.news, News::Ended { .. }));
        if !is_over && let Some(client) = found {
            self.open.insert(answered.id, Answer::Known(client));
        }
        notes
            .into_iter()
            .map(|note| {
                let client = found.unwrap_or_else(|| seen(&note.opened));
                (note, client)
            })
            .collect()
    }
}

/// The client as the connection itself tells.
fn seen(opened: &Opened) -> Client {
    Client { endpoint: opened.client(), from: opened.proxied.map(|_| "proxy") }
}

/// Who was translated into the other end of this connection?
fn question(opened: &Opened) -> Ask {
    let at = opened.at.as_nanos();
    Ask::Find {
        masked: opened.client().to_string(),
        protocol: Some("tcp".to_owned()),
        server: Some(opened.local.to_string()),
        from: at.saturating_sub(AROUND),
        to: at.saturating_add(AROUND),
    }
}

/// The methods, as they are counted.
const METHODS: [&str; 5] = ["none", "password", "keyboard-interactive", "publickey", "other"];

/// Which of [`METHODS`].
const fn method_index(method: &Method) -> usize {
    match method {
        Method::None => 0,
        Method::Password { .. } => 1,
        Method::KeyboardInteractive { .. } => 2,
        Method::PublicKey { .. } => 3,
        Method::Other { .. } => 4,
    }
}
