//! The addresses of a run, in pages that are read when they are needed.
//!
//! Masked addresses are sorted: their numbers sort like they do. Clients' and far addresses are ranked by how often they
//! occur, so that frequent ones get small numbers; but ranks among about equally frequent ones say nothing, and sorted
//! addresses are shorter. So only the first page keeps the exact order; a later page holds addresses whose counts differ by
//! less than an eighth (or at most [`PAGE`]), sorted.
//!
//! ```text
//! page    = counted? v4:varint v6:varint [counts:column] v4s:part highs:part lows:part
//! part    = length:varint column        a sorted page's v4s and highs are differences to the one before
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::code::{Corrupt, Decoder, Encoder, PADDING, Tables, put_varint, take_varint};
use super::interner::Interner;
use super::packed::AddressId;

/// Most addresses of a page.
pub(super) const PAGE: usize = 2048;
/// Addresses of the page that keeps the exact order.
const FIRST_PAGE: usize = 512;
/// Most addresses of a dictionary. The rarest beyond are written where they occur.
pub(super) const MAX_ADDRESSES: usize = 1 << 20;

/// A page before it is encoded.
pub(super) struct Page {
    pub(super) addresses: Vec<IpAddr>,
    /// How often each occurs; empty if the addresses are sorted.
    counts: Vec<u32>,
    /// About how often each occurs.
    pub(super) count: u32,
}

/// A dictionary in the making: which address has which rank.
pub(super) struct Ranks {
    /// Rank by the interner's number; `None` for those that are written where they occur.
    pub(super) rank_of: Vec<Option<u32>>,
    pub(super) pages: Vec<Page>,
}

/// Ranks addresses by frequency.
pub(super) fn rank(interner: &Interner) -> Ranks {
    let mut order: Vec<AddressId> = (0..interner.len() as AddressId).collect();
    let count = |id: &AddressId| interner.counts[*id as usize];
    let address = |id: &AddressId| interner.addresses[*id as usize];
    order.sort_unstable_by(|a, b| count(b).cmp(&count(a)).then_with(|| address(a).cmp(&address(b))));
    let mut pages = Vec::new();
    let mut left = &mut order[..interner.len().min(MAX_ADDRESSES)];
    while !left.is_empty() {
        let is_first = pages.is_empty();
        let page = if is_first {
            left.len().min(FIRST_PAGE)
        } else {
            let least = count(&left[0]) - count(&left[0]) / 8;
            left.iter().take(PAGE).take_while(|id| count(id) >= least).count()
        };
        let (own, rest) = left.split_at_mut(page);
        let sum: u64 = own.iter().map(|id| u64::from(count(id))).sum();
        if !is_first {
            own.sort_unstable_by_key(address);
        }
        pages.push(Page {
            addresses: own.iter().map(address).collect(),
            counts: if is_first { own.iter().map(count).collect() } else { Vec::new() },
            count: u32::try_from(sum / page as u64).unwrap_or(u32::MAX),
        });
        left = rest;
    }
    let mut rank_of = vec![None; interner.len()];
    for (rank, id) in order.iter().take(MAX_ADDRESSES).enumerate() {
        rank_of[*id as usize] = Some(rank as u32);
    }
    Ranks { rank_of, pages }
}

/// Pages of addresses that are sorted already.
pub(super) fn sorted_pages(sorted: &[IpAddr]) -> Vec<Page> {
    sorted.chunks(PAGE).map(|c| Page { addresses: c.to_vec(), counts: Vec::new(), count: 0 }).collect()
}

impl Page {
    pub(super) fn encode(&self, encoder: &mut Encoder) -> Vec<u8> {
        let (mut v4, mut high, mut low) = (Vec::new(), Vec::new(), Vec::new());
        for address in &self.addresses {
            match address {
                IpAddr::V4(a) => v4.push(u64::from(u32::from(*a))),
                IpAddr::V6(a) => {
                    high.push((u128::from(*a) >> 64) as u64);
                    low.push(u128::from(*a) as u64);
                }
            }
        }
        let mut out = vec![u8::from(!self.counts.is_empty())];
        put_varint(&mut out, v4.len() as u64);
        put_varint(&mut out, high.len() as u64);
        if self.counts.is_empty() {
            differences(&mut v4);
            differences(&mut high);
        } else {
            // The exact order mixes both families.
            let family: Vec<u64> = self.addresses.iter().map(|a| u64::from(a.is_ipv6())).collect();
            part(encoder, &family, &mut out);
            part(encoder, &self.counts.iter().map(|c| u64::from(*c)).collect::<Vec<_>>(), &mut out);
        }
        part(encoder, &v4, &mut out);
        part(encoder, &high, &mut out);
        part(encoder, &low, &mut out);
        out
    }
}

fn differences(sorted: &mut [u64]) {
    let mut last = 0;
    for value in sorted {
        (last, *value) = (*value, *value - last);
    }
}

fn part(encoder: &mut Encoder, values: &[u64], out: &mut Vec<u8>) {
    let mut column = Vec::new();
    encoder.encode(values, &mut column);
    put_varint(out, column.len() as u64);
    out.extend_from_slice(&column);
}

/// The addresses of a page in the order of their numbers, and how often each occurs (empty if the page does not say).
/// `padded` ends in [`PADDING`]. Says how many addresses were expected.
pub(super) fn decode(
    padded: &[u8],
    expected: usize,
    tables: &mut Tables,
) -> Result<(Vec<IpAddr>, Vec<u32>), Corrupt> {
    let wrong = Corrupt("a page of addresses is malformed");
    let length = padded.len().checked_sub(PADDING).ok_or(wrong)?;
    let mut bytes = &padded[..length];
    let (&is_counted, rest) = bytes.split_first().ok_or(wrong)?;
    bytes = rest;
    let (v4s, v6s) = (take_varint(&mut bytes)?, take_varint(&mut bytes)?);
    if expected > PAGE || v4s.checked_add(v6s) != Some(expected as u64) {
        return Err(wrong);
    }
    let mut part = |count: usize| -> Result<Vec<u64>, Corrupt> {
        let mut values = Vec::with_capacity(count);
        let own = take_varint(&mut bytes)?;
        if own > bytes.len() as u64 {
            return Err(wrong);
        }
        if count > 0 {
            let mut decoder = Decoder::new(&padded[length - bytes.len()..], own as usize, tables)?;
            decoder.fill(&mut values, count)?;
            decoder.finish()?;
        }
        bytes = &bytes[own as usize..];
        Ok(values)
    };
    let (mut family, mut counts) = (Vec::new(), Vec::new());
    if is_counted != 0 {
        family = part(expected)?;
        counts = part(expected)?.into_iter().map(|c| u32::try_from(c).unwrap_or(u32::MAX)).collect();
    }
    let (mut v4, mut high, low) = (part(v4s as usize)?, part(v6s as usize)?, part(v6s as usize)?);
    if is_counted == 0 {
        sums(&mut v4);
        sums(&mut high);
    }
    let mut v4 = v4.into_iter().map(|n| IpAddr::V4(Ipv4Addr::from(n as u32)));
    let mut v6 = high
        .into_iter()
        .zip(low)
        .map(|(h, l)| IpAddr::V6(Ipv6Addr::from(u128::from(h) << 64 | u128::from(l))));
    let addresses: Vec<IpAddr> = if is_counted == 0 {
        v4.chain(v6).collect()
    } else {
        family.iter().map_while(|f| if *f == 0 { v4.next() } else { v6.next() }).collect()
    };
    if addresses.len() == expected { Ok((addresses, counts)) } else { Err(wrong) }
}

fn sums(differences: &mut [u64]) {
    let mut sum = 0_u64;
    for value in differences {
        sum = sum.wrapping_add(*value);
        *value = sum;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pages_give_ranked_addresses_back(addresses in prop::collection::vec((any::<IpAddr>(), 1_u32..50), 1..1500)) {
            let mut interner = Interner::default();
            for (address, count) in &addresses {
                interner.number(*address, *count);
            }
            let ranks = rank(&interner);
            let mut back = Vec::new();
            for page in &ranks.pages {
                let mut bytes = page.encode(&mut Encoder::default());
                bytes.extend_from_slice(&[0; PADDING]);
                back.extend(decode(&bytes, page.addresses.len(), &mut Tables::default()).unwrap().0);
            }
            for (id, address) in interner.addresses.iter().enumerate() {
                prop_assert_eq!(back[ranks.rank_of[id].unwrap() as usize], *address);
            }
        }
    }
}
