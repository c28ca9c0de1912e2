//! Several runs of an hour into one.
//!
//! The dictionaries of the inputs say how often each address occurs, so the new ranks are known before any row is read;
//! then rows stream from the inputs in order, one block of each in memory.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::Write;
use std::net::IpAddr;
use std::path::Path;

use super::assemble::Assembler;
use super::block::{Columns, Ranking};
use super::builder::{Origins, Summary, WriteOptions};
use super::dictionary::rank;
use super::interner::Interner;
use super::layout::Dictionary;
use super::packed::{AddressId, KEY_ADDRESS, LOOSE, Packed, Pool};
use super::{Damage, Run, RunError};

/// Makes one run of several of the same hour, reconciled (see [`reconcile`](super::reconcile()); of equals, the one of the
/// later input wins). Takes memory for one block of each input and for the addresses, however many rows there are.
///
/// Damage in an input is an error: merging must not turn a damaged block into a missing one. What was written to `out` by
/// then is no run.
pub fn merge(inputs: &[Run], options: &WriteOptions, out: &mut impl Write) -> Result<Summary, RunError> {
    let hour = inputs.first().map_or(0, |run| run.header().hour);
    if let Some(other) = inputs.iter().find(|run| run.header().hour != hour) {
        let path = other.path().to_owned();
        return Err(RunError::OtherHour { path, found: other.header().hour, expected: hour });
    }
    let (mut clients, mut fars, mut origins) = (Interner::default(), Interner::default(), Origins::default());
    let masked = all_masked(inputs)?;
    let mut cursors = Vec::with_capacity(inputs.len());
    for run in inputs {
        cursors.push(Cursor::new(run, &masked, (&mut clients, &mut fars), &mut origins)?);
    }
    let write_failed = |e| RunError::io(Path::new("the merged run"), "write it", e);
    let (client_ranks, far_ranks) = (rank(&clients), rank(&fars));
    let rankings = (
        Ranking { rank_of: &client_ranks.rank_of, addresses: &clients.addresses },
        Ranking { rank_of: &far_ranks.rank_of, addresses: &fars.addresses },
    );
    let mut assembler = Assembler::new(out, hour, *options, rankings).map_err(write_failed)?;
    // Of equal rows, the one of the earlier input comes first.
    let mut heads = BinaryHeap::with_capacity(cursors.len());
    for (n, cursor) in cursors.iter_mut().enumerate() {
        cursor.load()?;
        heads.extend(cursor.head().map(|head| Reverse((head, n))));
    }
    while let Some(Reverse((_, n))) = heads.pop() {
        let cursor = &mut cursors[n];
        let next = heads.peek().map(|Reverse(next)| *next);
        // As long as this input has the next row, the heap need not be asked.
        while let Some(head) = cursor.head() {
            if next.is_some_and(|next| (head, n) > next) {
                heads.push(Reverse((head, n)));
                break;
            }
            assembler.push(&cursor.rows[cursor.at], &cursor.pool).map_err(write_failed)?;
            cursor.at += 1;
            if cursor.head().is_none() {
                cursor.load()?;
            }
        }
    }
    let pages = (client_ranks.pages.as_slice(), far_ranks.pages.as_slice());
    assembler.finish(&masked, pages, origins.list).map_err(write_failed)
}

/// The masked addresses of all runs, sorted.
fn all_masked(inputs: &[Run]) -> Result<Vec<IpAddr>, Damage> {
    let mut masked = Vec::new();
    for run in inputs {
        for page in 0..run.file().index.dictionaries[Dictionary::Masked as usize].pages.len() {
            masked.extend_from_slice(run.file().page(Dictionary::Masked, page)?);
        }
        masked.sort_unstable();
        masked.dedup();
    }
    Ok(masked)
}

/// The rows of an input, block by block, with the numbers of the output.
struct Cursor<'a> {
    run: &'a Run,
    masked: Vec<u64>,
    clients: Vec<AddressId>,
    fars: Vec<AddressId>,
    origins: Vec<u32>,
    block: usize,
    rows: Vec<Packed>,
    at: usize,
    pool: Pool,
    buffer: Vec<u8>,
    columns: Columns,
}

impl<'a> Cursor<'a> {
    fn new(
        run: &'a Run,
        masked: &[IpAddr],
        (clients, fars): (&mut Interner, &mut Interner),
        origins: &mut Origins,
    ) -> Result<Self, Damage> {
        let mut places = Vec::new();
        for page in 0..run.file().index.dictionaries[Dictionary::Masked as usize].pages.len() {
            let addresses = run.file().page(Dictionary::Masked, page)?;
            places.extend(
                addresses.iter().map(|a| masked.binary_search(a).unwrap_or_else(|place| place) as u64),
            );
        }
        Ok(Self {
            run,
            masked: places,
            clients: numbers(run, Dictionary::Clients, clients)?,
            fars: numbers(run, Dictionary::Fars, fars)?,
            origins: run.origins().iter().map(|o| origins.number_of(&o.namespace, o.zones)).collect(),
            block: 0,
            rows: Vec::new(),
            at: 0,
            pool: Pool::default(),
            buffer: Vec::new(),
            columns: Columns::default(),
        })
    }

    fn head(&self) -> Option<(u64, i64)> {
        self.rows.get(self.at).map(|row| (row.key, row.start))
    }

    /// Reads the next block, if there is one.
    fn load(&mut self) -> Result<(), Damage> {
        self.rows.clear();
        self.at = 0;
        self.pool = Pool::default();
        let number = self.block;
        if number == self.run.file().index.blocks.len() {
            return Ok(());
        }
        self.block += 1;
        let file = self.run.file();
        let damaged = |what: &dyn ToString| file.block_damage(number, what);
        let mut block = file.block(number, &mut self.buffer, &mut self.columns)?;
        let rows = block.keys(0, u64::MAX).map_err(|e| damaged(&e))?.end;
        block.read_times(rows).map_err(|e| damaged(&e))?;
        block.read_rest().map_err(|e| damaged(&e))?;
        let mut walk = block.walk(0).map_err(|e| damaged(&e))?;
        while let Some(next) = walk.next(&mut self.pool) {
            let mut row = next.map_err(|e| damaged(&e))?.1;
            let unknown = || damaged(&"a row has an unknown address or origin");
            let address = |numbers: &[AddressId], id: AddressId| match id {
                LOOSE.. => Ok(id),
                known => numbers.get(known as usize).copied().ok_or_else(unknown),
            };
            let place = self.masked.get((row.key >> KEY_ADDRESS) as usize).ok_or_else(unknown)?;
            row.key = place << KEY_ADDRESS | row.key & ((1 << KEY_ADDRESS) - 1);
            row.client = address(&self.clients, row.client)?;
            if row.shape.has_server() {
                row.server = address(&self.fars, row.server)?;
            }
            if row.shape.has_target() {
                let side = &mut self.pool.sides[row.side as usize];
                side.target = address(&self.fars, side.target)?;
            }
            row.origin = *self.origins.get(row.origin as usize).ok_or_else(unknown)?;
            self.rows.push(row);
        }
        Ok(())
    }
}

/// Counts the addresses of a run's dictionary and gives their numbers, by rank.
fn numbers(run: &Run, of: Dictionary, interner: &mut Interner) -> Result<Vec<AddressId>, Damage> {
    let mut numbers = Vec::new();
    for page in 0..run.file().index.dictionaries[of as usize].pages.len() {
        let (addresses, counts) = run.file().read_page(of, page)?;
        numbers.extend(addresses.iter().zip(counts).map(|(address, count)| interner.number(*address, count)));
    }
    Ok(numbers)
}
