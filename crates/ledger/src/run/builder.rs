//! Rows in any order into a run.

use std::io::{self, Write};
use std::net::IpAddr;
use std::sync::Arc;

use unmasq_flow::{Flow, Origin, Timestamp, Zones};

use super::assemble::Assembler;
use super::block::Ranking;
use super::dictionary::rank;
use super::interner::Interner;
use super::packed::{AddressId, KEY_ADDRESS, Numbers, Packed, Pool, pack};
use super::reconcile::Reconciled;
use super::row::Row;
use super::sort::order;

/// How a run is written.
#[derive(Clone, Copy, Debug)]
pub struct WriteOptions {
    /// Rows in a block, at most 65,536. More make the file a little smaller and a look-up slower: of 2^12, 2^13 and 2^14
    /// rows the `storage` bench gives 7.24, 7.19 and 7.17 bytes a flow, and 70, 120 and 240 µs a look-up.
    pub block_rows: usize,
}

impl Default for WriteOptions {
    fn default() -> Self {
        Self { block_rows: 4096 }
    }
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Rows in the run.
    pub rows: u64,
    /// Size of the file.
    pub bytes: u64,
    /// SHA-256 of the file up to the place where the file itself states it, which is [`Header::sha256`](super::Header).
    pub sha256: [u8; 32],
    /// Rows that were left out, as others say more.
    pub reconciled: Reconciled,
    /// The earliest possible start of a flow in it ([`Timestamp::MAX`] if it is empty).
    pub min_start: Timestamp,
    /// The latest possible start of a flow in it ([`Timestamp::MIN`] if it is empty).
    pub max_start: Timestamp,
}

/// Collects rows of one hour, in any order and packed (64 bytes a row, twice that with counters), and writes them as a run.
#[derive(Debug)]
pub struct Builder {
    hour: i64,
    options: WriteOptions,
    rows: Vec<Packed>,
    pool: Pool,
    masked: Interner,
    numbers: Interners,
    origins: Origins,
}

#[derive(Debug, Default)]
struct Interners {
    clients: Interner,
    fars: Interner,
}

impl Numbers for Interners {
    fn client(&mut self, address: IpAddr) -> AddressId {
        self.clients.number(address, 1)
    }

    fn far(&mut self, address: IpAddr) -> AddressId {
        self.fars.number(address, 1)
    }
}

/// Namespaces and zones, numbered.
#[derive(Debug, Default)]
pub(super) struct Origins {
    pub(super) list: Vec<(Box<str>, Zones)>,
    /// The last one: flows of one origin come together, and share it.
    last: Option<(Arc<Origin>, u32)>,
}

impl Origins {
    fn number(&mut self, origin: &Arc<Origin>) -> u32 {
        match &self.last {
            Some((last, number)) if Arc::ptr_eq(last, origin) => *number,
            _ => {
                let number = self.number_of(&origin.namespace, origin.zones);
                self.last = Some((Arc::clone(origin), number));
                number
            }
        }
    }

    pub(super) fn number_of(&mut self, namespace: &str, zones: Zones) -> u32 {
        let found = self.list.iter().position(|(n, z)| **n == *namespace && *z == zones);
        found.unwrap_or_else(|| {
            self.list.push((namespace.into(), zones));
            self.list.len() - 1
        }) as u32
    }
}

impl Builder {
    /// Nothing yet. `hour` counts UTC hours since the Unix epoch.
    pub fn new(hour: i64, options: &WriteOptions) -> Self {
        Self {
            hour,
            options: *options,
            rows: Vec::new(),
            pool: Pool::default(),
            masked: Interner::default(),
            numbers: Interners::default(),
            origins: Origins::default(),
        }
    }

    /// Adds a row. `continues` as in [`Row::continues`]. Hot: guarded by the `storage` bench.
    pub fn push(&mut self, flow: &Flow, continues: bool) {
        let masked = self.masked.number(flow.masked.address.to_canonical(), 1);
        let origin = self.origins.number(&flow.origin);
        let row = pack(flow, continues, self.hour, (masked, origin), &mut self.numbers, &mut self.pool);
        self.rows.push(row);
    }

    /// Rows so far.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Is there no row yet?
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// About how many bytes of memory the rows and their dictionaries take. Writing needs another 40 bytes a row.
    pub fn memory(&self) -> usize {
        let rows = self.rows.capacity() * size_of::<Packed>() + self.pool.memory();
        rows + self.masked.memory() + self.numbers.clients.memory() + self.numbers.fars.memory()
    }

    /// Sorts, reconciles (see [`reconcile`](super::reconcile())) and writes. The caller flushes and syncs.
    pub fn finish(mut self, out: &mut impl Write) -> io::Result<Summary> {
        let mut sorted: Vec<AddressId> = (0..self.masked.len() as AddressId).collect();
        sorted.sort_unstable_by_key(|id| self.masked.addresses[*id as usize]);
        let mut place_of = vec![0_u64; sorted.len()];
        for (place, id) in sorted.iter().enumerate() {
            place_of[*id as usize] = place as u64;
        }
        for row in &mut self.rows {
            let place = place_of[(row.key >> KEY_ADDRESS) as usize];
            row.key = place << KEY_ADDRESS | row.key & ((1 << KEY_ADDRESS) - 1);
        }
        let order = order(self.rows.len(), |n| (self.rows[n].key, self.rows[n].start));
        let Interners { clients, fars } = &self.numbers;
        let (client_ranks, far_ranks) = (rank(clients), rank(fars));
        let rankings = (
            Ranking { rank_of: &client_ranks.rank_of, addresses: &clients.addresses },
            Ranking { rank_of: &far_ranks.rank_of, addresses: &fars.addresses },
        );
        let mut assembler = Assembler::new(out, self.hour, self.options, rankings)?;
        for n in order {
            assembler.push(&self.rows[n as usize], &self.pool)?;
        }
        let masked: Vec<IpAddr> = sorted.iter().map(|id| self.masked.addresses[*id as usize]).collect();
        assembler.finish(&masked, (&client_ranks.pages, &far_ranks.pages), self.origins.list)
    }
}

/// Writes the rows as a run: [`Builder`] in one call.
pub fn write(
    rows: impl IntoIterator<Item = Row>,
    hour: i64,
    options: &WriteOptions,
    out: &mut impl Write,
) -> io::Result<Summary> {
    let mut builder = Builder::new(hour, options);
    for row in rows {
        builder.push(&row.flow, row.continues);
    }
    builder.finish(out)
}
