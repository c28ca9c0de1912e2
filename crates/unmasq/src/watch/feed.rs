//! What the kernel translates, told to the watch's book: a thread a namespace.
//!
//! The watch needs the book for the last minutes only, and no record of what it missed: an overrun is mended by a dump,
//! and that is all.

use std::collections::HashSet;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context;
use crossbeam_channel::{Sender, bounded};
use parking_lot::Mutex;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use unmasq_flow::{Book, Flow, Limits, Origin, ScopeKind, Timestamp};
use unmasq_netfilter::conntrack::{self, Batch, Dumper, Event, EventKind, EventOptions, EventSocket};
use unmasq_netfilter::netns::Namespace;

/// How long a quiet socket is waited for before the thread looks whether it should end.
const QUIET: Duration = Duration::from_millis(200);
/// How long a start waits for the translations under way to be listed; a million take about a second.
const FIRST_LIST: Duration = Duration::from_secs(5);
/// How long a ban waits for translations that the kernel has told of and nobody has taken in yet; they take microseconds.
const SETTLED_WITHIN: Duration = Duration::from_millis(50);
/// Masking addresses that are remembered; a gateway has a handful, a carrier's pool some thousands.
const MOST_MASKING: usize = 65_536;
/// Most memory for the book.
const BOOK_BYTES: usize = 256 << 20;

/// What the threads share with the engine.
#[derive(Debug)]
struct Shared {
    book: Mutex<Book>,
    /// Addresses that were seen to stand for others, and whether the engine has taken them since the last.
    masking: Mutex<HashSet<IpAddr>>,
    masking_grew: AtomicBool,
    /// How many readers are taking in what they have read, and how often one was done with all that there was.
    busy: AtomicUsize,
    rounds: AtomicUsize,
    /// Does an entry wait for a translation? Then a new one wakes the engine.
    is_awaited: AtomicBool,
    wake: OwnedFd,
    /// One dump at a time, as the book asks for.
    dumping: Mutex<()>,
    stop: AtomicBool,
}

/// The running threads; ended when dropped.
#[derive(Debug)]
pub(crate) struct Feed {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    /// The readers' sockets, to see whether something waits in them.
    sockets: Vec<OwnedFd>,
}

impl Feed {
    /// Opens the sockets of the namespaces and starts to read. `keep`: how long a flow that ended can be found.
    ///
    /// # Errors
    /// A namespace that is not there, or without the right to listen (CAP_NET_ADMIN).
    pub(crate) fn start(namespaces: Vec<Namespace>, keep: Duration) -> anyhow::Result<Self> {
        let shared = Arc::new(Shared {
            book: Mutex::new(Book::new(Limits { max_bytes: BOOK_BYTES, keep_ended: keep })),
            masking: Mutex::default(),
            masking_grew: AtomicBool::new(false),
            busy: AtomicUsize::new(0),
            rounds: AtomicUsize::new(0),
            is_awaited: AtomicBool::new(false),
            wake: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
                .context("cannot make an eventfd")?,
            dumping: Mutex::new(()),
            stop: AtomicBool::new(false),
        });
        let mut feed = Self { shared, threads: Vec::new(), sockets: Vec::new() };
        let (listed, lists) = bounded(namespaces.len());
        for namespace in namespaces {
            let about = match namespace.name() {
                "" => "this network namespace".to_owned(),
                name => format!("the network namespace {name}"),
            };
            let options = EventOptions {
                scope: ScopeKind::Translated,
                reliable: false,
                gather: Duration::ZERO,
                ..EventOptions::default()
            };
            let opened = EventSocket::open(&namespace, &options)
                .and_then(|events| Ok((events, Dumper::open(&namespace)?)))
                .with_context(|| format!("cannot listen to the connection tracking of {about}"))?;
            let socket = opened.0.as_fd().try_clone_to_owned().context("cannot duplicate a socket")?;
            feed.sockets.push(socket);
            let origin = Origin::new("watch", namespace.name()).shared();
            let shared = Arc::clone(&feed.shared);
            let reader =
                Reader { events: opened.0, dumper: opened.1, origin, shared, listed: Some(listed.clone()) };
            let name: String = format!("book {}", namespace.name()).chars().take(15).collect();
            feed.threads.push(
                thread::Builder::new()
                    .name(name)
                    .spawn(move || reader.run())
                    .context("cannot start a thread")?,
            );
        }
        // Else the first entries would be judged without knowing who stands for others.
        let began = Instant::now();
        for _ in &feed.threads {
            // A list that takes too long, or fails and is tried again, must not keep the watch from its logs.
            let _ = lists.recv_timeout(FIRST_LIST.saturating_sub(began.elapsed()));
        }
        Ok(feed)
    }

    /// The book that is fed.
    pub(crate) fn book(&self) -> parking_lot::MutexGuard<'_, Book> {
        self.shared.book.lock()
    }

    /// Says whether new translations shall wake the engine; did they before?
    pub(crate) fn set_awaited(&self, is_awaited: bool) -> bool {
        self.shared.is_awaited.swap(is_awaited, Ordering::AcqRel)
    }

    /// Waits, for a bounded time, until what the kernel has told so far has been taken in: a log line can come before the reader of
    /// its connection's translation was given a processor.
    pub(crate) fn settle(&self) {
        let (asked, rounds) = (Instant::now(), self.shared.rounds.load(Ordering::Acquire));
        // In this order: what is no longer in a socket is in a reader's hands before it is taken out.
        let is_settled = || {
            !self.sockets.iter().any(|socket| is_readable(socket.as_fd(), Duration::ZERO))
                && self.shared.busy.load(Ordering::Acquire) == 0
        };
        // Where more comes all the time, one that had nothing left since has what was there.
        let had_nothing_left =
            || self.sockets.len() == 1 && self.shared.rounds.load(Ordering::Acquire) != rounds;
        while !is_settled() && !had_nothing_left() && asked.elapsed() < SETTLED_WITHIN {
            thread::sleep(Duration::from_micros(100));
        }
    }

    /// The addresses that stand for others, if there are new ones since the last call.
    pub(crate) fn new_masking(&self) -> Option<Vec<IpAddr>> {
        let grew = self.shared.masking_grew.swap(false, Ordering::AcqRel);
        grew.then(|| self.shared.masking.lock().iter().copied().collect())
    }

    /// Readable when there is a translation that may be awaited; read it empty with [`Feed::quiet`].
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.shared.wake.as_fd()
    }

    /// Takes the wake-up back; was there one?
    pub(crate) fn quiet(&self) -> bool {
        // An empty one says EAGAIN.
        rustix::io::read(&self.shared.wake, &mut [0; 8]).is_ok()
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        for thread in self.threads.drain(..) {
            // A panic there was printed when it happened.
            let _ = thread.join();
        }
    }
}

/// Is something there, at the latest after so long?
fn is_readable(socket: BorrowedFd<'_>, within: Duration) -> bool {
    let mut polled = [PollFd::from_borrowed_fd(socket, PollFlags::IN)];
    let time = Timespec::try_from(within).ok();
    // An interruption is looked at as silence, and again at once.
    poll(&mut polled, time.as_ref()).is_ok_and(|count| count > 0)
}

struct Reader {
    events: EventSocket,
    dumper: Dumper,
    origin: Arc<Origin>,
    shared: Arc<Shared>,
    /// Told, once, when the translations under way have been listed.
    listed: Option<Sender<()>>,
}

impl Reader {
    fn run(mut self) {
        let mut batch = Batch::new();
        let mut events: Vec<Event> = Vec::with_capacity(Batch::CAPACITY);
        let mut last_dump = Timestamp::MIN;
        let (mut needs_dump, mut is_busy) = (true, false);
        while !self.shared.stop.load(Ordering::Acquire) {
            if needs_dump {
                match self.dump(last_dump) {
                    Ok(began) => {
                        (last_dump, needs_dump) = (began, false);
                        // There is room for one of each reader.
                        self.listed.take().map(|listed| listed.try_send(()));
                    }
                    Err(error) => {
                        eprintln!("unmasq: cannot list the translations under way: {error}; trying again");
                    }
                }
            }
            if is_readable(self.events.as_fd(), QUIET) {
                self.shared.busy.fetch_add(1, Ordering::AcqRel);
                is_busy = true;
            }
            let received = match self.events.receive(&mut batch, Duration::ZERO) {
                Ok(received) => received,
                Err(error) => {
                    eprintln!(
                        "unmasq: reading the connection tracking failed: {error}; translations by the kernel are no \
                         longer known to the watch until it is started again"
                    );
                    self.shared.busy.fetch_sub(usize::from(is_busy), Ordering::AcqRel);
                    return;
                }
            };
            events.clear();
            for datagram in &batch {
                // What cannot be parsed is a message of a kernel to come; there is nothing to be done about it here.
                let _ = conntrack::parse(datagram, &mut |event| events.push(event));
            }
            if received.overrun {
                needs_dump = true;
            }
            self.accept(&events);
            if !is_readable(self.events.as_fd(), Duration::ZERO) {
                self.shared.rounds.fetch_add(1, Ordering::AcqRel);
            }
            if std::mem::take(&mut is_busy) {
                self.shared.busy.fetch_sub(1, Ordering::AcqRel);
            }
        }
    }

    fn accept(&self, events: &[Event]) {
        if events.is_empty() {
            return;
        }
        let now = Timestamp::now();
        let mut is_news = false;
        {
            let mut book = self.shared.book.lock();
            for event in events {
                let flow = event.flow(Arc::clone(&self.origin), now);
                match event.kind {
                    EventKind::Destroy => {
                        book.end(flow, now);
                    }
                    EventKind::New | EventKind::Update | EventKind::Listed => {
                        is_news = true;
                        self.note_masking(&flow);
                        // A full book forgets nothing that is alive; the newest flow is then not known, which a
                        // replace takes as it takes any flow that is not known.
                        let _ = book.open(&flow, now);
                    }
                }
            }
            book.expire(now);
        }
        if is_news && self.shared.is_awaited.load(Ordering::Acquire) {
            // Full means that the engine has been told already.
            let _ = rustix::io::write(&self.shared.wake, &1u64.to_ne_bytes());
        }
    }

    fn note_masking(&self, flow: &Flow) {
        if flow.masked.address == flow.client.address {
            return;
        }
        let mut masking = self.shared.masking.lock();
        if masking.len() < MOST_MASKING && masking.insert(flow.masked.address) {
            self.shared.masking_grew.store(true, Ordering::Release);
        }
    }

    fn dump(&mut self, before: Timestamp) -> unmasq_netfilter::Result<Timestamp> {
        let shared = Arc::clone(&self.shared);
        let _one_at_a_time = shared.dumping.lock();
        let began = Timestamp::now();
        shared.book.lock().begin_sighting();
        let mut listed = Vec::new();
        let report = self.dumper.dump(|entry| {
            if entry.is_translated() {
                listed.push(Event { kind: EventKind::Listed, entry: *entry });
            }
        })?;
        {
            let mut book = shared.book.lock();
            let now = Timestamp::now();
            for event in &listed {
                let flow = event.flow(Arc::clone(&self.origin), now);
                self.note_masking(&flow);
                let _ = book.list(&flow, now);
            }
            if !report.interrupted {
                book.end_unseen(&self.origin.namespace, before, began, now);
            }
        }
        Ok(began)
    }
}
