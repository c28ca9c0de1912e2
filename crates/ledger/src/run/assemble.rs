//! Sorted rows into the bytes of a run: the common end of sealing and merging.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::net::IpAddr;

use sha2::{Digest, Sha256};
use unmasq_flow::{Bound, Protocol, Timestamp, Zones};

use super::block::{BlockEncoder, MAX_ROWS, Ranking};
use super::dictionary::{Page, sorted_pages};
use super::layout::{
    self, BlockEntry, Dictionary, Index, PARITY_GROUP, PageEntry, Pages, ParityEntry, TRAILER_HASH, Trailer,
};
use super::packed::{KEY_PROTOCOL, LOOSE, Packed, Pool};
use super::reconcile::{Fate, LONGEST_SLACK, Reconciled, Rows, decide};
use super::{FORMAT_VERSION, Summary, WriteOptions};

/// Rows of one key that are looked at together. More are settled bit by bit, so that memory stays bounded. Tests get there
/// with fewer.
const MAX_GROUP: usize = if cfg!(test) { 300 } else { 1 << 16 };

/// Writes a run from rows sorted by key and start.
pub(super) struct Assembler<'a, W: Write> {
    out: Output<'a, W>,
    hour: i64,
    block_rows: usize,
    clients: Ranking<'a>,
    fars: Ranking<'a>,
    encoder: BlockEncoder,
    bytes: Vec<u8>,
    /// What `rows` refers to.
    pool: Pool,
    rows: Vec<Packed>,
    /// Where the rows of the last key begin in `rows`.
    group: usize,
    /// Can rows of the group say the same thing?
    is_suspicious: bool,
    /// Rows of the group that are written already but can still supersede.
    remembered: Vec<Packed>,
    reconciled: Reconciled,
    index: Index,
    protocols: [bool; 256],
}

impl<'a, W: Write> Assembler<'a, W> {
    pub(super) fn new(
        out: &'a mut W,
        hour: i64,
        options: WriteOptions,
        (clients, fars): (Ranking<'a>, Ranking<'a>),
    ) -> io::Result<Self> {
        let mut out = Output { out, hasher: Sha256::new(), offset: 0 };
        out.put(&layout::header())?;
        let index = Index {
            hour,
            min_start: Timestamp::MAX.as_nanos(),
            max_start: Timestamp::MIN.as_nanos(),
            ..Index::default()
        };
        Ok(Self {
            out,
            hour,
            block_rows: options.block_rows.clamp(1, MAX_ROWS),
            clients,
            fars,
            encoder: BlockEncoder::default(),
            bytes: Vec::new(),
            pool: Pool::default(),
            rows: Vec::new(),
            group: 0,
            is_suspicious: false,
            remembered: Vec::new(),
            reconciled: Reconciled::default(),
            index,
            protocols: [false; 256],
        })
    }

    /// Adds a row, which refers to `pool`. Hot: guarded by the `storage` bench.
    pub(super) fn push(&mut self, row: &Packed, pool: &Pool) -> io::Result<()> {
        if let Some(last) = self.rows[self.group..].last() {
            if last.key == row.key {
                self.is_suspicious |= last.start == row.start || !last.shape.is_final();
            } else {
                self.end_group();
                if self.rows.len() >= self.block_rows {
                    self.write_blocks()?;
                }
            }
        }
        self.is_suspicious |= !row.shape.is_final();
        // Only now: writing blocks makes a new pool.
        let row = self.pool.adopt(row, pool);
        self.rows.push(row);
        if self.rows.len() - self.group > MAX_GROUP {
            self.settle_part();
            self.write_blocks()?;
        }
        Ok(())
    }

    /// Applies the rules of [`reconcile()`](super::reconcile()) to the rows of the last key.
    fn end_group(&mut self) {
        if self.is_suspicious && self.rows.len() - self.group + self.remembered.len() > 1 {
            self.reconcile_group();
        }
        self.remembered.clear();
        self.is_suspicious = false;
        self.group = self.rows.len();
    }

    /// Takes out what goes, and says what became of the others.
    fn reconcile_group(&mut self) -> Vec<Fate> {
        let old = self.remembered.len();
        let mut rows = std::mem::take(&mut self.remembered);
        rows.extend(self.rows.drain(self.group..));
        let (fates, counts) = decide(&mut PackedRows { rows: &mut rows, pool: &self.pool });
        self.reconciled.superseded += counts.superseded;
        self.reconciled.duplicates += counts.duplicates;
        let mut stayed = Vec::with_capacity(rows.len());
        for (n, (row, fate)) in rows.into_iter().zip(fates).enumerate() {
            if n < old {
                if fate == Fate::Stays {
                    self.remembered.push(row);
                }
            } else if fate != Fate::Gone {
                self.rows.push(row);
                stayed.push(fate);
            }
        }
        stayed
    }

    /// Settles all rows of a large group but those that rows to come can still be equal to or supersede.
    fn settle_part(&mut self) {
        let fates = self.reconcile_group();
        let Some(last) = self.rows.last().map(|row| row.start) else { return };
        // Starts agree within 1 ms, rounding another one.
        let settled = self.rows[self.group..].partition_point(|row| row.start < last.saturating_sub(2));
        let is_of_use = |row: &Packed| row.shape.is_final() && row.end.saturating_add(LONGEST_SLACK) >= last;
        self.remembered.retain(is_of_use);
        for (row, fate) in self.rows[self.group..].iter().zip(&fates).take(settled) {
            if *fate == Fate::Stays && is_of_use(row) {
                self.remembered.push(*row);
            }
        }
        self.remembered.truncate(MAX_GROUP);
        // If all start at once there is nothing to wait for that would not make the group grow without bound.
        self.group += if settled == 0 { fates.len() } else { settled };
    }

    /// Writes the settled rows in whole blocks.
    fn write_blocks(&mut self) -> io::Result<()> {
        let mut written = 0;
        while self.group - written >= self.block_rows {
            self.write_block(written, written + self.block_rows)?;
            written += self.block_rows;
        }
        self.forget(written);
        Ok(())
    }

    fn write_block(&mut self, from: usize, to: usize) -> io::Result<()> {
        let rows = &self.rows[from..to];
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Ok(()) };
        self.bytes.clear();
        self.encoder.encode(rows, self.hour, (&self.clients, &self.fars), &self.pool, &mut self.bytes);
        for row in rows {
            let start = row.bounds(&self.pool.side(row)).0;
            self.index.min_start = self.index.min_start.min(start.earliest().as_nanos());
            self.index.max_start = self.index.max_start.max(start.latest().as_nanos());
            self.protocols[(row.key >> KEY_PROTOCOL) as u8 as usize] = true;
        }
        self.index.blocks.push(BlockEntry {
            offset: self.out.offset,
            length: self.bytes.len() as u32,
            rows: rows.len() as u32,
            rows_before: self.index.rows,
            first_key: first.key,
            last_key: last.key,
        });
        self.index.rows += rows.len() as u64;
        self.out.put(&self.bytes)
    }

    /// Drops the first rows, and from the pool what no row refers to any more.
    fn forget(&mut self, rows: usize) {
        if rows == 0 {
            return;
        }
        self.rows.drain(..rows);
        self.group -= rows;
        let old = std::mem::take(&mut self.pool);
        for row in self.rows.iter_mut().chain(&mut self.remembered) {
            *row = self.pool.adopt(row, &old);
        }
    }

    /// Writes the rest of the rows, the dictionaries, index and trailers.
    pub(super) fn finish(
        mut self,
        masked: &[IpAddr],
        (clients, fars): (&[Page], &[Page]),
        origins: Vec<(Box<str>, Zones)>,
    ) -> io::Result<Summary> {
        self.end_group();
        self.write_blocks()?;
        self.write_block(0, self.rows.len())?;
        self.index.protocols = (0..=255).filter(|p| self.protocols[usize::from(*p)]).map(Protocol).collect();
        self.index.origins = origins;
        let pages = sorted_pages(masked);
        self.index.dictionaries[Dictionary::Masked as usize] = self.write_pages(&pages, true)?;
        self.index.dictionaries[Dictionary::Clients as usize] = self.write_pages(clients, false)?;
        self.index.dictionaries[Dictionary::Fars as usize] = self.write_pages(fars, false)?;
        let index = self.index.encode();
        let mut trailer = Trailer {
            version: FORMAT_VERSION,
            index_length: u32::try_from(index.len())
                .map_err(|_| io::Error::other("the index is too long"))?,
            index_crc: crc32fast::hash(&index),
            index_offset: self.out.offset,
            sha256: [0; 32],
        };
        self.out.put(&index)?;
        self.out.put(&index)?;
        self.out.hasher.update(&trailer.encode()[..TRAILER_HASH]);
        trailer.sha256 = self.out.hasher.clone().finalize().into();
        self.out.put(&trailer.encode())?;
        self.out.put(&trailer.encode())?;
        Ok(Summary {
            rows: self.index.rows,
            bytes: self.out.offset,
            sha256: trailer.sha256,
            reconciled: self.reconciled,
            min_start: Timestamp::from_nanos(self.index.min_start),
            max_start: Timestamp::from_nanos(self.index.max_start),
        })
    }

    fn write_pages(&mut self, pages: &[Page], is_sorted: bool) -> io::Result<Pages> {
        let mut entries = Pages::default();
        let mut parities: Vec<Vec<u8>> = Vec::new();
        let mut addresses_before = 0;
        for (n, page) in pages.iter().enumerate() {
            let bytes = page.encode(self.encoder.encoder());
            if n % PARITY_GROUP == 0 {
                parities.push(Vec::new());
            }
            if let Some(parity) = parities.last_mut() {
                add_parity(parity, &bytes);
            }
            let addresses = page.addresses.len() as u32;
            entries.pages.push(PageEntry {
                offset: self.out.offset,
                length: bytes.len() as u32,
                crc: crc32fast::hash(&bytes),
                addresses,
                addresses_before,
                count: page.count,
                first: page.addresses.first().copied().filter(|_| is_sorted),
            });
            addresses_before += addresses;
            self.out.put(&bytes)?;
        }
        for parity in parities {
            entries.parities.push(ParityEntry {
                offset: self.out.offset,
                length: parity.len() as u32,
                crc: crc32fast::hash(&parity),
            });
            self.out.put(&parity)?;
        }
        Ok(entries)
    }
}

/// Exclusive or, as if the shorter one had zeros behind it.
pub(super) fn add_parity(parity: &mut Vec<u8>, bytes: &[u8]) {
    parity.resize(parity.len().max(bytes.len()), 0);
    for (own, other) in parity.iter_mut().zip(bytes) {
        *own ^= other;
    }
}

/// Writes and hashes.
struct Output<'a, W: Write> {
    out: &'a mut W,
    hasher: Sha256,
    offset: u64,
}

impl<W: Write> Output<'_, W> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.offset += bytes.len() as u64;
        self.out.write_all(bytes)
    }
}

/// Packed rows of one key, as [`decide`] wants to see them.
struct PackedRows<'a> {
    rows: &'a mut [Packed],
    pool: &'a Pool,
}

impl PackedRows<'_> {
    /// Loose addresses have a number for each time that they occur.
    fn same_address(&self, a: u32, b: u32) -> bool {
        match (a.checked_sub(LOOSE), b.checked_sub(LOOSE)) {
            (Some(a), Some(b)) => self.pool.loose[a as usize] == self.pool.loose[b as usize],
            _ => a == b,
        }
    }
}

impl Rows for PackedRows<'_> {
    fn count(&self) -> usize {
        self.rows.len()
    }

    fn bounds(&self, row: usize) -> (Bound, Bound) {
        self.rows[row].bounds(&self.pool.side(&self.rows[row]))
    }

    fn tuples_hash(&self, row: usize) -> u64 {
        let row = &self.rows[row];
        let mut hasher = DefaultHasher::new();
        (row.client.min(LOOSE), row.client_number, row.server.min(LOOSE), row.server_number)
            .hash(&mut hasher);
        hasher.finish()
    }

    fn same_tuples(&self, a: usize, b: usize) -> bool {
        let (a, b) = (&self.rows[a], &self.rows[b]);
        let (a_side, b_side) = (self.pool.side(a), self.pool.side(b));
        a.key == b.key
            && a.origin == b.origin
            && a.shape.tuples() == b.shape.tuples()
            && (a.client_number, a.server_number) == (b.client_number, b.server_number)
            && self.same_address(a.client, b.client)
            && self.same_address(a.server, b.server)
            && a_side.target_number == b_side.target_number
            && self.same_address(a_side.target, b_side.target)
    }

    fn same_rest(&self, a: usize, b: usize) -> bool {
        let (a, b) = (&self.rows[a], &self.rows[b]);
        a.shape == b.shape
            && a.mark == b.mark
            && a.status == b.status
            && self.pool.side(a).traffic == self.pool.side(b).traffic
    }

    fn continue_as(&mut self, row: usize, gone: usize) {
        if self.rows[gone].shape.continues() {
            self.rows[row].shape = self.rows[row].shape.continued();
        }
    }
}
