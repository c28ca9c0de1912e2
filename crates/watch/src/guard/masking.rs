//! Addresses that were seen to stand for others: bounded, and forgotten with time.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use unmasq_flow::Timestamp;

/// An address that is told of again is written down anew only when this part of the time to keep it is over: the same
/// few addresses come with every flow.
const STEPS: u32 = 16;

#[derive(Debug)]
pub(super) struct Masking {
    keep: Duration,
    most: usize,
    /// In the order of addresses, so that a network is asked about at the cost of an address.
    seen: BTreeMap<IpAddr, Timestamp>,
    /// The same in the order of time.
    order: BTreeSet<(Timestamp, IpAddr)>,
}

impl Masking {
    pub(super) fn new(keep: Duration, most: usize) -> Self {
        Self { keep, most, seen: BTreeMap::new(), order: BTreeSet::new() }
    }

    /// Other limits from now on.
    pub(super) fn limit(&mut self, keep: Duration, most: usize) {
        (self.keep, self.most) = (keep, most);
        self.shrink();
    }

    pub(super) fn len(&self) -> usize {
        self.seen.len()
    }

    /// Hot: called for each new flow.
    pub(super) fn note(&mut self, address: IpAddr, now: Timestamp) {
        if let Some(before) = self.seen.get_mut(&address) {
            if now.since(*before) <= self.keep / STEPS {
                return;
            }
            self.order.remove(&(*before, address));
            *before = now;
        } else {
            self.seen.insert(address, now);
        }
        self.order.insert((now, address));
        while let Some((oldest, address)) = self.order.first().copied() {
            if now.since(oldest) <= self.keep {
                break;
            }
            self.order.pop_first();
            self.seen.remove(&address);
        }
        self.shrink();
    }

    fn shrink(&mut self) {
        while self.seen.len() > self.most {
            let Some((_, address)) = self.order.pop_first() else { break };
            self.seen.remove(&address);
        }
    }

    /// One that is in the network and not too old, and when it was seen.
    pub(super) fn within(&self, net: &IpNet, now: Timestamp) -> Option<(IpAddr, Timestamp)> {
        let mut inside = self.seen.range(net.network()..=net.broadcast());
        let found = inside.find(|(_, seen)| now.since(**seen) <= self.keep);
        found.map(|(address, seen)| (*address, *seen))
    }
}
