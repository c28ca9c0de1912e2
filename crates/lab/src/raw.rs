//! Packets of protocols that have no sockets of their own everywhere (SCTP, DCCP, UDP-Lite, GRE), and who they come from.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::net::sockopt::{self, Timeout};
use rustix::net::{
    AddressFamily, Protocol as Number, RecvFlags, SendFlags, SocketFlags, SocketType, bind, connect, ipproto,
    recv, send, socket_with,
};
use unmasq_flow::Protocol;

use crate::error::Doing;
use crate::{LabError, Node};

/// Sends one packet that begins a flow: source port (or, of an echo request, id) 777.
///
/// Checksums are those of ICMP alone: for the others, the gateway must not look at them
/// (`net.netfilter.nf_conntrack_checksum`).
pub fn begin(node: &Node, protocol: Protocol, from: Ipv4Addr, to: Ipv4Addr) -> Result<(), LabError> {
    let packet = first_packet(protocol);
    let ask = || {
        let socket = open(protocol)?;
        bind(&socket, &SocketAddr::from((from, 0)))?;
        connect(&socket, &SocketAddr::from((to, 0)))?;
        send(&socket, packet, SendFlags::empty()).map(drop)
    };
    node.run(ask)?.doing(|| format!("sending {protocol} from {from} to {to}"))
}

/// The source port of [`begin`].
pub const PORT: u16 = 777;

fn first_packet(protocol: Protocol) -> &'static [u8] {
    const HIGH: u8 = 3;
    const LOW: u8 = 9;
    match protocol {
        // An INIT chunk (RFC 9260, section 3.3.2), with no verification tag.
        Protocol::SCTP => &[
            HIGH, LOW, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 20, 0, 0, 0, 1, 0, 0, 16, 0, 0, 1, 0, 1, 0, 0,
            0, 1,
        ],
        // A DCCP-Request (RFC 4340, section 5.1), five words long.
        Protocol::DCCP => &[HIGH, LOW, 0, 80, 5, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0],
        // All of it covered, by a checksum that is not 0.
        Protocol::UDPLITE => &[HIGH, LOW, 0, 80, 0, 8, 255, 255],
        Protocol::ICMP => &[8, 0, 0xf4, 0xf6, HIGH, LOW, 0, 0],
        // GRE without a key, carrying nothing of IPv4.
        _ => &[0, 0, 8, 0],
    }
}

fn open(protocol: Protocol) -> Result<OwnedFd, rustix::io::Errno> {
    let number = std::num::NonZeroU32::new(u32::from(protocol.0)).map_or(ipproto::RAW, Number::from_raw);
    socket_with(AddressFamily::INET, SocketType::RAW, SocketFlags::CLOEXEC, Some(number))
}

/// Hears all packets of one protocol that reach a node.
#[derive(Debug)]
pub struct Ear {
    protocol: Protocol,
    socket: OwnedFd,
}

impl Ear {
    /// Begins to listen.
    pub fn open(node: &Node, protocol: Protocol) -> Result<Self, LabError> {
        let socket = node.run(|| open(protocol))?.doing(|| format!("listening for {protocol}"))?;
        Ok(Self { protocol, socket })
    }

    /// The source of the next packet that a client sent, with its port or id; 0 for protocols without.
    pub fn next(&self, patience: Duration) -> Result<(Ipv4Addr, u16), LabError> {
        let deadline = Instant::now() + patience;
        let mut buffer = [0; 1500];
        loop {
            let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            let mut hear = || {
                sockopt::set_socket_timeout(&self.socket, Timeout::Recv, Some(left))?;
                recv(&self.socket, &mut buffer, RecvFlags::empty()).map(|(_, length)| length)
            };
            let length = hear().doing(|| format!("waiting for {}", self.protocol))?;
            if let Some(source) = source(&buffer[..length], self.protocol) {
                return Ok(source);
            }
        }
    }
}

/// `None` for what is no beginning of a flow: the answers that the node itself sends.
fn source(packet: &[u8], protocol: Protocol) -> Option<(Ipv4Addr, u16)> {
    let source: [u8; 4] = packet.get(12..16)?.try_into().ok()?;
    let payload = packet.get(usize::from(packet[0] & 0x0f) * 4..)?;
    let number = match protocol {
        Protocol::ICMP if payload.first() != Some(&8) => return None,
        Protocol::ICMP => [*payload.get(4)?, *payload.get(5)?],
        Protocol::SCTP | Protocol::DCCP | Protocol::UDPLITE => [*payload.first()?, *payload.get(1)?],
        _ => [0, 0],
    };
    Some((source.into(), u16::from_be_bytes(number)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PATIENCE;
    use crate::{Lab, Network, Plan};

    #[test]
    fn what_is_sent_is_heard_with_its_port() {
        let lab = Lab::new().unwrap();
        let network = Network::build(&lab, Plan { rules: Vec::new(), ..Plan::default() }).unwrap();
        network.servers.ip(&["route add 192.168.101.0/24 via 203.0.113.1"]).unwrap();
        let own = Ipv4Addr::new(192, 168, 101, 2);
        for protocol in [Protocol::SCTP, Protocol::DCCP, Protocol::UDPLITE, Protocol::ICMP, Protocol::GRE] {
            let ear = Ear::open(&network.servers, protocol).unwrap();
            begin(&network.clients[0], protocol, own, Ipv4Addr::new(198, 51, 100, 7)).unwrap();
            let port = if protocol == Protocol::GRE { 0 } else { PORT };
            assert_eq!(ear.next(PATIENCE).unwrap(), (own, port), "{protocol}");
        }
    }
}
