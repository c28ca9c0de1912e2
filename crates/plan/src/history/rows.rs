//! Who had what in one revision: a file of rows, whole or as the difference to the revision before.
//!
//! ```text
//!  "UPLR" version u32 · revision u64 · base u64 (itself: whole) · added u32 · removed u32 · crc32 of the rows
//!  row: public address u32 · first port u16 · last port u16 · client u32 · protocols u8 · 3 zeros     (16 bytes, big-endian)
//! ```
//!
//! A row of the client 0.0.0.0 is the overflow, which is nobody's. The rows of a difference are those that the revision
//! adds, then those that it takes away. A question walks from the revision it asks about toward the whole one: at most
//! [`LONGEST`] files.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use super::HistoryError;
use super::record::Digest;
use crate::PortRange;
use crate::plan::{Allocation, Block, ProtocolSet};

const MAGIC: &[u8; 4] = b"UPLR";
const VERSION: u32 = 1;
pub(super) const HEADER: usize = 36;
const ROW: usize = 16;
/// So many files are read at most for one revision. More would make look-ups slower, fewer the history larger.
pub(super) const LONGEST: u64 = 16;

/// The rows of one file.
#[derive(Clone, Debug)]
pub(super) struct Rows {
    /// The revision that these are a difference to; `None` if they are whole.
    pub(super) base: Option<u64>,
    added: Vec<u8>,
    removed: Vec<u8>,
}

pub(super) fn path(directory: &Path, revision: u64) -> PathBuf {
    directory.join("revisions").join(format!("{revision:08}.rows"))
}

/// The digest of a plan's rows, whatever their order and however they are stored.
pub(super) fn digest(allocations: &[Allocation]) -> Digest {
    let mut sorted = allocations.to_vec();
    sorted.sort_unstable_by_key(|a| (a.block, a.client, a.protocols));
    // Somebody else's rules can say the same twice.
    sorted.dedup();
    Digest::of(&pack(&sorted))
}

/// What a file of rows holds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Content<'a> {
    /// All of them.
    Whole(&'a [Allocation]),
    /// Those that the revision adds to this one, and those that it takes away.
    Difference { base: u64, added: &'a [Allocation], removed: &'a [Allocation] },
}

/// The bytes of a file.
pub(super) fn encode(revision: u64, content: Content<'_>) -> Vec<u8> {
    let (base, added, removed) = match content {
        Content::Whole(allocations) => (revision, pack(allocations), Vec::new()),
        Content::Difference { base, added, removed } => (base, pack(added), pack(removed)),
    };
    let mut bytes = Vec::with_capacity(HEADER + added.len() + removed.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&revision.to_le_bytes());
    bytes.extend_from_slice(&base.to_le_bytes());
    bytes.extend_from_slice(&((added.len() / ROW) as u32).to_le_bytes());
    bytes.extend_from_slice(&((removed.len() / ROW) as u32).to_le_bytes());
    let mut crc = crc32fast::Hasher::new();
    crc.update(&bytes);
    crc.update(&added);
    crc.update(&removed);
    bytes.extend_from_slice(&crc.finalize().to_le_bytes());
    bytes.extend_from_slice(&added);
    bytes.extend_from_slice(&removed);
    bytes
}

/// Reads the rows of a revision.
pub(super) fn read(directory: &Path, revision: u64) -> Result<Rows, HistoryError> {
    let path = path(directory, revision);
    let bytes = fs::read(&path).map_err(HistoryError::io("reading", &path))?;
    parse(&path, &bytes, revision)
}

pub(super) fn parse(path: &Path, bytes: &[u8], revision: u64) -> Result<Rows, HistoryError> {
    let damaged = |what: &str| HistoryError::damaged(path, 0, what);
    let Some((header, rows)) = bytes.split_first_chunk::<HEADER>() else {
        return Err(damaged("it ends within its header"));
    };
    if &header[..4] != MAGIC {
        return Err(damaged("it does not begin as rows of a plan do"));
    }
    let four = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let eight = |at: usize| u64::from(four(at)) | u64::from(four(at + 4)) << 32;
    if four(4) != VERSION {
        return Err(HistoryError::Version { path: path.to_owned(), found: four(4), known: VERSION });
    }
    let mut crc = crc32fast::Hasher::new();
    crc.update(&header[..HEADER - 4]);
    crc.update(rows);
    if crc.finalize() != four(32) {
        return Err(damaged("the checksum is wrong"));
    }
    let (added, removed) = (four(24) as usize * ROW, four(28) as usize * ROW);
    let base = Some(eight(16)).filter(|base| *base != revision);
    let is_sound = eight(8) == revision && added + removed == rows.len() && base.is_none_or(|b| b < revision);
    if !is_sound {
        return Err(damaged("it is not the file of this revision"));
    }
    let (added, removed) = rows.split_at(added);
    Ok(Rows { base, added: added.to_vec(), removed: removed.to_vec() })
}

impl Rows {
    /// The rows that the revision has, or adds.
    pub(super) fn added(&self) -> impl Iterator<Item = Allocation> {
        unpack(&self.added)
    }

    /// The rows that it takes away.
    pub(super) fn removed(&self) -> impl Iterator<Item = Allocation> {
        unpack(&self.removed)
    }

    /// Those of the added that are of this address.
    pub(super) fn of(&self, address: Ipv4Addr) -> impl Iterator<Item = Allocation> {
        let address = address.octets();
        let rows = self.added.as_chunks::<ROW>().0;
        rows.iter().filter(move |row| row[..4] == address).filter_map(unpack_row)
    }

    /// Those that have this port of it, too. Hot: a look-up goes through all rows of a revision (`benches/history.rs`).
    pub(super) fn on(&self, address: Ipv4Addr, port: u16) -> impl Iterator<Item = Allocation> {
        self.of(address).filter(move |a| a.block.ports.contains(port))
    }
}

fn pack(allocations: &[Allocation]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(allocations.len() * ROW);
    for allocation in allocations {
        bytes.extend_from_slice(&allocation.block.address.octets());
        bytes.extend_from_slice(&allocation.block.ports.first().to_be_bytes());
        bytes.extend_from_slice(&allocation.block.ports.last().to_be_bytes());
        bytes.extend_from_slice(&allocation.client.octets());
        bytes.extend_from_slice(&[allocation.protocols.bits(), 0, 0, 0]);
    }
    bytes
}

fn unpack(bytes: &[u8]) -> impl Iterator<Item = Allocation> {
    bytes.as_chunks::<ROW>().0.iter().filter_map(unpack_row)
}

/// A row whose last port comes before its first was never written: the checksum would not be right.
fn unpack_row(row: &[u8; ROW]) -> Option<Allocation> {
    let two = |at: usize| u16::from_be_bytes([row[at], row[at + 1]]);
    let four = |at: usize| Ipv4Addr::new(row[at], row[at + 1], row[at + 2], row[at + 3]);
    Some(Allocation {
        client: four(8),
        block: Block { address: four(0), ports: PortRange::new(two(4), two(6))? },
        protocols: ProtocolSet::from_bits(row[12]),
    })
}
