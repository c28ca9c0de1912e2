//! The queue of mails and the thread that sends them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use parking_lot::{Condvar, Mutex};

use super::address::host_name;
use super::folder::Folder;
use super::letter::Letter;
use super::transport::{Delivery, Unreachable, Way};
use super::{MailError, Message, Transport};

/// Most mails that wait. A full queue refuses new ones: the first alerts of an incident say more than the last.
const MOST: usize = 10_000;
/// Most bytes of them.
const MOST_BYTES: u64 = 256 << 20;
/// After a failure, the next attempt comes after this long, and twice as long after each further one,
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// up to this.
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// A mail that nobody took for this long is given up, as RFC 5321, section 4.5.4.1, has it.
const GIVE_UP: Duration = Duration::from_secs(5 * 86_400);
/// News that nobody has read yet; more are dropped.
const MOST_NEWS: usize = 256;
/// How long a dropped outbox waits for its thread. A letter that is under way then may be sent twice.
const LEAVE: Duration = Duration::from_secs(2);

/// Mails on disk, and the thread that sends them. Dropped, it stops; what waits is sent after the next start.
///
/// After a SIGKILL nothing is missing that [`Outbox::queue`] took. A power cut can cost what was queued in the last
/// moments before: the files are synced by the thread, so that the engine does not wait for the disk.
#[derive(Debug)]
pub struct Outbox {
    shared: Arc<Shared>,
    news: Receiver<News>,
    host: String,
}

/// What [`Outbox::queue`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queued {
    /// It is on disk.
    New,
    /// A mail of the same id waits already; nothing was written.
    Already,
}

/// What became of mails, to be told and counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// Taken by the relay. Its Message-ID, without angle brackets.
    Sent {
        /// Which.
        id: String,
    },
    /// Not taken now. Told for the first failure, and whenever the reason changes.
    Delayed {
        /// Why.
        reason: String,
    },
    /// Refused for good, or given up; it is in `failed/`.
    Failed {
        /// Which.
        id: String,
        /// Why.
        reason: String,
    },
    /// Something is wrong with the folder.
    Trouble {
        /// What.
        reason: String,
    },
}

/// Totals since the start, and what waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Taken by [`Outbox::queue`].
    pub queued: u64,
    /// Taken by the relay.
    pub sent: u64,
    /// Refused for good, at least for one recipient, or given up.
    pub failed: u64,
    /// Refused by [`Outbox::queue`] because there was no room.
    pub dropped: u64,
    /// Waiting now.
    pub waiting: u64,
}

#[derive(Debug)]
struct Shared {
    folder: Folder,
    state: Mutex<State>,
    changed: Condvar,
    news: Sender<News>,
}

#[derive(Debug)]
struct State {
    /// By the order in which they were queued.
    waiting: BTreeMap<u64, Waiting>,
    next: u64,
    bytes: u64,
    tally: Tally,
    /// A transport to be used from now on.
    transport: Option<Way>,
    /// While the relay cannot be reached, nothing is tried before this.
    relay: Backoff,
    reason: String,
    stop: bool,
    ended: bool,
}

#[derive(Debug)]
struct Waiting {
    name: String,
    bytes: u64,
    is_synced: bool,
    backoff: Backoff,
}

/// When to try again.
#[derive(Clone, Copy, Debug, Default)]
struct Backoff {
    failures: u32,
    next: Option<Instant>,
}

impl Backoff {
    fn fail(&mut self) {
        let wait = FIRST_WAIT.saturating_mul(1 << self.failures.min(16)).min(LONGEST_WAIT);
        self.failures += 1;
        self.next = Some(Instant::now() + wait);
    }

    fn is_due(&self, now: Instant) -> bool {
        self.next.is_none_or(|next| next <= now)
    }
}

impl Outbox {
    /// Opens the folder, made if it is not there, and begins to send what waits in it.
    pub fn open(folder: impl AsRef<Path>, transport: &Transport) -> Result<Self, MailError> {
        let way = transport.open()?;
        let (folder, found, damaged) = Folder::open(folder.as_ref())?;
        let (sender, news) = bounded(MOST_NEWS);
        let mut state = State {
            waiting: BTreeMap::new(),
            next: 0,
            bytes: 0,
            tally: Tally::default(),
            transport: Some(way),
            relay: Backoff::default(),
            reason: String::new(),
            stop: false,
            ended: false,
        };
        for mail in found {
            state.add(mail.name, mail.bytes, true);
        }
        let shared =
            Arc::new(Shared { folder, state: Mutex::new(state), changed: Condvar::new(), news: sender });
        for reason in damaged {
            shared.tell(News::Trouble { reason });
        }
        let worker = Arc::clone(&shared);
        thread::Builder::new()
            .name("mail".to_owned())
            .spawn(move || worker.work())
            .map_err(|error| MailError::Setting(format!("cannot start its thread: {error}")))?;
        Ok(Self { shared, news, host: host_name() })
    }

    /// Composes a mail and puts it into the folder. It is sent soon, and stays there until it was.
    pub fn queue(&self, message: &Message) -> Result<Queued, MailError> {
        let letter = message.compose(&self.host, SystemTime::now())?;
        let name = letter.file_name();
        let mut state = self.shared.state.lock();
        if state.waiting.values().any(|waiting| waiting.name == name) {
            return Ok(Queued::Already);
        }
        let size = letter.body.len() as u64;
        if state.waiting.len() >= MOST || state.bytes + size > MOST_BYTES {
            state.tally.dropped += 1;
            return Err(MailError::Full { count: state.waiting.len(), bytes: state.bytes });
        }
        let bytes = self.shared.folder.write(&name, &letter)?;
        state.add(name, bytes, false);
        state.tally.queued += 1;
        self.shared.changed.notify_all();
        Ok(Queued::New)
    }

    /// Sends by another transport from now on: after a reload of the configuration. What waits is tried at once.
    pub fn set_transport(&self, transport: &Transport) -> Result<(), MailError> {
        let way = transport.open()?;
        let mut state = self.shared.state.lock();
        state.transport = Some(way);
        state.relay = Backoff::default();
        for waiting in state.waiting.values_mut() {
            waiting.backoff = Backoff::default();
        }
        self.shared.changed.notify_all();
        Ok(())
    }

    /// What became of mails, as it happens. To be read now and then; what nobody reads is dropped.
    pub fn news(&self) -> &Receiver<News> {
        &self.news
    }

    /// Totals, and what waits.
    pub fn tally(&self) -> Tally {
        let state = self.shared.state.lock();
        Tally { waiting: state.waiting.len() as u64, ..state.tally }
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        state.stop = true;
        self.shared.changed.notify_all();
        let until = Instant::now() + LEAVE;
        while !state.ended && !self.shared.changed.wait_until(&mut state, until).timed_out() {}
    }
}

impl State {
    fn add(&mut self, name: String, bytes: u64, is_synced: bool) {
        let waiting = Waiting { name, bytes, is_synced, backoff: Backoff::default() };
        self.waiting.insert(self.next, waiting);
        self.next += 1;
        self.bytes += bytes;
    }

    fn take(&mut self, number: u64) {
        if let Some(waiting) = self.waiting.remove(&number) {
            self.bytes -= waiting.bytes;
        }
    }

    /// The first mail that is due, or when to look again.
    fn due(&self, now: Instant) -> Result<(u64, String), Option<Instant>> {
        if let Some(next) = self.relay.next.filter(|next| *next > now) {
            return Err(Some(next));
        }
        let due = self.waiting.iter().find(|(_, waiting)| waiting.backoff.is_due(now));
        match due {
            Some((number, waiting)) => Ok((*number, waiting.name.clone())),
            None => Err(self.waiting.values().filter_map(|waiting| waiting.backoff.next).min()),
        }
    }
}

/// What the thread is to do next.
enum Task {
    Sync(u64, String),
    Send(u64, String),
}

impl Shared {
    fn work(&self) {
        let mut way = None;
        while let Some(task) = self.next_task(&mut way) {
            match task {
                Task::Sync(number, name) => {
                    if let Err(error) = self.folder.sync(&name) {
                        self.tell(News::Trouble { reason: format!("syncing a mail: {error}") });
                    }
                    if let Some(waiting) = self.state.lock().waiting.get_mut(&number) {
                        waiting.is_synced = true;
                    }
                }
                Task::Send(number, name) => {
                    if let Some(way) = &mut way {
                        self.send(way, number, &name);
                    }
                }
            }
        }
        if let Some(way) = &mut way {
            way.rest();
        }
        self.state.lock().ended = true;
        self.changed.notify_all();
    }

    /// Waits for something to do; none when it is to stop.
    fn next_task(&self, way: &mut Option<Way>) -> Option<Task> {
        let mut state = self.state.lock();
        loop {
            if state.stop {
                return None;
            }
            if let Some(new) = state.transport.take() {
                *way = Some(new);
            }
            let unsynced = state.waiting.iter().find(|(_, waiting)| !waiting.is_synced);
            if let Some((number, waiting)) = unsynced {
                return Some(Task::Sync(*number, waiting.name.clone()));
            }
            let until = match state.due(Instant::now()) {
                Ok((number, name)) => return Some(Task::Send(number, name)),
                Err(until) => until,
            };
            if let Some(way) = way {
                // Closing a connection may take a moment, in which queueing is not to be held up.
                parking_lot::MutexGuard::unlocked(&mut state, || way.rest());
                let is_new = state.stop || state.transport.is_some();
                if is_new || state.waiting.values().any(|waiting| !waiting.is_synced) {
                    continue;
                }
            }
            match until {
                Some(until) => drop(self.changed.wait_until(&mut state, until)),
                None => self.changed.wait(&mut state),
            }
        }
    }

    fn send(&self, way: &mut Way, number: u64, name: &str) {
        let letter = match self.folder.read(name) {
            Ok((letter, _)) => letter,
            Err(error) => {
                // Somebody removed or damaged it; there is nothing left to send.
                self.state.lock().take(number);
                self.tell(News::Trouble { reason: format!("reading the mail {name}: {error}") });
                return;
            }
        };
        let id = letter.envelope.id.clone();
        match way.deliver(&letter) {
            // The letter is put off as well: should it be the cause, the next attempt is with another.
            Err(Unreachable(reason)) => self.put_off(number, &reason, |state| state.relay.fail()),
            Ok(delivery) => {
                self.state.lock().relay = Backoff::default();
                self.settle(number, name, &letter, delivery, &id);
            }
        }
    }

    /// Does what the relay's answer asks for.
    fn settle(&self, number: u64, name: &str, letter: &Letter, delivery: Delivery, id: &str) {
        let Delivery { mut refused, mut later } = delivery;
        let age = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        if age.saturating_sub(Duration::from_secs(letter.envelope.queued)) > GIVE_UP {
            refused.append(&mut later);
        }
        let of = |whom: &[(String, String)]| {
            let mut letter = letter.clone();
            letter.envelope.to = whom.iter().map(|(to, _)| to.clone()).collect();
            letter
        };
        if !refused.is_empty() {
            let reason = reasons(&refused);
            if let Err(error) = self.folder.write_failed(name, &of(&refused), &reason) {
                // Rather tried in vain again than lost.
                self.put_off(number, &error.to_string(), |_| ());
                return;
            }
            self.state.lock().tally.failed += 1;
            self.tell(News::Failed { id: id.to_owned(), reason });
        }
        if later.is_empty() {
            if let Err(error) = self.folder.remove(name) {
                // It would be sent again after the next start; now it is not.
                self.tell(News::Trouble { reason: format!("removing the mail {name}: {error}") });
            }
            let mut state = self.state.lock();
            state.take(number);
            if refused.len() < letter.envelope.to.len() {
                state.tally.sent += 1;
                drop(state);
                self.tell(News::Sent { id: id.to_owned() });
            }
            return;
        }
        if later.len() < letter.envelope.to.len()
            && let Err(error) = self.folder.write(name, &of(&later))
        {
            self.tell(News::Trouble { reason: error.to_string() });
        }
        self.put_off(number, &reasons(&later), |_| ());
    }

    /// A mail is tried again later.
    fn put_off(&self, number: u64, reason: &str, also: impl FnOnce(&mut State)) {
        let mut state = self.state.lock();
        also(&mut state);
        if let Some(waiting) = state.waiting.get_mut(&number) {
            waiting.backoff.fail();
        }
        if state.reason != reason {
            reason.clone_into(&mut state.reason);
            drop(state);
            self.tell(News::Delayed { reason: reason.to_owned() });
        }
    }

    fn tell(&self, news: News) {
        match self.news.try_send(news) {
            // Counted in the tally all the same.
            Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
    }
}

fn reasons(whom: &[(String, String)]) -> String {
    let texts: Vec<String> = whom.iter().map(|(to, reason)| format!("{to}: {reason}")).collect();
    texts.join("; ")
}
