//! Questions to nfnetlink and their answers, as far as they are the same for all its subsystems.

use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

use crate::conntrack::ParseError;
use crate::error::system;
use crate::{Error, Result};

/// What every question needs.
pub(crate) const CAPABILITY: &str = "CAP_NET_ADMIN";

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
