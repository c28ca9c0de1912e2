//! The thread that talks to the kernel, and the handle that gives it orders.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, bounded};
use ipnet::IpNet;
use parking_lot::Mutex;
use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::OwnedFd;
use unmasq_netfilter::netns::Namespace;
use unmasq_netfilter::{Error, Result};

use super::kernel::Kernel;
use super::{Element, Report, SetName};

/// Where and how often.
#[derive(Clone, Debug)]
pub struct Options {
    /// The network namespace whose sets they are.
    pub namespace: Namespace,
    /// How often what is wanted is compared with what the kernel holds, besides whenever nftables tells of a change.
    pub compare_every: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { namespace: Namespace::current(), compare_every: Duration::from_secs(30) }
    }
}

/// Gives orders to the thread that changes the kernel's sets. Orders never block; what came of them is reported.
/// Dropping it carries out what is ordered, then ends the thread.
#[derive(Debug)]
pub struct Enforcer {
    orders: Arc<Orders>,
    thread: Option<JoinHandle<()>>,
}

/// What the two sides share.
#[derive(Debug)]
pub(super) struct Orders {
    pub(super) queue: Mutex<Vec<Order>>,
    /// Readable while the queue holds something.
    pub(super) bell: OwnedFd,
}

#[derive(Debug)]
pub(super) enum Order {
    Ban(Element, Instant),
    Unban(Element),
    Restore(Vec<Element>, Instant),
    Forget(SetName),
    Expect(Element),
    Compare,
    /// Answered when all orders before it are carried out.
    Settle(Sender<()>),
    End,
}

impl Enforcer {
    /// Connects to the kernel and starts the thread. `report` is called on it, so it must not block; sending into a
    /// channel is what it is for. Sets are not looked at before there are orders for them, or they are [expected](Self::expect).
    pub fn start(options: Options, mut report: impl FnMut(Report) + Send + 'static) -> Result<Self> {
        let system = |doing| move |source| Error::System { doing, source };
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|error| system("making the enforcer's bell")(error.into()))?;
        let kernel = Kernel::open(&options.namespace)?;
        let orders = Arc::new(Orders { queue: Mutex::new(Vec::new()), bell });
        let theirs = Arc::clone(&orders);
        let thread = thread::Builder::new()
            .name("enforcer".into())
            .spawn(move || super::worker::run(&theirs, &options, kernel, &mut report))
            .map_err(system("starting the enforcer's thread"))?;
        Ok(Self { orders, thread: Some(thread) })
    }

    /// Bans it. An element that is banned already gets the new time, counted from now, also when that is shorter.
    pub fn ban(&self, element: Element) {
        self.order(Order::Ban(element, Instant::now()));
    }

    /// Ends a ban.
    pub fn unban(&self, set: SetName, target: IpNet, port: Option<u16>) {
        self.order(Order::Unban(Element { set, target, port, timeout: None }));
    }

    /// Everything that is wanted, at the start: what the kernel holds already with the right time is left alone.
    pub fn restore(&self, wanted: Vec<Element>) {
        self.order(Order::Restore(wanted, Instant::now()));
    }

    /// Lets a set be, which no rule names any more: its elements stay until their time is over, and are not put back.
    pub fn forget(&self, set: SetName) {
        self.order(Order::Forget(set));
    }

    /// Says what may be ordered, and puts nothing: a set that is missing, or could not take such an element, is reported as
    /// [`Report::Trouble`] now, and not with the first element.
    pub fn expect(&self, sample: Element) {
        self.order(Order::Expect(sample));
    }

    /// Compares with the kernel now.
    pub fn compare(&self) {
        self.order(Order::Compare);
    }

    /// Waits until all orders given so far are carried out and reported, at most that long. Were they?
    pub fn settle(&self, most: Duration) -> bool {
        let (done, wait) = bounded(1);
        self.order(Order::Settle(done));
        wait.recv_timeout(most).is_ok()
    }

    fn order(&self, order: Order) {
        self.orders.queue.lock().push(order);
        // It fails only when its counter is full, and then it is readable anyway.
        let _ = rustix::io::write(&self.orders.bell, &1_u64.to_ne_bytes());
    }
}

impl Drop for Enforcer {
    fn drop(&mut self) {
        self.order(Order::End);
        if let Some(thread) = self.thread.take() {
            // A panic in it was printed by the thread itself.
            let _ = thread.join();
        }
    }
}
