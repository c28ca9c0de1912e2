//! Captures in files: libpcap's classic format, and pcapng (draft-ietf-opsawg-pcapng).
//!
//! ```text
//!  pcap    magic, link type ─► (time, length, bytes)…
//!  pcapng  section ─► interfaces with link type and time unit ─► enhanced and simple packets
//! ```

use std::io::{self, Read};

use unmasq_flow::Timestamp;

use crate::packet::Link;

/// Most bytes of a packet or a block; libpcap's own limit is 256 KiB.
const MOST_PACKET: u32 = 1 << 20;

/// Most interfaces of a section.
const MOST_INTERFACES: usize = 4096;

/// A file that is no capture, or one that cannot be read on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PcapError {
    /// It cannot be read.
    #[error("cannot be read at byte {at}: {source}")]
    Read {
        /// Where.
        at: u64,
        /// The kernel's reason.
        source: io::Error,
    },
    /// It begins like no capture.
    #[error("is no capture: it begins neither as pcap nor as pcapng does")]
    Magic,
    /// It has frames of a kind that is not read.
    #[error(
        "has frames of link type {0}; Ethernet (1), raw IP (101, 228, 229) and Linux cooked (113, 276) are read"
    )]
    Link(u16),
    /// A length is impossible.
    #[error("is damaged at byte {at}: {what}")]
    Damaged {
        /// Where the packet or block begins.
        at: u64,
        /// What is wrong.
        what: &'static str,
    },
}

/// When a packet was captured, what it begins with, and its bytes.
pub type Packet<'a> = (Timestamp, Link, &'a [u8]);

/// Reads the packets of a capture, one after the other.
pub struct Capture<R> {
    input: R,
    at: u64,
    is_little: bool,
    kind: Kind,
    buffer: Vec<u8>,
}

enum Kind {
    /// Units of a second's fraction in nanoseconds.
    Classic { link: Link, fraction: i64 },
    /// The interfaces of the section.
    Next { interfaces: Vec<(Option<Link>, u64)> },
}

impl<R: Read> Capture<R> {
    /// Reads the head.
    pub fn open(input: R) -> Result<Self, PcapError> {
        let mut capture = Self {
            input,
            at: 0,
            is_little: true,
            kind: Kind::Next { interfaces: Vec::new() },
            buffer: Vec::new(),
        };
        let magic = capture.fixed::<4>()?.ok_or(PcapError::Magic)?;
        let (is_little, fraction) = match magic {
            [0xd4, 0xc3, 0xb2, 0xa1] => (true, 1000),
            [0xa1, 0xb2, 0xc3, 0xd4] => (false, 1000),
            [0x4d, 0x3c, 0xb2, 0xa1] => (true, 1),
            [0xa1, 0xb2, 0x3c, 0x4d] => (false, 1),
            [0x0a, 0x0d, 0x0d, 0x0a] => {
                capture.section(0)?;
                return Ok(capture);
            }
            _ => return Err(PcapError::Magic),
        };
        let header = capture.fixed::<20>()?.ok_or(PcapError::Magic)?;
        capture.is_little = is_little;
        // The upper bits say how long a frame check sequence is.
        let number = capture.u32(&header[16..]) as u16;
        let link = link(number).ok_or(PcapError::Link(number))?;
        capture.kind = Kind::Classic { link, fraction };
        Ok(capture)
    }

    /// The next packet; `None` at the end.
    pub fn next_packet(&mut self) -> Result<Option<Packet<'_>>, PcapError> {
        match &self.kind {
            Kind::Classic { link, fraction } => {
                let (link, fraction) = (*link, *fraction);
                let at = self.at;
                let Some(header) = self.fixed::<16>()? else { return Ok(None) };
                let [seconds, part, length] = [0, 4, 8].map(|from| self.u32(&header[from..]));
                if length > MOST_PACKET {
                    return Err(PcapError::Damaged { at, what: "a packet of more than a mebibyte" });
                }
                self.fill(length as usize)?;
                let time =
                    Timestamp::from_nanos(i64::from(seconds) * 1_000_000_000 + i64::from(part) * fraction);
                Ok(Some((time, link, &self.buffer)))
            }
            Kind::Next { .. } => self.next_block(),
        }
    }

    fn next_block(&mut self) -> Result<Option<Packet<'_>>, PcapError> {
        loop {
            let at = self.at;
            let Some(kind) = self.fixed::<4>()? else { return Ok(None) };
            if kind == [0x0a, 0x0d, 0x0d, 0x0a] {
                self.section(at)?;
                continue;
            }
            let length = self.fixed::<4>()?.ok_or(PcapError::Damaged { at, what: "a block is cut off" })?;
            let (kind, length) = (self.u32(&kind), self.u32(&length));
            if !(12..=MOST_PACKET).contains(&length) || !length.is_multiple_of(4) {
                return Err(PcapError::Damaged { at, what: "a block of an impossible length" });
            }
            self.fill(length as usize - 8)?;
            // The length stands once more at the end.
            self.buffer.truncate(length as usize - 12);
            match kind {
                1 => self.interface(at)?,
                3 | 6 => {
                    if let Some((time, link, from, length)) = self.packet(kind == 6, at)? {
                        return Ok(Some((time, link, &self.buffer[from..from + length])));
                    }
                }
                _ => {}
            }
        }
    }

    /// A section's header, whose kind was read.
    fn section(&mut self, at: u64) -> Result<(), PcapError> {
        let short = PcapError::Damaged { at, what: "a section's head is cut off" };
        let head = self.fixed::<8>()?.ok_or(short)?;
        self.is_little = match head[4..] {
            [0x4d, 0x3c, 0x2b, 0x1a] => true,
            [0x1a, 0x2b, 0x3c, 0x4d] => false,
            _ => return Err(PcapError::Damaged { at, what: "a section of an unknown byte order" }),
        };
        let length = self.u32(&head);
        if !(28..=MOST_PACKET).contains(&length) || !length.is_multiple_of(4) {
            return Err(PcapError::Damaged { at, what: "a section's head of an impossible length" });
        }
        self.fill(length as usize - 12)?;
        self.kind = Kind::Next { interfaces: Vec::new() };
        Ok(())
    }

    fn interface(&mut self, at: u64) -> Result<(), PcapError> {
        let damaged = PcapError::Damaged { at, what: "the description of an interface is cut off" };
        let Some(number) = self.buffer.first_chunk::<2>() else { return Err(damaged) };
        let number = if self.is_little { u16::from_le_bytes(*number) } else { u16::from_be_bytes(*number) };
        let mut per_second = 1_000_000;
        let mut options = self.buffer.get(8..).unwrap_or_default();
        while let [a, b, c, d, rest @ ..] = options {
            let [code, length] = [[*a, *b], [*c, *d]]
                .map(|pair| if self.is_little { u16::from_le_bytes(pair) } else { u16::from_be_bytes(pair) });
            let Some(value) = rest.get(..usize::from(length)) else { break };
            // if_tsresol: a power of ten, or of two if its highest bit is set.
            if let (9, [resolution]) = (code, value) {
                let exponent = u32::from(resolution & 0x7f);
                let base: u64 = if resolution & 0x80 == 0 { 10 } else { 2 };
                per_second = base
                    .checked_pow(exponent)
                    .ok_or(PcapError::Damaged { at, what: "a unit of time too small" })?;
            }
            options = rest.get(usize::from(length).next_multiple_of(4)..).unwrap_or_default();
        }
        let Kind::Next { interfaces } = &mut self.kind else { return Ok(()) };
        if interfaces.len() == MOST_INTERFACES {
            return Err(PcapError::Damaged { at, what: "more interfaces than can be" });
        }
        // Those of other kinds are left out where their packets come, as others may be of ours.
        interfaces.push((link(number), per_second));
        Ok(())
    }

    /// Where a packet is in the buffer, and what is known of it; `None` for one that is left out.
    fn packet(
        &self,
        is_enhanced: bool,
        at: u64,
    ) -> Result<Option<(Timestamp, Link, usize, usize)>, PcapError> {
        let damaged = |what| PcapError::Damaged { at, what };
        let Kind::Next { interfaces } = &self.kind else { return Ok(None) };
        let head = if is_enhanced { 20 } else { 4 };
        if self.buffer.len() < head {
            return Err(damaged("a packet is cut off"));
        }
        let nth = if is_enhanced { self.u32(&self.buffer) as usize } else { 0 };
        let (link, per_second) = interfaces.get(nth).ok_or(damaged("a packet of an unknown interface"))?;
        let Some(link) = link else { return Ok(None) };
        if !is_enhanced {
            // Its length may be less than that of the wire, and it has no time.
            let length = (self.u32(&self.buffer) as usize).min(self.buffer.len() - 4);
            return Ok(Some((Timestamp::from_nanos(0), *link, 4, length)));
        }
        let [high, low, length] = [4, 8, 12].map(|from| self.u32(&self.buffer[from..]));
        let length = length as usize;
        if length > self.buffer.len() - head {
            return Err(damaged("a packet is longer than its block"));
        }
        let units = (u64::from(high) << 32) | u64::from(low);
        let nanos = u128::from(units) * 1_000_000_000 / u128::from(*per_second);
        let time = Timestamp::from_nanos(i64::try_from(nanos).unwrap_or(i64::MAX - 1));
        Ok(Some((time, *link, head, length)))
    }

    fn u32(&self, bytes: &[u8]) -> u32 {
        let bytes = bytes.first_chunk().copied().unwrap_or_default();
        if self.is_little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) }
    }

    /// So many bytes; `None` if the file ends before the first of them.
    fn fixed<const N: usize>(&mut self) -> Result<Option<[u8; N]>, PcapError> {
        let mut bytes = [0; N];
        let mut count = 0;
        while count < N {
            match self.input.read(&mut bytes[count..]) {
                Ok(0) if count == 0 => return Ok(None),
                Ok(0) => {
                    return Err(PcapError::Damaged { at: self.at, what: "it ends in the middle of a head" });
                }
                Ok(more) => count += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(PcapError::Read { at: self.at, source }),
            }
        }
        self.at += N as u64;
        Ok(Some(bytes))
    }

    /// Fills the buffer with so many bytes.
    fn fill(&mut self, length: usize) -> Result<(), PcapError> {
        self.buffer.resize(length, 0);
        self.input.read_exact(&mut self.buffer).map_err(|source| match source.kind() {
            io::ErrorKind::UnexpectedEof => {
                PcapError::Damaged { at: self.at, what: "it ends in the middle of a packet" }
            }
            _ => PcapError::Read { at: self.at, source },
        })?;
        self.at += length as u64;
        Ok(())
    }
}

/// The link types of tcpdump.org/linktypes.html that are read.
fn link(number: u16) -> Option<Link> {
    match number {
        1 => Some(Link::Ethernet),
        // LINKTYPE_RAW, and DLT_RAW of Linux (12), LINKTYPE_IPV4, LINKTYPE_IPV6.
        12 | 101 | 228 | 229 => Some(Link::Ip),
        113 => Some(Link::Cooked),
        276 => Some(Link::Cooked2),
        _ => None,
    }
}

/// A classic capture of Ethernet frames, with times in nanoseconds: for tests.
pub fn write<'f>(frames: impl IntoIterator<Item = (Timestamp, &'f [u8])>) -> Vec<u8> {
    let mut file = vec![0x4d, 0x3c, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0];
    for (time, frame) in frames {
        let nanos = time.as_nanos().max(0);
        for number in [nanos / 1_000_000_000, nanos % 1_000_000_000, frame.len() as i64, frame.len() as i64] {
            file.extend((number as u32).to_le_bytes());
        }
        file.extend(frame);
    }
    file
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(bytes: &[u8]) -> Result<Vec<(Timestamp, Link, Vec<u8>)>, PcapError> {
        let mut capture = Capture::open(bytes)?;
        let mut packets = Vec::new();
        while let Some((time, link, bytes)) = capture.next_packet()? {
            packets.push((time, link, bytes.to_vec()));
        }
        Ok(packets)
    }

    /// A block of pcapng in big-endian order.
    fn block(kind: u32, body: &[u8]) -> Vec<u8> {
        let length = (12 + body.len().next_multiple_of(4)) as u32;
        let mut block = [kind.to_be_bytes(), length.to_be_bytes()].concat();
        block.extend(body);
        block.resize(length as usize - 4, 0);
        block.extend(length.to_be_bytes());
        block
    }

    #[test]
    fn a_next_generation_capture_has_the_time_unit_of_each_interface() {
        let mut file =
            block(0x0a0d_0d0a, &[0x1a, 0x2b, 0x3c, 0x4d, 0, 1, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255]);
        // Ethernet in nanoseconds, then USB, which is none of ours.
        file.extend(block(1, &[0, 1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 1, 9, 0, 0, 0, 0, 0, 0, 0]));
        file.extend(block(1, &[0, 220, 0, 0, 0, 0, 0, 0]));
        file.extend(block(0x0bad, &[1, 2, 3]));
        let packet = |interface: u8, nanos: u8| {
            let mut body = vec![0, 0, 0, interface, 0, 0, 0, 0, 0, 0, 0, nanos, 0, 0, 0, 3, 0, 0, 0, 9];
            body.extend([7, 8, 9]);
            block(6, &body)
        };
        file.extend(packet(1, 1));
        file.extend(packet(0, 5));
        assert_eq!(all(&file).unwrap(), [(Timestamp::from_nanos(5), Link::Ethernet, vec![7, 8, 9])]);
        file.extend(packet(2, 5));
        assert!(matches!(all(&file), Err(PcapError::Damaged { .. })));
    }

    #[test]
    fn what_is_no_capture_says_so() {
        assert!(matches!(all(b""), Err(PcapError::Magic)));
        assert!(matches!(all(b"{\"event_type\""), Err(PcapError::Magic)));
        let mut file = write([]);
        file[20] = 220;
        assert!(matches!(all(&file), Err(PcapError::Link(220))));
        let mut file = write([(Timestamp::from_seconds(1), &[1, 2, 3][..])]);
        file.pop();
        assert!(matches!(all(&file), Err(PcapError::Damaged { at: 40, .. })));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(frames in prop::collection::vec((0i64..1 << 60, prop::collection::vec(any::<u8>(), 0..50)), 0..5)) {
            let frames: Vec<_> = frames.into_iter().map(|(t, f)| (Timestamp::from_nanos(t), f)).collect();
            let read = all(&write(frames.iter().map(|(t, f)| (*t, &f[..])))).unwrap();
            let written: Vec<_> = frames.into_iter().map(|(t, f)| (t, Link::Ethernet, f)).collect();
            prop_assert_eq!(read, written);
        }

        #[test]
        fn any_bytes_are_read_or_refused(mut bytes in prop::collection::vec(any::<u8>(), 0..200), magic in 0usize..4) {
            let magics = [[0xd4, 0xc3, 0xb2, 0xa1], [0xa1, 0xb2, 0x3c, 0x4d], [0x0a, 0x0d, 0x0d, 0x0a]];
            if let (Some(magic), true) = (magics.get(magic), bytes.len() > 24) {
                bytes[..4].copy_from_slice(magic);
            }
            let _ = all(&bytes);
        }
    }
}
