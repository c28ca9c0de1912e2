//! A block: some thousand rows, each field in a column of its own.
//!
//! ```text
//! block   = columns present (bit 0 is column 0): u32, length:varint of each, column…, CRC-32 of all before: u32
//! ```
//!
//! A column that is missing is 0 in every row. Columns hold a number only for the rows whose [`Shape`] has the field.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use unmasq_flow::{Period, Selector};

use super::code::{Corrupt, Decoder, Encoder, PADDING, Tables, put_varint, take_varint};
use super::packed::{AddressId, HOUR, LOOSE, Packed, Pool, Shape, Side, parts};

/// The columns of a block, in the file's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum Column {
    /// Difference of the key to the row before; the index has the first.
    Key,
    Shape,
    /// Milliseconds after the row before if that has the same key, else from the beginning of the hour.
    Start,
    /// Milliseconds from start to end.
    End,
    /// 0: IPv4, next of the loose lows. 1: IPv6, next of the loose highs and lows. Else the rank + 2.
    Client,
    /// Exclusive or with the masked number.
    ClientNumber,
    Server,
    /// A port or a hash as it is, an id exclusive or with the masked number.
    ServerNumber,
    Status,
    Mark,
    Origin,
    /// From the earliest to the latest, zigzag.
    StartWidth,
    EndWidth,
    Target,
    TargetNumber,
    Packets,
    Bytes,
    ReplyPackets,
    ReplyBytes,
    ClientHigh,
    ClientLow,
    ServerHigh,
    ServerLow,
    TargetHigh,
    TargetLow,
}

/// How many columns there are.
pub(super) const COLUMNS: usize = Column::TargetLow as usize + 1;

/// All of them, with the names that the bench prints.
pub(super) const NAMES: [&str; COLUMNS] = [
    "key",
    "shape",
    "start",
    "end",
    "client",
    "client number",
    "server",
    "server number",
    "status",
    "mark",
    "origin",
    "start width",
    "end width",
    "target",
    "target number",
    "packets",
    "bytes",
    "reply packets",
    "reply bytes",
    "client high",
    "client low",
    "server high",
    "server low",
    "target high",
    "target low",
];

const TRAFFIC: [Column; 4] = [Column::Packets, Column::Bytes, Column::ReplyPackets, Column::ReplyBytes];

/// Most rows of a block.
pub(super) const MAX_ROWS: usize = 1 << 16;

/// How the addresses of one kind are written: ranks by number.
pub(super) struct Ranking<'a> {
    pub(super) rank_of: &'a [Option<u32>],
    pub(super) addresses: &'a [IpAddr],
}

impl Ranking<'_> {
    fn put(&self, id: AddressId, pool: &Pool, columns: &mut Columns, own: Column, high: Column, low: Column) {
        let loose = match id.checked_sub(LOOSE) {
            Some(n) => pool.loose[n as usize],
            None => match self.rank_of[id as usize] {
                Some(rank) => return columns.put(own, u64::from(rank) + 2),
                None => self.addresses[id as usize],
            },
        };
        match loose {
            IpAddr::V4(v4) => {
                columns.put(own, 0);
                columns.put(low, u64::from(u32::from(v4)));
            }
            IpAddr::V6(v6) => {
                columns.put(own, 1);
                columns.put(high, (u128::from(v6) >> 64) as u64);
                columns.put(low, u128::from(v6) as u64);
            }
        }
    }
}

/// Numbers of columns, and what is needed to read them. Used again for every block.
#[derive(Debug)]
pub(super) struct Columns {
    values: [Vec<u64>; COLUMNS],
    tables: Tables,
}

impl Default for Columns {
    fn default() -> Self {
        Self { values: [const { Vec::new() }; COLUMNS], tables: Tables::default() }
    }
}

impl Columns {
    fn put(&mut self, column: Column, value: u64) {
        self.values[column as usize].push(value);
    }

    fn clear(&mut self) {
        self.values.iter_mut().for_each(Vec::clear);
    }

    /// A missing column is 0.
    fn at(&self, column: Column, n: usize) -> u64 {
        self.values[column as usize].get(n).copied().unwrap_or(0)
    }
}

/// Encodes blocks, one after the other, with the same buffers.
#[derive(Debug, Default)]
pub(super) struct BlockEncoder {
    columns: Columns,
    encoder: Encoder,
    body: Vec<u8>,
}

impl BlockEncoder {
    pub(super) fn encoder(&mut self) -> &mut Encoder {
        &mut self.encoder
    }

    /// Appends the block of these rows, which are sorted by key and start. Hot: guarded by the `storage` bench.
    pub(super) fn encode(
        &mut self,
        rows: &[Packed],
        hour: i64,
        (clients, fars): (&Ranking<'_>, &Ranking<'_>),
        pool: &Pool,
        out: &mut Vec<u8>,
    ) {
        let columns = &mut self.columns;
        columns.clear();
        let mut before: Option<&Packed> = None;
        for row in rows {
            let key_before = before.map_or(row.key, |b| b.key);
            columns.put(Column::Key, row.key.wrapping_sub(key_before));
            let (from, is_first) = match before {
                Some(b) if b.key == row.key => (b.start, false),
                _ => (hour.wrapping_mul(HOUR), true),
            };
            before = Some(row);
            let shape = row.shape;
            let is_early = is_first && shape.has_start() && row.start < from;
            let is_backwards = shape.has_end() && row.end < row.start;
            columns.put(Column::Shape, u64::from(shape.with_signs(is_early, is_backwards).0));
            if shape.has_start() {
                columns.put(
                    Column::Start,
                    if is_early { from.wrapping_sub(row.start) } else { row.start.wrapping_sub(from) } as u64,
                );
            }
            if shape.has_end() {
                columns.put(Column::End, row.end.abs_diff(row.start));
            }
            let selector = parts(row.key).map_or(Selector::None, |(_, _, selector)| selector);
            let number = selector.number().unwrap_or(0);
            clients.put(row.client, pool, columns, Column::Client, Column::ClientHigh, Column::ClientLow);
            columns.put(Column::ClientNumber, u64::from(row.client_number ^ number));
            if shape.has_server() {
                fars.put(row.server, pool, columns, Column::Server, Column::ServerHigh, Column::ServerLow);
            }
            if shape.has_server_number() {
                let with = if shape.server_has_id(selector) { number } else { 0 };
                columns.put(Column::ServerNumber, u64::from(row.server_number ^ with));
            }
            columns.put(Column::Status, u64::from(row.status));
            columns.put(Column::Mark, u64::from(row.mark));
            columns.put(Column::Origin, u64::from(row.origin));
            if !shape.needs_side() {
                continue;
            }
            let side = pool.side(row);
            if shape.has_start_width() {
                columns.put(Column::StartWidth, zigzag(side.start_width));
            }
            if shape.has_end_width() {
                columns.put(Column::EndWidth, zigzag(side.end_width));
            }
            if shape.has_target() {
                fars.put(side.target, pool, columns, Column::Target, Column::TargetHigh, Column::TargetLow);
            }
            if shape.has_target_number() {
                let with = if shape.target_has_id(selector) { number } else { 0 };
                columns.put(Column::TargetNumber, u64::from(side.target_number ^ with));
            }
            if shape.has_traffic() {
                for (column, value) in TRAFFIC.into_iter().zip(side.traffic) {
                    columns.put(column, value);
                }
            }
        }
        self.put_columns(out);
    }

    fn put_columns(&mut self, out: &mut Vec<u8>) {
        let from = out.len();
        self.body.clear();
        let mut present = 0_u32;
        out.extend_from_slice(&[0; 4]);
        for (n, values) in self.columns.values.iter().enumerate() {
            if values.iter().any(|v| *v != 0) {
                let before = self.body.len();
                self.encoder.encode(values, &mut self.body);
                present |= 1 << n;
                put_varint(out, (self.body.len() - before) as u64);
            }
        }
        out[from..from + 4].copy_from_slice(&present.to_le_bytes());
        out.extend_from_slice(&self.body);
        let sum = crc32fast::hash(&out[from..]);
        out.extend_from_slice(&sum.to_le_bytes());
    }
}

fn zigzag(n: i64) -> u64 {
    (n << 1 ^ n >> 63) as u64
}

fn from_zigzag(n: u64) -> i64 {
    (n >> 1) as i64 ^ -((n & 1) as i64)
}

/// The bytes of a block, and where its columns are.
pub(super) struct BlockBytes<'a> {
    /// Ends in [`PADDING`].
    padded: &'a [u8],
    parts: [(usize, usize); COLUMNS],
    rows: usize,
}

impl<'a> BlockBytes<'a> {
    /// `padded` is a block whose checksum is right (or a fuzzer's), and [`PADDING`] bytes.
    pub(super) fn new(padded: &'a [u8], rows: usize) -> Result<Self, Corrupt> {
        let cut_off = Corrupt("the block is cut off");
        let end = padded.len().checked_sub(PADDING + 4).ok_or(cut_off)?;
        let (present, mut bytes) = padded[..end].split_first_chunk::<4>().ok_or(cut_off)?;
        let present = u32::from_le_bytes(*present);
        if present >> COLUMNS != 0 || rows > MAX_ROWS {
            return Err(Corrupt("the block has unknown columns or too many rows"));
        }
        let mut lengths = [0; COLUMNS];
        for (n, length) in lengths.iter_mut().enumerate() {
            if present >> n & 1 == 1 {
                *length = usize::try_from(take_varint(&mut bytes)?).map_err(|_| cut_off)?;
            }
        }
        let mut at = end - bytes.len();
        let mut parts = [(0, 0); COLUMNS];
        for (part, length) in parts.iter_mut().zip(lengths) {
            *part = (at, length);
            at = at.checked_add(length).filter(|at| *at <= end).ok_or(cut_off)?;
        }
        Ok(Self { padded, parts, rows })
    }

    fn is_present(&self, column: Column) -> bool {
        self.parts[column as usize].1 > 0
    }

    fn decoder<'t>(&self, column: Column, tables: &'t mut Tables) -> Result<Option<Decoder<'t>>, Corrupt>
    where
        'a: 't,
    {
        let (at, length) = self.parts[column as usize];
        if length == 0 { Ok(None) } else { Decoder::new(&self.padded[at..], length, tables).map(Some) }
    }
}

/// How many numbers of the columns that not every row has come before a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Positions {
    start: usize,
    end: usize,
    server: usize,
    server_number: usize,
    start_width: usize,
    end_width: usize,
    target: usize,
    target_number: usize,
    traffic: usize,
}

impl Positions {
    fn pass(&mut self, shape: Shape, rows: usize) {
        let times = |has: bool| if has { rows } else { 0 };
        self.start += times(shape.has_start());
        self.end += times(shape.has_end());
        self.server += times(shape.has_server());
        self.server_number += times(shape.has_server_number());
        self.start_width += times(shape.has_start_width());
        self.end_width += times(shape.has_end_width());
        self.target += times(shape.has_target());
        self.target_number += times(shape.has_target_number());
        self.traffic += times(shape.has_traffic());
    }
}

/// Reads a block: keys first, then times, then everything, each only as far as it is needed.
pub(super) struct BlockReader<'a> {
    bytes: BlockBytes<'a>,
    columns: &'a mut Columns,
    hour: i64,
    first_key: u64,
    /// Rows of which the times have been read.
    timed: usize,
    /// After those rows.
    totals: Positions,
}

impl<'a> BlockReader<'a> {
    pub(super) fn new(bytes: BlockBytes<'a>, columns: &'a mut Columns, hour: i64, first_key: u64) -> Self {
        columns.clear();
        Self { bytes, columns, hour, first_key, timed: 0, totals: Positions::default() }
    }

    /// The rows whose keys lie between two keys, both included. Reads keys no further than needed.
    pub(super) fn keys(&mut self, low: u64, high: u64) -> Result<std::ops::Range<usize>, Corrupt> {
        const STEP: usize = 512;
        let rows = self.bytes.rows;
        let keys = &mut self.columns.values[Column::Key as usize];
        let Some(mut decoder) = self.bytes.decoder(Column::Key, &mut self.columns.tables)? else {
            keys.resize(rows, self.first_key);
            return Ok(if (low..=high).contains(&self.first_key) { 0..rows } else { 0..0 });
        };
        let (mut key, mut from, mut to) = (self.first_key, None, rows);
        'steps: while keys.len() < rows {
            let at = keys.len();
            decoder.fill(keys, (at + STEP).min(rows))?;
            for (n, value) in keys.iter_mut().enumerate().skip(at) {
                key = key.wrapping_add(*value);
                *value = key;
                if key >= low && from.is_none() {
                    from = Some(n);
                }
                if key > high {
                    to = n;
                    break 'steps;
                }
            }
        }
        let from = from.unwrap_or(to);
        Ok(from.min(to)..to)
    }

    /// Reads shapes and times of the rows up to `upto`.
    pub(super) fn read_times(&mut self, upto: usize) -> Result<(), Corrupt> {
        self.read(Column::Shape, upto)?;
        self.totals = self.positions(upto)?;
        self.read(Column::Start, self.totals.start)?;
        self.read(Column::End, self.totals.end)?;
        self.read(Column::StartWidth, self.totals.start_width)?;
        self.read(Column::EndWidth, self.totals.end_width)?;
        self.timed = upto;
        Ok(())
    }

    /// Of the rows whose times have been read, only these are wanted.
    pub(super) fn shorten(&mut self, rows: usize) -> Result<(), Corrupt> {
        self.totals = self.positions(rows)?;
        self.timed = rows;
        Ok(())
    }

    /// Bytes of each column.
    pub(super) fn sizes(&self) -> [usize; COLUMNS] {
        self.bytes.parts.map(|(_, length)| length)
    }

    /// Can a row have a client that is wanted? Wants codes as in [`Column::Client`]. Reads no more than it must.
    pub(super) fn may_have_client(&mut self, is_wanted: impl Fn(u64) -> bool) -> Result<bool, Corrupt> {
        let Some(mut decoder) = self.bytes.decoder(Column::Client, &mut self.columns.tables)? else {
            return Ok(is_wanted(0));
        };
        if let Some(mut values) = decoder.listed() {
            return Ok(values.any(is_wanted));
        }
        let codes = &mut self.columns.values[Column::Client as usize];
        decoder.fill(codes, self.bytes.rows)?;
        Ok(codes.iter().any(|code| is_wanted(*code)))
    }

    /// Reads the other columns of the rows whose times have been read.
    pub(super) fn read_rest(&mut self) -> Result<(), Corrupt> {
        let (rows, totals) = (self.timed, self.totals);
        for column in [Column::Client, Column::ClientNumber, Column::Status, Column::Mark, Column::Origin] {
            self.read(column, rows)?;
        }
        self.read(Column::Server, totals.server)?;
        self.read(Column::ServerNumber, totals.server_number)?;
        self.read(Column::Target, totals.target)?;
        self.read(Column::TargetNumber, totals.target_number)?;
        for column in TRAFFIC {
            self.read(column, totals.traffic)?;
        }
        for (own, high, low) in LOOSE_COLUMNS {
            if self.bytes.is_present(low) || self.bytes.is_present(high) {
                let (lows, highs) = loose_before(&self.columns.values[own as usize], usize::MAX);
                self.read(low, lows)?;
                self.read(high, highs)?;
            }
        }
        Ok(())
    }

    fn read(&mut self, column: Column, upto: usize) -> Result<(), Corrupt> {
        let values = &mut self.columns.values[column as usize];
        if values.len() >= upto {
            return Ok(());
        }
        values.clear();
        match self.bytes.decoder(column, &mut self.columns.tables)? {
            Some(mut decoder) => decoder.fill(values, upto)?,
            // Counting the loose addresses needs them.
            None if LOOSE_COLUMNS.iter().any(|(own, ..)| *own == column) => values.resize(upto, 0),
            None => {}
        }
        Ok(())
    }

    /// Of shapes that have been read.
    fn positions(&self, row: usize) -> Result<Positions, Corrupt> {
        let mut positions = Positions::default();
        let shapes = &self.columns.values[Column::Shape as usize];
        if shapes.is_empty() {
            positions.pass(Shape(0), row);
        }
        for same in shapes[..row.min(shapes.len())].chunk_by(|a, b| a == b) {
            positions.pass(shape(same[0])?, same.len());
        }
        Ok(positions)
    }

    /// Walks over rows of which times, and perhaps the rest, have been read; from the first row of a key or of the block.
    pub(super) fn walk(&self, from: usize) -> Result<Walk<'_>, Corrupt> {
        let mut loose = [(0, 0); 3];
        let positions = self.positions(from)?;
        for ((own, high, low), n) in LOOSE_COLUMNS.into_iter().zip(&mut loose) {
            if self.bytes.is_present(low) || self.bytes.is_present(high) {
                let before = [from, positions.server, positions.target];
                let index = LOOSE_COLUMNS.iter().position(|(o, ..)| *o == own).unwrap_or(0);
                *n = loose_before(&self.columns.values[own as usize], before[index]);
            }
        }
        Ok(Walk {
            columns: self.columns,
            hour: self.hour,
            at: from,
            end: self.timed,
            positions,
            loose,
            before: None,
        })
    }
}

const LOOSE_COLUMNS: [(Column, Column, Column); 3] = [
    (Column::Client, Column::ClientHigh, Column::ClientLow),
    (Column::Server, Column::ServerHigh, Column::ServerLow),
    (Column::Target, Column::TargetHigh, Column::TargetLow),
];

/// How many numbers of the (low, high) columns of loose addresses come before a number of the column of addresses.
fn loose_before(addresses: &[u64], upto: usize) -> (usize, usize) {
    let before = &addresses[..upto.min(addresses.len())];
    (before.iter().filter(|v| **v < 2).count(), before.iter().filter(|v| **v == 1).count())
}

fn shape(value: u64) -> Result<Shape, Corrupt> {
    u32::try_from(value).ok().map(Shape).filter(|s| s.is_sound()).ok_or(Corrupt("a row has an unknown shape"))
}

/// Key, shape and times of a row.
#[derive(Clone, Copy)]
pub(super) struct Times {
    pub(super) key: u64,
    pub(super) shape: Shape,
    start: i64,
    end: i64,
    start_width: i64,
    end_width: i64,
}

impl Times {
    /// Can the flow have been alive in the period?
    pub(super) fn overlap(&self, period: Period) -> bool {
        let (start, end) = self.shape.bounds((self.start, self.start_width), (self.end, self.end_width));
        start.earliest() <= period.to && period.from <= end.latest()
    }
}

/// Row after row of a block.
pub(super) struct Walk<'a> {
    columns: &'a Columns,
    hour: i64,
    at: usize,
    end: usize,
    positions: Positions,
    /// Of client, server and target.
    loose: [(usize, usize); 3],
    before: Option<(u64, i64)>,
}

impl Walk<'_> {
    /// The next row and its number in the block. Address numbers are ranks or loose ones in the pool.
    pub(super) fn next(&mut self, pool: &mut Pool) -> Option<Result<(usize, Packed), Corrupt>> {
        let at = self.positions;
        self.next_times().map(|times| times.and_then(|(n, times)| Ok((n, self.rest(n, at, times, pool)?))))
    }

    /// The next row, of which only key, times and shape are true, and the widths of its bounds.
    pub(super) fn next_times(&mut self) -> Option<Result<(usize, Times), Corrupt>> {
        let n = self.at;
        if n >= self.end {
            return None;
        }
        self.at += 1;
        Some(self.times(n).map(|times| (n, times)))
    }

    fn times(&mut self, n: usize) -> Result<Times, Corrupt> {
        let columns = self.columns;
        let at = self.positions;
        let key = columns.at(Column::Key, n);
        let signed = shape(columns.at(Column::Shape, n))?;
        let shape = signed.without_signs();
        self.positions.pass(shape, 1);
        let hour = self.hour.wrapping_mul(HOUR);
        let (from, is_first) = match self.before {
            Some((before, start)) if before == key => (start, false),
            _ => (hour, true),
        };
        let start = if shape.has_start() {
            let value = columns.at(Column::Start, at.start) as i64;
            if is_first && signed.is_early() { from.wrapping_sub(value) } else { from.wrapping_add(value) }
        } else {
            hour
        };
        self.before = Some((key, start));
        let end = if shape.has_end() {
            let value = columns.at(Column::End, at.end) as i64;
            if signed.is_backwards() { start.wrapping_sub(value) } else { start.wrapping_add(value) }
        } else {
            start
        };
        let width = |has, column, n| from_zigzag(if has { columns.at(column, n) } else { 0 });
        let start_width = width(shape.has_start_width(), Column::StartWidth, at.start_width);
        let end_width = width(shape.has_end_width(), Column::EndWidth, at.end_width);
        Ok(Times { key, shape, start, end, start_width, end_width })
    }

    fn rest(&mut self, n: usize, at: Positions, times: Times, pool: &mut Pool) -> Result<Packed, Corrupt> {
        let columns = self.columns;
        let Times { key, shape, start, end, start_width, end_width } = times;
        let selector = parts(key).ok_or(Corrupt("a key has an unknown selector"))?.2;
        let number = selector.number().unwrap_or(0);
        let client = self.address(0, n, pool);
        let server = if shape.has_server() { self.address(1, at.server, pool) } else { 0 };
        let server_number = if shape.has_server_number() {
            let with = if shape.server_has_id(selector) { number } else { 0 };
            columns.at(Column::ServerNumber, at.server_number) as u16 ^ with
        } else {
            0
        };
        let mut side = 0;
        if shape.needs_side() {
            let mut own = Side { start_width, end_width, ..Side::default() };
            if shape.has_target() {
                own.target = self.address(2, at.target, pool);
            }
            if shape.has_target_number() {
                let with = if shape.target_has_id(selector) { number } else { 0 };
                own.target_number = columns.at(Column::TargetNumber, at.target_number) as u16 ^ with;
            }
            if shape.has_traffic() {
                own.traffic = TRAFFIC.map(|column| columns.at(column, at.traffic));
            }
            side = pool.add_side(own);
        }
        Ok(Packed {
            key,
            start,
            end,
            shape,
            client,
            server,
            client_number: columns.at(Column::ClientNumber, n) as u16 ^ number,
            server_number,
            origin: columns.at(Column::Origin, n) as u32,
            status: columns.at(Column::Status, n) as u32,
            mark: columns.at(Column::Mark, n) as u32,
            side,
        })
    }

    fn address(&mut self, kind: usize, n: usize, pool: &mut Pool) -> AddressId {
        let (own, high, low) = LOOSE_COLUMNS[kind];
        let value = self.columns.at(own, n);
        let (lows, highs) = &mut self.loose[kind];
        let low = self.columns.at(low, *lows);
        match value {
            0 => {
                *lows += 1;
                pool.add_loose(IpAddr::V4(Ipv4Addr::from(low as u32)))
            }
            1 => {
                let high = self.columns.at(high, *highs);
                (*lows, *highs) = (*lows + 1, *highs + 1);
                pool.add_loose(IpAddr::V6(Ipv6Addr::from(u128::from(high) << 64 | u128::from(low))))
            }
            rank => ((rank - 2) as u32).min(LOOSE - 1),
        }
    }
}
