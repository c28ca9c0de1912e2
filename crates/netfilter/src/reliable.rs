//! Reliable mode: the kernel keeps an event that did not fit and delivers it later
//! (`NETLINK_BROADCAST_ERROR`).
//!
//! Its price: an entry whose DESTROY waits for delivery still counts toward `nf_conntrack_max`, so a reader
//! that stands still can cost users their new connections. Hence a watchdog must be able to switch it off
//! from outside, on a duplicate of the reader's descriptor: the option belongs to the socket, not to the
//! process.

use std::os::fd::BorrowedFd;

use crate::Result;
use crate::error::system;
use crate::sockopt;

/// Switches reliable mode of a netlink socket on or off. Needs no capability.
pub fn set(fd: BorrowedFd<'_>, on: bool) -> Result<()> {
    sockopt::set_netlink(fd, libc::NETLINK_BROADCAST_ERROR, i32::from(on))
        .map_err(system("setting reliable mode (NETLINK_BROADCAST_ERROR)", "CAP_NET_ADMIN"))
}
