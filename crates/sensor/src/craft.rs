//! Packets made up: for tests, and for load generators that rewrite a handshake many times over.

use std::net::{IpAddr, SocketAddr};

use crate::packet::Flags;

/// What a frame is to look like.
#[derive(Clone, Copy, Debug)]
pub struct Craft<'c> {
    /// Who sends it.
    pub source: SocketAddr,
    /// To whom; of the same family.
    pub destination: SocketAddr,
    /// Its VLAN tags, the outermost first.
    pub tags: &'c [u16],
    /// Bytes of options in the IPv4 header, a multiple of 4, at most 40.
    pub options: usize,
    /// The numbers of IPv6 extension headers before TCP.
    pub extensions: &'c [u8],
}

impl Craft<'_> {
    /// Without tags, options and extensions.
    pub fn new(source: SocketAddr, destination: SocketAddr) -> Self {
        Self { source, destination, tags: &[], options: 0, extensions: &[] }
    }

    /// The Ethernet frame of a segment. The checksum of IPv4 is right, that of TCP is 0.
    pub fn frame(&self, sequence: u32, flags: Flags, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
        for tag in self.tags {
            frame.extend([0x81, 0x00]);
            frame.extend(tag.to_be_bytes());
        }
        frame.extend(if self.source.is_ipv4() { [0x08, 0x00] } else { [0x86, 0xdd] });
        frame.extend(self.packet(sequence, flags, payload));
        frame
    }

    /// The same from the IP header on.
    pub fn packet(&self, sequence: u32, flags: Flags, payload: &[u8]) -> Vec<u8> {
        let mut tcp = Vec::with_capacity(20 + payload.len());
        tcp.extend(self.source.port().to_be_bytes());
        tcp.extend(self.destination.port().to_be_bytes());
        tcp.extend(sequence.to_be_bytes());
        tcp.extend([0; 4]);
        let bit = |is_set: bool, bit: u8| if is_set { bit } else { 0 };
        tcp.extend([0x50, bit(flags.fin, 1) | bit(flags.syn, 2) | bit(flags.rst, 4) | bit(flags.ack, 16)]);
        tcp.extend([0xfa, 0xf0, 0, 0, 0, 0]);
        tcp.extend(payload);
        let mut packet = Vec::with_capacity(40 + self.options + 20 + payload.len());
        match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let header = 20 + self.options;
                packet.extend([0x40 | (header / 4) as u8, 0]);
                packet.extend(((header + tcp.len()) as u16).to_be_bytes());
                packet.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
                packet.extend(source.octets());
                packet.extend(destination.octets());
                // Options that say nothing.
                packet.resize(header, 1);
                let sum = checksum(&packet);
                packet[10..12].copy_from_slice(&sum.to_be_bytes());
            }
            (source, destination) => {
                let mut extensions = Vec::new();
                for (nth, kind) in self.extensions.iter().enumerate() {
                    let next = self.extensions.get(nth + 1).copied().unwrap_or(6);
                    // Sixteen bytes each: a length of 1 in units of eight, of 2 in those of the authentication header.
                    extensions.extend([next, if *kind == 51 { 2 } else { 1 }]);
                    extensions.extend([0; 14]);
                }
                packet.extend([0x60, 0, 0, 0]);
                packet.extend(((extensions.len() + tcp.len()) as u16).to_be_bytes());
                packet.extend([self.extensions.first().copied().unwrap_or(6), 64]);
                for address in [source, destination] {
                    packet.extend(match address {
                        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
                        IpAddr::V6(address) => address.octets(),
                    });
                }
                packet.extend(extensions);
            }
        }
        packet.extend(tcp);
        packet
    }
}

/// A segment without anything special, from its IP header on.
pub fn tcp_over(
    source: SocketAddr,
    destination: SocketAddr,
    sequence: u32,
    flags: Flags,
    payload: &[u8],
) -> Vec<u8> {
    Craft::new(source, destination).packet(sequence, flags, payload)
}

/// RFC 1071, of a header whose own checksum is 0 yet.
fn checksum(header: &[u8]) -> u16 {
    let mut sum: u32 = header
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)])))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
