//! From a frame to a TCP segment: Ethernet and VLAN tags, IPv4 and IPv6, TCP.
//!
//! Checksums are not verified: what a host sends itself leaves the kernel without them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What a packet begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// An Ethernet header.
    Ethernet,
    /// The IP header: what NFLOG gives, and the link type `LINKTYPE_RAW`.
    Ip,
    /// Linux's cooked header, of `tcpdump -i any` (`LINKTYPE_LINUX_SLL`).
    Cooked,
    /// Its second version (`LINKTYPE_LINUX_SLL2`).
    Cooked2,
}

/// The tags of a frame, the outermost first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Vlan {
    /// The number of each, 0 to 4095; 0xffff where there is none.
    ids: [u16; Self::MOST],
    count: u8,
}

impl Vlan {
    /// Most tags that are told; further ones are passed over.
    pub const MOST: usize = 2;

    /// Adds a tag within those there are; 802.1Q's control information, of which twelve bits are the number.
    pub fn push(&mut self, control: u16) {
        if let Some(id) = self.ids.get_mut(usize::from(self.count)) {
            *id = control & 0x0fff;
            self.count += 1;
        }
    }

    /// The numbers, the outermost first.
    pub fn ids(&self) -> &[u16] {
        &self.ids[..usize::from(self.count)]
    }
}

/// The flags of a segment that matter here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "they are bits of the header, in any combination")]
pub struct Flags {
    /// It begins the connection, or answers that.
    pub syn: bool,
    /// It acknowledges something.
    pub ack: bool,
    /// Its sender sends nothing more.
    pub fin: bool,
    /// The connection is over at once.
    pub rst: bool,
}

/// A TCP segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    /// Its tags.
    pub vlan: Vlan,
    /// Who sent it.
    pub source: SocketAddr,
    /// To whom.
    pub destination: SocketAddr,
    /// The sequence number of its first byte, or of its SYN.
    pub sequence: u32,
    /// Its flags.
    pub flags: Flags,
    /// As much of its bytes as was captured.
    pub payload: &'a [u8],
}

/// Why a packet is no segment that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passed {
    /// It is of another protocol than TCP over IP.
    Other,
    /// It is a part of a packet.
    Fragment,
    /// It ends before its headers do, or they contradict each other.
    Broken,
}

const VLAN: [u16; 3] = [0x8100, 0x88a8, 0x9100];
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const TCP: u8 = 6;
/// Most extension headers of IPv6 that are followed.
const MOST_EXTENSIONS: usize = 8;

/// Reads a packet. `tags` are those that the capture took off the frame, as Linux does with the outermost.
///
/// # Errors
/// What it is instead of a segment.
pub fn read(link: Link, tags: Vlan, bytes: &[u8]) -> Result<Segment<'_>, Passed> {
    let mut vlan = tags;
    let packet = match link {
        Link::Ip => bytes,
        Link::Ethernet => untagged(bytes, 12, &mut vlan)?,
        Link::Cooked => untagged(bytes, 14, &mut vlan)?,
        Link::Cooked2 => {
            let kind = be16(bytes, 0)?;
            let rest = bytes.get(20..).ok_or(Passed::Broken)?;
            within(kind, rest, &mut vlan)?
        }
    };
    match packet.first().ok_or(Passed::Broken)? >> 4 {
        4 => ipv4(packet, vlan),
        6 => ipv6(packet, vlan),
        _ => Err(Passed::Other),
    }
}

/// The IP packet behind a header whose last two bytes, at that offset, say what follows.
fn untagged<'a>(bytes: &'a [u8], kind_at: usize, vlan: &mut Vlan) -> Result<&'a [u8], Passed> {
    let kind = be16(bytes, kind_at)?;
    within(kind, &bytes[kind_at + 2..], vlan)
}

fn within<'a>(mut kind: u16, mut bytes: &'a [u8], vlan: &mut Vlan) -> Result<&'a [u8], Passed> {
    while VLAN.contains(&kind) {
        vlan.push(be16(bytes, 0)?);
        kind = be16(bytes, 2)?;
        bytes = &bytes[4..];
    }
    if [IPV4, IPV6].contains(&kind) { Ok(bytes) } else { Err(Passed::Other) }
}

fn ipv4(packet: &[u8], vlan: Vlan) -> Result<Segment<'_>, Passed> {
    let (header, _) = packet.split_first_chunk::<20>().ok_or(Passed::Broken)?;
    if header[9] != TCP {
        return Err(Passed::Other);
    }
    // More fragments, or not the first.
    if u16::from_be_bytes([header[6], header[7]]) & 0x3fff != 0 {
        return Err(Passed::Fragment);
    }
    let length = usize::from(header[0] & 0x0f) * 4;
    let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
    // 0 is what a segment has that the network card is still to cut up (TSO), and which is longer than 64 KiB.
    let end = if total == 0 { packet.len() } else { total.min(packet.len()) };
    if length < 20 || (total != 0 && total < length) {
        return Err(Passed::Broken);
    }
    let address = |at: usize| -> IpAddr {
        let mut octets = [0; 4];
        octets.copy_from_slice(&header[at..at + 4]);
        Ipv4Addr::from(octets).into()
    };
    let ends = [address(12), address(16)];
    tcp(packet.get(length..end).ok_or(Passed::Broken)?, ends, vlan)
}

fn ipv6(packet: &[u8], vlan: Vlan) -> Result<Segment<'_>, Passed> {
    let (header, rest) = packet.split_first_chunk::<40>().ok_or(Passed::Broken)?;
    let address = |at: usize| -> IpAddr {
        let mut octets = [0; 16];
        octets.copy_from_slice(&header[at..at + 16]);
        Ipv6Addr::from(octets).into()
    };
    let ends = [address(8), address(24)];
    let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
    // 0: a jumbogram, or one that is still to be cut up.
    let mut rest = if length == 0 { rest } else { &rest[..length.min(rest.len())] };
    let mut next = header[6];
    for _ in 0..=MOST_EXTENSIONS {
        // RFC 8200, section 4, and RFC 4302 for the authentication header, whose length is in other units.
        let skip = match next {
            TCP => return tcp(rest, ends, vlan),
            0 | 43 | 60 | 135 => 8 + 8 * usize::from(*rest.get(1).ok_or(Passed::Broken)?),
            51 => 8 + 4 * usize::from(*rest.get(1).ok_or(Passed::Broken)?),
            44 => {
                // A fragment that is the whole packet (RFC 6946) is none.
                if be16(rest, 2)? & 0xfff9 != 0 {
                    return Err(Passed::Fragment);
                }
                8
            }
            _ => return Err(Passed::Other),
        };
        next = *rest.first().ok_or(Passed::Broken)?;
        rest = rest.get(skip..).ok_or(Passed::Broken)?;
    }
    Err(Passed::Other)
}

fn tcp(segment: &[u8], ends: [IpAddr; 2], vlan: Vlan) -> Result<Segment<'_>, Passed> {
    let (header, _) = segment.split_first_chunk::<20>().ok_or(Passed::Broken)?;
    let offset = usize::from(header[12] >> 4) * 4;
    if offset < 20 {
        return Err(Passed::Broken);
    }
    // Options that were cut off take nothing from what is known of the segment.
    let payload = segment.get(offset..).unwrap_or_default();
    let has = |bit: u8| header[13] & bit != 0;
    Ok(Segment {
        vlan,
        source: SocketAddr::new(ends[0], u16::from_be_bytes([header[0], header[1]])),
        destination: SocketAddr::new(ends[1], u16::from_be_bytes([header[2], header[3]])),
        sequence: u32::from_be_bytes([header[4], header[5], header[6], header[7]]),
        flags: Flags { fin: has(1), syn: has(2), rst: has(4), ack: has(16) },
        payload,
    })
}

fn be16(bytes: &[u8], at: usize) -> Result<u16, Passed> {
    let bytes = bytes.get(at..).and_then(|rest| rest.first_chunk()).ok_or(Passed::Broken)?;
    Ok(u16::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::craft::{Craft, tcp_over};

    #[test]
    fn a_segment_is_found_behind_tags_options_and_extension_headers() {
        let ends = |v6: bool| {
            if v6 {
                ("[2001:db8::7]:4711".parse().unwrap(), "[2001:db8::1]:22".parse().unwrap())
            } else {
                ("192.0.2.7:4711".parse().unwrap(), "198.51.100.1:22".parse().unwrap())
            }
        };
        for (v6, tags, options, extensions) in [
            (false, &[][..], 0, &[][..]),
            (false, &[7][..], 8, &[][..]),
            (true, &[7, 4095][..], 0, &[][..]),
            (true, &[][..], 0, &[0, 60, 43, 51][..]),
        ] {
            let (source, destination) = ends(v6);
            let craft = Craft { tags, options, extensions, ..Craft::new(source, destination) };
            let frame = craft.frame(9, Flags { ack: true, ..Flags::default() }, b"SSH-2.0-x\r\n");
            let segment = read(Link::Ethernet, Vlan::default(), &frame).unwrap();
            assert_eq!((segment.source, segment.destination), (source, destination));
            assert_eq!(segment.vlan.ids(), tags);
            assert_eq!((segment.sequence, segment.payload), (9, &b"SSH-2.0-x\r\n"[..]));
            assert_eq!(segment.flags, Flags { ack: true, ..Flags::default() });
        }
    }

    #[test]
    fn a_tag_that_the_kernel_took_off_is_the_outermost() {
        let craft = Craft {
            tags: &[20],
            ..Craft::new("192.0.2.7:1".parse().unwrap(), "192.0.2.8:22".parse().unwrap())
        };
        let mut taken = Vlan::default();
        taken.push(0xe00a);
        let frame = craft.frame(0, Flags::default(), b"");
        assert_eq!(read(Link::Ethernet, taken, &frame).unwrap().vlan.ids(), [10, 20]);
    }

    #[test]
    fn padding_of_a_short_frame_is_no_payload() {
        let craft = Craft::new("192.0.2.7:1".parse().unwrap(), "192.0.2.8:22".parse().unwrap());
        let mut frame = craft.frame(0, Flags::default(), b"");
        frame.resize(60, 0);
        assert_eq!(read(Link::Ethernet, Vlan::default(), &frame).unwrap().payload, b"");
    }

    #[test]
    fn what_is_no_segment_says_so() {
        let (a, b) = ("192.0.2.7:1".parse().unwrap(), "192.0.2.8:22".parse().unwrap());
        let whole = tcp_over(a, b, 0, Flags::default(), b"x");
        let reason = |bytes: &[u8]| read(Link::Ip, Vlan::default(), bytes).unwrap_err();
        let mut fragment = whole.clone();
        fragment[6] = 0x20;
        assert_eq!(reason(&fragment), Passed::Fragment);
        let mut udp = whole.clone();
        udp[9] = 17;
        assert_eq!(reason(&udp), Passed::Other);
        for cut in 0..40 {
            assert_eq!(reason(&whole[..cut]), Passed::Broken, "{cut}");
        }
        assert_eq!(read(Link::Ethernet, Vlan::default(), &[0; 64]), Err(Passed::Other));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_passed_over(bytes in prop::collection::vec(any::<u8>(), 0..120), first in 0u8..3) {
            let mut bytes = bytes;
            if let (Some(byte), true) = (bytes.first_mut(), first > 0) {
                *byte = if first == 1 { 0x45 } else { 0x60 };
            }
            for link in [Link::Ethernet, Link::Ip, Link::Cooked, Link::Cooked2] {
                if let Ok(segment) = read(link, Vlan::default(), &bytes) {
                    prop_assert!(segment.payload.len() <= bytes.len());
                }
            }
        }
    }
}
