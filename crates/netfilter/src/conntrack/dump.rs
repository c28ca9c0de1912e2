//! Asking the kernel for entries: all of them, or the one with a given tuple; and having it forget one.

use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;

use unmasq_flow::{Endpoint, Protocol};

use super::kernel::MESSAGE_GET;
use super::{Entry, encode, parse};
use crate::exchange::{self, receive, refused, unreadable};
use crate::netns::Namespace;
use crate::sockopt;
use crate::wire::{self, Request};
use crate::{Error, Result};

/// The kernel fills datagrams of a dump up to the size of the reader's buffer, at most 32 KiB
/// (net/netlink/af_netlink.c, `netlink_dump`). It makes the next one when this one was read, so memory stays
/// bounded however large the table is.
const BUFFER: usize = 32 * 1024;

/// How often a dump that was interrupted is begun anew.
const ATTEMPTS: u32 = 3;

const DUMPING: &str = "listing conntrack entries";
const FINDING: &str = "looking up a conntrack entry";
const DELETING: &str = "deleting a conntrack entry";

/// Asks one namespace's conntrack table.
#[derive(Debug)]
pub struct Dumper {
    socket: OwnedFd,
    sequence: u32,
    buffer: Box<[u8]>,
}

/// What a dump was like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DumpReport {
    /// Entries handed over, those of interrupted attempts included.
    pub entries: u64,
    /// Entries that could not be read.
    pub damaged: u64,
    /// The last attempt, too, was interrupted by changes of the table: entries may be missing.
    pub interrupted: bool,
    /// How often it was tried; every attempt hands over what it reads, so with more than one entries came
    /// twice.
    pub attempts: u32,
}

/// Which of an entry's two tuples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Client to target.
    Original,
    /// Server to masked.
    Reply,
}

/// One direction of an entry, to look it up by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tuple {
    /// IP protocol.
    pub protocol: Protocol,
    /// Where its packets come from.
    pub source: Endpoint,
    /// Where they go.
    pub destination: Endpoint,
    /// The zone of this direction.
    pub zone: u16,
}

impl Dumper {
    /// Opens it in the namespace. Every question needs `CAP_NET_ADMIN`, also after opening.
    pub fn open(namespace: &Namespace) -> Result<Self> {
        let socket = namespace.run(|| sockopt::netlink_socket(Some(rustix::net::netlink::NETFILTER)))??;
        Ok(Self { socket, sequence: 0, buffer: vec![0; BUFFER].into_boxed_slice() })
    }

    /// Hands over every entry of both families, as it stands when its turn comes: the table goes on changing
    /// meanwhile.
    pub fn dump(&mut self, each: impl FnMut(&Entry)) -> Result<DumpReport> {
        let all = |sequence| {
            Request::new(MESSAGE_GET, wire::NLM_F_DUMP, sequence, &encode::nfgenmsg(libc::AF_UNSPEC)).finish()
        };
        self.dump_by(all, each)
    }

    /// The same of one client: of the entries whose original source has this address. The kernel looks at all and sends
    /// these, which takes a fraction of the time.
    pub fn dump_of(&mut self, client: Ipv4Addr, mut each: impl FnMut(&Entry)) -> Result<DumpReport> {
        let of_client = |sequence| encode::listing_of(sequence, client);
        self.dump_by(of_client, |entry| {
            // A kernel that does not know the filter sends all.
            if entry.client.address == client {
                each(entry);
            }
        })
    }

    fn dump_by(
        &mut self,
        request: impl Fn(u32) -> Vec<u8>,
        mut each: impl FnMut(&Entry),
    ) -> Result<DumpReport> {
        let mut report = DumpReport::default();
        while report.attempts < ATTEMPTS {
            report.attempts += 1;
            report.interrupted = false;
            self.dump_once(&request, &mut each, &mut report)?;
            if !report.interrupted {
                break;
            }
        }
        Ok(report)
    }

    fn dump_once(
        &mut self,
        request: &impl Fn(u32) -> Vec<u8>,
        each: &mut impl FnMut(&Entry),
        report: &mut DumpReport,
    ) -> Result<()> {
        self.ask(DUMPING, request)?;
        // A damaged datagram does not end it: while answers are left unread, the kernel refuses further
        // questions (EBUSY).
        let mut damage = None;
        loop {
            let datagram = receive(&self.socket, &mut self.buffer, DUMPING)?;
            if !wire::is_answer_to(datagram, self.sequence) {
                continue;
            }
            let progress = parse(datagram, &mut |event| {
                report.entries += 1;
                each(&event.entry);
            });
            let progress = match progress {
                Ok(progress) => progress,
                Err(source) => {
                    damage.get_or_insert(source);
                    continue;
                }
            };
            report.damaged += u64::from(progress.damaged);
            report.interrupted |= progress.is_interrupted;
            match progress.answer {
                Some(number) if number != 0 => return Err(refused(DUMPING, number)),
                _ if progress.is_done => break,
                _ => {}
            }
        }
        damage.map_or(Ok(()), |source| Err(Error::Parse { doing: DUMPING, source }))
    }

    /// The entry that has this tuple in this direction. An ICMP tuple is looked up as an echo.
    pub fn find(&mut self, direction: Direction, tuple: &Tuple) -> Result<Option<Entry>> {
        let question = encode::About { direction, tuple, query: 0 };
        self.ask(FINDING, |sequence| encode::request(MESSAGE_GET, 0, sequence, &question).finish())?;
        loop {
            let datagram = receive(&self.socket, &mut self.buffer, FINDING)?;
            if !wire::is_answer_to(datagram, self.sequence) {
                continue;
            }
            let mut found = None;
            let progress =
                parse(datagram, &mut |event| found = Some(event.entry)).map_err(unreadable(FINDING))?;
            return match (found, progress.first_damage, progress.answer) {
                (Some(entry), ..) => Ok(Some(entry)),
                (None, Some(source), _) => Err(Error::Parse { doing: FINDING, source }),
                (None, None, Some(libc::ENOENT)) => Ok(None),
                (None, None, Some(number)) if number != 0 => Err(refused(FINDING, number)),
                (None, None, _) => continue,
            };
        }
    }

    /// Has the kernel forget the entry; false if it was gone already. What listens to events hears its DESTROY.
    ///
    /// The entry's kernel id goes with the question, so that a later entry with the same tuple is left alone; in an
    /// entry that has none, whichever has its tuple now is meant.
    pub fn delete(&mut self, entry: &Entry) -> Result<bool> {
        let tuple = Tuple {
            protocol: entry.protocol,
            source: entry.client,
            destination: entry.target,
            zone: entry.zones.original,
        };
        // An entry does not keep which query of ICMP it began with. Most are echoes, so mostly one question is enough.
        for query in 0..encode::queries(entry.protocol).len().max(1) {
            let question = encode::About { direction: Direction::Original, tuple: &tuple, query };
            self.ask(DELETING, |sequence| encode::deletion(sequence, &question, entry.id))?;
            if self.was_deleted()? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn was_deleted(&mut self) -> Result<bool> {
        loop {
            let datagram = receive(&self.socket, &mut self.buffer, DELETING)?;
            if !wire::is_answer_to(datagram, self.sequence) {
                continue;
            }
            let progress = parse(datagram, &mut |_| {}).map_err(unreadable(DELETING))?;
            match progress.answer {
                Some(0) => return Ok(true),
                Some(libc::ENOENT) => return Ok(false),
                Some(number) => return Err(refused(DELETING, number)),
                None => {}
            }
        }
    }

    fn ask(&mut self, doing: &'static str, request: impl FnOnce(u32) -> Vec<u8>) -> Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let request = request(self.sequence);
        exchange::send(&self.socket, &request, doing)
    }
}
