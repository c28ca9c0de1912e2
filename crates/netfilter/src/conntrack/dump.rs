//! Asking the kernel for entries: all of them, or the one with a given tuple.

use std::net::IpAddr;
use std::os::fd::OwnedFd;

use unmasq_flow::{Endpoint, Protocol, Selector};

use super::kernel::{MESSAGE_GET, cta, cta_ip, cta_proto, cta_tuple};
use super::{Entry, parse};
use crate::exchange::{self, receive, refused};
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
    pub fn dump(&mut self, mut each: impl FnMut(&Entry)) -> Result<DumpReport> {
        let mut report = DumpReport::default();
        while report.attempts < ATTEMPTS {
            report.attempts += 1;
            report.interrupted = false;
            self.dump_once(&mut each, &mut report)?;
            if !report.interrupted {
                break;
            }
        }
        Ok(report)
    }

    fn dump_once(&mut self, each: &mut impl FnMut(&Entry), report: &mut DumpReport) -> Result<()> {
        self.ask(DUMPING, |sequence| {
            Request::new(MESSAGE_GET, wire::NLM_F_DUMP, sequence, &nfgenmsg(libc::AF_UNSPEC)).finish()
        })?;
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
        self.ask(FINDING, |sequence| lookup(direction, tuple, sequence))?;
        loop {
            let datagram = receive(&self.socket, &mut self.buffer, FINDING)?;
            if !wire::is_answer_to(datagram, self.sequence) {
                continue;
            }
            let mut found = None;
            let progress = parse(datagram, &mut |event| found = Some(event.entry))
                .map_err(|source| Error::Parse { doing: FINDING, source })?;
            return match (found, progress.first_damage, progress.answer) {
                (Some(entry), ..) => Ok(Some(entry)),
                (None, Some(source), _) => Err(Error::Parse { doing: FINDING, source }),
                (None, None, Some(libc::ENOENT)) => Ok(None),
                (None, None, Some(number)) if number != 0 => Err(refused(FINDING, number)),
                (None, None, _) => continue,
            };
        }
    }

    fn ask(&mut self, doing: &'static str, request: impl FnOnce(u32) -> Vec<u8>) -> Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let request = request(self.sequence);
        exchange::send(&self.socket, &request, doing)
    }
}

/// `struct nfgenmsg`: family, version `NFNETLINK_V0`, resource id.
const fn nfgenmsg(family: libc::c_int) -> [u8; 4] {
    [family as u8, 0, 0, 0]
}

fn lookup(direction: Direction, tuple: &Tuple, sequence: u32) -> Vec<u8> {
    let family = if tuple.source.address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let mut request = Request::new(MESSAGE_GET, 0, sequence, &nfgenmsg(family));
    let which = match direction {
        Direction::Original => cta::TUPLE_ORIG,
        Direction::Reply => cta::TUPLE_REPLY,
    };
    request.nest(which, |nest| {
        nest.nest(cta_tuple::IP, |ip| {
            put_address(ip, tuple.source.address, cta_ip::V4_SRC, cta_ip::V6_SRC);
            put_address(ip, tuple.destination.address, cta_ip::V4_DST, cta_ip::V6_DST);
        });
        nest.nest(cta_tuple::PROTO, |proto| put_selectors(proto, direction, tuple));
    });
    if tuple.zone != 0 {
        request.put(cta::ZONE, &tuple.zone.to_be_bytes());
    }
    request.finish()
}

fn put_address(nest: &mut Request, address: IpAddr, v4: u16, v6: u16) {
    match address {
        IpAddr::V4(address) => nest.put(v4, &address.octets()),
        IpAddr::V6(address) => nest.put(v6, &address.octets()),
    }
}

fn put_selectors(nest: &mut Request, direction: Direction, tuple: &Tuple) {
    nest.put(cta_proto::NUM, &[tuple.protocol.0]);
    // The id of an ICMP query is at whichever end the query came from.
    let id = match (tuple.source.selector, tuple.destination.selector) {
        (Selector::Id(id), _) | (_, Selector::Id(id)) => id,
        _ => 0,
    };
    let icmp = match (tuple.protocol, direction) {
        // (attributes, type of an echo request or reply)
        (Protocol::ICMP, Direction::Original) => {
            Some(((cta_proto::ICMP_ID, cta_proto::ICMP_TYPE, cta_proto::ICMP_CODE), 8))
        }
        (Protocol::ICMP, Direction::Reply) => {
            Some(((cta_proto::ICMP_ID, cta_proto::ICMP_TYPE, cta_proto::ICMP_CODE), 0))
        }
        (Protocol::ICMPV6, Direction::Original) => {
            Some(((cta_proto::ICMPV6_ID, cta_proto::ICMPV6_TYPE, cta_proto::ICMPV6_CODE), 128))
        }
        (Protocol::ICMPV6, Direction::Reply) => {
            Some(((cta_proto::ICMPV6_ID, cta_proto::ICMPV6_TYPE, cta_proto::ICMPV6_CODE), 129))
        }
        _ => None,
    };
    if let Some(((id_kind, type_kind, code_kind), echo)) = icmp {
        nest.put(id_kind, &id.to_be_bytes());
        nest.put(type_kind, &[echo]);
        nest.put(code_kind, &[0]);
    } else if let (Some(from), Some(to)) =
        (tuple.source.selector.number(), tuple.destination.selector.number())
    {
        nest.put(cta_proto::SRC_PORT, &from.to_be_bytes());
        nest.put(cta_proto::DST_PORT, &to.to_be_bytes());
    }
}
