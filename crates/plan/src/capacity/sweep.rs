//! The most ports in use at once: a sweep over the starts and ends of one client's uses.

use unmasq_flow::Timestamp;

/// A port in use for a time, in sixteen bytes: most of what a measurement keeps is these.
///
/// From the highest bit: start and end in milliseconds since 1970 (42 bits each, up to the year 2109), the port (16), and
/// the number of the server (28). So uses sort by their start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Use(u128);

const TIME_BITS: u32 = 42;
const TIME_MAX: i64 = (1 << TIME_BITS) - 1;
const SERVER_BITS: u32 = 28;
/// The server is not known.
pub(super) const NO_SERVER: u32 = (1 << SERVER_BITS) - 1;

impl Use {
    /// Both ends belong to it. Times before 1970 and after 2109 are cut to that.
    pub(super) fn new(start: Timestamp, end: Timestamp, port: u16, server: u32) -> Self {
        let millis = |time: Timestamp| time.as_millis().clamp(0, TIME_MAX).unsigned_abs();
        let mut bits = u128::from(millis(start));
        bits = bits << TIME_BITS | u128::from(millis(end));
        bits = bits << u16::BITS | u128::from(port);
        bits = bits << SERVER_BITS | u128::from(server.min(NO_SERVER));
        Self(bits)
    }

    fn start(self) -> u64 {
        (self.0 >> (SERVER_BITS + u16::BITS + TIME_BITS)) as u64
    }

    fn end(self) -> u64 {
        (self.0 >> (SERVER_BITS + u16::BITS)) as u64 & TIME_MAX.unsigned_abs()
    }

    fn port(self) -> u16 {
        (self.0 >> SERVER_BITS) as u16
    }

    pub(super) fn server(self) -> u32 {
        self.0 as u32 & NO_SERVER
    }
}

/// A port of one of a client's masked addresses by its number, and a use of it.
pub(super) type Placed = (u32, Use);

/// Uses at several masked addresses, with the ports of all of them numbered from 0 without holes.
pub(super) fn place(placed: &mut Vec<Placed>, addresses: impl Iterator<Item = Vec<Use>>) {
    placed.clear();
    // A client has no more than 65,536 masked addresses: a plan knows no more.
    for (address, uses) in (0..=u16::MAX).zip(addresses) {
        let slot = |one: Use| u32::from(address) << u16::BITS | u32::from(one.port());
        placed.extend(uses.into_iter().map(|one| (slot(one), one)));
    }
    placed.sort_unstable_by_key(|(slot, _)| *slot);
    let (mut number, mut last) = (0, placed.first().map_or(0, |(slot, _)| *slot));
    for (slot, _) in placed {
        number += u32::from(*slot != last);
        last = std::mem::replace(slot, number);
    }
}

/// The most at once, and when first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Highest {
    pub(super) ports: u32,
    /// Milliseconds since 1970.
    pub(super) at: u64,
}

/// Sweeps, with the memory that all sweeps share.
#[derive(Debug, Default)]
pub(super) struct Sweep {
    /// Uses of each port at the moment; all zero between two sweeps.
    alive: Vec<u32>,
    ends: Vec<(u64, usize)>,
}

impl Sweep {
    /// The most distinct ports in use at once, whatever the server.
    pub(super) fn any(&mut self, uses: &mut [Placed]) -> Highest {
        uses.sort_unstable_by_key(|(port, one)| (*one, *port));
        self.highest(uses)
    }

    /// The most distinct ports in use at once toward the same server.
    pub(super) fn one_server(&mut self, uses: &mut [Placed]) -> Highest {
        uses.sort_unstable_by_key(|(port, one)| (one.server(), *one, *port));
        let mut most = Highest::default();
        for run in uses.chunk_by(|(_, a), (_, b)| a.server() == b.server()) {
            // A run that is no longer than the most so far cannot exceed it.
            if run[0].1.server() != NO_SERVER && run.len() > most.ports as usize {
                let found = self.highest(run);
                if found.ports > most.ports {
                    most = found;
                }
            }
        }
        most
    }

    /// The uses are sorted by start.
    fn highest(&mut self, uses: &[Placed]) -> Highest {
        let ports = uses.iter().map(|(port, _)| *port as usize + 1).max().unwrap_or(0);
        if self.alive.len() < ports {
            self.alive.resize(ports, 0);
        }
        self.ends.clear();
        self.ends.extend(uses.iter().map(|(port, one)| (one.end(), *port as usize)));
        self.ends.sort_unstable();
        let mut ended = self.ends.iter().peekable();
        let (mut ports, mut most) = (0_u32, Highest::default());
        for (port, one) in uses {
            // A use that ends as another starts is still there: both ends belong to it.
            while let Some((_, port)) = ended.next_if(|(end, _)| *end < one.start()) {
                self.alive[*port] -= 1;
                ports -= u32::from(self.alive[*port] == 0);
            }
            let count = &mut self.alive[*port as usize];
            *count += 1;
            ports += u32::from(*count == 1);
            if ports > most.ports {
                most = Highest { ports, at: one.start() };
            }
        }
        for (_, port) in ended {
            self.alive[*port] = 0;
        }
        most
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use proptest::prelude::*;

    fn millis(time: i64) -> Timestamp {
        Timestamp::from_millis(time)
    }

    #[test]
    fn a_use_is_sixteen_bytes_and_keeps_all_that_is_put_in() {
        assert_eq!(size_of::<Use>(), 16);
        let one = Use::new(millis(1_795_251_448_173), millis(TIME_MAX), 65_535, 7);
        assert_eq!((one.start(), one.end()), (1_795_251_448_173, TIME_MAX.unsigned_abs()));
        assert_eq!((one.port(), one.server()), (65_535, 7));
        let always = Use::new(Timestamp::MIN, Timestamp::MAX, 0, u32::MAX);
        assert_eq!((always.start(), always.end(), always.server()), (0, TIME_MAX.unsigned_abs(), NO_SERVER));
    }

    fn used(from: i64, to: i64, port: u16, server: u32) -> Use {
        Use::new(millis(from), millis(to), port, server)
    }

    fn placed(addresses: &[&[Use]]) -> Vec<Placed> {
        let mut placed = Vec::new();
        place(&mut placed, addresses.iter().map(|uses| uses.to_vec()));
        placed
    }

    #[test]
    fn a_port_toward_two_servers_counts_once_and_ends_belong_to_a_use() {
        let mut sweep = Sweep::default();
        let mut uses =
            placed(&[&[used(0, 10, 1, 1), used(5, 20, 1, 2), used(10, 30, 2, 2), used(31, 40, 3, 2)]]);
        assert_eq!(sweep.any(&mut uses), Highest { ports: 2, at: 10 });
        assert_eq!(sweep.one_server(&mut uses), Highest { ports: 2, at: 10 });
        let mut apart = placed(&[&[used(0, 9, 1, 1), used(10, 30, 2, 1)]]);
        assert_eq!(sweep.any(&mut apart), Highest { ports: 1, at: 0 });
        let mut two_addresses = placed(&[&[used(0, 9, 1, 1)], &[], &[used(9, 9, 1, 1)]]);
        assert_eq!(sweep.any(&mut two_addresses), Highest { ports: 2, at: 9 });
        assert_eq!(sweep.any(&mut []), Highest::default());
    }

    fn naive(uses: &[(usize, Use)]) -> u32 {
        let at = |time: u64| {
            let alive = uses.iter().filter(|(_, one)| one.start() <= time && time <= one.end());
            alive.map(|(address, one)| (*address, one.port())).collect::<HashSet<_>>().len()
        };
        uses.iter().map(|(_, one)| at(one.start()) as u32).max().unwrap_or(0)
    }

    fn uses() -> impl Strategy<Value = Vec<Use>> {
        let one = (0_i64..50, 0_i64..20, 0_u16..6, 0_u32..4).prop_map(|(from, long, port, server)| {
            used(from, from + long, port, if server == 3 { NO_SERVER } else { server })
        });
        proptest::collection::vec(one, 0..30)
    }

    proptest! {
        #[test]
        fn a_sweep_finds_what_counting_at_every_start_finds(
            addresses in proptest::collection::vec(uses(), 0..4),
        ) {
            let all: Vec<(usize, Use)> =
                addresses.iter().enumerate().flat_map(|(n, uses)| uses.iter().map(move |one| (n, *one))).collect();
            let mut placed = Vec::new();
            place(&mut placed, addresses.into_iter());
            let mut sweep = Sweep::default();
            prop_assert_eq!(sweep.any(&mut placed).ports, naive(&all));
            let toward = |server| all.iter().copied().filter(|(_, one)| one.server() == server).collect::<Vec<_>>();
            let most = (0..3).map(|server| naive(&toward(server))).max().unwrap_or(0);
            prop_assert_eq!(sweep.one_server(&mut placed).ports, most);
            prop_assert!(sweep.alive.iter().all(|count| *count == 0));
        }
    }
}
