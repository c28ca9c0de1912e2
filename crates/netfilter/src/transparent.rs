//! Sockets of a transparent proxy: they take connections that were meant for other hosts.
//!
//! The rules that bring such connections here are another matter (`TPROXY`, nft's `tproxy`). Whoever listens for them binds to
//! 127.0.0.1 or ::1: such a listener is not reached by connections to this host itself.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt as options};

use crate::error::system;
use crate::{Result, sockopt};

/// Connections that wait to be accepted; the kernel takes no more than net.core.somaxconn.
const BACKLOG: i32 = 4096;

/// Listens in the calling thread's namespace with `IP_TRANSPARENT`. Of a connection that it accepts, the local address is the
/// one that the client meant.
pub fn tcp_listener(address: SocketAddr) -> Result<TcpListener> {
    const NEEDED: &str = "CAP_NET_ADMIN or CAP_NET_RAW";
    let (family, level, option) = if address.is_ipv6() {
        (AddressFamily::INET6, libc::SOL_IPV6, libc::IPV6_TRANSPARENT)
    } else {
        (AddressFamily::INET, libc::SOL_IP, libc::IP_TRANSPARENT)
    };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)
        .map_err(system("opening a TCP socket", NEEDED))?;
    sockopt::set(socket.as_fd(), level, option, &1_i32).map_err(system("setting IP_TRANSPARENT", NEEDED))?;
    options::set_socket_reuseaddr(&socket, true)
        .and_then(|()| bind(&socket, &address))
        .and_then(|()| listen(&socket, BACKLOG))
        .map_err(system("listening for a transparent proxy", NEEDED))?;
    Ok(TcpListener::from(socket))
}
