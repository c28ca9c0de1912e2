//! What files of state are made of.
//!
//! ```text
//! file   := header frame*
//! header := "UMQWATCH" kind(1: 'S' snapshot, 'L' log) version(1) zero(6) generation(u64) crc(u32) zero(4)
//! frame  := magic(4) length(u32) crc(u32) payload(length)        little-endian; crc = CRC-32 of length and payload
//! ```
//!
//! A snapshot has one frame. A log has one for each transaction, written by one `write`.

use std::ops::Range;

/// Newest format that is known, and the one that is written.
pub(super) const VERSION: u8 = 1;
/// Bytes of a file's header.
pub(super) const HEADER: usize = 32;
/// Bytes of a frame before its payload.
pub(super) const HEAD: usize = 12;
/// 0xf6 is in no UTF-8 text, so text cannot look like a frame.
const MAGIC: [u8; 4] = [0xf6, b'U', b'M', b'W'];
const SIGNATURE: &[u8; 8] = b"UMQWATCH";

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Snapshot,
    Log,
}

impl Kind {
    fn letter(self) -> u8 {
        match self {
            Self::Snapshot => b'S',
            Self::Log => b'L',
        }
    }
}

/// Why a header is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadHeader {
    /// Too short, or other bytes.
    Damaged,
    /// A format that is not known.
    Version(u8),
}

/// The header of a file.
pub(super) fn header(kind: Kind, generation: u64) -> [u8; HEADER] {
    let mut out = [0; HEADER];
    out[..8].copy_from_slice(SIGNATURE);
    out[8] = kind.letter();
    out[9] = VERSION;
    out[16..24].copy_from_slice(&generation.to_le_bytes());
    let crc = crc32fast::hash(&out[..24]);
    out[24..28].copy_from_slice(&crc.to_le_bytes());
    out
}

/// The frames of a file whose header is as it must be.
pub(super) fn open(bytes: &[u8], kind: Kind, generation: u64) -> Result<(), BadHeader> {
    let head = bytes.get(..HEADER).ok_or(BadHeader::Damaged)?;
    if head[..8] == *SIGNATURE && head[8] == kind.letter() && head[9] > VERSION {
        return Err(BadHeader::Version(head[9]));
    }
    if head == header(kind, generation) { Ok(()) } else { Err(BadHeader::Damaged) }
}

/// Makes room for a frame's head; [`close`] fills it in.
pub(super) fn begin(out: &mut Vec<u8>) {
    out.extend_from_slice(&[0; HEAD]);
}

/// Fills in the head of a frame that begins at `start` and whose payload is all that follows.
pub(super) fn close(out: &mut [u8], start: usize) {
    let (head, payload) = out[start..].split_at_mut(HEAD);
    let length = (payload.len() as u32).to_le_bytes();
    head[..4].copy_from_slice(&MAGIC);
    head[4..8].copy_from_slice(&length);
    head[8..].copy_from_slice(&checksum(length, payload).to_le_bytes());
}

fn checksum(length: [u8; 4], payload: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&length);
    crc.update(payload);
    crc.finalize()
}

/// The payload of the frame that begins at `at`, if it is whole.
pub(super) fn read(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    let head = bytes.get(at..at.checked_add(HEAD)?)?;
    let (magic, rest) = head.split_first_chunk::<4>()?;
    let (length, crc) = rest.split_first_chunk::<4>()?;
    let start = at + HEAD;
    let range = start..start.checked_add(u32::from_le_bytes(*length) as usize)?;
    let payload = bytes.get(range.clone())?;
    let crc = u32::from_le_bytes(crc.try_into().ok()?);
    (*magic == MAGIC && checksum(*length, payload) == crc).then_some(range)
}

/// Where the next whole frame begins after `at`.
pub(super) fn find(bytes: &[u8], at: usize) -> Option<usize> {
    let candidates = bytes.get(at + 1..)?.iter().enumerate().filter(|(_, byte)| **byte == MAGIC[0]);
    candidates.map(|(nth, _)| at + 1 + nth).find(|start| read(bytes, *start).is_some())
}
