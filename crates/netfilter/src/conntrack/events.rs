//! The socket that hears of new and ended flows.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use unmasq_flow::ScopeKind;

use super::{Batch, Entry};
use crate::addresses::{LocalAddresses, Watch};
use crate::error::system;
use crate::netns::Namespace;
use crate::sockopt::{self, Memory};
use crate::{Result, filter, reliable, scope};

/// `enum nfnetlink_groups`.
const NFNLGRP_CONNTRACK_NEW: libc::c_int = 1;
const NFNLGRP_CONNTRACK_UPDATE: libc::c_int = 2;
const NFNLGRP_CONNTRACK_DESTROY: libc::c_int = 3;

/// What to listen to, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventOptions {
    /// Bytes asked for the kernel's receive buffer (which counts twice as many, for its own overhead).
    pub receive_buffer: usize,
    /// Hear of changes, too, not only of beginnings and ends.
    pub updates: bool,
    /// Which flows; the rest stays in the kernel.
    pub scope: ScopeKind,
    /// Have the kernel keep what does not fit; see [`reliable`].
    pub reliable: bool,
    /// How long to let messages gather before they are read, once there is one. Waking up for each costs more
    /// than reading it.
    pub gather: Duration,
}

impl Default for EventOptions {
    fn default() -> Self {
        Self {
            receive_buffer: 64 << 20,
            updates: false,
            scope: ScopeKind::default(),
            reliable: false,
            gather: Duration::from_millis(2),
        }
    }
}

/// What one [`EventSocket::receive`] brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Datagrams now in the batch.
    pub messages: usize,
    /// Did the kernel have to drop messages since the last time?
    pub overrun: bool,
    /// How many. Exact, and counted in messages, not flows; in reliable mode it counts attempts of delivery,
    /// so that the true loss is not known.
    pub dropped: u32,
    /// New addresses of the gateway came into the scope: flows from them in the moment before may have been
    /// missed, and a dump has those that still live.
    pub scope_grew: bool,
}

/// Hears of new and ended flows of one namespace.
///
/// In scope `translated+local` it also follows the gateway's own addresses and keeps its filter up to date.
#[derive(Debug)]
pub struct EventSocket {
    socket: OwnedFd,
    scope: ScopeKind,
    /// Only in the scope that needs it.
    addresses: Option<Watch>,
    is_filter_exact: bool,
    gather: Duration,
    receive_buffer: usize,
    last_drops: u32,
    was_full: bool,
}

impl EventSocket {
    /// Opens it in the namespace. Needs `CAP_NET_ADMIN` there, and `CAP_SYS_ADMIN` to enter another
    /// namespace.
    pub fn open(namespace: &Namespace, options: &EventOptions) -> Result<Self> {
        let addresses = match options.scope {
            ScopeKind::TranslatedLocal => Some(Watch::open(namespace)?),
            ScopeKind::All | ScopeKind::Translated => None,
        };
        let socket = namespace.run(|| sockopt::netlink_socket(Some(rustix::net::netlink::NETFILTER)))??;
        let receive_buffer = sockopt::grow_receive_buffer(socket.as_fd(), options.receive_buffer)?;
        // Without it an overrun makes the kernel drop everything until the queue is empty, not only what does
        // not fit (net/netlink/af_netlink.c, netlink_overrun); what was dropped is read from the counter
        // instead.
        sockopt::set_netlink(socket.as_fd(), libc::NETLINK_NO_ENOBUFS, 1)
            .map_err(system("setting NETLINK_NO_ENOBUFS", "CAP_NET_ADMIN"))?;
        if options.reliable {
            reliable::set(socket.as_fd(), true)?;
        }
        let mut opened = Self {
            socket,
            scope: options.scope,
            addresses,
            is_filter_exact: true,
            gather: options.gather,
            receive_buffer,
            last_drops: 0,
            was_full: false,
        };
        opened.attach_filter()?;
        let updates = options.updates.then_some(NFNLGRP_CONNTRACK_UPDATE);
        for group in [NFNLGRP_CONNTRACK_NEW, NFNLGRP_CONNTRACK_DESTROY].into_iter().chain(updates) {
            sockopt::set_netlink(opened.as_fd(), libc::NETLINK_ADD_MEMBERSHIP, group)
                .map_err(system("subscribing to conntrack events", "CAP_NET_ADMIN"))?;
        }
        Ok(opened)
    }

    /// Waits until something comes, at most that long, and reads what is waiting into the batch, in place of
    /// what was in it. Returns without messages when the time is over or the scope changed. This is a hot
    /// path, guarded by `bench/events`.
    pub fn receive(&mut self, batch: &mut Batch, timeout: Duration) -> Result<Received> {
        batch.clear();
        let mut received = Received::default();
        // After a full batch there is more, so neither waiting nor gathering is of use.
        let (has_events, has_changes) = self.wait(if self.was_full { Duration::ZERO } else { timeout })?;
        if has_changes {
            received.scope_grew = self.follow_addresses()?;
        }
        if !has_events {
            self.was_full = false;
            return Ok(received);
        }
        if !self.was_full && !self.gather.is_zero() {
            thread::sleep(self.gather);
        }
        match batch.fill(self.socket.as_fd()) {
            Ok(()) => {}
            // Only where NETLINK_NO_ENOBUFS is unknown (before Linux 2.6.30); the counter says how many.
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => received.overrun = true,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(system("receiving conntrack events", "CAP_NET_ADMIN")(error)),
        }
        self.was_full = batch.is_full();
        received.messages = batch.len();
        let drops = self.drops()?;
        received.dropped = drops.wrapping_sub(self.last_drops);
        received.overrun |= received.dropped > 0;
        self.last_drops = drops;
        Ok(received)
    }

    /// Messages that the kernel dropped since the socket was opened; wraps around.
    pub fn drops(&self) -> Result<u32> {
        self.memory().map(|memory| memory.drops)
    }

    /// How full the receive buffer is.
    pub fn memory(&self) -> Result<Memory> {
        sockopt::memory(self.socket.as_fd())
    }

    /// Bytes of receive buffer that the kernel granted: twice what was asked, or less without
    /// `CAP_NET_ADMIN`.
    pub fn receive_buffer(&self) -> usize {
        self.receive_buffer
    }

    /// Switches reliable mode on or off.
    pub fn set_reliable(&self, on: bool) -> Result<()> {
        reliable::set(self.socket.as_fd(), on)
    }

    /// Is the entry in this socket's scope? For dumps, which the kernel does not filter, and for events if
    /// [`EventSocket::is_filter_exact`] says so.
    pub fn is_in_scope(&self, entry: &Entry) -> bool {
        static NONE: LocalAddresses = LocalAddresses::NONE;
        scope::matches(self.scope, entry, self.local_addresses().unwrap_or(&NONE))
    }

    /// Does the kernel keep back all that is out of scope? Not with so many addresses that a filter cannot
    /// hold them: then every event arrives, and the reader asks [`EventSocket::is_in_scope`].
    pub fn is_filter_exact(&self) -> bool {
        self.is_filter_exact
    }

    /// The gateway's own addresses, in the scope that needs them.
    pub fn local_addresses(&self) -> Option<&LocalAddresses> {
        self.addresses.as_ref().map(Watch::known)
    }

    /// Which of (events, address changes) are there?
    fn wait(&self, timeout: Duration) -> Result<(bool, bool)> {
        let timeout = Timespec::try_from(timeout).ok();
        let mut events = PollFd::new(&self.socket, PollFlags::IN);
        let outcome = match &self.addresses {
            None => poll(std::slice::from_mut(&mut events), timeout.as_ref())
                .map(|_| (events.revents(), PollFlags::empty())),
            Some(watch) => {
                let mut both = [events, PollFd::new(watch, PollFlags::IN)];
                poll(&mut both, timeout.as_ref()).map(|_| (both[0].revents(), both[1].revents()))
            }
        };
        match outcome {
            Ok((events, changes)) => Ok((!events.is_empty(), !changes.is_empty())),
            Err(rustix::io::Errno::INTR) => Ok((false, false)),
            Err(error) => Err(system("waiting for conntrack events", "CAP_NET_ADMIN")(error)),
        }
    }

    fn follow_addresses(&mut self) -> Result<bool> {
        let grew = match &mut self.addresses {
            Some(watch) => watch.refresh()?,
            None => false,
        };
        if grew {
            self.attach_filter()?;
        }
        Ok(grew)
    }

    fn attach_filter(&mut self) -> Result<()> {
        let none = LocalAddresses::NONE;
        let attached =
            filter::attach(self.socket.as_fd(), self.scope, self.local_addresses().unwrap_or(&none));
        self.is_filter_exact = attached?;
        Ok(())
    }
}

impl AsFd for EventSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
