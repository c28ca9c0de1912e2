//! A column: the shortest of a few ways to write its numbers.
//!
//! ```text
//! column   = flags [divisor:varint] [length:varint gaps:column-of-distinct-values count:varint] body
//! flags    = way (bits 0-1), has divisor (2), has list (3), cut (4-5)
//! constant = value:varint
//! plain    = base:varint width:u8, value − base of width bits
//! tokens   = frequencies (bits, to a whole byte), states 4×u32, words:varint, u16…, extra bits
//! ```

use super::ans::{self, LANES, Lanes, MAX_SYMBOLS, Table};
use super::bits::{BitReader, BitWriter};
use super::token::{CUTS, MAX_TOKENS};
use super::{Corrupt, PADDING, put_varint, take_varint};

const CONSTANT: u8 = 0;
const PLAIN: u8 = 1;
const TOKENS: u8 = 2;
const HAS_DIVISOR: u8 = 1 << 2;
const HAS_LIST: u8 = 1 << 3;
const CUT_SHIFT: u8 = 4;

/// More distinct values than this are not worth a list.
const MAX_LIST: usize = 1024;
/// Open addressing, at most a quarter full. A power of two.
const SLOTS: usize = 4 * MAX_LIST;

/// Buffers for encoding, to be used again for the next column.
#[derive(Debug)]
pub(in super::super) struct Encoder {
    histogram: Box<[u32; MAX_TOKENS]>,
    slots: Vec<(u64, u16)>,
    list: Vec<u64>,
    values: Vec<u64>,
    symbols: Vec<u8>,
    words: Vec<u16>,
    bits: Vec<u8>,
    tokens: Vec<u16>,
    counts: Vec<u32>,
    frequencies: Vec<u32>,
}

impl Default for Encoder {
    fn default() -> Self {
        Self {
            histogram: Box::new([0; MAX_TOKENS]),
            slots: vec![(0, EMPTY); SLOTS],
            list: Vec::new(),
            values: Vec::new(),
            symbols: Vec::new(),
            words: Vec::new(),
            bits: Vec::new(),
            tokens: Vec::new(),
            counts: Vec::new(),
            frequencies: Vec::new(),
        }
    }
}

const EMPTY: u16 = u16::MAX;

/// How a column's numbers would be written, and about how many bits that takes.
#[derive(Clone, Copy)]
struct Plan {
    way: u8,
    cut: usize,
    bits: f32,
}

impl Encoder {
    /// Appends the column of these numbers. Nothing at all if there are none.
    pub(in super::super) fn encode(&mut self, values: &[u64], out: &mut Vec<u8>) {
        self.encode_with(values, true, out);
    }

    fn encode_with(&mut self, values: &[u64], may_list: bool, out: &mut Vec<u8>) {
        let Some(&first) = values.first() else { return };
        if values.iter().all(|v| *v == first) {
            out.push(CONSTANT);
            put_varint(out, first);
            return;
        }
        let divisor = common_divisor(values);
        let mut own = std::mem::take(&mut self.values);
        own.clear();
        if divisor > 1 {
            own.extend(values.iter().map(|v| v / divisor));
        } else {
            own.extend_from_slice(values);
        }
        let mut plan = self.plan(&own);
        let mut flags = 0;
        let listed = out.len();
        if divisor > 1 {
            flags |= HAS_DIVISOR;
        }
        if may_list && own.iter().any(|v| *v >= 1 << CUTS[0].direct) && self.collect(&own) {
            let mut list = std::mem::take(&mut self.list);
            let gaps: Vec<u64> =
                std::iter::once(list[0]).chain(list.windows(2).map(|w| w[1] - w[0])).collect();
            let mut head = Vec::new();
            Self::default().encode_with(&gaps, false, &mut head);
            let indexes: Vec<u64> = own.iter().map(|v| self.index(*v)).collect();
            let other = self.plan(&indexes);
            if other.bits + (head.len() * 8) as f32 <= plan.bits {
                plan = other;
                flags |= HAS_LIST;
                own = indexes;
                out.push(flags | plan.way | (plan.cut as u8) << CUT_SHIFT);
                if divisor > 1 {
                    put_varint(out, divisor);
                }
                put_varint(out, list.len() as u64);
                put_varint(out, head.len() as u64);
                out.extend_from_slice(&head);
            }
            list.clear();
            self.list = list;
        }
        if out.len() == listed {
            out.push(flags | plan.way | (plan.cut as u8) << CUT_SHIFT);
            if divisor > 1 {
                put_varint(out, divisor);
            }
        }
        if plan.way == PLAIN {
            put_plain(&own, out);
        } else {
            self.put_tokens(&own, plan.cut, out);
        }
        self.values = own;
    }

    /// Hot: guarded by the `storage` bench.
    fn plan(&mut self, values: &[u64]) -> Plan {
        self.histogram.fill(0);
        for value in values {
            self.histogram[CUTS[0].token(*value)] += 1;
        }
        let (_, width) = base_and_width(values);
        let mut best = Plan { way: PLAIN, cut: 0, bits: (values.len() as u32 * width) as f32 };
        for cut in 0..CUTS.len() {
            if let Some(bits) = self.cost(cut, values.len())
                && bits < best.bits
            {
                best = Plan { way: TOKENS, cut, bits };
            }
        }
        best
    }

    /// About how many bits `count` numbers of the histogram take with a cut. `None` if it has too many or too few symbols.
    fn cost(&self, cut: usize, count: usize) -> Option<f32> {
        let total = (count as f32).log2();
        let (mut bits, mut symbols) = ((LANES * 32 + 24) as f32, 0);
        let (mut held, mut held_token) = (0_u32, 0);
        let mut close = |held: u32, token: usize| {
            if let Some((_, extra)) = (held > 0).then(|| CUTS[cut].range(token)).flatten() {
                symbols += 1;
                // A symbol in the table of frequencies takes about 8 bits.
                bits += held as f32 * (total - (held as f32).log2() + extra as f32) + 8.0;
            }
        };
        for (fine, n) in self.histogram.iter().enumerate().filter(|(_, n)| **n > 0) {
            let token = CUTS[0].range(fine).map_or(0, |(base, _)| CUTS[cut].token(base));
            if token != held_token {
                close(held, held_token);
                (held, held_token) = (0, token);
            }
            held += n;
        }
        close(held, held_token);
        (2..=MAX_SYMBOLS).contains(&symbols).then_some(bits)
    }

    /// Collects the distinct values into the list, sorted, and their numbers into the slots. Gives up if they are many.
    fn collect(&mut self, values: &[u64]) -> bool {
        self.list.clear();
        self.slots.fill((0, EMPTY));
        let limit = MAX_LIST.min(values.len() / 8);
        for value in values {
            let slot = self.slot(*value);
            if self.slots[slot].1 == EMPTY {
                if self.list.len() == limit {
                    return false;
                }
                self.slots[slot] = (*value, 0);
                self.list.push(*value);
            }
        }
        self.list.sort_unstable();
        for n in 0..self.list.len() {
            let slot = self.slot(self.list[n]);
            self.slots[slot].1 = n as u16;
        }
        true
    }

    fn index(&self, value: u64) -> u64 {
        u64::from(self.slots[self.slot(value)].1)
    }

    fn slot(&self, value: u64) -> usize {
        // Fibonacci hashing: the highest bits of the product are well mixed.
        let mut slot = (value.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - SLOTS.ilog2())) as usize;
        while self.slots[slot].1 != EMPTY && self.slots[slot].0 != value {
            slot = (slot + 1) % SLOTS;
        }
        slot
    }

    /// Hot: guarded by the `storage` bench.
    fn put_tokens(&mut self, values: &[u64], cut: usize, out: &mut Vec<u8>) {
        let cut = CUTS[cut];
        self.histogram.fill(0);
        self.symbols.clear();
        for value in values {
            self.histogram[cut.token(*value)] += 1;
        }
        self.tokens.clear();
        self.counts.clear();
        let mut symbol_of = [0_u8; MAX_TOKENS];
        for (token, count) in self.histogram.iter().enumerate().filter(|(_, n)| **n > 0) {
            symbol_of[token] = self.tokens.len() as u8;
            self.tokens.push(token as u16);
            self.counts.push(*count);
        }
        self.bits.clear();
        let mut bits = BitWriter::new(&mut self.bits);
        let extra_of: Vec<u32> =
            self.tokens.iter().map(|t| cut.range(usize::from(*t)).map_or(0, |(_, extra)| extra)).collect();
        self.symbols.extend(values.iter().map(|value| {
            let symbol = symbol_of[cut.token(*value)];
            let extra = extra_of[usize::from(symbol)];
            bits.put(value & ((1 << extra) - 1), extra);
            symbol
        }));
        bits.finish();
        ans::normalise(&self.counts, &mut self.frequencies);
        let mut table = BitWriter::new(out);
        ans::put_table(&mut table, &self.tokens, &self.frequencies);
        table.finish();
        ans::encode(&self.symbols, &self.frequencies, &mut self.words, out);
        out.extend_from_slice(&self.bits);
    }
}

fn put_plain(values: &[u64], out: &mut Vec<u8>) {
    let (base, width) = base_and_width(values);
    put_varint(out, base);
    out.push(width as u8);
    let mut bits = BitWriter::new(out);
    for value in values {
        bits.put(value - base, width);
    }
    bits.finish();
}

fn base_and_width(values: &[u64]) -> (u64, u32) {
    let (low, high) = values.iter().fold((u64::MAX, 0), |(low, high), v| (low.min(*v), high.max(*v)));
    (low, high.wrapping_sub(low).checked_ilog2().map_or(0, |n| n + 1))
}

/// The greatest common divisor, which is 1 after a few numbers unless times are in whole seconds or the like.
fn common_divisor(values: &[u64]) -> u64 {
    let mut divisor = 0_u64;
    for value in values {
        let (mut a, mut b) = (divisor, *value);
        while b != 0 {
            (a, b) = (b, a % b);
        }
        divisor = a;
        if divisor == 1 {
            break;
        }
    }
    divisor.max(1)
}

/// Buffers for decoding, to be used again for the next column.
#[derive(Debug)]
pub(in super::super) struct Tables {
    slots: Box<Table>,
    ranges: Box<[(u64, u32); MAX_SYMBOLS]>,
    tokens: Vec<u16>,
    frequencies: Vec<u32>,
    list: Vec<u64>,
}

impl Default for Tables {
    fn default() -> Self {
        Self {
            slots: Box::new([0; 1 << ans::SCALE]),
            ranges: Box::new([(0, 0); MAX_SYMBOLS]),
            tokens: Vec::new(),
            frequencies: Vec::new(),
            list: Vec::new(),
        }
    }
}

/// Reads a column from its beginning, as far as is asked for.
pub(in super::super) struct Decoder<'a> {
    way: Way<'a>,
    tables: &'a Tables,
    divisor: u64,
    has_list: bool,
    done: usize,
}

enum Way<'a> {
    Constant(u64),
    /// Bits, base and width.
    Plain(BitReader<'a>, u64, u32),
    Tokens(Lanes<'a>, BitReader<'a>),
}

impl<'a> Decoder<'a> {
    /// A column in the first `length` bytes of `padded`, after which come [`PADDING`] bytes.
    pub(in super::super) fn new(
        padded: &'a [u8],
        length: usize,
        tables: &'a mut Tables,
    ) -> Result<Self, Corrupt> {
        Self::with_list(padded, length, tables, true)
    }

    fn with_list(
        padded: &'a [u8],
        length: usize,
        tables: &'a mut Tables,
        may_list: bool,
    ) -> Result<Self, Corrupt> {
        let cut_off = Corrupt("a column is cut off");
        if padded.len() < length + PADDING {
            return Err(cut_off);
        }
        let mut bytes = &padded[..length];
        let (&flags, rest) = bytes.split_first().ok_or(cut_off)?;
        bytes = rest;
        let divisor = if flags & HAS_DIVISOR == 0 { 1 } else { take_varint(&mut bytes)? };
        tables.list.clear();
        let has_list = flags & HAS_LIST != 0;
        if has_list {
            let entries = take_varint(&mut bytes)?;
            let head = take_varint(&mut bytes)?;
            if !may_list || entries > MAX_LIST as u64 || head > bytes.len() as u64 {
                return Err(Corrupt("a list of values is too long"));
            }
            let at = length - bytes.len();
            let mut list = std::mem::take(&mut tables.list);
            let mut gaps = Decoder::with_list(&padded[at..], head as usize, tables, false)?;
            gaps.fill(&mut list, entries as usize)?;
            gaps.finish()?;
            let mut sum = 0_u64;
            for gap in &mut list {
                sum = sum.wrapping_add(*gap);
                *gap = sum;
            }
            tables.list = list;
            bytes = &bytes[head as usize..];
        }
        let way = match flags & 3 {
            CONSTANT => Way::Constant(take_varint(&mut bytes)?),
            PLAIN => {
                let base = take_varint(&mut bytes)?;
                let (&width, rest) = bytes.split_first().filter(|(w, _)| **w <= 64).ok_or(cut_off)?;
                let at = length - rest.len();
                Way::Plain(BitReader::new(&padded[at..], rest.len())?, base, u32::from(width))
            }
            TOKENS => {
                let cut = CUTS[usize::from(flags >> CUT_SHIFT & 3)];
                let mut bits = BitReader::new(&padded[length - bytes.len()..], bytes.len())?;
                ans::take_table(&mut bits, &mut tables.tokens, &mut tables.frequencies)?;
                bytes = bytes.get(bits.bytes_read()..).ok_or(cut_off)?;
                for (range, token) in tables.ranges.iter_mut().zip(&tables.tokens) {
                    *range = cut.range(usize::from(*token)).ok_or(Corrupt("a token is out of range"))?;
                }
                ans::fill(&mut tables.slots, &tables.frequencies);
                let lanes = Lanes::take(&mut bytes)?;
                Way::Tokens(lanes, BitReader::new(&padded[length - bytes.len()..], bytes.len())?)
            }
            _ => return Err(Corrupt("a column is written in an unknown way")),
        };
        Ok(Self { way, tables, divisor, has_list, done: 0 })
    }

    /// All values that the column can hold, if it says so by itself.
    pub(in super::super) fn listed(&self) -> Option<impl Iterator<Item = u64>> {
        let (single, list): (_, &[u64]) = match &self.way {
            _ if self.has_list => (None, &self.tables.list),
            Way::Constant(value) => (Some(*value), &[]),
            Way::Plain(..) | Way::Tokens(..) => return None,
        };
        Some(single.into_iter().chain(list.iter().copied()).map(|value| value.wrapping_mul(self.divisor)))
    }

    /// Appends numbers until `upto` of them have been given. Past the column's end they are garbage, which
    /// [`Decoder::finish`] tells. Hot: guarded by the `storage` bench.
    pub(in super::super) fn fill(&mut self, out: &mut Vec<u64>, upto: usize) -> Result<(), Corrupt> {
        let from = out.len();
        let count = upto.saturating_sub(self.done);
        out.reserve(count);
        match &mut self.way {
            Way::Constant(value) => out.extend((0..count).map(|_| *value)),
            Way::Plain(bits, base, width) => {
                out.extend((0..count).map(|_| base.wrapping_add(bits.take(*width))));
            }
            Way::Tokens(lanes, bits) => {
                // Copies that can live in registers: through the references each turn would store them.
                let (mut own_lanes, mut own_bits) = (*lanes, *bits);
                let (slots, ranges) = (&*self.tables.slots, &*self.tables.ranges);
                let mut one = |lane: usize| {
                    let (base, extra) = ranges[(own_lanes.next(lane, slots) & 0xFF) as usize];
                    base.wrapping_add(own_bits.take(extra))
                };
                let before = (self.done.wrapping_neg() % LANES).min(count);
                out.extend((0..before).map(|n| one((self.done + n) % LANES)));
                for _ in 0..(count - before) / LANES {
                    out.extend_from_slice(&[one(0), one(1), one(2), one(3)]);
                }
                out.extend((0..(count - before) % LANES).map(one));
                (*lanes, *bits) = (own_lanes, own_bits);
            }
        }
        self.done += count;
        if self.has_list {
            for value in &mut out[from..] {
                *value =
                    *self.tables.list.get(*value as usize).ok_or(Corrupt("a value is not in its list"))?;
            }
        }
        if self.divisor != 1 {
            for value in &mut out[from..] {
                *value = value.wrapping_mul(self.divisor);
            }
        }
        Ok(())
    }

    /// After all numbers of the column: were they all there, and no more?
    pub(in super::super) fn finish(&self) -> Result<(), Corrupt> {
        let is_sound = match &self.way {
            Way::Constant(_) => true,
            Way::Plain(bits, ..) => bits.is_within(),
            Way::Tokens(lanes, bits) => lanes.is_finished() && bits.is_within(),
        };
        if is_sound { Ok(()) } else { Err(Corrupt("a column does not end where it should")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(values: &[u64]) -> usize {
        let mut bytes = Vec::new();
        Encoder::default().encode(values, &mut bytes);
        let length = bytes.len();
        bytes.extend_from_slice(&[0; PADDING]);
        let (mut tables, mut back) = (Tables::default(), Vec::new());
        if !values.is_empty() {
            let mut decoder = Decoder::new(&bytes, length, &mut tables).unwrap();
            decoder.fill(&mut back, values.len() / 3).unwrap();
            decoder.fill(&mut back, values.len()).unwrap();
            decoder.finish().unwrap();
        }
        assert_eq!(back, values);
        length
    }

    #[test]
    fn a_constant_column_takes_two_bytes() {
        assert_eq!(round_trip(&vec![7; 8192]), 2);
    }

    #[test]
    fn whole_seconds_are_stored_as_seconds() {
        let seconds: Vec<u64> = (0..4096_u64).map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 52).collect();
        let millis: Vec<u64> = seconds.iter().map(|s| s * 1000).collect();
        assert_eq!(round_trip(&millis), round_trip(&seconds) + 2);
    }

    #[test]
    fn large_values_of_one_size_are_stored_from_the_least() {
        let values: Vec<u64> = (0..1000_u64).map(|n| 0x6440_0000 + n * 7919 % 4096).collect();
        assert!(round_trip(&values) < 1000 * 12 / 8 + 16);
    }

    #[test]
    fn few_large_values_are_listed() {
        let values: Vec<u64> =
            (0..8192_u64).map(|n| [53, 443, 80, u64::MAX][(n * n % 7 % 4) as usize]).collect();
        assert!(round_trip(&values) < 8192 * 2 / 8 + 64);
    }

    #[test]
    fn one_odd_value_costs_few_bytes() {
        let mut values = vec![0; 8192];
        values[1000] = 1;
        assert!(round_trip(&values) < 32);
    }

    proptest! {
        #[test]
        fn numbers_come_back(values in prop::collection::vec((any::<u64>(), 0_u32..64).prop_map(|(v, s)| v >> s), 0..700)) {
            round_trip(&values);
        }

        #[test]
        fn small_numbers_come_back(values in prop::collection::vec(0_u64..3000, 0..700), factor in 1_u64..2000) {
            round_trip(&values.iter().map(|v| v * factor).collect::<Vec<_>>());
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), count in 0_usize..5000) {
            let length = bytes.len();
            let padded = [bytes, vec![0; PADDING]].concat();
            let mut tables = Tables::default();
            let mut out = Vec::new();
            if let Ok(mut decoder) = Decoder::new(&padded, length, &mut tables) {
                let _ = decoder.fill(&mut out, count);
                prop_assert!(out.len() <= count);
            }
        }
    }
}
