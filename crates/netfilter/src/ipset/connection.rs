//! The connection to one namespace's ipsets.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use super::info::SetInfo;
use super::kernel::{BIG_ENDIAN, LIST, NFGENMSG, command, error};
use super::{Name, encode, info};
use crate::conntrack::ParseError;
use crate::exchange::{self, receive, send, unreadable};
use crate::netns::Namespace;
use crate::sets::{Action, Change, Listed, Verdict};
use crate::sockopt;
use crate::wire::{self, Attributes, Messages};
use crate::{Error, Result};

/// Longer than every answer: an error repeats the whole message that it is about.
const BUFFER: usize = 128 * 1024;

/// Elements of a message. Each takes at most 76 bytes, and a nest below 64 KiB.
const CHUNK: usize = 800;

const READING: &str = "listing an ipset";
const CHANGING: &str = "changing an ipset";

/// Reads and changes the ipsets of one namespace.
///
/// An ipset knows no transactions: each element is put by itself.
#[derive(Debug)]
pub struct Ipsets {
    socket: OwnedFd,
    sequence: u32,
    buffer: Box<[u8]>,
}

impl Ipsets {
    /// Opens it in the namespace. Every use needs `CAP_NET_ADMIN` there, and the kernel's module `ip_set`.
    pub fn open(namespace: &Namespace) -> Result<Self> {
        let socket = namespace.run(|| sockopt::netlink_socket(Some(rustix::net::netlink::NETFILTER)))??;
        sockopt::grow_send_buffer(socket.as_fd(), BUFFER)?;
        Ok(Self { socket, sequence: 0, buffer: vec![0; BUFFER].into_boxed_slice() })
    }

    /// What the set is like; `None` if there is none of that name.
    pub fn info(&mut self, name: &Name) -> Result<Option<SetInfo>> {
        Ok(self.read(name, true)?.map(|(info, _)| info))
    }

    /// What the set is like and what it holds; `None` if there is none of that name.
    pub fn list(&mut self, name: &Name) -> Result<Option<(SetInfo, Vec<Listed>)>> {
        self.read(name, false)
    }

    fn read(&mut self, name: &Name, header_only: bool) -> Result<Option<(SetInfo, Vec<Listed>)>> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut request = encode::begin(LIST, wire::NLM_F_DUMP, self.sequence, false, name);
        if header_only {
            request.put(command::FLAGS | BIG_ENDIAN, &command::FLAG_HEADER.to_be_bytes());
        }
        send(&self.socket, &request.finish(), READING)?;
        let (mut found, mut listed, mut damage) = (None, Vec::new(), None);
        loop {
            let datagram = receive(&self.socket, &mut self.buffer, READING)?;
            for message in Messages::new(datagram) {
                let message = message.map_err(unreadable(READING))?;
                if message.sequence != self.sequence {
                    continue;
                }
                match message.kind {
                    LIST => {
                        let read = take(&message, &mut found, &mut listed);
                        damage = damage.or(read.err());
                    }
                    wire::NLMSG_ERROR | wire::NLMSG_DONE => {
                        let number = wire::error_number(&message).unwrap_or(0);
                        return match (number, damage) {
                            (0, None) => Ok(found.map(|info| (info, listed))),
                            (0, Some(source)) => Err(unreadable(READING)(source)),
                            (libc::ENOENT, _) => Ok(None),
                            (number, _) => Err(refused(READING, number)),
                        };
                    }
                    _ => {}
                }
            }
        }
    }

    /// Carries out the changes, each by itself; a verdict for each. [`Change::set`] is not looked at. Whether an element
    /// was there before it was put is taken from [`Change::is_there`]: the kernel does not say.
    ///
    /// An element that the set cannot hold (see [`SetInfo::fits`]) is refused with `EINVAL`, without asking.
    pub fn apply(&mut self, name: &Name, info: &SetInfo, changes: &[Change]) -> Result<Vec<Verdict>> {
        let mut verdicts = vec![Verdict::Refused(libc::EINVAL); changes.len()];
        let is_removal = |index: &usize| changes[*index].action == Action::Remove;
        let fitting = (0..changes.len()).filter(|index| info.fits(&changes[*index].member));
        let (removals, additions): (Vec<usize>, Vec<usize>) = fitting.partition(is_removal);
        for chunk in removals.chunks(CHUNK).chain(additions.chunks(CHUNK)) {
            let mut rest = chunk;
            while !rest.is_empty() {
                let some: Vec<Change> = rest.iter().map(|index| changes[*index]).collect();
                let (number, line) = self.commit(name, info, &some)?;
                // All before the line are done; all from it on, if there is no line.
                let good = if number == 0 { rest.len() } else { line.saturating_sub(1).min(rest.len()) };
                let (done, not_done) = rest.split_at(good);
                for index in done {
                    let was_there = is_removal(index) || changes[*index].is_there;
                    verdicts[*index] = Verdict::Done { was_there };
                }
                let bad = if line == 0 { not_done.len() } else { not_done.len().min(1) };
                for index in &not_done[..bad] {
                    verdicts[*index] = match number {
                        error::EXIST if is_removal(index) => Verdict::Done { was_there: false },
                        error::HASH_FULL => Verdict::Full,
                        number => Verdict::Refused(number),
                    };
                }
                rest = &not_done[bad..];
            }
        }
        Ok(verdicts)
    }

    /// Sends one message; the kernel's error number, 0 for none, and the line that it is about, 0 for none.
    fn commit(&mut self, name: &Name, info: &SetInfo, changes: &[Change]) -> Result<(i32, usize)> {
        self.sequence = self.sequence.wrapping_add(1);
        send(&self.socket, &encode::changes(self.sequence, name, info, changes), CHANGING)?;
        loop {
            let datagram = receive(&self.socket, &mut self.buffer, CHANGING)?;
            for message in Messages::new(datagram) {
                let message = message.map_err(unreadable(CHANGING))?;
                if message.sequence != self.sequence || message.kind != wire::NLMSG_ERROR {
                    continue;
                }
                return match wire::error_number(&message).map_err(unreadable(CHANGING))? {
                    libc::EPERM => Err(refused(CHANGING, libc::EPERM)),
                    number => Ok((number, line_of(message.body))),
                };
            }
        }
    }
}

/// What an errno value of ipset means, where it is one of its own.
pub fn error_text(number: i32) -> Option<&'static str> {
    Some(match number {
        4097 => "the kernel speaks another protocol",
        4100 => "the set is busy",
        4104 => "the prefix is out of range",
        4106 => "the set is of the other family",
        4107 => "the set was created without timeout support",
        4352 => "the set is full",
        4353 => "the element cannot be in this set",
        _ => return None,
    })
}

fn take(
    message: &wire::Message<'_>,
    found: &mut Option<SetInfo>,
    listed: &mut Vec<Listed>,
) -> Result<(), ParseError> {
    if let Some(info) = info::parse(message)? {
        *found = Some(info);
    }
    encode::list(message, listed)
}

/// The line in an error's copy of the message that it is about.
pub(super) fn line_of(body: &[u8]) -> usize {
    let attributes = body.get(4 + wire::HEADER + NFGENMSG..).unwrap_or(&[]);
    let line = Attributes(attributes).map_while(Result::ok).find(|attribute| attribute.kind == command::LINE);
    line.and_then(|line| line.bytes("IPSET_ATTR_LINENO").ok())
        .map_or(0, |line| u32::from_ne_bytes(line) as usize)
}

fn refused(doing: &'static str, number: i32) -> Error {
    match error_text(number) {
        Some(text) => Error::Refused { doing, source: io::Error::other(text) },
        None => exchange::refused(doing, number),
    }
}
