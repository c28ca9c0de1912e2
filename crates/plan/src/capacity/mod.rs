//! How many ports a client can have, and how many it needs.
//!
//! ```text
//!  Spec ───► Capacity ──table──► ports a client: number of clients × number of public addresses ─┐
//!               ▲                                                                               Chart ──► SVG, terminal
//!               └── advise ◄──┐                                                                  │
//!  flows ──► Usage ──measure──► Measured: the most ports that each client had at once ───────────┘
//! ```
//!
//! A block that is too small breaks what the client does, one that is too large costs public addresses. What there is
//! to give out is arithmetic ([`Capacity`]); what clients need is in the record of what they did ([`Usage`]). RFC 6888
//! (REQ-4) asks for a limit of ports for each client, and RFC 7422 makes that limit a block of its own; neither says how
//! large it should be.
//!
//! ```
//! use unmasq_plan::{EVEN_PORTS, PortSpace, capacity::Capacity};
//!
//! let capacity = Capacity::new(PortSpace::new(EVEN_PORTS, &[]), 25);
//! assert_eq!(capacity.ports_per_client(1000, 4), 206);
//! assert_eq!(capacity.public_needed(1000, 500), Some(10));
//! ```

mod advice;
mod chart;
mod sweep;
mod table;
mod usage;

pub use advice::Advice;
pub use chart::{Chart, Ink, Span};
pub use table::{Capacity, Counts, Row, Table};
pub use usage::{ClientPeak, Measured, Peak, Summary, Toward, Usage};

/// Fewer ports than this are too little in practice: one page of the web, or one program that synchronises files, has
/// dozens of flows, and those that ended keep their port for as long as conntrack's timeouts say.
pub const FEWEST_PORTS: u32 = 64;

/// A number with commas between thousands: `65,536`.
pub fn grouped(number: impl Into<u64>) -> String {
    let digits = number.into().to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        let texts = [0_u64, 999, 1000, 65_536, 1_000_000].map(grouped);
        assert_eq!(texts, ["0", "999", "1,000", "65,536", "1,000,000"]);
    }
}
