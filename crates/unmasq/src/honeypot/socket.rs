//! Sockets: listening, and where a connection was meant to go.

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};

use anyhow::Context;
use rustix::net::sockopt;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen as listen_at, socket_with};
use unmasq_netfilter::transparent;

/// Connections that wait to be accepted; the kernel takes no more than net.core.somaxconn.
const BACKLOG: i32 = 4096;

/// Listens, without blocking. `[::]` hears IPv4, too.
pub(super) fn listen(address: SocketAddr, is_transparent: bool) -> anyhow::Result<TcpListener> {
    let listener = if is_transparent {
        transparent::tcp_listener(address).map_err(anyhow::Error::from)
    } else {
        plain(address).map_err(anyhow::Error::from)
    };
    let listener = listener.with_context(|| format!("cannot listen on {address}"))?;
    listener.set_nonblocking(true).with_context(|| format!("cannot listen on {address}"))?;
    Ok(listener)
}

fn plain(address: SocketAddr) -> rustix::io::Result<TcpListener> {
    let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, !address.ip().is_unspecified())?;
    }
    sockopt::set_socket_reuseaddr(&socket, true)?;
    bind(&socket, &address)?;
    listen_at(&socket, BACKLOG)?;
    Ok(TcpListener::from(socket))
}

/// An address as it is, not as an IPv6 socket shows it.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// What the client connected to. TPROXY leaves it at the socket's own end; of a connection that DNAT or REDIRECT brought here,
/// conntrack knows it (`SO_ORIGINAL_DST` of linux/netfilter_ipv4.h).
pub(super) fn destination(stream: &TcpStream, local: SocketAddr, is_transparent: bool) -> SocketAddr {
    if is_transparent {
        return local;
    }
    // Without conntrack, or without a translation, there is nothing else to know.
    let original = match local.ip() {
        IpAddr::V4(_) => sockopt::ip_original_dst(stream).map(SocketAddr::V4),
        IpAddr::V6(_) => sockopt::ipv6_original_dst(stream).map(SocketAddr::V6),
    };
    original.map_or(local, canonical)
}
