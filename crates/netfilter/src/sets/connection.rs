//! The connection to one namespace's nftables.

use std::os::fd::{AsFd, OwnedFd};

use rustix::net::RecvFlags;

use super::encode::Batch;
use super::kernel::{GET_ELEMENTS, GET_SET, NEW_ELEMENTS, NEW_SET, list, set};
use super::parse::Listing;
use super::settle::{Answer, Change, Steps, Verdict, settle};
use super::{Listed, SetId, SetInfo, encode, info};
use crate::Result;
use crate::error::system;
use crate::exchange::{self, CAPABILITY, receive, refused, unreadable};
use crate::netns::Namespace;
use crate::sockopt;
use crate::wire::{self, Messages, Request};

/// Datagrams of a dump are at most this long, as long as the reader's buffer allows (net/netlink/af_netlink.c).
const BUFFER: usize = 32 * 1024;

/// Kernel memory for error replies, one for each element of a transaction that failed. Each takes below 1 KiB.
const RECEIVE_BUFFER: usize = 8 << 20;

/// How often a dump that was interrupted by changes is begun anew, and a busy kernel asked again.
const ATTEMPTS: u32 = 5;

const READING: &str = "reading a set of nftables";
const LISTING: &str = "listing a set of nftables";
const CHANGING: &str = "changing sets of nftables";

/// Reads and changes the sets of one namespace.
#[derive(Debug)]
pub struct Sets {
    socket: OwnedFd,
    port: u32,
    sequence: u32,
    send_buffer: usize,
    buffer: Box<[u8]>,
}

impl Sets {
    /// Opens it in the namespace. Every use needs `CAP_NET_ADMIN` there.
    pub fn open(namespace: &Namespace) -> Result<Self> {
        let socket = namespace.run(|| sockopt::netlink_socket(Some(rustix::net::netlink::NETFILTER)))??;
        sockopt::grow_receive_buffer(socket.as_fd(), RECEIVE_BUFFER)?;
        // Errors come without the message that they are about: its number is enough.
        sockopt::set_netlink(socket.as_fd(), libc::NETLINK_CAP_ACK, 1)
            .map_err(system("setting NETLINK_CAP_ACK", CAPABILITY))?;
        let port = sockopt::netlink_port(socket.as_fd())?;
        Ok(Self { socket, port, sequence: 0, send_buffer: 0, buffer: vec![0; BUFFER].into_boxed_slice() })
    }

    /// Its netlink port: what this connection changes, [`super::SetEvents`] tells of with this number.
    pub fn port(&self) -> u32 {
        self.port
    }

    /// What the set is like; `None` if there is none of that name.
    pub fn info(&mut self, id: &SetId) -> Result<Option<SetInfo>> {
        self.ask(READING, GET_SET, 0, id, (set::TABLE, set::NAME))?;
        loop {
            let datagram = receive(&self.socket, &mut self.buffer, READING)?;
            for message in Messages::new(datagram) {
                let message = message.map_err(unreadable(READING))?;
                if message.sequence != self.sequence {
                    continue;
                }
                match message.kind {
                    NEW_SET => return info::parse(&message).map(Some).map_err(unreadable(READING)),
                    wire::NLMSG_ERROR => {
                        return match wire::error_number(&message).map_err(unreadable(READING))? {
                            libc::ENOENT => Ok(None),
                            number => Err(refused(READING, number)),
                        };
                    }
                    _ => {}
                }
            }
        }
    }

    /// What the set holds; `None` if there is none of that name. Elements that the kernel itself adds, ends or replaces
    /// meanwhile may be missing.
    pub fn list(&mut self, id: &SetId, info: &SetInfo) -> Result<Option<Vec<Listed>>> {
        let mut attempt = 1;
        loop {
            match self.list_once(id, info)? {
                (None, _) => return Ok(None),
                (Some(listing), is_interrupted) => {
                    if !is_interrupted || attempt == ATTEMPTS {
                        return Ok(Some(listing.finish()));
                    }
                    attempt += 1;
                }
            }
        }
    }

    fn list_once(&mut self, id: &SetId, info: &SetInfo) -> Result<(Option<Listing>, bool)> {
        self.ask(LISTING, GET_ELEMENTS, wire::NLM_F_DUMP, id, (list::TABLE, list::SET))?;
        let mut listing = Listing::new(info);
        let (mut is_interrupted, mut damage) = (false, None);
        loop {
            let datagram = receive(&self.socket, &mut self.buffer, LISTING)?;
            for message in Messages::new(datagram) {
                let message = message.map_err(unreadable(LISTING))?;
                if message.sequence != self.sequence {
                    continue;
                }
                is_interrupted |= message.flags & wire::NLM_F_DUMP_INTR != 0;
                match message.kind {
                    // A damaged one does not end it: what is left unread would be in the way of the next question.
                    NEW_ELEMENTS => damage = damage.or(listing.take(&message).err()),
                    wire::NLMSG_ERROR | wire::NLMSG_DONE => {
                        let number = match wire::error_number(&message) {
                            Ok(number) => number,
                            // Before Linux 4.4 the end may have no number.
                            Err(_) if message.kind == wire::NLMSG_DONE => 0,
                            Err(source) => return Err(unreadable(LISTING)(source)),
                        };
                        return match (number, damage) {
                            (0, None) => Ok((Some(listing), is_interrupted)),
                            (0, Some(source)) => Err(unreadable(LISTING)(source)),
                            (libc::ENOENT, _) => Ok((None, false)),
                            (number, _) => Err(refused(LISTING, number)),
                        };
                    }
                    _ => {}
                }
            }
        }
    }

    /// Carries out the changes of these sets, as few transactions as can be: one, if every element can be put or
    /// removed. A verdict for each change, in their order.
    ///
    /// An element that its set cannot hold (see [`SetInfo::fits`]) is refused with `EINVAL`, without asking.
    pub fn apply(&mut self, sets: &[(SetId, SetInfo)], changes: &[Change]) -> Result<Vec<Verdict>> {
        let fits = |change: &Change| sets.get(change.set).is_some_and(|(_, info)| info.fits(&change.member));
        if changes.iter().all(fits) {
            return settle(changes, &mut |steps, packed| self.commit(sets, changes, steps, packed));
        }
        let good: Vec<Change> = changes.iter().filter(|change| fits(change)).copied().collect();
        let mut verdicts =
            settle(&good, &mut |steps, packed| self.commit(sets, &good, steps, packed))?.into_iter();
        let verdict = |change| {
            let found = if fits(change) { verdicts.next() } else { None };
            found.unwrap_or(Verdict::Refused(libc::EINVAL))
        };
        Ok(changes.iter().map(verdict).collect())
    }

    /// Sends one transaction and reads what the kernel says of it.
    fn commit(
        &mut self,
        sets: &[(SetId, SetInfo)],
        changes: &[Change],
        steps: &Steps,
        packed: bool,
    ) -> Result<Answer> {
        self.drain()?;
        let first = self.sequence.wrapping_add(1);
        let mut batch = Batch::new(first);
        // With a message for each step, the place of a step is the number of its message.
        for (index, step) in steps {
            let change = &changes[*index];
            let (id, info) = &sets[change.set];
            batch.step((change.set, id, info), &change.member, *step, packed);
        }
        let (bytes, next) = batch.finish();
        self.sequence = next;
        self.send(&bytes)?;
        // The kernel has worked through it all by now: what it has to say is waiting.
        let mut failures = Vec::new();
        let mut is_again = false;
        loop {
            let flags = RecvFlags::DONTWAIT | RecvFlags::TRUNC;
            let length = match rustix::net::recv(&self.socket, &mut self.buffer[..], flags) {
                Ok((_, length)) => length,
                Err(rustix::io::Errno::AGAIN) => break,
                Err(rustix::io::Errno::INTR) => continue,
                // Some errors did not fit.
                Err(rustix::io::Errno::NOBUFS) => {
                    is_again = true;
                    continue;
                }
                Err(error) => return Err(system(CHANGING, CAPABILITY)(error)),
            };
            for message in Messages::new(self.buffer.get(..length).unwrap_or(&[])) {
                let message = message.map_err(unreadable(CHANGING))?;
                if message.kind != wire::NLMSG_ERROR {
                    continue;
                }
                let number = wire::error_number(&message).map_err(unreadable(CHANGING))?;
                // The first message is the beginning of the transaction.
                let place = message.sequence.wrapping_sub(first) as usize;
                match number {
                    0 => {}
                    libc::EPERM => return Err(refused(CHANGING, number)),
                    libc::EAGAIN | libc::EINTR | libc::EBUSY | libc::ERESTART => is_again = true,
                    _ if place == 0 => return Err(refused(CHANGING, number)),
                    _ => failures.push((place - 1, number)),
                }
            }
        }
        Ok(match (is_again, failures.is_empty()) {
            (true, _) => Answer::Again,
            (false, true) => Answer::Taken,
            (false, false) => Answer::Refused(failures),
        })
    }

    fn ask(
        &mut self,
        doing: &'static str,
        kind: u16,
        flags: u16,
        id: &SetId,
        names: (u16, u16),
    ) -> Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut request = Request::new(kind, flags, self.sequence, &[id.family().number(), 0, 0, 0]);
        request.put_name(names.0, id.table());
        request.put_name(names.1, id.set());
        exchange::send(&self.socket, &request.finish(), doing)
    }

    /// A transaction is one datagram, so the send buffer has to hold all of it.
    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        let needed = bytes.len() + 1024;
        if needed > self.send_buffer {
            sockopt::grow_send_buffer(self.socket.as_fd(), needed)?;
            self.send_buffer = needed;
        }
        exchange::send(&self.socket, bytes, CHANGING)
    }

    /// Throws away answers to a question that was given up half-way.
    fn drain(&mut self) -> Result<()> {
        loop {
            match rustix::net::recv(
                &self.socket,
                &mut self.buffer[..],
                RecvFlags::DONTWAIT | RecvFlags::TRUNC,
            ) {
                Ok(_) | Err(rustix::io::Errno::INTR | rustix::io::Errno::NOBUFS) => {}
                Err(rustix::io::Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(system(CHANGING, CAPABILITY)(error)),
            }
        }
    }
}

impl SetInfo {
    /// Can a set like this hold the element? One that is not a set of intervals holds no network.
    pub fn fits(&self, member: &super::Member) -> bool {
        encode::fits(self, member)
    }
}
