//! Questions over netlink and their answers, as far as they are the same for all subsystems.

use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{Protocol, RecvFlags, SendFlags};

use crate::conntrack::ParseError;
use crate::error::system;
use crate::netns::Namespace;
use crate::sockopt;
use crate::wire::{self, Message, Messages};
use crate::{Error, Result};

/// What every question needs.
pub(crate) const CAPABILITY: &str = "CAP_NET_ADMIN";

/// Datagrams of a dump are at most this long, as long as the reader's buffer allows (net/netlink/af_netlink.c).
const BUFFER: usize = 32 * 1024;

/// How often a dump that was interrupted by changes is asked for, at most.
pub(crate) const ATTEMPTS: u32 = 5;

/// Asks one question at a time.
#[derive(Debug)]
pub(crate) struct Questions {
    pub(crate) socket: OwnedFd,
    /// The number of the last question.
    pub(crate) sequence: u32,
    pub(crate) buffer: Box<[u8]>,
}

/// What was answered to a dump, besides what was listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dumped {
    /// All there is.
    Whole,
    /// It changed meanwhile: some may be missing or have come twice.
    Interrupted,
    /// What was to be listed does not exist.
    NotThere,
}

impl Questions {
    /// Opens it in the namespace; no protocol is `NETLINK_ROUTE`.
    pub(crate) fn open(namespace: &Namespace, protocol: Option<Protocol>) -> Result<Self> {
        let socket = namespace.run(|| sockopt::netlink_socket(protocol))??;
        Ok(Self { socket, sequence: 0, buffer: vec![0; BUFFER].into_boxed_slice() })
    }

    /// What the first message of that kind in the answer says; `None` if what was asked about does not exist.
    pub(crate) fn one<T>(
        &mut self,
        doing: &'static str,
        kind: u16,
        request: impl FnOnce(u32) -> Vec<u8>,
        read: impl FnOnce(&Message<'_>) -> Result<T, ParseError>,
    ) -> Result<Option<T>> {
        self.ask(doing, request)?;
        loop {
            let datagram = receive(&self.socket, &mut self.buffer, doing)?;
            for message in Messages::new(datagram) {
                let message = message.map_err(unreadable(doing))?;
                if message.sequence != self.sequence {
                    continue;
                }
                if message.kind == kind {
                    return read(&message).map(Some).map_err(unreadable(doing));
                }
                if message.kind == wire::NLMSG_ERROR {
                    return match wire::error_number(&message).map_err(unreadable(doing))? {
                        libc::ENOENT => Ok(None),
                        number => Err(refused(doing, number)),
                    };
                }
            }
        }
    }

    /// Hands over each message of that kind in the answer to a dump.
    pub(crate) fn all(
        &mut self,
        doing: &'static str,
        kind: u16,
        request: impl FnOnce(u32) -> Vec<u8>,
        mut each: impl FnMut(&Message<'_>) -> Result<(), ParseError>,
    ) -> Result<Dumped> {
        self.ask(doing, request)?;
        let (mut is_interrupted, mut damage) = (false, None);
        loop {
            let datagram = receive(&self.socket, &mut self.buffer, doing)?;
            for message in Messages::new(datagram) {
                let message = message.map_err(unreadable(doing))?;
                if message.sequence != self.sequence {
                    continue;
                }
                is_interrupted |= message.flags & wire::NLM_F_DUMP_INTR != 0;
                match message.kind {
                    // A damaged one does not end it: what is left unread would be in the way of the next question.
                    found if found == kind => damage = damage.or(each(&message).err()),
                    wire::NLMSG_ERROR | wire::NLMSG_DONE => {
                        let number = match wire::error_number(&message) {
                            Ok(number) => number,
                            // Before Linux 4.4 the end may have no number.
                            Err(_) if message.kind == wire::NLMSG_DONE => 0,
                            Err(source) => return Err(unreadable(doing)(source)),
                        };
                        return match (number, damage) {
                            (0, None) if is_interrupted => Ok(Dumped::Interrupted),
                            (0, None) => Ok(Dumped::Whole),
                            (0, Some(source)) => Err(unreadable(doing)(source)),
                            (libc::ENOENT, _) => Ok(Dumped::NotThere),
                            (number, _) => Err(refused(doing, number)),
                        };
                    }
                    _ => {}
                }
            }
        }
    }

    fn ask(&mut self, doing: &'static str, request: impl FnOnce(u32) -> Vec<u8>) -> Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        send(&self.socket, &request(self.sequence), doing)
    }
}

/// Sends one datagram.
pub(crate) fn send(socket: &OwnedFd, bytes: &[u8], doing: &'static str) -> Result<()> {
    loop {
        match rustix::net::send(socket, bytes, SendFlags::empty()) {
            Err(Errno::INTR) => {}
            other => return other.map(drop).map_err(system(doing, CAPABILITY)),
        }
    }
}

/// The next datagram, whole.
pub(crate) fn receive<'a>(socket: &OwnedFd, buffer: &'a mut [u8], doing: &'static str) -> Result<&'a [u8]> {
    let capacity = buffer.len();
    let length = loop {
        match rustix::net::recv(socket, &mut *buffer, RecvFlags::TRUNC) {
            Ok((_, length)) => break length,
            Err(Errno::INTR) => {}
            Err(error) => return Err(system(doing, CAPABILITY)(error)),
        }
    };
    buffer.get(..length).ok_or(Error::Truncated { doing, capacity })
}

/// What an error number in an answer means.
pub(crate) fn refused(doing: &'static str, number: i32) -> Error {
    match number {
        libc::EPERM => Error::NotPermitted { doing, capability: CAPABILITY },
        _ => Error::Refused { doing, source: io::Error::from_raw_os_error(number) },
    }
}

/// An answer that cannot be read.
pub(crate) fn unreadable(doing: &'static str) -> impl Fn(ParseError) -> Error {
    move |source| Error::Parse { doing, source }
}
