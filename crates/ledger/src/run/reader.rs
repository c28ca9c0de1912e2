//! Rows out of a run.

use std::cell::Cell;
use std::fs::File;
use std::net::IpAddr;
use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::sync::Arc;

use unmasq_flow::{Endpoint, Origin, Period, Protocol, Selector, Timestamp};

use super::block::{BlockReader, COLUMNS, Columns, NAMES};
use super::code::Corrupt;
use super::file::{RunFile, Source};
use super::layout::Dictionary;
use super::packed::{LAST_SELECTOR, LOOSE, Names, Packed, Pool, key, parts};
use super::{AddressRange, Damage, Filter, Row, RunError};

/// What a run says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Version of the format it is written in.
    pub version: u16,
    /// The UTC hour, counted since the Unix epoch.
    pub hour: i64,
    /// Rows.
    pub rows: u64,
    /// Size of the file.
    pub bytes: u64,
    /// The earliest possible start of a flow in it ([`Timestamp::MAX`] if it is empty).
    pub min_start: Timestamp,
    /// The latest possible start of a flow in it ([`Timestamp::MIN`] if it is empty).
    pub max_start: Timestamp,
    /// SHA-256 of the file up to the place where this is stated. [`Run::verify`] computes it again.
    pub sha256: [u8; 32],
}

/// The rows next to a time at which nobody was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Neighbours {
    /// The row with the latest start that is not after the time, and its place.
    pub before: Option<(Row, u64)>,
    /// The row with the earliest start after the time, and its place.
    pub after: Option<(Row, u64)>,
}

/// An open run. Reading takes `&self` and is safe from several threads.
#[derive(Debug)]
pub struct Run {
    file: RunFile,
    header: Header,
    origins: Vec<Arc<Origin>>,
}

/// What reading needs, kept for the thread's next read.
#[derive(Debug, Default)]
struct Scratch {
    buffer: Vec<u8>,
    columns: Columns,
    pool: Pool,
}

thread_local! {
    /// Taken out while in use: a callback may read another run.
    static SCRATCH: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}

fn with_scratch<T>(work: impl FnOnce(&mut Scratch) -> T) -> T {
    let mut scratch = SCRATCH.take().unwrap_or_default();
    let result = work(&mut scratch);
    SCRATCH.set(Some(scratch));
    result
}

impl Run {
    /// Opens a run and reads its index. `stream` becomes the stream of its flows' origins.
    pub fn open(path: &Path, stream: &str) -> Result<Self, RunError> {
        let file = File::open(path).map_err(|e| RunError::io(path, "open it", e))?;
        Self::from_source(path, Source::File(file), stream)
    }

    pub(super) fn from_source(path: &Path, source: Source, stream: &str) -> Result<Self, RunError> {
        let file = RunFile::open(path, source)?;
        let index = &file.index;
        let origin =
            |(namespace, zones): &(Box<str>, _)| Origin::new(stream, namespace).with_zones(*zones).shared();
        let origins = index.origins.iter().map(origin).collect();
        let header = Header {
            version: file.version,
            hour: index.hour,
            rows: index.rows,
            bytes: file.length,
            min_start: Timestamp::from_nanos(index.min_start),
            max_start: Timestamp::from_nanos(index.max_start),
            sha256: file.sha256,
        };
        Ok(Self { file, header, origins })
    }

    /// What it says of itself.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    pub(super) fn file(&self) -> &RunFile {
        &self.file
    }

    pub(super) fn origins(&self) -> &[Arc<Origin>] {
        &self.origins
    }

    /// Rows on a masked endpoint (an open selector means every selector) that can have been alive in the period, sorted
    /// by (protocol, selector, start), each with its place: its number in the run. Returns what could not be read.
    #[must_use = "the rows are not all if something could not be read"]
    pub fn find(
        &self,
        masked: Endpoint,
        protocol: Option<Protocol>,
        period: Period,
        on_row: &mut dyn FnMut(Row, u64),
    ) -> Vec<Damage> {
        self.scan(&Filter::masked(masked, protocol, period), &mut |row, place| {
            on_row(row, place);
            ControlFlow::Continue(())
        })
    }

    /// The rows on a masked endpoint whose starts are next to a time. Adds to `damage` what could not be read.
    pub fn neighbours(
        &self,
        masked: Endpoint,
        protocol: Option<Protocol>,
        at: Timestamp,
        damage: &mut Vec<Damage>,
    ) -> Neighbours {
        let mut found = Neighbours::default();
        damage.extend(self.find(masked, protocol, Period::ALWAYS, &mut |row, place| {
            let start = row.flow.start.earliest();
            if start <= at {
                if found.before.as_ref().is_none_or(|(b, _)| b.flow.start.earliest() <= start) {
                    found.before = Some((row, place));
                }
            } else if found.after.as_ref().is_none_or(|(a, _)| start < a.flow.start.earliest()) {
                found.after = Some((row, place));
            }
        }));
        found
    }

    /// Rows that pass the filter, in the run's order, until `on_row` breaks. Returns what could not be read.
    #[must_use = "the rows are not all if something could not be read"]
    pub fn scan(&self, filter: &Filter, on_row: &mut dyn FnMut(Row, u64) -> ControlFlow<()>) -> Vec<Damage> {
        with_scratch(|scratch| {
            let mut scan = Scan { run: self, filter, clients: None, fars: None, damage: Vec::new(), scratch };
            let _ = scan.all(on_row);
            scan.damage
        })
    }

    /// Reads everything, compares every checksum, and says what is damaged.
    pub fn verify(&self) -> Vec<Damage> {
        let mut damage = self.file.check_frame();
        let mut rows = 0;
        damage.extend(with_scratch(|scratch| {
            let mut scan = Scan {
                run: self,
                filter: &Filter::default(),
                clients: None,
                fars: None,
                damage: Vec::new(),
                scratch,
            };
            let _ = scan.all(&mut |_, _| {
                rows += 1;
                ControlFlow::Continue(())
            });
            scan.damage
        }));
        if damage.is_empty() && self.file.hash().map_or(true, |hash| hash != self.header.sha256) {
            damage.push(Damage {
                path: self.path().to_owned(),
                block: None,
                offset: 0,
                length: self.header.bytes,
                rows: 0,
                what: "all checksums are right, but the SHA-256 is not: the file was changed on purpose"
                    .to_owned(),
            });
        }
        damage
    }

    /// How many bytes the columns of the blocks, dictionaries and indexes take, by name.
    pub fn sizes(&self) -> Result<Vec<(&'static str, u64)>, Damage> {
        let mut sizes = [0; COLUMNS];
        let index = &self.file.index;
        with_scratch(|scratch| {
            for number in 0..index.blocks.len() {
                let block = self.file.block(number, &mut scratch.buffer, &mut scratch.columns)?;
                for (sum, size) in sizes.iter_mut().zip(block.sizes()) {
                    *sum += size as u64;
                }
            }
            Ok(())
        })?;
        let mut named: Vec<_> = NAMES.into_iter().zip(sizes).filter(|(_, size)| *size > 0).collect();
        for (name, pages) in
            ["masked addresses", "client addresses", "far addresses"].into_iter().zip(&index.dictionaries)
        {
            named.push((name, pages.pages.iter().map(|p| u64::from(p.length)).sum()));
        }
        named.push(("all else", self.header.bytes - named.iter().map(|(_, size)| size).sum::<u64>()));
        Ok(named)
    }
}

/// Which numbers of a dictionary are in a range of addresses.
type Wanted = Box<[bool]>;

/// A scan under way.
struct Scan<'a> {
    run: &'a Run,
    filter: &'a Filter,
    clients: Option<Wanted>,
    fars: Option<Wanted>,
    damage: Vec<Damage>,
    scratch: &'a mut Scratch,
}

/// Stops a block: the caller has enough, or the block is damaged.
enum Stop {
    Enough,
    Damage(Damage),
}

impl Scan<'_> {
    fn all(&mut self, on_row: &mut dyn FnMut(Row, u64) -> ControlFlow<()>) -> ControlFlow<()> {
        self.clients = self.filter.client.map(|range| self.wanted(Dictionary::Clients, range));
        self.fars = self.filter.server.map(|range| self.wanted(Dictionary::Fars, range));
        let blocks = &self.run.file.index.blocks;
        for (low, high) in self.key_ranges() {
            let first = blocks.partition_point(|b| b.last_key < low);
            for (number, _) in blocks.iter().enumerate().skip(first).take_while(|(_, b)| b.first_key <= high)
            {
                match self.block(number, (low, high), on_row) {
                    Ok(()) => {}
                    Err(Stop::Enough) => return ControlFlow::Break(()),
                    Err(Stop::Damage(damage)) => self.damage.push(damage),
                }
            }
        }
        ControlFlow::Continue(())
    }

    /// Ranges of keys, sorted, outside of which nothing can pass the filter.
    fn key_ranges(&mut self) -> Vec<(u64, u64)> {
        let Some(range) = self.filter.masked else { return vec![(0, u64::MAX)] };
        let is_one = range.first == range.last;
        let (low, high) =
            match (self.run.file.masked_number(range.first), self.run.file.masked_number(range.last)) {
                (Ok(low), Ok(Ok(high))) => (low.unwrap_or_else(|place| place), high),
                (Ok(low), Ok(Err(place))) => match place.checked_sub(1) {
                    Some(high) => (low.unwrap_or_else(|place| place), high),
                    None => return Vec::new(),
                },
                (Err(damage), _) | (_, Err(damage)) => {
                    // Without it nobody knows which rows are meant.
                    self.damage.push(damage);
                    return Vec::new();
                }
            };
        if low > high || range.first.is_ipv4() != range.last.is_ipv4() {
            return Vec::new();
        }
        if !is_one {
            return vec![(
                key(low, Protocol(0), Selector::None),
                key(high, Protocol(u8::MAX), Selector::None) | LAST_SELECTOR,
            )];
        }
        let index = &self.run.file.index;
        let protocols: Vec<Protocol> = match self.filter.protocol {
            Some(protocol) => vec![protocol],
            None => index.protocols.clone(),
        };
        let selectors = |protocol| match self.filter.masked_selector {
            Selector::None => {
                let first = key(low, protocol, Selector::None);
                (first, first + LAST_SELECTOR)
            }
            selector => (key(low, protocol, selector), key(low, protocol, selector)),
        };
        protocols.into_iter().map(selectors).collect()
    }

    /// Which addresses of a dictionary are in the range.
    fn wanted(&mut self, of: Dictionary, range: AddressRange) -> Wanted {
        let pages = &self.run.file.index.dictionaries[of as usize];
        let mut wanted = vec![false; pages.addresses()];
        for (number, entry) in pages.pages.iter().enumerate() {
            match self.run.file.page(of, number) {
                Ok(addresses) => {
                    for (n, address) in addresses.iter().enumerate() {
                        wanted[entry.addresses_before as usize + n] = range.contains(*address);
                    }
                }
                Err(damage) => self.damage.push(damage),
            }
        }
        wanted.into_boxed_slice()
    }

    fn block(
        &mut self,
        number: usize,
        (low, high): (u64, u64),
        on_row: &mut dyn FnMut(Row, u64) -> ControlFlow<()>,
    ) -> Result<(), Stop> {
        let run = self.run;
        let entry = run.file.index.blocks[number];
        let Scratch { buffer, columns, pool } = &mut *self.scratch;
        let damaged = |Corrupt(what)| Stop::Damage(run.file.block_damage(number, &what));
        let mut block = run.file.block(number, buffer, columns).map_err(Stop::Damage)?;
        if let Some(clients) = &self.clients {
            // 0 and 1 are addresses that are in no dictionary.
            let is_wanted =
                |code: u64| code.checked_sub(2).is_none_or(|n| clients.get(n as usize) == Some(&true));
            if !block.may_have_client(is_wanted).map_err(damaged)? {
                return Ok(());
            }
        }
        let rows = block.keys(low, high).map_err(damaged)?;
        let Some(rows) = self.filter.timed(&mut block, rows).map_err(damaged)? else { return Ok(()) };
        block.read_rest().map_err(damaged)?;
        let mut walk = block.walk(rows.start).map_err(damaged)?;
        loop {
            pool.sides.clear();
            pool.loose.clear();
            let Some(next) = walk.next(pool) else { return Ok(()) };
            let (n, packed) = next.map_err(damaged)?;
            let is_in = |wanted: &Option<Wanted>, number: u32| match wanted {
                Some(wanted) => number >= LOOSE || wanted.get(number as usize) == Some(&true),
                None => true,
            };
            if !is_in(&self.clients, packed.client)
                || (packed.shape.has_server() && !is_in(&self.fars, packed.server))
            {
                continue;
            }
            let side = pool.side(&packed);
            let (start, end) = packed.bounds(&side);
            let period = self.filter.period;
            if start.earliest() > period.to || period.from > end.latest() {
                continue;
            }
            let row = match run.row(&packed, pool, number) {
                Ok(row) => row,
                Err(damage) => {
                    self.damage.push(damage);
                    continue;
                }
            };
            if self.filter.matches(&row.flow) && on_row(row, entry.rows_before + n as u64).is_break() {
                return Err(Stop::Enough);
            }
        }
    }
}

impl Filter {
    /// Reads times up to the last row that the period lets through. `None` if there is no such row.
    fn timed(
        &self,
        block: &mut BlockReader<'_>,
        rows: Range<usize>,
    ) -> Result<Option<Range<usize>>, Corrupt> {
        if rows.is_empty() {
            return Ok(None);
        }
        block.read_times(rows.end)?;
        if self.period == Period::ALWAYS {
            return Ok(Some(rows));
        }
        let mut walk = block.walk(rows.start)?;
        let mut last = None;
        while let Some(next) = walk.next_times() {
            let (n, times) = next?;
            if times.overlap(self.period) {
                last = Some(n);
            }
        }
        let Some(last) = last else { return Ok(None) };
        block.shorten(last + 1)?;
        Ok(Some(rows.start..last + 1))
    }
}

impl Run {
    fn row(&self, packed: &Packed, pool: &Pool, block: usize) -> Result<Row, Damage> {
        let damaged = |what: &str| self.file.block_damage(block, &what);
        let address = |of, number: u32| match number.checked_sub(LOOSE) {
            Some(n) => Ok(pool.loose[n as usize]),
            None => self.file.address(of, number),
        };
        let side = pool.side(packed);
        let shape = packed.shape;
        let far = |has: bool, number| -> Result<Option<IpAddr>, Damage> {
            if has { address(Dictionary::Fars, number).map(Some) } else { Ok(None) }
        };
        let names = Names {
            masked: match parts(packed.key) {
                Some((number, ..)) => self.file.address(Dictionary::Masked, number)?,
                None => return Err(damaged("a key has an unknown selector")),
            },
            client: address(Dictionary::Clients, packed.client)?,
            server: far(shape.has_server(), packed.server)?,
            target: far(shape.has_target(), side.target)?,
            origin: match self.origins.get(packed.origin as usize) {
                Some(origin) => Arc::clone(origin),
                None => return Err(damaged("a row has an unknown origin")),
            },
        };
        let flow = packed.unpack(&side, names).ok_or_else(|| damaged("a row has no endpoint"))?;
        Ok(Row { flow, continues: shape.continues() })
    }
}
