//! The recorder: from the kernel's events to book and ledger.
//!
//! ```text
//!  namespace A ─ reader ─┐                         ┌─ book ──── control socket
//!  namespace B ─ reader ─┼─► queue ─► main loop ───┤
//!               dumps ───┘     │                   └─ ledger (journal, runs, coverage)
//!                              └─ signs of progress ─► watchdog (a process of its own)
//! ```
//!
//! The readers never wait for the disk; the main loop may. Everything that is to be known later about what was *not*
//! recorded is stated here: when a namespace is covered, when its receive buffer overran, when it vanished.

mod accept;
mod clock;
mod dumps;
mod place;
mod reader;
pub(crate) mod status;
pub(crate) mod watchdog;
mod work;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;
use rustix::thread::CapabilitySet;
use unmasq_control::{Covered, Status};
use unmasq_flow::{Book, DestinationPolicy, Limits, ScopeKind, Timestamp};
use unmasq_ledger::{CoverageEvent, Retention, Writer, WriterOptions};
use unmasq_netfilter::conntrack::{Event, EventOptions};
use unmasq_netfilter::netns::Namespace;

use self::accept::Acceptance;
use self::dumps::Dumps;
use self::place::{Place, Sockets};
use self::reader::{Message, QUEUE};
use self::watchdog::Guard;
use crate::control::book::BookAnswers;
use crate::control::server::{self, Answers, Bound, Server};
use crate::control::tls;
use crate::privileges::{self, Account};

/// Accepted events are in the journal after at most this long.
const FLUSH: Duration = Duration::from_millis(100);
/// How often coverage is extended, namespaces are looked after and the status is renewed.
const SECOND: Duration = Duration::from_secs(1);
/// How often what may end without a word is looked for.
const SILENT_DUMP: Duration = Duration::from_secs(30);
/// How often the status line is printed.
const MINUTE: Duration = Duration::from_secs(60);

/// Which namespaces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Namespaces {
    /// The one that the program runs in.
    #[default]
    Own,
    /// Those named.
    Named(Vec<String>),
    /// Every one in /run/netns, those that come later included.
    All,
}

/// What to record, and where to.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) ledger: PathBuf,
    pub(crate) stream: String,
    pub(crate) namespaces: Namespaces,
    pub(crate) scope: ScopeKind,
    pub(crate) destinations: DestinationPolicy,
    pub(crate) keep: Option<Duration>,
    pub(crate) max_size: Option<u64>,
    /// Bytes of each event socket's receive buffer.
    pub(crate) receive_buffer: usize,
    pub(crate) reliable: bool,
    /// Most bytes for the book of live flows.
    pub(crate) book_bytes: usize,
    /// How long an ended flow stays in the book; the ledger has it within a second.
    pub(crate) keep_ended: Duration,
    /// Where other hosts may ask.
    pub(crate) tls: Option<tls::Place>,
    pub(crate) control: Option<server::Place>,
    pub(crate) account: Option<Account>,
    /// No status lines.
    pub(crate) quiet: bool,
}

impl Options {
    fn event_options(&self) -> EventOptions {
        EventOptions {
            receive_buffer: self.receive_buffer,
            scope: self.scope,
            reliable: self.reliable,
            ..EventOptions::default()
        }
    }

    fn list_namespaces(&self) -> anyhow::Result<Vec<Namespace>> {
        Ok(match &self.namespaces {
            Namespaces::Own => vec![Namespace::current()],
            Namespaces::Named(names) => {
                names.iter().map(|n| Namespace::named(n)).collect::<Result<_, _>>()?
            }
            Namespaces::All => Namespace::all_named()?,
        })
    }
}

/// A running recorder.
pub(crate) struct Recorder {
    options: Options,
    acceptance: Acceptance,
    places: Vec<Option<Place>>,
    queue: Receiver<Message>,
    queue_in: Sender<Message>,
    spare_in: Sender<Vec<Event>>,
    spare: Receiver<Vec<Event>>,
    dumps: Dumps,
    /// Places that wait for a dump; the first is being dumped if `is_dumping`.
    dump_queue: VecDeque<usize>,
    is_dumping: bool,
    /// A complete dump whose events are still to be caught up with: (place, began, finished).
    dumped: Option<(usize, Timestamp, Timestamp)>,
    guard: Option<Guard>,
    status: Arc<Mutex<Status>>,
    covered: Arc<Mutex<Vec<Covered>>>,
    server: Option<Server>,
    /// The hour into which all that is alive was carried last.
    carried: Option<i64>,
    lost: u64,
    /// The last error, until it is mended.
    trouble: Option<String>,
    is_disk_refusing: bool,
    sample: (Instant, u64),
}

impl Recorder {
    /// Opens the sockets, drops privileges, opens the ledger and starts to read.
    ///
    /// Must be called while the process has one thread.
    pub(crate) fn start(options: Options) -> anyhow::Result<Self> {
        let sockets = options
            .list_namespaces()?
            .into_iter()
            .map(|namespace| Sockets::open(namespace, &options.event_options()))
            .collect::<anyhow::Result<Vec<_>>>()?;
        if sockets.is_empty() && options.namespaces != Namespaces::All {
            anyhow::bail!("no network namespace to record; name one with --netns");
        }
        std::fs::create_dir_all(&options.ledger)
            .with_context(|| format!("cannot make the ledger's folder {}", options.ledger.display()))?;
        if let Some(account) = &options.account {
            privileges::hand_over(&options.ledger, account)
                .with_context(|| format!("cannot give {} to {}", options.ledger.display(), account.name))?;
        }
        let owner = options.account.as_ref().map(|account| account.uid);
        let bound = options.control.as_ref().map(|place| Bound::bind(place, owner)).transpose()?;
        // The key is for root to read.
        let bound_tls = options.tls.as_ref().map(tls::Bound::bind).transpose()?;
        // A dump asks for CAP_NET_ADMIN each time, a namespace that is still to be opened for CAP_SYS_ADMIN.
        let mut kept = CapabilitySet::NET_ADMIN;
        if options.namespaces == Namespaces::All {
            kept |= CapabilitySet::SYS_ADMIN;
        }
        privileges::drop_to(options.account.as_ref(), kept).context("cannot drop privileges")?;

        let book = Book::new(Limits { max_bytes: options.book_bytes, keep_ended: options.keep_ended });
        let book = Arc::new(Mutex::new(book));
        let (writer, recovery) = Writer::open(
            &options.ledger,
            &options.stream,
            WriterOptions {
                destinations: options.destinations,
                retention: Retention { keep: options.keep, max_size: options.max_size },
                ..WriterOptions::default()
            },
        )?;
        for damage in &recovery.damage {
            eprintln!("unmasq: {damage}");
        }
        let now = Timestamp::now();
        {
            // What was alive when the recorder before us ended: the first dump tells which of it still is.
            let mut book = book.lock();
            let names: Vec<&str> = sockets.iter().map(|s| s.namespace.name()).collect();
            for flow in recovery.open.iter().filter(|f| names.contains(&&*f.origin.namespace)) {
                // A book too small for them is too small for the dump as well, which says so.
                let _ = book.open(flow, now);
            }
        }
        let (queue_in, queue) = bounded(QUEUE);
        let (spare_in, spare) = bounded(QUEUE);
        let dumps = Dumps::start(queue_in.clone())?;
        let guard = options.reliable.then(Guard::start).transpose().context("cannot start the watchdog")?;
        let status = Arc::new(Mutex::new(Status::default()));
        let covered = Arc::new(Mutex::new(Vec::new()));
        let sources = BookAnswers {
            book: Arc::clone(&book),
            status: Arc::clone(&status),
            covered: Arc::clone(&covered),
        };
        let answers: Arc<dyn Answers> = Arc::new(sources);
        if let Some(bound) = bound_tls {
            bound.serve(Arc::clone(&answers)).context("cannot start to answer over TLS")?;
        }
        let server = bound.map(|bound| bound.serve(answers)).transpose()?;
        let mut recorder = Self {
            acceptance: Acceptance { book, writer, events: 0, refused: 0 },
            places: Vec::new(),
            queue,
            queue_in,
            spare_in,
            spare,
            dumps,
            dump_queue: VecDeque::new(),
            is_dumping: false,
            dumped: None,
            guard,
            status,
            covered,
            server,
            carried: None,
            lost: 0,
            trouble: None,
            is_disk_refusing: false,
            sample: (Instant::now(), 0),
            options,
        };
        for sockets in sockets {
            recorder.add(sockets)?;
        }
        if let Some(last) = recovery.last_alive {
            for place in recorder.places.iter_mut().flatten() {
                place.dumped_at = last.wall;
            }
        }
        // What was recorded before and is no longer to be is no gap from here on.
        for namespace in &recovery.namespaces {
            if !recorder.places.iter().flatten().any(|place| place.namespace.name() == &**namespace) {
                let clock = clock::read();
                recorder
                    .acceptance
                    .writer
                    .cover(CoverageEvent::Stopped { namespace: Some(namespace.clone()), clock });
            }
        }
        recorder.renew_status();
        Ok(recorder)
    }
}
