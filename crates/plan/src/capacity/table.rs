//! Ports per client against the number of clients and of public addresses, as the layout `even` gives them out.

use crate::layout::{largest, with_reserve};
use crate::{PortSpace, Spec, SpecError};

/// Steps of the number of clients: the powers of two from 64 to 65,536.
const CLIENT_STEPS: std::ops::RangeInclusive<u32> = 6..=16;
/// Steps of the number of public addresses.
const PUBLIC_STEPS: [u64; 6] = [1, 2, 4, 8, 16, 64];

/// What there is to give out at each public address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capacity {
    space: PortSpace,
    growth: u32,
}

impl Capacity {
    /// From the ports of one public address, and the growth reserve in percent.
    pub const fn new(space: PortSpace, growth: u32) -> Self {
        Self { space, growth }
    }

    /// The growth reserve, in percent.
    pub const fn growth(&self) -> u32 {
        self.growth
    }

    /// How many ports each public address has.
    pub fn ports(&self) -> u32 {
        self.space.count()
    }

    /// How many ports each client gets; 0 if there is not one for each.
    pub fn ports_per_client(&self, clients: u64, public: u64) -> u32 {
        if clients == 0 { 0 } else { largest(&self.space, public, with_reserve(clients, self.growth)) }
    }

    /// How many public addresses give each client at least so many ports; `None` if no address has room for a block
    /// of that size.
    pub fn public_needed(&self, clients: u64, ports: u32) -> Option<u64> {
        let each = u64::from(self.space.blocks(ports.max(1)));
        (each > 0).then(|| with_reserve(clients, self.growth).div_ceil(each).max(1))
    }

    /// How many clients and public addresses a specification names.
    pub fn counts(spec: &Spec) -> Result<Counts, SpecError> {
        Ok(Counts { clients: spec.clients()?.len() as u64, public: spec.public_addresses()?.len() as u64 })
    }

    /// A table over sensible steps, with rows and columns for the numbers that are asked about.
    pub fn table(&self, clients: Option<u64>, public: &[u64]) -> Table {
        let merged = |steps: Vec<u64>, asked: &[u64]| {
            let mut all: Vec<u64> =
                steps.into_iter().chain(asked.iter().copied().filter(|n| *n > 0)).collect();
            all.sort_unstable();
            all.dedup();
            all
        };
        let columns = merged(PUBLIC_STEPS.to_vec(), public);
        let steps = CLIENT_STEPS.map(|power| 1 << power).collect();
        let rows = merged(steps, clients.as_slice()).into_iter().map(|count| Row {
            clients: count,
            is_asked: Some(count) == clients,
            ports: columns.iter().map(|public| self.ports_per_client(count, *public)).collect(),
        });
        Table { rows: rows.collect(), public: columns, asked: public.to_vec() }
    }
}

impl From<&Spec> for Capacity {
    fn from(spec: &Spec) -> Self {
        Self::new(spec.space(), spec.growth)
    }
}

/// How many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Clients.
    pub clients: u64,
    /// Public addresses.
    pub public: u64,
}

/// Ports per client against clients (rows) and public addresses (columns).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// The numbers of public addresses, ascending: one for each column.
    pub public: Vec<u64>,
    /// Those of them that were asked about.
    pub asked: Vec<u64>,
    /// The rows, by the number of clients, ascending.
    pub rows: Vec<Row>,
}

/// The ports that each of so many clients gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The number of clients, without the growth reserve.
    pub clients: u64,
    /// Is it the number that was asked about?
    pub is_asked: bool,
    /// Ports of each client, one number for each of [`Table::public`]; 0 where it does not fit.
    pub ports: Vec<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ClientNetwork, EVEN_PORTS, Layout, PortRange};
    use proptest::prelude::*;

    fn capacity(growth: u32) -> Capacity {
        Capacity::new(PortSpace::new(EVEN_PORTS, &[]), growth)
    }

    #[test]
    fn steps_and_what_is_asked_have_their_rows_and_columns() {
        let table = capacity(25).table(Some(253), &[3]);
        assert_eq!(table.public, [1, 2, 3, 4, 8, 16, 64]);
        let clients: Vec<u64> = table.rows.iter().map(|row| row.clients).collect();
        assert_eq!(clients, [64, 128, 253, 256, 512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536]);
        let asked: Vec<u64> = table.rows.iter().filter(|row| row.is_asked).map(|row| row.clients).collect();
        assert_eq!(asked, [253]);
        assert_eq!(table.rows[0].ports, [806, 1612, 2389, 3225, 6451, 12_902, 32_256]);
        assert_eq!(table.rows[11].ports[0], 0, "65,536 clients have not a port each of one address");
        // A number that is a step anyway is no column of its own.
        assert_eq!(capacity(0).table(Some(64), &[1, 1]).rows.len(), 11);
    }

    #[test]
    fn a_block_that_fits_at_no_address_needs_no_number_of_them() {
        assert_eq!(capacity(0).public_needed(10, 64_513), None);
        assert_eq!(capacity(0).public_needed(10, 64_512), Some(10));
        assert_eq!(capacity(25).public_needed(100, 64_512), Some(125));
    }

    fn networks() -> impl Strategy<Value = Vec<ClientNetwork>> {
        let network = |octet: u8, prefix: u8| format!("10.{octet}.0.0/{prefix}").parse().unwrap();
        proptest::collection::vec(20_u8..=30, 1..4)
            .prop_map(move |all| (0..).zip(all).map(|(octet, prefix)| network(octet, prefix)).collect())
    }

    proptest! {
        #[test]
        fn the_table_says_what_the_layout_gives(
            networks in networks(),
            public in 1_u8..=20,
            growth in 0_u32..=200,
            hole in (0_u16..30_000).prop_map(|n| PortRange::new(n, n + 20_000).unwrap()),
        ) {
            let spec = Spec {
                layout: Layout::Even,
                networks,
                leave_out: Vec::new(),
                public: vec![format!("203.0.113.1-203.0.113.{public}").parse().unwrap()],
                ports: EVEN_PORTS,
                exclude: vec![hole],
                ports_per_client: None,
                growth,
                overflow: None,
            };
            let counts = Capacity::counts(&spec).unwrap();
            let ports = Capacity::from(&spec).ports_per_client(counts.clients, counts.public);
            let given = spec.make(None).map_or(0, |plan| plan.ports_per_client);
            prop_assert_eq!(given, ports);
        }

        #[test]
        fn the_addresses_that_are_needed_suffice_and_one_less_does_not(
            clients in 1_u64..100_000,
            ports in 1_u32..=64_512,
            growth in 0_u32..=200,
        ) {
            let capacity = capacity(growth);
            let public = capacity.public_needed(clients, ports).unwrap();
            prop_assert!(capacity.ports_per_client(clients, public) >= ports);
            prop_assert!(public == 1 || capacity.ports_per_client(clients, public - 1) < ports);
        }
    }
}
