//! Where the parts of a run are: header, index, trailer.
//!
//! ```text
//! file    = header block* page* parity* index index trailer trailer
//! header  = "UNMASQRN" version:u16 0:u16 CRC-32:u32                                16 bytes
//! trailer = "UNMASQRN" version:u16 0:u16 index-length:u32 index-CRC-32:u32 index-offset:u64 SHA-256 CRC-32:u32    64 bytes
//! index   = hour:zigzag rows:varint min-start:i64 max-start:i64 protocols origins pages blocks
//! ```
//!
//! Everything that all rows need is there twice (index, trailer) or can be restored (pages, see [`PARITY_GROUP`]): one bad
//! byte costs one block at most. The SHA-256 is that of all bytes before it; what follows is determined by them.
//! Numbers are little-endian.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use unmasq_flow::{Protocol, Zones};

use super::FORMAT_VERSION;
use super::block::MAX_ROWS;
use super::code::{Corrupt, put_varint, put_zigzag, take_varint, take_zigzag};
use super::dictionary::{MAX_ADDRESSES, PAGE};

pub(super) const MAGIC: [u8; 8] = *b"UNMASQRN";
pub(super) const HEADER: usize = 16;
pub(super) const TRAILER: usize = 64;
/// Where the SHA-256 is in a trailer.
pub(super) const TRAILER_HASH: usize = 28;
/// The pages of a dictionary by this many are followed by a parity page, the exclusive or of them all.
pub(super) const PARITY_GROUP: usize = 16;

/// One of the three dictionaries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum Dictionary {
    /// Sorted.
    Masked,
    /// By frequency.
    Clients,
    /// Servers and targets, by frequency.
    Fars,
}

/// A block of rows, in the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BlockEntry {
    pub(super) offset: u64,
    pub(super) length: u32,
    pub(super) rows: u32,
    /// Rows in the blocks before.
    pub(super) rows_before: u64,
    pub(super) first_key: u64,
    pub(super) last_key: u64,
}

/// A page of a dictionary, in the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PageEntry {
    pub(super) offset: u64,
    pub(super) length: u32,
    pub(super) crc: u32,
    pub(super) addresses: u32,
    /// Addresses in the pages before.
    pub(super) addresses_before: u32,
    /// About how often each address occurs.
    pub(super) count: u32,
    /// Of sorted dictionaries, to find the page of an address.
    pub(super) first: Option<IpAddr>,
}

/// A parity page, in the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ParityEntry {
    pub(super) offset: u64,
    pub(super) length: u32,
    pub(super) crc: u32,
}

/// Pages and parity pages of a dictionary.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pages {
    pub(super) pages: Vec<PageEntry>,
    pub(super) parities: Vec<ParityEntry>,
}

impl Pages {
    /// How many addresses there are.
    pub(super) fn addresses(&self) -> usize {
        self.pages.last().map_or(0, |p| (p.addresses_before + p.addresses) as usize)
    }
}

/// What the index says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Index {
    pub(super) hour: i64,
    pub(super) rows: u64,
    /// Nanoseconds, the earliest and the latest possible start.
    pub(super) min_start: i64,
    pub(super) max_start: i64,
    /// Sorted.
    pub(super) protocols: Vec<Protocol>,
    /// Namespace and zones.
    pub(super) origins: Vec<(Box<str>, Zones)>,
    /// By [`Dictionary`].
    pub(super) dictionaries: [Pages; 3],
    pub(super) blocks: Vec<BlockEntry>,
}

impl Index {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_zigzag(&mut out, self.hour);
        put_varint(&mut out, self.rows);
        out.extend_from_slice(&self.min_start.to_le_bytes());
        out.extend_from_slice(&self.max_start.to_le_bytes());
        put_varint(&mut out, self.protocols.len() as u64);
        out.extend(self.protocols.iter().map(|p| p.0));
        put_varint(&mut out, self.origins.len() as u64);
        for (namespace, zones) in &self.origins {
            put_varint(&mut out, namespace.len() as u64);
            out.extend_from_slice(namespace.as_bytes());
            put_varint(&mut out, zones.original.into());
            put_varint(&mut out, zones.reply.into());
        }
        // Parts lie one after the other: lengths are enough.
        put_varint(&mut out, self.blocks.len() as u64);
        let mut key = 0;
        for block in &self.blocks {
            put_varint(&mut out, block.length.into());
            put_varint(&mut out, block.rows.into());
            put_varint(&mut out, block.first_key.wrapping_sub(key));
            put_varint(&mut out, block.last_key.wrapping_sub(block.first_key));
            key = block.last_key;
        }
        for dictionary in &self.dictionaries {
            put_varint(&mut out, dictionary.pages.len() as u64);
            for page in &dictionary.pages {
                put_varint(&mut out, page.length.into());
                out.extend_from_slice(&page.crc.to_le_bytes());
                put_varint(&mut out, page.addresses.into());
                put_varint(&mut out, page.count.into());
                match page.first {
                    None => out.push(0),
                    Some(IpAddr::V4(v4)) => {
                        out.push(4);
                        out.extend_from_slice(&v4.octets());
                    }
                    Some(IpAddr::V6(v6)) => {
                        out.push(6);
                        out.extend_from_slice(&v6.octets());
                    }
                }
            }
            for parity in &dictionary.parities {
                put_varint(&mut out, parity.length.into());
                out.extend_from_slice(&parity.crc.to_le_bytes());
            }
        }
        out
    }

    /// The inverse of [`Index::encode`]. `end` is where the blocks and pages end in the file. Allocates no more than the
    /// bytes can describe.
    pub(super) fn decode(mut bytes: &[u8], end: u64) -> Result<Self, Corrupt> {
        let bytes = &mut bytes;
        let mut index = Self { hour: take_zigzag(bytes)?, rows: take_varint(bytes)?, ..Self::default() };
        index.min_start = i64::from_le_bytes(take_array(bytes)?);
        index.max_start = i64::from_le_bytes(take_array(bytes)?);
        for _ in 0..take_count(bytes)? {
            index.protocols.push(Protocol(take_array::<1>(bytes)?[0]));
        }
        for _ in 0..take_count(bytes)? {
            let length = take_count(bytes)?;
            let (name, rest) = bytes.split_at(length);
            let name = str::from_utf8(name).map_err(|_| Corrupt("a namespace's name is not UTF-8"))?;
            *bytes = rest;
            let zones = Zones { original: take_zone(bytes)?, reply: take_zone(bytes)? };
            index.origins.push((name.into(), zones));
        }
        let mut offset = HEADER as u64;
        let mut place = |length: u64| -> Result<(u64, u32), Corrupt> {
            let at = offset;
            offset = offset
                .checked_add(length)
                .filter(|o| *o <= end)
                .ok_or(Corrupt("a part lies outside of the file"))?;
            Ok((at, u32::try_from(length).map_err(|_| Corrupt("a part is too long"))?))
        };
        let (mut key, mut rows_before) = (0_u64, 0);
        for _ in 0..take_count(bytes)? {
            let (offset, length) = place(take_varint(bytes)?)?;
            let rows = take_varint(bytes)?;
            if rows == 0 || rows > MAX_ROWS as u64 {
                return Err(Corrupt("a block has no or too many rows"));
            }
            let first_key = key.wrapping_add(take_varint(bytes)?);
            key = first_key.wrapping_add(take_varint(bytes)?);
            let block =
                BlockEntry { offset, length, rows: rows as u32, rows_before, first_key, last_key: key };
            index.blocks.push(block);
            rows_before += rows;
        }
        for dictionary in &mut index.dictionaries {
            let mut addresses_before = 0_u32;
            for _ in 0..take_count(bytes)? {
                let (offset, length) = place(take_varint(bytes)?)?;
                let crc = u32::from_le_bytes(take_array(bytes)?);
                let addresses = take_varint(bytes)?;
                let count = u32::try_from(take_varint(bytes)?).unwrap_or(u32::MAX);
                let first = match take_array::<1>(bytes)?[0] {
                    0 => None,
                    4 => Some(IpAddr::V4(Ipv4Addr::from(take_array(bytes)?))),
                    6 => Some(IpAddr::V6(Ipv6Addr::from(take_array(bytes)?))),
                    _ => return Err(Corrupt("an address has an unknown family")),
                };
                if addresses == 0 || addresses > PAGE as u64 || addresses_before > u32::MAX / 2 {
                    return Err(Corrupt("a page has no or too many addresses"));
                }
                let addresses = addresses as u32;
                dictionary.pages.push(PageEntry {
                    offset,
                    length,
                    crc,
                    addresses,
                    addresses_before,
                    count,
                    first,
                });
                addresses_before += addresses;
            }
            for _ in 0..dictionary.pages.len().div_ceil(PARITY_GROUP) {
                let (offset, length) = place(take_varint(bytes)?)?;
                dictionary.parities.push(ParityEntry {
                    offset,
                    length,
                    crc: u32::from_le_bytes(take_array(bytes)?),
                });
            }
        }
        let ranked = &index.dictionaries[1..];
        if rows_before != index.rows
            || !bytes.is_empty()
            || ranked.iter().any(|d| d.addresses() > MAX_ADDRESSES)
        {
            return Err(Corrupt("the index does not agree with itself"));
        }
        Ok(index)
    }
}

fn take_array<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], Corrupt> {
    let (array, rest) = bytes.split_first_chunk::<N>().ok_or(Corrupt("the index is cut off"))?;
    *bytes = rest;
    Ok(*array)
}

/// A number of things of at least one byte each.
fn take_count(bytes: &mut &[u8]) -> Result<usize, Corrupt> {
    let count = take_varint(bytes)?;
    if count > bytes.len() as u64 { Err(Corrupt("the index is cut off")) } else { Ok(count as usize) }
}

fn take_zone(bytes: &mut &[u8]) -> Result<u16, Corrupt> {
    u16::try_from(take_varint(bytes)?).map_err(|_| Corrupt("a zone is out of range"))
}

pub(super) fn header() -> [u8; HEADER] {
    let mut out = [0; HEADER];
    out[..8].copy_from_slice(&MAGIC);
    out[8..10].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
    let crc = crc32fast::hash(&out[..12]);
    out[12..].copy_from_slice(&crc.to_le_bytes());
    out
}

/// A trailer's fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Trailer {
    pub(super) version: u16,
    pub(super) index_length: u32,
    pub(super) index_crc: u32,
    /// Of the first copy; the second follows it.
    pub(super) index_offset: u64,
    pub(super) sha256: [u8; 32],
}

impl Trailer {
    pub(super) fn encode(&self) -> [u8; TRAILER] {
        let mut out = [0; TRAILER];
        out[..8].copy_from_slice(&MAGIC);
        out[8..10].copy_from_slice(&self.version.to_le_bytes());
        out[12..16].copy_from_slice(&self.index_length.to_le_bytes());
        out[16..20].copy_from_slice(&self.index_crc.to_le_bytes());
        out[20..28].copy_from_slice(&self.index_offset.to_le_bytes());
        out[TRAILER_HASH..60].copy_from_slice(&self.sha256);
        let crc = crc32fast::hash(&out[..60]);
        out[60..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// `None` if it is no trailer or damaged.
    pub(super) fn decode(bytes: &[u8; TRAILER]) -> Option<Self> {
        fn field<const N: usize>(bytes: &[u8; TRAILER], at: usize) -> [u8; N] {
            std::array::from_fn(|n| bytes[at + n])
        }
        let is_sound = bytes[..8] == MAGIC && crc32fast::hash(&bytes[..60]).to_le_bytes() == bytes[60..];
        is_sound.then(|| Self {
            version: u16::from_le_bytes(field(bytes, 8)),
            index_length: u32::from_le_bytes(field(bytes, 12)),
            index_crc: u32::from_le_bytes(field(bytes, 16)),
            index_offset: u64::from_le_bytes(field(bytes, 20)),
            sha256: field(bytes, TRAILER_HASH),
        })
    }
}
