//! Which packets a rule is about, as far as it matters here.

use std::net::Ipv4Addr;

use ipnet::{Ipv4Net, Ipv4Subnets};
use unmasq_flow::Protocol;

/// Most networks that are told apart. Of a set with more, only that it is one of any source is said.
const MOST_NETWORKS: usize = 4096;

/// Which packets are meant. An empty list restricts nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Restriction {
    pub(super) sources: Vec<Ipv4Net>,
    pub(super) outputs: Vec<String>,
    pub(super) protocols: Vec<Protocol>,
}

impl Restriction {
    /// Packets that both mean; `None` if there are none.
    pub(super) fn and(&self, other: &Self) -> Option<Self> {
        let narrower = |a: &Ipv4Net, b: &Ipv4Net| match (a.contains(b), b.contains(a)) {
            (true, _) => Some(*b),
            (_, true) => Some(*a),
            _ => None,
        };
        let sources = both(&self.sources, &other.sources, narrower)?;
        Some(Self {
            sources: if sources.len() > MOST_NETWORKS { Vec::new() } else { sources },
            outputs: both(&self.outputs, &other.outputs, |a, b| match (covers(a, b), covers(b, a)) {
                (true, _) => Some(b.clone()),
                (_, true) => Some(a.clone()),
                _ => None,
            })?,
            protocols: both(&self.protocols, &other.protocols, |a, b| (a == b).then_some(*a))?,
        })
    }

    /// Only packets from these networks.
    pub(super) fn from(sources: Vec<Ipv4Net>) -> Self {
        Self { sources, ..Self::default() }
    }

    /// Only packets that leave by these interfaces.
    pub(super) fn out_of(outputs: Vec<String>) -> Self {
        Self { outputs, ..Self::default() }
    }

    /// Only packets of these protocols.
    pub(super) fn of(protocols: Vec<Protocol>) -> Self {
        Self { protocols, ..Self::default() }
    }
}

/// What is in both lists; an empty one holds everything. `None` if nothing is.
fn both<T: Clone>(a: &[T], b: &[T], meet: impl Fn(&T, &T) -> Option<T>) -> Option<Vec<T>> {
    match (a, b) {
        ([], list) | (list, []) => Some(list.to_vec()),
        _ => {
            let met: Vec<T> =
                a.iter().flat_map(|one| b.iter().filter_map(|other| meet(one, other))).collect();
            (!met.is_empty()).then_some(met)
        }
    }
}

/// Is the interface of that name one of those that the pattern means? A pattern ends in `*`.
pub(super) fn covers(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => pattern == name,
    }
}

/// The networks that a range consists of; none if it goes backwards.
pub(super) fn networks(first: Ipv4Addr, last: Ipv4Addr) -> Vec<Ipv4Net> {
    if first > last { Vec::new() } else { Ipv4Subnets::new(first, last, 0).collect() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn interfaces_are_compared_with_patterns() {
        let out = |names: &[&str]| Restriction::out_of(names.iter().map(|name| (*name).to_owned()).collect());
        let both = |a: &[&str], b: &[&str]| out(a).and(&out(b)).map(|both| both.outputs);
        assert_eq!(both(&["wan*"], &["wan0", "lan0"]), Some(vec!["wan0".to_owned()]));
        assert_eq!(both(&["wan0"], &["lan0"]), None);
        assert_eq!(both(&[], &["lan0"]), Some(vec!["lan0".to_owned()]));
    }

    proptest! {
        #[test]
        fn what_two_restrictions_have_in_common_is_in_both(
            a in prop::collection::vec((any::<u8>(), 24_u8..=32), 1..4),
            b in prop::collection::vec((any::<u8>(), 24_u8..=32), 1..4),
        ) {
            let of = |nets: &[(u8, u8)]| {
                let net = |(host, bits): &(u8, u8)| Ipv4Net::new([10, 0, 0, *host].into(), *bits).unwrap().trunc();
                Restriction::from(nets.iter().map(net).collect())
            };
            let (a, b) = (of(&a), of(&b));
            let common = a.and(&b);
            for host in 0..=255 {
                let address = Ipv4Addr::from([10, 0, 0, host]);
                let has = |restriction: &Restriction| restriction.sources.iter().any(|net| net.contains(&address));
                prop_assert_eq!(common.as_ref().is_some_and(has), has(&a) && has(&b));
            }
        }

        #[test]
        fn a_range_is_all_of_its_networks(a in any::<u16>(), b in any::<u16>()) {
            let of = |n: u16| Ipv4Addr::from(0x0a00_0000 + u32::from(n));
            let total: u64 = networks(of(a), of(b)).iter().map(|net| 1_u64 << (32 - net.prefix_len())).sum();
            prop_assert_eq!(total, (u64::from(b) + 1).saturating_sub(u64::from(a)));
        }
    }
}
