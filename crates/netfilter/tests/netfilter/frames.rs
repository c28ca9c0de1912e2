//! Raw frames for tests: a new UDP flow in each, and the sender that brings them out.

use std::net::{IpAddr, Ipv4Addr};
use std::ops::Range;
use std::time::Instant;

use unmasq_lab::{Network, Node};
use unmasq_netfilter::packet::Sender;

use crate::listener::{PATIENCE, namespace, ping};

/// A UDP datagram of four bytes in an Ethernet frame.
pub(crate) fn udp(gateway: [u8; 6], source: (Ipv4Addr, u16), destination: (Ipv4Addr, u16)) -> Vec<u8> {
    let mut ip = vec![0x45, 0, 0, 32, 0, 1, 0, 0, 64, 17, 0, 0];
    ip.extend(source.0.octets());
    ip.extend(destination.0.octets());
    let sum = ip.chunks_exact(2).map(|w| u32::from(u16::from_be_bytes([w[0], w[1]]))).sum::<u32>();
    let sum = (sum & 0xffff) + (sum >> 16);
    ip[10..12].copy_from_slice(&(!((sum & 0xffff) + (sum >> 16)) as u16).to_be_bytes());
    let mut frame = gateway.to_vec();
    frame.extend([2, 0, 0, 0, 0, 9, 8, 0]);
    frame.extend(ip);
    // A checksum of 0 is none, in IPv4.
    for word in [source.1, destination.1, 12, 0, 0x7563, 0x6d71] {
        frame.extend(word.to_be_bytes());
    }
    frame
}

fn hardware_address(node: &Node, interface: &str) -> [u8; 6] {
    let text = node.exec(&["cat", &format!("/sys/class/net/{interface}/address")]).unwrap();
    let bytes: Vec<u8> = text.trim().split(':').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
    bytes.try_into().unwrap()
}

/// Makes a new UDP flow from each of these ports of the first client through the gateway, and returns when
/// the gateway has seen them all begin.
pub(crate) fn new_flows(network: &Network, ports: Range<u16>) {
    let gateway = hardware_address(&network.gateway, "lan0");
    let (IpAddr::V4(client), IpAddr::V4(server)) = (network.client(0), network.server(0, 9).ip()) else {
        panic!("client and server have IPv4 addresses")
    };
    // The neighbour entry toward the server, or the first frames wait for it and overflow its queue.
    ping(&network.clients[0], server.into(), 1);
    // They have no answer; none of them ends before the last has begun, however slow the machine is.
    network.gateway.set("net.netfilter.nf_conntrack_udp_timeout", "3600").unwrap();
    let before = network.gateway.flows_begun().unwrap();
    let frames: Vec<Vec<u8>> = ports.map(|port| udp(gateway, (client, port), (server, 9))).collect();
    let sender = Sender::open(&namespace(&network.clients[0]), "wan").unwrap();
    let mut sent = 0;
    // The receiving side of a veth pair has a queue of 1,000 by default (net.core.netdev_max_backlog).
    for some in frames.chunks(256) {
        sender.send(&some.iter().map(Vec::as_slice).collect::<Vec<_>>()).unwrap();
        sent += some.len() as u64;
        let start = Instant::now();
        while network.gateway.flows_begun().unwrap() - before < sent {
            assert!(start.elapsed() < PATIENCE, "the gateway has not seen {sent} flows");
        }
    }
}
