//! A listener for tests: collects events until enough have come.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use unmasq_flow::{Endpoint, Protocol, ScopeKind};
use unmasq_lab::{LabError, Node, client};
use unmasq_netfilter::conntrack::{Batch, Event, EventKind, EventOptions, EventSocket, parse};
use unmasq_netfilter::netns::Namespace;

/// Long, for a busy machine; a test that works never waits so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn namespace(node: &Node) -> Namespace {
    Namespace::named(node.name()).expect("a node's namespace has its name")
}

/// Everything, with a buffer that does not need CAP_NET_ADMIN on the host.
pub(crate) const EVERYTHING: EventOptions = EventOptions {
    receive_buffer: 8 << 20,
    updates: false,
    scope: ScopeKind::All,
    reliable: false,
    gather: Duration::ZERO,
};

pub(crate) struct Listener {
    pub(crate) socket: EventSocket,
    pub(crate) seen: Vec<Event>,
    pub(crate) dropped: u64,
    pub(crate) grew: bool,
    batch: Batch,
}

impl Listener {
    pub(crate) fn open(node: &Node, options: &EventOptions) -> Self {
        let socket = EventSocket::open(&namespace(node), options).unwrap();
        Self { socket, seen: Vec::new(), dropped: 0, grew: false, batch: Batch::new() }
    }

    /// Reads until it is enough; panics with what was seen when it never is.
    pub(crate) fn until(&mut self, wanted: &str, mut enough: impl FnMut(&Self) -> bool) {
        let start = Instant::now();
        while !enough(self) {
            if start.elapsed() > PATIENCE {
                let shown = &self.seen[self.seen.len().saturating_sub(20)..];
                panic!("no {wanted} among {} events, the last: {shown:#?}", self.seen.len());
            }
            self.receive(Duration::from_millis(200));
        }
    }

    /// Reads what comes within that time.
    pub(crate) fn receive(&mut self, timeout: Duration) {
        let received = self.socket.receive(&mut self.batch, timeout).unwrap();
        self.dropped += u64::from(received.dropped);
        self.grew |= received.scope_grew;
        assert_eq!(received.overrun, received.dropped > 0);
        assert_eq!(received.messages, self.batch.len());
        for datagram in &self.batch {
            let progress = parse(datagram, &mut |event| self.seen.push(event)).unwrap();
            assert_eq!((progress.events, progress.damaged), (1, 0), "{:?}", progress.first_damage);
        }
        assert_eq!(self.batch.truncated(), 0);
    }

    /// Waits for the event of that kind about that client.
    pub(crate) fn event(&mut self, kind: EventKind, protocol: Protocol, client: Endpoint) -> Event {
        let is_it = |e: &&Event| e.kind == kind && e.entry.protocol == protocol && e.entry.client == client;
        self.until(&format!("{kind:?} of {protocol} {client}"), |l| l.seen.iter().any(|e| is_it(&e)));
        *self.seen.iter().find(is_it).unwrap()
    }
}

/// A receive with a time limit ends early when the machine is suspended or its processes are frozen
/// (signal(7)): that is no failure, and it is tried again.
fn uninterrupted(action: impl Fn() -> Result<(), LabError>) {
    loop {
        match action() {
            Err(LabError::System { source, .. }) if source.kind() == ErrorKind::Interrupted => {}
            other => return other.unwrap(),
        }
    }
}

/// Sends a UDP datagram from a chosen endpoint and waits for the server's echo.
pub(crate) fn talk_udp(node: &Node, local: &str, server: SocketAddr) {
    let socket = client::udp(node, local.parse().unwrap(), server).unwrap();
    uninterrupted(|| client::talk_udp(&socket));
}

/// Pings and waits for the answer.
pub(crate) fn ping(node: &Node, to: IpAddr, id: u16) {
    uninterrupted(|| client::ping(node, to, id));
}

pub(crate) fn endpoint(text: &str) -> Endpoint {
    text.parse().unwrap()
}
