//! From what clients use to a block, and to the public addresses that it needs.

use super::{Capacity, FEWEST_PORTS, Summary};

/// What follows from the usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advice {
    /// Ports that each client should have at least.
    pub ports: u32,
    /// The fewest public addresses that give so many to each; `None` if no address has room for such a block.
    pub public: Option<u64>,
    /// Ports that each client then gets: what is left is given out too.
    pub given: u32,
}

impl Capacity {
    /// The smallest block that covers what 99 of 100 clients had at once and a quarter more, and what it needs. It is
    /// never below [`FEWEST_PORTS`], and no power of two: the layout `even` has no use for one.
    pub fn advise(&self, clients: u64, usage: Summary) -> Advice {
        let ports = usage.p99.saturating_add(usage.p99.div_ceil(4)).max(FEWEST_PORTS);
        let public = self.public_needed(clients, ports);
        let given = public.map_or(0, |public| self.ports_per_client(clients, public));
        Advice { ports, public, given }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EVEN_PORTS, PortSpace};

    #[test]
    fn the_block_has_a_quarter_more_than_99_of_100_clients_used() {
        let capacity = Capacity::new(PortSpace::new(EVEN_PORTS, &[]), 25);
        let advise = |p99| capacity.advise(1000, Summary { median: 1, p99, max: 5000 });
        assert_eq!(advise(210), Advice { ports: 263, public: Some(6), given: 308 });
        assert_eq!(advise(1), Advice { ports: 64, public: Some(2), given: 103 });
        assert_eq!(advise(64_000), Advice { ports: 80_000, public: None, given: 0 });
    }
}
