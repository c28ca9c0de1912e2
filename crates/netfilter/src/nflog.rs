//! Packets that rules log to a netlink group (`log group`, `NFLOG`).
//!
//! ```text
//!  rule: log group 5 ──► the kernel's queue ──netlink──► Group ──► Logged: packet, interfaces, VLAN tag
//! ```
//!
//! Each packet is handed over at once: what reads them is to act before the connection goes on. Losses are seen by the
//! numbers that the kernel gives to packets. See include/uapi/linux/netfilter/nfnetlink_log.h and
//! net/netfilter/nfnetlink_log.c of Linux.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::netlink;

use crate::conntrack::ParseError;
use crate::datagrams::Datagrams;
use crate::error::system;
use crate::exchange::{self, CAPABILITY};
use crate::netns::Namespace;
use crate::wire::{self, Attributes, Messages, Request};
use crate::{Error, Result, sockopt};

/// `NFNL_SUBSYS_ULOG` of linux/netfilter/nfnetlink.h, in the high byte of a message's type.
const PACKET: u16 = 4 << 8;
const CONFIG: u16 = (4 << 8) | 1;
/// Length of `struct nfgenmsg`: family, version, the group.
const NFGENMSG: usize = 4;

/// `enum nfulnl_attr_config` and what its values mean.
mod config {
    pub(super) const CMD: u16 = 1;
    pub(super) const MODE: u16 = 2;
    pub(super) const TIMEOUT: u16 = 4;
    pub(super) const QTHRESH: u16 = 5;
    pub(super) const FLAGS: u16 = 6;
    pub(super) const CMD_BIND: u8 = 1;
    pub(super) const COPY_PACKET: u8 = 2;
    /// Number the packets of this group.
    pub(super) const F_SEQ: u16 = 1;
}

/// `enum nfulnl_attr_type`, and within a VLAN tag `enum nfulnl_vlan_attr`.
mod attribute {
    pub(super) const INDEV: u16 = 4;
    pub(super) const OUTDEV: u16 = 5;
    pub(super) const PAYLOAD: u16 = 9;
    pub(super) const SEQ: u16 = 12;
    pub(super) const VLAN: u16 = 20;
    pub(super) const VLAN_TCI: u16 = 2;
}

/// Bytes of a message around the packet: headers, interfaces, numbers, a prefix of 128 characters, a link's header.
const AROUND: usize = 1024;
/// Messages read at once.
const CAPACITY: usize = 128;
/// A message is at least this long in the kernel's mind, and may hold several packets where a rule's threshold says so.
const LEAST_SLOT: usize = 4096;

/// What to listen to, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Most bytes of each packet, from its IP header on; a rule's `snaplen` can make it fewer.
    pub snaplen: u16,
    /// Bytes asked for the kernel's receive buffer.
    pub receive_buffer: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { snaplen: 4096, receive_buffer: 16 << 20 }
    }
}

/// A packet that was logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Logged<'a> {
    /// From its IP header on, as much as was copied.
    pub packet: &'a [u8],
    /// The index of the interface that it came in by.
    pub inside: Option<u32>,
    /// The index of the interface that it leaves by.
    pub outside: Option<u32>,
    /// The control information of its VLAN tag, on a bridge.
    pub vlan_control: Option<u16>,
    /// Its number in this group.
    pub number: Option<u32>,
}

/// Reads the packets of one group. Nobody else can then.
#[derive(Debug)]
pub struct Group {
    socket: OwnedFd,
    datagrams: Datagrams,
    /// The number of the next packet, once there was one.
    next: Option<u32>,
    lost: u64,
    damaged: u64,
}

impl Group {
    /// Binds the group in the namespace.
    pub fn open(namespace: &Namespace, group: u16, options: &Options) -> Result<Self> {
        const DOING: &str = "binding a group of logged packets";
        let socket = namespace.run(|| sockopt::netlink_socket(Some(netlink::NETFILTER)))??;
        sockopt::grow_receive_buffer(socket.as_fd(), options.receive_buffer)?;
        // Otherwise the kernel drops everything after an overrun until the buffer is empty.
        sockopt::set_netlink(socket.as_fd(), libc::NETLINK_NO_ENOBUFS, 1)
            .map_err(system(DOING, CAPABILITY))?;
        exchange::send(&socket, &binding(group, options.snaplen), DOING)?;
        let mut answer = [0; 4096];
        loop {
            let datagram = exchange::receive(&socket, &mut answer, DOING)?;
            // Packets may come before it.
            let Some(Ok(message)) = Messages::new(datagram).next() else { continue };
            if message.kind != wire::NLMSG_ERROR {
                continue;
            }
            match wire::error_number(&message).map_err(exchange::unreadable(DOING))? {
                0 => break,
                // The kernel says so, too, of a group that another socket has bound.
                libc::EPERM if may_administer() => return Err(Error::GroupTaken { group }),
                number => return Err(exchange::refused(DOING, number)),
            }
        }
        let slot = (usize::from(options.snaplen) + AROUND).max(LEAST_SLOT).next_multiple_of(8);
        Ok(Self { socket, datagrams: Datagrams::new(CAPACITY, slot), next: None, lost: 0, damaged: 0 })
    }

    /// Reads what is waiting, without waiting for more, and gives each packet. False if there may be more. Hot; guarded by
    /// `bench/divert`.
    pub fn receive(&mut self, mut each: impl FnMut(&Logged<'_>, Interfaces<'_>)) -> Result<bool> {
        let interfaces = Interfaces(&self.socket);
        self.datagrams.fill(self.socket.as_fd()).map_err(system("receiving logged packets", CAPABILITY))?;
        for (datagram, is_cut, _) in self.datagrams.iter() {
            let (next, lost) = (&mut self.next, &mut self.lost);
            let read = parse(datagram, &mut |logged| {
                if let Some(number) = logged.number {
                    // What comes from two processors can overtake, by a little.
                    let missing = next.map_or(0, |next| number.wrapping_sub(next));
                    if missing < u32::MAX / 2 {
                        *lost += u64::from(missing);
                        *next = Some(number.wrapping_add(1));
                    } else {
                        *lost = lost.saturating_sub(1);
                    }
                }
                each(logged, interfaces);
            });
            self.damaged += u64::from(is_cut || read.is_err());
        }
        Ok(!self.datagrams.is_full())
    }

    /// Packets that the kernel dropped since the group was bound, as there was no room for them.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Messages that could not be read, or not to their end. Stays 0 with every kernel known.
    pub fn damaged(&self) -> u64 {
        self.damaged
    }
}

/// The interfaces where a group is.
#[derive(Clone, Copy, Debug)]
pub struct Interfaces<'a>(&'a OwnedFd);

impl Interfaces<'_> {
    /// The name of that index; `None` if it is gone. A system call.
    pub fn name(self, index: u32) -> Option<String> {
        rustix::net::netdevice::index_to_name(self.0, index).ok()
    }
}

impl AsFd for Group {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Can a refusal not be for lack of a capability?
fn may_administer() -> bool {
    use rustix::thread::CapabilitySet;
    rustix::thread::capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::NET_ADMIN))
}

/// The message that asks for a group's packets: each at once, numbered.
fn binding(group: u16, snaplen: u16) -> Vec<u8> {
    let [high, low] = group.to_be_bytes();
    let mut request = Request::new(CONFIG, wire::NLM_F_ACK, 1, &[libc::AF_UNSPEC as u8, 0, high, low]);
    request.put(config::CMD, &[config::CMD_BIND]);
    let mut mode = u32::from(snaplen).to_be_bytes().to_vec();
    mode.extend([config::COPY_PACKET, 0]);
    request.put(config::MODE, &mode);
    // Hundredths of a second; the threshold comes first.
    request.put(config::TIMEOUT, &1_u32.to_be_bytes());
    request.put(config::QTHRESH, &1_u32.to_be_bytes());
    request.put(config::FLAGS, &config::F_SEQ.to_be_bytes());
    request.finish()
}

/// Reads a datagram of the kernel: gives each logged packet in it.
///
/// # Errors
/// The first message that cannot be read; those before it were given.
pub fn parse(datagram: &[u8], each: &mut impl FnMut(&Logged<'_>)) -> Result<(), ParseError> {
    for message in Messages::new(datagram) {
        let message = message?;
        if message.kind != PACKET {
            continue;
        }
        let short = ParseError::Short { kind: message.kind, length: message.body.len() };
        let attributes = message.body.get(NFGENMSG..).ok_or(short)?;
        let mut logged = Logged::default();
        for attribute in Attributes(attributes) {
            let attribute = attribute?;
            match attribute.kind {
                attribute::INDEV => logged.inside = Some(attribute.be32("NFULA_IFINDEX_INDEV")?),
                attribute::OUTDEV => logged.outside = Some(attribute.be32("NFULA_IFINDEX_OUTDEV")?),
                attribute::PAYLOAD => logged.packet = attribute.value,
                attribute::SEQ => logged.number = Some(attribute.be32("NFULA_SEQ")?),
                attribute::VLAN => {
                    for tag in attribute.nested() {
                        let tag = tag?;
                        if tag.kind == attribute::VLAN_TCI {
                            logged.vlan_control = Some(tag.be16("NFULA_VLAN_TCI")?);
                        }
                    }
                }
                _ => {}
            }
        }
        each(&logged);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(attributes: impl FnOnce(&mut Request)) -> Vec<u8> {
        let mut request = Request::new(PACKET, 0, 0, &[2, 0, 0, 5]);
        attributes(&mut request);
        request.finish()
    }

    #[test]
    fn a_message_gives_packet_interfaces_and_tag() {
        let mut datagram = message(|request| {
            request.put(attribute::INDEV, &7_u32.to_be_bytes());
            request.put(attribute::SEQ, &9_u32.to_be_bytes());
            request.nest(attribute::VLAN, |tag| tag.put(attribute::VLAN_TCI, &[0x20, 10]));
            request.put(attribute::PAYLOAD, b"packet");
        });
        datagram.resize(datagram.len().next_multiple_of(4), 0);
        datagram.extend(message(|request| request.put(attribute::OUTDEV, &8_u32.to_be_bytes())));
        let mut given = Vec::new();
        parse(&datagram, &mut |logged| {
            given.push((
                logged.packet.to_vec(),
                logged.inside,
                logged.outside,
                logged.vlan_control,
                logged.number,
            ));
        })
        .unwrap();
        assert_eq!(
            given,
            [
                (b"packet".to_vec(), Some(7), None, Some(0x200a), Some(9)),
                (Vec::new(), None, Some(8), None, None)
            ]
        );
        assert!(parse(&datagram[..30], &mut |_| {}).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let datagram = message(|request| {
                request.put(attribute::PAYLOAD, &bytes);
                request.put(attribute::VLAN, &bytes);
            });
            for bytes in [&bytes, &datagram] {
                let _ = parse(bytes, &mut |logged| assert!(logged.packet.len() <= bytes.len()));
            }
        }
    }
}
