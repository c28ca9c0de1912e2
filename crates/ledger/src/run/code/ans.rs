//! Symbols coded by their frequencies: asymmetric numeral systems, the range variant, in four interleaved lanes.
//!
//! Jarek Duda, "Asymmetric numeral systems" (arXiv:1311.2540); interleaving as in Fabian Giesen's `ryg_rans`. The lanes
//! hide the latency of one another. A state is in 2^16..2^32 and gives or takes words of 16 bits.

use super::Corrupt;
use super::bits::{BitReader, BitWriter};

/// log2 of the sum of all frequencies.
pub(super) const SCALE: u32 = 12;
const SUM: u32 = 1 << SCALE;
/// A symbol must fit a byte of a table's entry.
pub(super) const MAX_SYMBOLS: usize = 256;
pub(super) const LANES: usize = 4;
const LOW: u32 = 1 << 16;

/// Scales counts (2 to 256 of them, none 0) to frequencies of at least 1 that sum up to 2^SCALE.
pub(super) fn normalise(counts: &[u32], frequencies: &mut Vec<u32>) {
    let total: u64 = counts.iter().map(|c| u64::from(*c)).sum();
    frequencies.clear();
    frequencies.extend(counts.iter().map(|c| {
        let scaled = (u64::from(*c) * u64::from(SUM) + total / 2) / total;
        (scaled as u32).clamp(1, SUM - 1)
    }));
    // Rounding is off by less than the number of symbols. The most frequent ones can bear it best.
    let mut off = i64::from(SUM) - frequencies.iter().map(|f| i64::from(*f)).sum::<i64>();
    while off != 0 {
        let largest = (0..frequencies.len()).max_by_key(|i| frequencies[*i]).unwrap_or(0);
        let step = if off > 0 { off } else { off.max(-i64::from(frequencies[largest] / 8).max(1)) };
        frequencies[largest] = (i64::from(frequencies[largest]) + step) as u32;
        off -= step;
    }
}

/// Writes which tokens occur and how often: for each the gap to the one before, the change of the frequency's length, the frequency.
pub(super) fn put_table(bits: &mut BitWriter<'_>, tokens: &[u16], frequencies: &[u32]) {
    bits.put_gamma(tokens.len() as u32);
    let (mut next, mut length) = (0, 6_i32);
    for (token, frequency) in tokens.iter().zip(frequencies) {
        bits.put_gamma(u32::from(*token) - next + 1);
        next = u32::from(*token) + 1;
        let own = frequency.ilog2() as i32;
        let change = own - length;
        bits.put_gamma((change << 1 ^ change >> 31) as u32 + 1);
        bits.put(u64::from(frequency - (1 << own)), own as u32);
        length = own;
    }
}

/// The inverse of [`put_table`].
pub(super) fn take_table(
    bits: &mut BitReader<'_>,
    tokens: &mut Vec<u16>,
    frequencies: &mut Vec<u32>,
) -> Result<(), Corrupt> {
    tokens.clear();
    frequencies.clear();
    let count = bits.take_gamma()?;
    if count < 2 || count as usize > MAX_SYMBOLS {
        return Err(Corrupt("a table has too few or too many symbols"));
    }
    let (mut next, mut length, mut sum) = (0, 6_i32, 0);
    for _ in 0..count {
        let token = next + bits.take_gamma()? - 1;
        next = token + 1;
        let zigzag = bits.take_gamma()? - 1;
        length += (zigzag >> 1) as i32 ^ -((zigzag & 1) as i32);
        if !(0..SCALE as i32).contains(&length) {
            return Err(Corrupt("a frequency is out of range"));
        }
        let frequency = 1 << length | bits.take(length as u32) as u32;
        sum += frequency;
        tokens.push(u16::try_from(token).map_err(|_| Corrupt("a token is out of range"))?);
        frequencies.push(frequency);
    }
    if sum != SUM || !bits.is_within() {
        return Err(Corrupt("the frequencies of a table do not fit"));
    }
    Ok(())
}

/// For each slot of 2^SCALE: symbol (8 bits), frequency (12), start of the symbol's slots (12).
pub(super) type Table = [u32; SUM as usize];

/// `frequencies` as [`take_table`] checked them.
pub(super) fn fill(table: &mut Table, frequencies: &[u32]) {
    let mut start = 0;
    for (symbol, frequency) in frequencies.iter().enumerate() {
        let entry = symbol as u32 | frequency << 8 | (start as u32) << 20;
        table[start..start + *frequency as usize].fill(entry);
        start += *frequency as usize;
    }
}

#[derive(Clone, Copy)]
struct Code {
    frequency: u32,
    start: u32,
}

/// Appends the states and the words of `symbols`. Hot: guarded by the `storage` bench.
pub(super) fn encode(symbols: &[u8], frequencies: &[u32], words: &mut Vec<u16>, out: &mut Vec<u8>) {
    let mut codes = [Code { frequency: 1, start: 0 }; MAX_SYMBOLS];
    let mut start = 0;
    for (code, frequency) in codes.iter_mut().zip(frequencies) {
        *code = Code { frequency: *frequency, start };
        start += frequency;
    }
    words.clear();
    let mut states = [LOW; LANES];
    let mut put = |lane: usize, symbol: u8, words: &mut Vec<u16>| {
        let Code { frequency, start } = codes[usize::from(symbol)];
        let mut state = states[lane];
        if state >= frequency << (32 - SCALE) {
            words.push(state as u16);
            state >>= 16;
        }
        states[lane] = ((state / frequency) << SCALE) + state % frequency + start;
    };
    // Backwards, so that they come out forwards.
    let (whole, rest) = symbols.as_chunks::<LANES>();
    for (lane, symbol) in rest.iter().enumerate().rev() {
        put(lane, *symbol, words);
    }
    for four in whole.iter().rev() {
        put(3, four[3], words);
        put(2, four[2], words);
        put(1, four[1], words);
        put(0, four[0], words);
    }
    for state in states {
        out.extend_from_slice(&state.to_le_bytes());
    }
    super::put_varint(out, words.len() as u64);
    out.extend(words.iter().rev().flat_map(|word| word.to_le_bytes()));
}

/// The words and states of a column while it is decoded.
#[derive(Clone, Copy)]
pub(super) struct Lanes<'a> {
    pub(super) states: [u32; LANES],
    words: &'a [u8],
    at: usize,
}

impl<'a> Lanes<'a> {
    /// Takes states and words off the front of `bytes`.
    pub(super) fn take(bytes: &mut &'a [u8]) -> Result<Self, Corrupt> {
        let cut_off = Corrupt("coded symbols are cut off");
        let (head, rest) = bytes.split_first_chunk::<{ LANES * 4 }>().ok_or(cut_off)?;
        *bytes = rest;
        let mut states = [0; LANES];
        for (state, four) in states.iter_mut().zip(head.as_chunks::<4>().0) {
            *state = u32::from_le_bytes(*four);
        }
        let length =
            super::take_varint(bytes)?.checked_mul(2).filter(|n| *n <= bytes.len() as u64).ok_or(cut_off)?;
        let (words, rest) = bytes.split_at(length as usize);
        *bytes = rest;
        Ok(Self { states, words, at: 0 })
    }

    /// The table's entry of the next symbol of a lane. Hot. Past the end the words are 0 and symbols are garbage.
    #[inline]
    pub(super) fn next(&mut self, lane: usize, table: &Table) -> u32 {
        let state = self.states[lane];
        let slot = state & (SUM - 1);
        let entry = table[slot as usize];
        let frequency = entry >> 8 & (SUM - 1);
        // Hostile states can be anything, so this can wrap; the encoder's cannot.
        let state = frequency.wrapping_mul(state >> SCALE).wrapping_add(slot - (entry >> 20));
        let word = match self.words.get(self.at..self.at + 2) {
            Some(two) => u16::from_le_bytes([two[0], two[1]]),
            None => 0,
        };
        let is_low = state < LOW;
        self.states[lane] = if is_low { state << 16 | u32::from(word) } else { state };
        self.at += if is_low { 2 } else { 0 };
        entry
    }

    /// Was everything read, and no more?
    pub(super) fn is_finished(&self) -> bool {
        self.at == self.words.len() && self.states == [LOW; LANES]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequencies_sum_up_whatever_the_counts() {
        let mut frequencies = Vec::new();
        for counts in [
            vec![1, 1],
            vec![1, u32::MAX],
            vec![1; 256],
            (1..=256).collect(),
            [vec![1; 255], vec![8000]].concat(),
        ] {
            normalise(&counts, &mut frequencies);
            assert_eq!(frequencies.iter().sum::<u32>(), SUM, "{counts:?}");
            assert!(frequencies.iter().all(|f| (1..SUM).contains(f)), "{counts:?}");
        }
    }
}
