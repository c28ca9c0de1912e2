//! Where a kernel event becomes a recorded flow: book and ledger brought to agree, without I/O of its own.

use std::sync::Arc;

use parking_lot::Mutex;
use unmasq_flow::{Book, BookFull, Flow, Origin, Seen, Timestamp, Zones};
use unmasq_ledger::{LedgerError, Writer};
use unmasq_netfilter::conntrack::{Event, EventKind};

/// The origins of one namespace, so that its flows share them. A gateway has a handful of zones.
#[derive(Debug)]
pub(super) struct Origins {
    stream: Box<str>,
    namespace: Box<str>,
    known: Vec<Arc<Origin>>,
}

impl Origins {
    pub(super) fn new(stream: &str, namespace: &str) -> Self {
        Self { stream: stream.into(), namespace: namespace.into(), known: Vec::new() }
    }

    fn of(&mut self, zones: Zones) -> Arc<Origin> {
        if let Some(origin) = self.known.iter().find(|o| o.zones == zones) {
            return Arc::clone(origin);
        }
        let origin = Origin::new(&self.stream, &self.namespace).with_zones(zones).shared();
        self.known.push(Arc::clone(&origin));
        origin
    }
}

/// Book and ledger, kept in agreement.
pub(super) struct Acceptance {
    pub(super) book: Arc<Mutex<Book>>,
    pub(super) writer: Writer,
    /// Events accepted since the start.
    pub(super) events: u64,
    /// Flows that the full book refused. They are in the ledger, but hours that they outlive will not carry them.
    pub(super) refused: u64,
}

impl Acceptance {
    /// Accepts events in the order in which they were read. Hot: under load this is half of what a recorder does;
    /// `make bench` guards it.
    pub(super) fn accept(&mut self, events: &[Event], origins: &mut Origins, read_at: Timestamp) {
        let mut book = self.book.lock();
        for event in events {
            let flow = event.flow(origins.of(event.entry.zones), read_at);
            match event.kind {
                EventKind::Destroy => {
                    let ended = book.end(flow, read_at);
                    self.writer.ended(&ended.flow, ended.was_known);
                }
                EventKind::New | EventKind::Update => {
                    let seen = book.open(&flow, read_at);
                    self.refused += enter(&mut self.writer, &flow, &seen);
                }
                EventKind::Listed => {
                    let seen = book.list(&flow, read_at);
                    self.refused += enter(&mut self.writer, &flow, &seen);
                }
            }
        }
        book.expire(read_at);
        self.events += events.len() as u64;
    }

    /// A dump of a namespace is complete: what it did not list has ended, between the sighting `before` and this one.
    pub(super) fn end_unseen(&mut self, namespace: &str, before: Timestamp, at: Timestamp, now: Timestamp) {
        for flow in self.book.lock().end_unseen(namespace, before, at, now) {
            self.writer.ended(&flow, true);
        }
    }

    /// An hour has begun: every flow that is alive is carried into it.
    pub(super) fn carry(&mut self, hour: i64) -> Result<(), LedgerError> {
        let book = self.book.lock();
        self.writer.carry(hour, book.live())
    }
}

/// Tells the ledger what opening a flow in the book came to; gives how many flows the full book refused.
fn enter(writer: &mut Writer, flow: &Flow, seen: &Result<Seen, BookFull>) -> u64 {
    match seen {
        Ok(Seen::Known | Seen::Stale) => return 0,
        Ok(Seen::Opened) | Err(_) => {}
        Ok(Seen::Replaced(before)) => writer.ended(before, true),
    }
    writer.opened(flow);
    u64::from(seen.is_err())
}
