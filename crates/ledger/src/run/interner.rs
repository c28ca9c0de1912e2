//! Addresses become numbers while rows are collected, and are counted.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::IpAddr;

use super::packed::{AddressId, LOOSE};

/// Addresses in the order in which they were first seen.
#[derive(Debug)]
pub(super) struct Interner {
    v4: HashMap<u32, AddressId, Keyed>,
    v6: HashMap<u128, AddressId, Keyed>,
    pub(super) addresses: Vec<IpAddr>,
    pub(super) counts: Vec<u32>,
    /// The address that came last: flows come in bursts.
    last: Option<(IpAddr, AddressId)>,
}

impl Default for Interner {
    fn default() -> Self {
        let keyed = Keyed::random();
        Self {
            v4: HashMap::with_hasher(keyed),
            v6: HashMap::with_hasher(keyed),
            addresses: Vec::new(),
            counts: Vec::new(),
            last: None,
        }
    }
}

impl Interner {
    /// The address's number; it is counted `count` times more. Hot: guarded by the `storage` bench.
    pub(super) fn number(&mut self, address: IpAddr, count: u32) -> AddressId {
        if let Some((last, id)) = self.last
            && last == address
        {
            self.counts[id as usize] = self.counts[id as usize].saturating_add(count);
            return id;
        }
        let next = self.addresses.len() as AddressId;
        assert!(next < LOOSE, "more than 2^31 addresses need more memory than a run may take");
        let id = match address {
            IpAddr::V4(v4) => *self.v4.entry(u32::from(v4)).or_insert(next),
            IpAddr::V6(v6) => *self.v6.entry(u128::from(v6)).or_insert(next),
        };
        if id == next {
            self.addresses.push(address);
            self.counts.push(0);
        }
        self.counts[id as usize] = self.counts[id as usize].saturating_add(count);
        self.last = Some((address, id));
        id
    }

    pub(super) fn len(&self) -> usize {
        self.addresses.len()
    }

    /// About how many bytes it takes.
    pub(super) fn memory(&self) -> usize {
        self.v4.capacity() * 9
            + self.v6.capacity() * 33
            + self.addresses.capacity() * 17
            + self.counts.capacity() * 4
    }
}

/// Hashes one number by multiplying it with a secret one: whoever chooses addresses cannot make them collide.
#[derive(Clone, Copy, Debug)]
struct Keyed {
    added: u64,
    factor: u64,
}

impl Keyed {
    fn random() -> Self {
        let random = RandomState::new();
        Self { added: random.hash_one(1), factor: random.hash_one(2) | 1 }
    }
}

impl BuildHasher for Keyed {
    type Hasher = KeyedHasher;

    fn build_hasher(&self) -> KeyedHasher {
        KeyedHasher { keyed: *self, hash: 0 }
    }
}

struct KeyedHasher {
    keyed: Keyed,
    hash: u64,
}

impl Hasher for KeyedHasher {
    fn finish(&self) -> u64 {
        self.hash
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    #[inline]
    fn write_u32(&mut self, n: u32) {
        self.write_u64(u64::from(n));
    }

    #[inline]
    fn write_u64(&mut self, n: u64) {
        let product = u128::from(n ^ self.hash ^ self.keyed.added) * u128::from(self.keyed.factor);
        self.hash = product as u64 ^ (product >> 64) as u64;
    }

    #[inline]
    fn write_u128(&mut self, n: u128) {
        self.write_u64(n as u64);
        self.write_u64((n >> 64) as u64);
    }
}
