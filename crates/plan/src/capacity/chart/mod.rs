//! Ports per client against the number of clients, as a picture: a line for each number of public addresses, and a band
//! for what clients were seen to use.
//!
//! Both axes are logarithmic, so that the lines are straight and parallel, and halving the clients is as far as doubling
//! the addresses.

mod svg;
mod text;

use super::{Capacity, FEWEST_PORTS, Summary, Table, grouped};

pub use text::{Ink, Span};

/// Ports at the lower edge of a picture, unless clients use less.
const LOWEST_PORTS: u32 = 16;
/// Points of a line between two powers of two. The lines have steps, where a block fits just once less.
const POINTS_PER_OCTAVE: u32 = 32;

/// A picture of a table.
#[derive(Clone, Debug)]
pub struct Chart<'a> {
    capacity: &'a Capacity,
    table: &'a Table,
    usage: Option<Summary>,
}

impl<'a> Chart<'a> {
    /// A picture of this table, and of the usage if it is known.
    pub const fn new(capacity: &'a Capacity, table: &'a Table, usage: Option<Summary>) -> Self {
        Self { capacity, table, usage }
    }

    /// The number of clients that was asked about.
    fn clients(&self) -> Option<u64> {
        self.table.rows.iter().find(|row| row.is_asked).map(|row| row.clients)
    }

    fn is_asked(&self, public: u64) -> bool {
        self.table.asked.contains(&public)
    }

    /// Powers of two between which the numbers of clients lie.
    fn client_octaves(&self) -> (u32, u32) {
        let counts = || self.table.rows.iter().map(|row| row.clients);
        let (first, last) = (counts().min().unwrap_or(1), counts().max().unwrap_or(1));
        (first.ilog2(), last.next_power_of_two().ilog2())
    }

    /// Powers of two between which the ports lie.
    fn port_octaves(&self) -> (u32, u32) {
        let lowest = self.usage.map_or(LOWEST_PORTS, |usage| usage.median.clamp(1, LOWEST_PORTS));
        (lowest.ilog2(), u16::BITS)
    }

    /// The lines, by the number of public addresses, ascending.
    fn lines(&self) -> Vec<Line> {
        let (first, last) = self.client_octaves();
        let line = |public: u64| {
            let steps = 0..=(last - first) * POINTS_PER_OCTAVE;
            let points = steps.map(|step| {
                let octave = f64::from(first) + f64::from(step) / f64::from(POINTS_PER_OCTAVE);
                let clients = octave.exp2().round();
                (clients.log2(), self.capacity.ports_per_client(clients as u64, public))
            });
            let points = points.take_while(|(_, ports)| *ports > 0);
            let points = points.map(|(octave, ports)| (octave, f64::from(ports).log2()));
            Line { public, is_asked: self.is_asked(public), points: points.collect() }
        };
        let lines = self.table.public.iter().map(|public| line(*public));
        lines.filter(|line| !line.points.is_empty()).collect()
    }

    /// What the usage has to be labelled with, from the highest.
    fn usage_labels(&self) -> Vec<(String, f64)> {
        let labels = self.usage.map(|usage| {
            let label = |what: &str, ports: u32| {
                (format!("{what} {}", grouped(ports)), f64::from(ports.max(1)).log2())
            };
            [label("max", usage.max), label("p99", usage.p99), label("median", usage.median)]
        });
        labels.into_iter().flatten().collect()
    }

    fn subtitle(&self) -> String {
        format!(
            "layout even; {} ports at each public address; growth reserve {} %",
            grouped(self.capacity.ports()),
            self.capacity.growth()
        )
    }
}

/// The ports per client with one number of public addresses. Both coordinates are binary logarithms.
struct Line {
    public: u64,
    is_asked: bool,
    points: Vec<(f64, f64)>,
}

/// Moves places apart that are nearer than a gap. They ascend, and still do.
fn spread(places: &mut [f64], gap: f64) {
    // Down from the first, then half of what that moved the last is taken back by the run.
    let mut start = 0;
    while start < places.len() {
        let (mut end, mut moved) = (start + 1, 0.0);
        while end < places.len() && places[end] < places[end - 1] + gap {
            moved = places[end - 1] + gap - places[end];
            places[end] = places[end - 1] + gap;
            end += 1;
        }
        let before = if start == 0 { f64::NEG_INFINITY } else { places[start - 1] + gap };
        let back = (moved / 2.0).min(places[start] - before).max(0.0);
        for place in &mut places[start..end] {
            *place -= back;
        }
        start = end;
    }
}

#[cfg(test)]
mod tests;
