//! Real clients: TCP, UDP and ICMP with chosen source ports and ids, their sockets in a namespace.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::net::sockopt::{self, Timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, connect, ipproto, recv, send,
    socket_with,
};

use crate::error::Doing;
use crate::{LabError, Node, PATIENCE};

/// Opens a TCP connection from a chosen local endpoint (`0.0.0.0:40000`: any address, this port; port 0:
/// any).
pub fn tcp(node: &Node, from: SocketAddr, to: SocketAddr) -> Result<TcpStream, LabError> {
    let open = || {
        let socket = socket_with(family(to.ip()), SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        // A port whose last connection is in TIME_WAIT is what port reuse is tested with.
        sockopt::set_socket_reuseaddr(&socket, true)?;
        sockopt::set_socket_timeout(&socket, Timeout::Send, Some(PATIENCE))?;
        sockopt::set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))?;
        bind(&socket, &from)?;
        connect(&socket, &to)?;
        Ok::<_, rustix::io::Errno>(TcpStream::from(socket))
    };
    node.run(open)?.doing(|| format!("connecting from {from} to tcp {to}"))
}

/// Opens a UDP socket at a chosen local endpoint that talks to one server.
pub fn udp(node: &Node, from: SocketAddr, to: SocketAddr) -> Result<UdpSocket, LabError> {
    let open = || {
        let socket = UdpSocket::bind(from)?;
        socket.connect(to)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok::<_, std::io::Error>(socket)
    };
    node.run(open)?.doing(|| format!("opening udp {from} toward {to}"))
}

/// Sends some bytes over a TCP connection and waits for their echo.
pub fn talk(mut stream: &TcpStream) -> Result<(), LabError> {
    let mut answer = [0; WORDS.len()];
    stream
        .write_all(WORDS)
        .and_then(|()| stream.read_exact(&mut answer))
        .doing(|| "talking to an echo server over tcp".into())
}

/// Sends a datagram and waits for its echo.
pub fn talk_udp(socket: &UdpSocket) -> Result<(), LabError> {
    let mut answer = [0; WORDS.len()];
    socket
        .send(WORDS)
        .and_then(|_| socket.recv(&mut answer))
        .map(drop)
        .doing(|| "talking to an echo server over udp".into())
}

const WORDS: &[u8] = b"who am I, as you see it?";

/// Closes a TCP connection at once with a RST, so that the kernel forgets its flow within seconds and not
/// minutes.
pub fn abort(stream: TcpStream) -> Result<(), LabError> {
    sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).doing(|| "setting SO_LINGER".into())?;
    drop(stream);
    Ok(())
}

/// Sends one echo request with a chosen id and waits for the answer, which names the id as the client knows
/// it.
pub fn ping(node: &Node, to: IpAddr, id: u16) -> Result<(), LabError> {
    let protocol = if to.is_ipv6() { ipproto::ICMPV6 } else { ipproto::ICMP };
    let ask = || {
        let socket = socket_with(family(to), SocketType::RAW, SocketFlags::CLOEXEC, Some(protocol))?;
        sockopt::set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))?;
        connect(&socket, &SocketAddr::new(to, 0))?;
        send(&socket, &echo_request(to, id), SendFlags::empty())?;
        await_reply(&socket, to, id)
    };
    node.run(ask)?.doing(|| format!("pinging {to} with id {id}"))
}

/// A raw socket gets every ICMP message of the namespace from that host: other ids are skipped.
fn await_reply(socket: &OwnedFd, to: IpAddr, id: u16) -> Result<(), rustix::io::Errno> {
    let mut buffer = [0; 1500];
    loop {
        let (_, length) = recv(socket, &mut buffer, RecvFlags::empty())?;
        let packet = &buffer[..length];
        // Raw IPv4 sockets deliver the IP header too; its length is in its first byte.
        let (message, reply) = match to {
            IpAddr::V4(_) => (packet.get(usize::from(packet[0] & 0x0f) * 4..), 0),
            IpAddr::V6(_) => (Some(packet), 129),
        };
        if let Some([kind, _, _, _, high, low, ..]) = message
            && *kind == reply
            && [*high, *low] == id.to_be_bytes()
        {
            return Ok(());
        }
    }
}

fn echo_request(to: IpAddr, id: u16) -> [u8; 8] {
    let [high, low] = id.to_be_bytes();
    let mut message = [if to.is_ipv6() { 128 } else { 8 }, 0, 0, 0, high, low, 0, 1];
    if to.is_ipv4() {
        // The kernel fills in the checksum of ICMPv6 only.
        let sum = message
            .chunks_exact(2)
            .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
            .sum::<u32>();
        let folded = (sum & 0xffff) + (sum >> 16);
        message[2..4].copy_from_slice(&(!(folded as u16)).to_be_bytes());
    }
    message
}

fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_of_an_echo_request_sums_to_all_ones() {
        let message = echo_request(IpAddr::from([127, 0, 0, 1]), 0xfffe);
        let sum = message
            .chunks_exact(2)
            .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
            .sum::<u32>();
        assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff);
    }
}
