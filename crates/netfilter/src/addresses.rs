//! The addresses of a namespace's own interfaces, and word of their changes (rtnetlink(7)).
//!
//! The set only grows: a flow whose source was an address of the gateway still is one of the gateway's flows
//! when it ends after the address was taken away (a new DHCP lease, a dropped PPP line).

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::RecvFlags;

use crate::conntrack::ParseError;
use crate::error::system;
use crate::exchange::Questions;
use crate::netns::Namespace;
use crate::rtnetlink::{self, IFADDRMSG, RTM_GETADDR, RTM_NEWADDR};
use crate::sockopt;
use crate::wire::{self, Messages, Request};
use crate::{Error, Result};

/// linux/rtnetlink.h.
const RTNLGRP_IPV4_IFADDR: libc::c_int = 5;
const RTNLGRP_IPV6_IFADDR: libc::c_int = 9;

/// A datagram of changes is at most this long: the kernel begins a new one for each.
const BUFFER: usize = 32 * 1024;

/// Addresses of the gateway itself. All of 127.0.0.0/8 is among them without being listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalAddresses(BTreeSet<IpAddr>);

impl LocalAddresses {
    /// No address listed.
    pub const NONE: Self = Self(BTreeSet::new());

    /// Is it one of them?
    pub fn contains(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(v4) if v4.is_loopback() => true,
            _ => self.0.contains(&address),
        }
    }

    /// How many are listed.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// None listed?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those listed, IPv4 before IPv6, ascending.
    pub fn iter(&self) -> impl Iterator<Item = IpAddr> {
        self.0.iter().copied()
    }

    /// Adds one; was it new?
    pub fn insert(&mut self, address: IpAddr) -> bool {
        self.0.insert(address)
    }
}

impl FromIterator<IpAddr> for LocalAddresses {
    fn from_iter<I: IntoIterator<Item = IpAddr>>(addresses: I) -> Self {
        Self(addresses.into_iter().collect())
    }
}

/// Knows a namespace's addresses and learns of new ones. Its descriptor is readable when something changed.
#[derive(Debug)]
pub struct Watch {
    changes: OwnedFd,
    questions: Questions,
    known: LocalAddresses,
    buffer: Box<[u8]>,
}

impl Watch {
    /// Begins to watch, then reads what is there.
    pub fn open(namespace: &Namespace) -> Result<Self> {
        let changes = namespace.run(|| {
            let changes = sockopt::netlink_socket(None)?;
            for group in [RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR] {
                sockopt::set_netlink(changes.as_fd(), libc::NETLINK_ADD_MEMBERSHIP, group)
                    .map_err(system("subscribing to address changes", "CAP_NET_ADMIN"))?;
            }
            Ok::<_, Error>(changes)
        })??;
        let mut watch = Self {
            changes,
            questions: Questions::open(namespace, None)?,
            known: LocalAddresses::default(),
            buffer: vec![0; BUFFER].into_boxed_slice(),
        };
        watch.list()?;
        Ok(watch)
    }

    /// The addresses known so far.
    pub fn known(&self) -> &LocalAddresses {
        &self.known
    }

    /// Reads what changed since; never blocks. True if there are addresses that were not known.
    pub fn refresh(&mut self) -> Result<bool> {
        let mut has_new = false;
        let mut has_overrun = false;
        loop {
            let received = rustix::net::recv(
                &self.changes,
                &mut self.buffer[..],
                RecvFlags::DONTWAIT | RecvFlags::TRUNC,
            );
            match received {
                Ok((_, length)) => {
                    let datagram = self.buffer.get(..length).unwrap_or(&[]);
                    has_overrun |= datagram.is_empty();
                    has_new |= note_all(&mut self.known, datagram)?;
                }
                Err(rustix::io::Errno::AGAIN) => break,
                Err(rustix::io::Errno::INTR) => {}
                // Some changes were lost: the list has them.
                Err(rustix::io::Errno::NOBUFS) => has_overrun = true,
                Err(error) => return Err(system("reading address changes", "CAP_NET_ADMIN")(error)),
            }
        }
        if has_overrun {
            has_new |= self.list()?;
        }
        Ok(has_new)
    }

    /// Asks for all addresses. True if there are some that were not known.
    fn list(&mut self) -> Result<bool> {
        let request =
            |sequence| Request::new(RTM_GETADDR, wire::NLM_F_DUMP, sequence, &[0; IFADDRMSG]).finish();
        let mut has_new = false;
        // What changes while it is listed is told of as a change, too: no matter if this was interrupted.
        self.questions.all("listing the namespace's addresses", RTM_NEWADDR, request, |message| {
            has_new |= note(&mut self.known, message)?;
            Ok(())
        })?;
        Ok(has_new)
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.changes.as_fd()
    }
}

/// Takes in all addresses that the datagram tells of; were there new ones?
pub(crate) fn note_all(known: &mut LocalAddresses, datagram: &[u8]) -> Result<bool> {
    let mut has_new = false;
    for message in Messages::new(datagram) {
        has_new |= note(known, &message.map_err(unreadable)?).map_err(unreadable)?;
    }
    Ok(has_new)
}

/// Takes in an address that the message tells of; was it new?
fn note(known: &mut LocalAddresses, message: &wire::Message<'_>) -> Result<bool, ParseError> {
    if message.kind != RTM_NEWADDR {
        return Ok(false);
    }
    Ok(rtnetlink::address(message)?.is_some_and(|address| known.insert(address.ip)))
}

fn unreadable(source: ParseError) -> Error {
    Error::Parse { doing: "reading the namespace's addresses", source }
}
