//! A number as a token and extra bits.

/// How numbers are cut.
///
/// Numbers below 2^`direct` are tokens themselves. A larger one of `n + 1` bits becomes a token of `n` and the `mantissa`
/// bits below its highest bit; the `n − mantissa` bits below those are the extra bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) direct: u32,
    pub(super) mantissa: u32,
}

/// The cuts that a column can have, by number in the file. The first is the finest: histograms are made of it.
pub(super) const CUTS: [Cut; 4] = [
    Cut { direct: 7, mantissa: 3 },
    Cut { direct: 4, mantissa: 3 },
    Cut { direct: 4, mantissa: 2 },
    Cut { direct: 2, mantissa: 1 },
];

/// More than the tokens of any cut.
pub(super) const MAX_TOKENS: usize = 128 + 57 * 8;

impl Cut {
    /// Hot: guarded by the `storage` bench.
    #[inline]
    pub(super) fn token(self, value: u64) -> usize {
        if value >> self.direct == 0 {
            return value as usize;
        }
        let n = value.ilog2();
        let mantissa = (value >> (n - self.mantissa)) as usize & ((1 << self.mantissa) - 1);
        (1 << self.direct) + ((n - self.direct) << self.mantissa) as usize + mantissa
    }

    /// The smallest number of a token, and how many extra bits it has. `None` for what no number makes.
    pub(super) fn range(self, token: usize) -> Option<(u64, u32)> {
        let Some(above) = token.checked_sub(1 << self.direct) else {
            return Some((token as u64, 0));
        };
        let n = (above >> self.mantissa) as u32 + self.direct;
        let mantissa = above as u64 & ((1 << self.mantissa) - 1);
        if n > 63 {
            return None;
        }
        let extra = n - self.mantissa;
        Some(((1 << n) | mantissa << extra, extra))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_token_s_range_holds_the_number(value: u64, shift in 0_u32..64, cut in 0_usize..CUTS.len()) {
            let value = value >> shift;
            let token = CUTS[cut].token(value);
            prop_assert!(token < MAX_TOKENS);
            let (base, extra) = CUTS[cut].range(token).unwrap();
            prop_assert!(value >= base && (value - base) >> extra == 0);
        }
    }
}
