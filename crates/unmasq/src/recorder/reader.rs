//! The reading thread of one namespace: from the kernel's socket to the recorder's queue, and nothing else.
//!
//! It never waits for the disk. The queue is bounded, so that a recorder whose disk stands still grows by some tens
//! of MiB and not without end; when it is full, events wait in the kernel's receive buffer, whose overrun the kernel
//! reports.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, SendTimeoutError, Sender};
use parking_lot::Mutex;
use unmasq_flow::Timestamp;
use unmasq_netfilter::addresses::LocalAddresses;
use unmasq_netfilter::conntrack::{self, Batch, Event, EventSocket};

/// Batches in the queue at most: 512 of up to 256 events of about 220 bytes are 28 MiB.
pub(super) const QUEUE: usize = 512;
/// How long a quiet socket is waited for before the queue hears that it is empty.
const QUIET: Duration = Duration::from_millis(50);

/// Events as they were read.
#[derive(Debug)]
pub(super) struct Reading {
    /// The place (namespace) by its number in the recorder.
    pub(super) place: usize,
    pub(super) events: Vec<Event>,
    pub(super) read_at: Timestamp,
    /// The socket was empty after this: everything that the kernel had sent by then is here or came before.
    pub(super) drained_at: Option<Timestamp>,
    /// The receive buffer overran before these events, and how many messages the kernel dropped (in reliable mode: how
    /// many attempts of delivery failed).
    pub(super) overrun: bool,
    pub(super) dropped: u32,
    /// The gateway got new addresses, whose flows were out of scope until now: a dump has those that still live.
    pub(super) scope_grew: bool,
    /// Datagrams that could not be parsed.
    pub(super) damaged: u64,
}

/// What readers and dumps put into the queue.
#[derive(Debug)]
pub(super) enum Message {
    Read(Reading),
    /// A part of a dump.
    Listed {
        place: usize,
        events: Vec<Event>,
        read_at: Timestamp,
    },
    /// A dump is complete: when it began and when it had been read.
    Dumped {
        place: usize,
        began: Timestamp,
        finished: Timestamp,
    },
    /// A dump could not be made.
    DumpFailed {
        place: usize,
        reason: String,
    },
    /// Reading failed for good.
    Failed {
        place: usize,
        reason: String,
    },
}

/// A running reader.
#[derive(Debug)]
pub(super) struct Reader {
    stop: Arc<AtomicBool>,
    /// Counts rounds: standing still means no progress.
    rounds: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Reader {
    /// Starts the thread. Emptied event lists come back through `spare` to be filled again.
    pub(super) fn start(
        place: usize,
        name: &str,
        socket: EventSocket,
        queue: Sender<Message>,
        spare: Receiver<Vec<Event>>,
        addresses: Arc<Mutex<LocalAddresses>>,
    ) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let rounds = Arc::new(AtomicU64::new(0));
        let task = Task {
            place,
            socket,
            queue,
            spare,
            stop: Arc::clone(&stop),
            rounds: Arc::clone(&rounds),
            addresses,
        };
        task.share_addresses();
        // Names of threads have 15 characters.
        let name: String = format!("read {name}").chars().take(15).collect();
        let thread = thread::Builder::new().name(name).spawn(move || task.run())?;
        Ok(Self { stop, rounds, thread: Some(thread) })
    }

    /// How many rounds it has made.
    pub(super) fn rounds(&self) -> u64 {
        self.rounds.load(Ordering::Relaxed)
    }

    /// Asks it to end after its round.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.stop();
        if let Some(thread) = self.thread.take() {
            // A panic there was printed when it happened.
            let _ = thread.join();
        }
    }
}

struct Task {
    place: usize,
    socket: EventSocket,
    queue: Sender<Message>,
    spare: Receiver<Vec<Event>>,
    stop: Arc<AtomicBool>,
    rounds: Arc<AtomicU64>,
    addresses: Arc<Mutex<LocalAddresses>>,
}

impl Task {
    fn run(mut self) {
        let mut batch = Batch::new();
        let mut truncated = 0;
        while !self.stop.load(Ordering::Relaxed) {
            self.rounds.fetch_add(1, Ordering::Relaxed);
            let asked_at = Timestamp::now();
            let received = match self.socket.receive(&mut batch, QUIET) {
                Ok(received) => received,
                Err(error) => {
                    let _ = self.queue.send(Message::Failed { place: self.place, reason: error.to_string() });
                    return;
                }
            };
            let mut events = self.spare.try_recv().unwrap_or_else(|_| Vec::with_capacity(Batch::CAPACITY));
            let mut damaged = batch.truncated() - truncated;
            truncated = batch.truncated();
            for datagram in &batch {
                match conntrack::parse(datagram, &mut |event| events.push(event)) {
                    Ok(progress) => damaged += u64::from(progress.damaged),
                    Err(_) => damaged += 1,
                }
            }
            if !self.socket.is_filter_exact() {
                events.retain(|event| self.socket.is_in_scope(&event.entry));
            }
            if received.scope_grew {
                self.share_addresses();
            }
            let read = Reading {
                place: self.place,
                // What came while the batch was read may be in it or not; what came before it was asked for is.
                drained_at: (!batch.is_full()).then_some(asked_at),
                read_at: Timestamp::now(),
                overrun: received.overrun,
                dropped: received.dropped,
                scope_grew: received.scope_grew,
                damaged,
                events,
            };
            if !self.put(Message::Read(read)) {
                return;
            }
        }
    }

    /// Waits for room in the queue; not, if the recorder is leaving.
    fn put(&self, message: Message) -> bool {
        let mut message = message;
        loop {
            match self.queue.send_timeout(message, QUIET) {
                Ok(()) => return true,
                Err(SendTimeoutError::Timeout(back)) => message = back,
                Err(SendTimeoutError::Disconnected(_)) => return false,
            }
            if self.stop.load(Ordering::Relaxed) {
                return false;
            }
        }
    }

    /// Lets the dumps, which the kernel does not filter, know the same addresses as the event filter.
    fn share_addresses(&self) {
        if let Some(addresses) = self.socket.local_addresses() {
            *self.addresses.lock() = addresses.clone();
        }
    }
}
