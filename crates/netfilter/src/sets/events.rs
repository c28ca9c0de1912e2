//! Word of what others change in nftables.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::RecvFlags;

use super::Family;
use super::kernel::{
    DELETE_ELEMENTS, DELETE_SET, DELETE_TABLE, GROUP, NEW_ELEMENTS, NEW_SET, NEW_TABLE, NFGENMSG, TABLE_NAME,
    list, set,
};
use crate::conntrack::ParseError;
use crate::error::system;
use crate::netns::Namespace;
use crate::sockopt;
use crate::wire::{Attributes, Message, Messages};
use crate::{Error, Result};

/// Datagrams of notifications are at most this long: the kernel begins a new one when this is full.
const BUFFER: usize = 64 * 1024;

/// What changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A table was made.
    TableMade,
    /// A table is gone, with all that was in it.
    TableGone,
    /// A set was made.
    SetMade,
    /// A set is gone.
    SetGone,
    /// Elements were added.
    ElementsAdded,
    /// Elements are gone.
    ElementsGone,
}

/// A change that somebody made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetEvent<'a> {
    /// What changed.
    pub what: What,
    /// The family of the table.
    pub family: Family,
    /// The table; empty if its name is not UTF-8, as no name is that this crate can write.
    pub table: &'a str,
    /// The set; empty for a whole table.
    pub set: &'a str,
    /// The netlink port of the one who changed it; see [`super::Sets::port`].
    pub by: u32,
}

/// Hears of changes in one namespace. Its descriptor is readable when there is something.
#[derive(Debug)]
pub struct SetEvents {
    socket: OwnedFd,
    buffer: Box<[u8]>,
}

impl SetEvents {
    /// Opens it in the namespace.
    pub fn open(namespace: &Namespace) -> Result<Self> {
        let socket = namespace.run(|| sockopt::netlink_socket(Some(rustix::net::netlink::NETFILTER)))??;
        sockopt::set_netlink(socket.as_fd(), libc::NETLINK_ADD_MEMBERSHIP, GROUP)
            .map_err(system("subscribing to changes of nftables", "CAP_NET_ADMIN"))?;
        Ok(Self { socket, buffer: vec![0; BUFFER].into_boxed_slice() })
    }

    /// Hands over what waits; never blocks. False if some changes were lost, so that anything may have changed.
    pub fn receive(&mut self, mut each: impl FnMut(SetEvent<'_>)) -> Result<bool> {
        const DOING: &str = "reading changes of nftables";
        let mut is_complete = true;
        loop {
            let flags = RecvFlags::DONTWAIT | RecvFlags::TRUNC;
            match rustix::net::recv(&self.socket, &mut self.buffer[..], flags) {
                Ok((_, length)) => match self.buffer.get(..length) {
                    Some(datagram) => {
                        let parsed = parse(datagram, &mut each);
                        is_complete &= parsed.map_err(|source| Error::Parse { doing: DOING, source })?;
                    }
                    None => is_complete = false,
                },
                Err(rustix::io::Errno::AGAIN) => return Ok(is_complete),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::NOBUFS) => is_complete = false,
                Err(error) => return Err(system(DOING, "CAP_NET_ADMIN")(error)),
            }
        }
    }
}

impl AsFd for SetEvents {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Reads a datagram; false if a message in it could not be understood.
pub(super) fn parse(datagram: &[u8], each: &mut impl FnMut(SetEvent<'_>)) -> Result<bool, ParseError> {
    let mut is_complete = true;
    for message in Messages::new(datagram) {
        let message = message?;
        let (what, table, set) = match message.kind {
            NEW_TABLE => (What::TableMade, TABLE_NAME, None),
            DELETE_TABLE => (What::TableGone, TABLE_NAME, None),
            NEW_SET => (What::SetMade, set::TABLE, Some(set::NAME)),
            DELETE_SET => (What::SetGone, set::TABLE, Some(set::NAME)),
            NEW_ELEMENTS => (What::ElementsAdded, list::TABLE, Some(list::SET)),
            DELETE_ELEMENTS => (What::ElementsGone, list::TABLE, Some(list::SET)),
            _ => continue,
        };
        match event(&message, what, table, set) {
            Ok(Some(event)) => each(event),
            Ok(None) => {}
            Err(_) => is_complete = false,
        }
    }
    Ok(is_complete)
}

/// `None` for a family that is not known.
fn event<'a>(
    message: &Message<'a>,
    what: What,
    table: u16,
    set: Option<u16>,
) -> Result<Option<SetEvent<'a>>, ParseError> {
    let short = ParseError::Short { kind: message.kind, length: message.body.len() };
    let (fixed, attributes) = message.body.split_first_chunk::<NFGENMSG>().ok_or(short)?;
    let Some(family) = Family::of_number(fixed[0]) else { return Ok(None) };
    let mut event = SetEvent { what, family, table: "", set: "", by: message.port };
    for attribute in Attributes(attributes) {
        let attribute = attribute?;
        if attribute.kind == table {
            event.table = name(attribute.value);
        } else if Some(attribute.kind) == set {
            event.set = name(attribute.value);
        }
    }
    Ok(Some(event))
}

fn name(value: &[u8]) -> &str {
    let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
    std::str::from_utf8(&value[..end]).unwrap_or_default()
}
