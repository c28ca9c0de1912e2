//! The addresses of a namespace's own interfaces, and word of their changes (rtnetlink(7)).
//!
//! The set only grows: a flow whose source was an address of the gateway still is one of the gateway's flows
//! when it ends after the address was taken away (a new DHCP lease, a dropped PPP line).

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{RecvFlags, SendFlags};

use crate::conntrack::ParseError;
use crate::error::system;
use crate::netns::Namespace;
use crate::sockopt;
use crate::wire::{self, Attributes, Messages, Request};
use crate::{Error, Result};

/// linux/rtnetlink.h.
const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const RTNLGRP_IPV4_IFADDR: libc::c_int = 5;
const RTNLGRP_IPV6_IFADDR: libc::c_int = 9;
/// linux/if_addr.h: on a point-to-point link `IFA_ADDRESS` is the other end, so the local one goes first.
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
/// Length of `struct ifaddrmsg`.
const IFADDRMSG: usize = 8;

/// A dump's datagrams are at most this long, as long as the reader's buffer allows
/// (net/netlink/af_netlink.c).
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
    questions: OwnedFd,
    sequence: u32,
    known: LocalAddresses,
    buffer: Box<[u8]>,
}

impl Watch {
    /// Begins to watch, then reads what is there.
    pub fn open(namespace: &Namespace) -> Result<Self> {
        let (changes, questions) = namespace.run(|| {
            let changes = sockopt::netlink_socket(None)?;
            for group in [RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR] {
                sockopt::set_netlink(changes.as_fd(), libc::NETLINK_ADD_MEMBERSHIP, group)
                    .map_err(system("subscribing to address changes", "CAP_NET_ADMIN"))?;
            }
            Ok::<_, Error>((changes, sockopt::netlink_socket(None)?))
        })??;
        let mut watch = Self {
            changes,
            questions,
            sequence: 0,
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
        const DOING: &str = "listing the namespace's addresses";
        self.sequence = self.sequence.wrapping_add(1);
        let request = Request::new(RTM_GETADDR, wire::NLM_F_DUMP, self.sequence, &[0; IFADDRMSG]).finish();
        rustix::net::send(&self.questions, &request, SendFlags::empty())
            .map_err(system(DOING, "CAP_NET_ADMIN"))?;
        let mut has_new = false;
        loop {
            let (_, length) = rustix::net::recv(&self.questions, &mut self.buffer[..], RecvFlags::TRUNC)
                .map_err(system(DOING, "CAP_NET_ADMIN"))?;
            let datagram =
                self.buffer.get(..length).ok_or(Error::Truncated { doing: DOING, capacity: BUFFER })?;
            for message in Messages::new(datagram) {
                let message = message.map_err(unreadable)?;
                if message.sequence != self.sequence {
                    continue;
                }
                match message.kind {
                    wire::NLMSG_DONE => return Ok(has_new),
                    wire::NLMSG_ERROR => {
                        let number = wire::error_number(&message).map_err(unreadable)?;
                        return Err(Error::Refused {
                            doing: DOING,
                            source: std::io::Error::from_raw_os_error(number),
                        });
                    }
                    _ => has_new |= note(&mut self.known, &message)?,
                }
            }
        }
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
        has_new |= note(known, &message.map_err(unreadable)?)?;
    }
    Ok(has_new)
}

/// Takes in an address that the message tells of; was it new?
fn note(known: &mut LocalAddresses, message: &wire::Message<'_>) -> Result<bool> {
    if message.kind != RTM_NEWADDR {
        return Ok(false);
    }
    let short = || unreadable(ParseError::Short { kind: message.kind, length: message.body.len() });
    let attributes = message.body.get(IFADDRMSG..).ok_or_else(short)?;
    let mut address = None;
    let mut local = None;
    for attribute in Attributes(attributes) {
        let attribute = attribute.map_err(unreadable)?;
        match attribute.kind {
            IFA_ADDRESS => address = ip(attribute.value),
            IFA_LOCAL => local = ip(attribute.value),
            _ => {}
        }
    }
    Ok(local.or(address).is_some_and(|address| known.insert(address)))
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(|v6| IpAddr::from(v6).to_canonical())).ok()
}

fn unreadable(source: ParseError) -> Error {
    Error::Parse { doing: "reading the namespace's addresses", source }
}
