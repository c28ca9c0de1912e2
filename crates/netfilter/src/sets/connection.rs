//! The connection to one namespace's nftables.

use std::os::fd::AsFd;

use rustix::net::RecvFlags;

use super::encode::Batch;
use super::kernel::{GET_ELEMENTS, GET_SET, NEW_ELEMENTS, NEW_SET, list, set};
use super::parse::Listing;
use super::settle::{Answer, Change, Steps, Verdict, settle};
use super::{Listed, SetId, SetInfo, encode, info};
use crate::Result;
use crate::error::system;
use crate::exchange::{self, ATTEMPTS, CAPABILITY, Dumped, Questions, refused, unreadable};
use crate::netns::Namespace;
use crate::sockopt;
use crate::wire::{self, Messages};

/// Kernel memory for error replies, one for each element of a transaction that failed. Each takes below 1 KiB.
const RECEIVE_BUFFER: usize = 8 << 20;

const READING: &str = "reading a set of nftables";
const LISTING: &str = "listing a set of nftables";
const CHANGING: &str = "changing sets of nftables";

/// Reads and changes the sets of one namespace.
#[derive(Debug)]
pub struct Sets {
    questions: Questions,
    port: u32,
    send_buffer: usize,
}

impl Sets {
    /// Opens it in the namespace. Every use needs `CAP_NET_ADMIN` there.
    pub fn open(namespace: &Namespace) -> Result<Self> {
        let questions = Questions::open(namespace, Some(rustix::net::netlink::NETFILTER))?;
        let socket = questions.socket.as_fd();
        sockopt::grow_receive_buffer(socket, RECEIVE_BUFFER)?;
        // Errors come without the message that they are about: its number is enough.
        sockopt::set_netlink(socket, libc::NETLINK_CAP_ACK, 1)
            .map_err(system("setting NETLINK_CAP_ACK", CAPABILITY))?;
        let port = sockopt::netlink_port(socket)?;
        Ok(Self { questions, port, send_buffer: 0 })
    }

    /// Its netlink port: what this connection changes, [`super::SetEvents`] tells of with this number.
    pub fn port(&self) -> u32 {
        self.port
    }

    /// What the set is like; `None` if there is none of that name.
    pub fn info(&mut self, id: &SetId) -> Result<Option<SetInfo>> {
        let names = (set::TABLE, set::NAME);
        self.questions.one(
            READING,
            NEW_SET,
            |sequence| encode::question(GET_SET, 0, sequence, id, names),
            info::parse,
        )
    }

    /// What the set holds; `None` if there is none of that name. Elements that the kernel itself adds, ends or replaces
    /// meanwhile may be missing.
    pub fn list(&mut self, id: &SetId, info: &SetInfo) -> Result<Option<Vec<Listed>>> {
        let names = (list::TABLE, list::SET);
        let mut attempt = 1;
        loop {
            let mut listing = Listing::new(info);
            let dumped = self.questions.all(
                LISTING,
                NEW_ELEMENTS,
                |sequence| encode::question(GET_ELEMENTS, wire::NLM_F_DUMP, sequence, id, names),
                |message| listing.take(message),
            )?;
            match dumped {
                Dumped::NotThere => return Ok(None),
                Dumped::Interrupted if attempt < ATTEMPTS => attempt += 1,
                Dumped::Whole | Dumped::Interrupted => return Ok(Some(listing.finish())),
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
        let first = self.questions.sequence.wrapping_add(1);
        let mut batch = Batch::new(first);
        // With a message for each step, the place of a step is the number of its message.
        for (index, step) in steps {
            let change = &changes[*index];
            let (id, info) = &sets[change.set];
            batch.step((change.set, id, info), &change.member, *step, packed);
        }
        let (bytes, next) = batch.finish();
        self.questions.sequence = next;
        self.send(&bytes)?;
        // The kernel has worked through it all by now: what it has to say is waiting.
        let mut failures = Vec::new();
        let mut is_again = false;
        loop {
            let flags = RecvFlags::DONTWAIT | RecvFlags::TRUNC;
            let length =
                match rustix::net::recv(&self.questions.socket, &mut self.questions.buffer[..], flags) {
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
            for message in Messages::new(self.questions.buffer.get(..length).unwrap_or(&[])) {
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

    /// A transaction is one datagram, so the send buffer has to hold all of it.
    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        let needed = bytes.len() + 1024;
        if needed > self.send_buffer {
            sockopt::grow_send_buffer(self.questions.socket.as_fd(), needed)?;
            self.send_buffer = needed;
        }
        exchange::send(&self.questions.socket, bytes, CHANGING)
    }

    /// Throws away answers to a question that was given up half-way.
    fn drain(&mut self) -> Result<()> {
        loop {
            match rustix::net::recv(
                &self.questions.socket,
                &mut self.questions.buffer[..],
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
