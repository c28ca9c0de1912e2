//! The order of rows by key and start, without comparing: a radix sort of both packed into 64 bits.

/// Bits sorted by in one pass: its counters fit the first-level cache.
const DIGIT: u32 = 11;

/// Numbers of the rows in the order of (key, start); equal rows keep their order. Hot: guarded by the `storage` bench.
pub(super) fn order(rows: usize, of: impl Fn(usize) -> (u64, i64)) -> Vec<u32> {
    let (mut low, mut high) = ((u64::MAX, i64::MAX), (0, i64::MIN));
    for row in 0..rows {
        let (key, start) = of(row);
        low = (low.0.min(key), low.1.min(start));
        high = (high.0.max(key), high.1.max(start));
    }
    if rows == 0 {
        return Vec::new();
    }
    let bits = |range: u64| range.checked_ilog2().map_or(0, |n| n + 1);
    let start_bits = bits(high.1.abs_diff(low.1));
    let total = bits(high.0 - low.0) + start_bits;
    if total > 64 {
        let mut order: Vec<u32> = (0..rows as u32).collect();
        order.sort_by_key(|row| of(*row as usize));
        return order;
    }
    let mut from: Vec<(u64, u32)> = (0..rows)
        .map(|row| {
            let (key, start) = of(row);
            // A shift by 64 is one by nothing: then all keys are the same.
            let key = (key - low.0).checked_shl(start_bits).unwrap_or(0);
            (key | start.abs_diff(low.1), row as u32)
        })
        .collect();
    let mut to = vec![(0, 0); rows];
    for shift in (0..total).step_by(DIGIT as usize) {
        let digit = |packed: u64| (packed >> shift) as usize & ((1 << DIGIT) - 1);
        let mut places = [0_u32; 1 << DIGIT];
        for (packed, _) in &from {
            places[digit(*packed)] += 1;
        }
        let mut sum = 0;
        for place in &mut places {
            (*place, sum) = (sum, sum + *place);
        }
        for entry in &from {
            let place = &mut places[digit(entry.0)];
            to[*place as usize] = *entry;
            *place += 1;
        }
        std::mem::swap(&mut from, &mut to);
    }
    from.into_iter().map(|(_, row)| row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_sorts(rows in prop::collection::vec((any::<u64>(), any::<i64>()), 0..200), shift in 0_u32..64) {
            let rows: Vec<(u64, i64)> = rows.into_iter().map(|(k, s)| (k >> shift, s >> (63 - shift))).collect();
            let mut expected: Vec<u32> = (0..rows.len() as u32).collect();
            expected.sort_by_key(|n| rows[*n as usize]);
            prop_assert_eq!(order(rows.len(), |n| rows[n]), expected);
        }
    }
}
