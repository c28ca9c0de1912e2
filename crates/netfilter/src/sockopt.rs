//! The socket calls that rustix has no safe form of: netlink options, `SO_MEMINFO`, `SO_ATTACH_FILTER`.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use rustix::net::{AddressFamily, Protocol, SocketFlags, SocketType, netlink, socket_with};

use crate::error::system;
use crate::{Error, Result};

/// `SO_MEMINFO` (linux/sock_diag.h, `SK_MEMINFO_*`) has nine values.
const MEMINFO_VALUES: usize = 9;

/// A netlink socket, bound to a port of its own, in the namespace of the calling thread. No protocol is
/// `NETLINK_ROUTE`, whose number is 0.
pub(crate) fn netlink_socket(protocol: Option<Protocol>) -> Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, protocol)
        .map_err(system("opening a netlink socket", "CAP_NET_ADMIN"))?;
    rustix::net::bind(&socket, &netlink::SocketAddrNetlink::new(0, 0))
        .map_err(system("binding a netlink socket", "CAP_NET_ADMIN"))?;
    Ok(socket)
}

/// Sets an `int` option of `SOL_NETLINK`.
pub(crate) fn set_netlink(fd: BorrowedFd<'_>, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    set(fd, libc::SOL_NETLINK, option, &value)
}

/// Sets one socket option from a plain C value.
pub(crate) fn set<T: Copy>(
    fd: BorrowedFd<'_>,
    level: libc::c_int,
    option: libc::c_int,
    value: &T,
) -> io::Result<()> {
    // SAFETY: the pointer and length describe `value`, which lives through the call; the kernel only reads
    // it.
    let result = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            level,
            option,
            std::ptr::from_ref(value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// How full a socket's receive buffer is, and what did not fit (sock_diag(7), `SO_MEMINFO`, Linux 4.12).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Bytes of kernel memory that waiting messages take (more than their own length: each has a header).
    pub used: u32,
    /// Bytes that they may take.
    pub capacity: u32,
    /// Messages that did not fit since the socket was opened; wraps around.
    pub drops: u32,
}

/// Reads `SO_MEMINFO`.
pub(crate) fn memory(fd: BorrowedFd<'_>) -> Result<Memory> {
    let mut values = [0_u32; MEMINFO_VALUES];
    let mut length = size_of_val(&values) as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes into `values`, and both live through the call.
    let result = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            values.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if result != 0 {
        let source = io::Error::last_os_error();
        return Err(Error::System { doing: "reading a socket's memory use (SO_MEMINFO)", source });
    }
    let [used, capacity, .., drops] = values;
    Ok(Memory { used, capacity, drops })
}

/// Asks for a receive buffer of that many bytes and returns how many the kernel granted. Beyond
/// `net.core.rmem_max` this needs `CAP_NET_ADMIN`; without it the result is smaller.
pub(crate) fn grow_receive_buffer(fd: BorrowedFd<'_>, bytes: usize) -> Result<usize> {
    let doing = "setting a receive buffer's size";
    if rustix::net::sockopt::set_socket_recv_buffer_size_force(fd, bytes).is_err() {
        rustix::net::sockopt::set_socket_recv_buffer_size(fd, bytes)
            .map_err(system(doing, "CAP_NET_ADMIN"))?;
    }
    rustix::net::sockopt::socket_recv_buffer_size(fd).map_err(system(doing, "CAP_NET_ADMIN"))
}

/// Makes the send buffer hold a message of that many bytes: one that does not fit is refused, not cut up. Beyond
/// `net.core.wmem_max` this needs `CAP_NET_ADMIN`.
pub(crate) fn grow_send_buffer(fd: BorrowedFd<'_>, bytes: usize) -> Result<()> {
    let doing = "setting a send buffer's size";
    let value = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
    set(fd, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, &value).map_err(system(doing, "CAP_NET_ADMIN"))
}

/// The port that the socket was bound to.
pub(crate) fn netlink_port(fd: BorrowedFd<'_>) -> Result<u32> {
    let doing = "asking a netlink socket's port";
    let address = rustix::net::getsockname(fd).map_err(system(doing, "CAP_NET_ADMIN"))?;
    let address = netlink::SocketAddrNetlink::try_from(address).map_err(system(doing, "CAP_NET_ADMIN"))?;
    Ok(address.pid())
}

/// Attaches a classic BPF program, in place of the one that was there.
pub(crate) fn attach_filter(fd: BorrowedFd<'_>, program: &[libc::sock_filter]) -> io::Result<()> {
    let length = u16::try_from(program.len()).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    // The kernel copies the program and never writes to it; the C struct merely lacks the const.
    let description = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut() };
    set(fd, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &description)
}

/// Takes the program away, if there is one.
pub(crate) fn detach_filter(fd: BorrowedFd<'_>) -> io::Result<()> {
    match set(fd, libc::SOL_SOCKET, libc::SO_DETACH_FILTER, &0_i32) {
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        other => other,
    }
}
