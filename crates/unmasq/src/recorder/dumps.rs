//! Dumps of the kernel's table, one at a time, on a thread of their own.

use std::sync::Arc;
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, unbounded};
use parking_lot::Mutex;
use unmasq_flow::{ScopeKind, Timestamp};
use unmasq_netfilter::addresses::LocalAddresses;
use unmasq_netfilter::conntrack::{Dumper, Event, EventKind};
use unmasq_netfilter::scope;

use super::reader::Message;

/// Entries handed over at once.
const PART: usize = 1024;

/// How a place is dumped: the socket, and which entries are wanted of all those that the kernel lists.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) dumper: Dumper,
    pub(super) scope: ScopeKind,
    pub(super) addresses: Arc<Mutex<LocalAddresses>>,
}

enum Order {
    Add(usize, Source),
    Remove(usize),
    Dump(usize),
}

/// The dumping thread.
#[derive(Debug)]
pub(super) struct Dumps {
    orders: Sender<Order>,
    thread: Option<JoinHandle<()>>,
}

impl Dumps {
    /// Starts it; what it lists goes into the queue.
    pub(super) fn start(queue: Sender<Message>) -> std::io::Result<Self> {
        let (orders, inbox) = unbounded();
        let thread = thread::Builder::new().name("dump".to_owned()).spawn(move || work(&inbox, &queue))?;
        Ok(Self { orders, thread: Some(thread) })
    }

    /// Tells it how to dump a place.
    pub(super) fn add(&self, place: usize, source: Source) {
        self.order(Order::Add(place, source));
    }

    /// Closes that socket.
    pub(super) fn remove(&self, place: usize) {
        self.order(Order::Remove(place));
    }

    /// Orders a dump. The answer is [`Message::Dumped`] or [`Message::DumpFailed`], after all that was listed.
    pub(super) fn dump(&self, place: usize) {
        self.order(Order::Dump(place));
    }

    fn order(&self, order: Order) {
        // The thread ends only when the queue is gone, and then nobody waits for its answers.
        let _ = self.orders.send(order);
    }
}

impl Drop for Dumps {
    fn drop(&mut self) {
        let (closed, _) = unbounded();
        self.orders = closed;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn work(inbox: &Receiver<Order>, queue: &Sender<Message>) {
    let mut sources: Vec<Option<Source>> = Vec::new();
    for order in inbox {
        match order {
            Order::Add(place, source) => {
                sources.resize_with(sources.len().max(place + 1), || None);
                sources[place] = Some(source);
            }
            Order::Remove(place) => {
                if let Some(slot) = sources.get_mut(place) {
                    *slot = None;
                }
            }
            Order::Dump(place) => {
                if let Some(Some(source)) = sources.get_mut(place)
                    && !dump(place, source, queue)
                {
                    return;
                }
            }
        }
    }
}

/// Dumps one place; false if nobody listens any more.
fn dump(place: usize, source: &mut Source, queue: &Sender<Message>) -> bool {
    let began = Timestamp::now();
    let addresses = source.addresses.lock().clone();
    let mut part = Vec::with_capacity(PART);
    let mut is_heard = true;
    let mut hand_over = |part: &mut Vec<Event>| {
        let events = std::mem::replace(part, Vec::with_capacity(PART));
        is_heard &= queue.send(Message::Listed { place, events, read_at: Timestamp::now() }).is_ok();
    };
    let result = source.dumper.dump(|entry| {
        if !scope::matches(source.scope, entry, &addresses) {
            return;
        }
        part.push(Event { kind: EventKind::Listed, entry: *entry });
        if part.len() == PART {
            hand_over(&mut part);
        }
    });
    hand_over(&mut part);
    let last = match result {
        Ok(report) if report.interrupted || report.damaged > 0 => Message::DumpFailed {
            place,
            reason: format!("the table changed too fast or {} entries could not be read", report.damaged),
        },
        Ok(_) => Message::Dumped { place, began, finished: Timestamp::now() },
        Err(error) => Message::DumpFailed { place, reason: error.to_string() },
    };
    is_heard && queue.send(last).is_ok()
}
