//! Small seeded randomness: the same numbers on every machine and with every version of the toolchain.
//!
//! Figures of benches refer to a seed, so the generator is written out here and never changes; a crate's may.

use std::f64::consts::TAU;

/// `SplitMix64` (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// From a seed. Any seed is as good as another.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// 64 random bits.
    #[inline]
    pub const fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in [0, 1), with 53 bits.
    #[inline]
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
    }

    /// Uniform in [0, `end`). The bias is below `end` / 2⁶⁴.
    #[inline]
    pub const fn below(&mut self, end: u64) -> u64 {
        ((self.bits() as u128 * end as u128) >> 64) as u64
    }

    /// Exponential with this mean: the time between two arrivals of a Poisson process.
    #[inline]
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.unit()).ln()
    }

    /// Log-normal with this median and this standard deviation of the logarithm.
    #[inline]
    pub fn log_normal(&mut self, median: f64, sigma: f64) -> f64 {
        // Box and Muller; the second of the pair is not worth the state.
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        let normal = radius * (TAU * self.unit()).cos();
        median * (sigma * normal).exp()
    }

    /// `count` distinct numbers in [0, `end`), in random order. `count` must be well below `end`.
    ///
    /// # Panics
    ///
    /// If there are not that many.
    pub fn distinct(&mut self, count: usize, end: u64) -> Vec<u64> {
        assert!((count as u64) < end, "no {count} distinct numbers below {end}");
        let mut seen = std::collections::HashSet::with_capacity(count);
        let mut chosen = Vec::with_capacity(count);
        while chosen.len() < count {
            let candidate = self.below(end);
            if seen.insert(candidate) {
                chosen.push(candidate);
            }
        }
        chosen
    }
}

/// Ranks 0..n with probability proportional to 1 / (rank + 1): the exponent 1 of Zipf's law.
///
/// Walker's alias method: one table look-up a draw, whatever n is.
#[derive(Clone, Debug)]
pub struct Zipf {
    /// For each column: the share of it that is its own (in 2⁻³²), and the rank of the rest.
    columns: Vec<(u32, u32)>,
}

impl Zipf {
    /// For `ranks` ranks, at least one.
    ///
    /// # Panics
    ///
    /// If there is no rank.
    pub fn new(ranks: u32) -> Self {
        assert!(ranks > 0, "a Zipf distribution needs a rank");
        let total: f64 = (1..=ranks).map(|k| 1.0 / f64::from(k)).sum();
        let mut height: Vec<f64> = (1..=ranks).map(|k| f64::from(ranks) / (f64::from(k) * total)).collect();
        let (mut low, mut high): (Vec<u32>, Vec<u32>) =
            (0..ranks).partition(|&rank| height[rank as usize] < 1.0);
        let mut columns: Vec<(u32, u32)> = (0..ranks).map(|rank| (u32::MAX, rank)).collect();
        while let (Some(short), Some(&tall)) = (low.pop(), high.last()) {
            let own = height[short as usize];
            columns[short as usize] = ((own * f64::from(u32::MAX)) as u32, tall);
            height[tall as usize] -= 1.0 - own;
            if height[tall as usize] < 1.0 {
                high.pop();
                low.push(tall);
            }
        }
        Self { columns }
    }

    /// Draws a rank; 0 is the most frequent.
    #[inline]
    pub fn draw(&self, random: &mut Random) -> usize {
        let bits = random.bits();
        let column = (((bits >> 32) * self.columns.len() as u64) >> 32) as usize;
        let (own, other) = self.columns[column];
        if bits as u32 <= own { column } else { other as usize }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_a_seed_never_change() {
        // The first outputs of SplitMix64 with the seed 1234567, as published with the algorithm.
        let mut random = Random::new(1_234_567);
        assert_eq!(random.bits(), 6_457_827_717_110_365_317);
        assert_eq!(random.bits(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn ranks_come_as_often_as_zipf_says() {
        let (ranks, draws) = (100, 400_000);
        let zipf = Zipf::new(ranks);
        let mut random = Random::new(7);
        let mut seen = vec![0_u32; ranks as usize];
        for _ in 0..draws {
            seen[zipf.draw(&mut random)] += 1;
        }
        let total: f64 = (1..=ranks).map(|k| 1.0 / f64::from(k)).sum();
        for (rank, &count) in seen.iter().enumerate() {
            let expected = f64::from(draws) / ((rank + 1) as f64 * total);
            assert!(
                (f64::from(count) - expected).abs() < 5.0 * expected.sqrt(),
                "rank {rank}: {count} of {expected}"
            );
        }
    }

    #[test]
    fn the_log_normal_has_its_median_and_spread() {
        let mut random = Random::new(3);
        let mut drawn: Vec<f64> = (0..100_001).map(|_| random.log_normal(20_000.0, 1.2)).collect();
        drawn.sort_by(f64::total_cmp);
        assert!((drawn[50_000] / 20_000.0 - 1.0).abs() < 0.03, "median {}", drawn[50_000]);
        // The 84.13th percentile lies one standard deviation above.
        assert!(((drawn[84_134] / 20_000.0).ln() - 1.2).abs() < 0.03, "84th {}", drawn[84_134]);
    }

    #[test]
    fn distinct_numbers_are_distinct() {
        let mut drawn = Random::new(5).distinct(5_000, 8_000);
        drawn.sort_unstable();
        drawn.dedup();
        assert_eq!(drawn.len(), 5_000);
    }
}
