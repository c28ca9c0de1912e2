//! SSH handshakes out of packets: who begins a connection with what software, without a word of its own.
//!
//! ```text
//!  frame ──► packet::read ──► Segment ──► connection ──► both directions in order ──► Identification, Hassh
//!                                                                  │
//!           Sighting::Client  as soon as the client's line is there ◄┤
//!           Sighting::Whole   with both sides' lists, or at the end ◄┘
//! ```
//!
//! No sockets and no clock: packets come with their time. Memory is bounded by [`Limits`], whatever comes.
//!
//! ```
//! use unmasq_flow::Timestamp;
//! use unmasq_sensor::packet::{Flags, Link};
//! use unmasq_sensor::{Captured, Limits, Sensor, Sighting, craft};
//!
//! let packet = craft::tcp_over(
//!     "192.0.2.7:47244".parse()?, "198.51.100.9:22".parse()?, 1, Flags::default(), b"SSH-2.0-libssh_0.10.6\r\n",
//! );
//! let mut sensor = Sensor::new(vec![22], Limits::default());
//! let captured = Captured::new(Timestamp::from_seconds(1_795_251_448), Link::Ip, &packet);
//! sensor.take(&captured, &mut |sighting| {
//!     let Sighting::Client(handshake) = sighting else { return };
//!     assert!(handshake.to_eve().contains(r#""software_version":"libssh_0.10.6""#));
//! });
//! # Ok::<(), std::net::AddrParseError>(())
//! ```

pub mod craft;
#[doc(hidden)]
pub mod fuzz;
mod handshake;
pub mod packet;
pub mod pcap;
mod stream;
mod table;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use unmasq_flow::Timestamp;

pub use handshake::{Handshake, Sighting};
pub use stream::MOST_BYTES;
pub use table::{Counts, Limits};

use packet::{Link, Passed, Vlan};
use table::Table;

/// A packet as a capture gives it.
#[derive(Clone, Copy, Debug)]
pub struct Captured<'a> {
    /// When it was seen.
    pub at: Timestamp,
    /// What it begins with.
    pub link: Link,
    /// The tags that the capture took off it.
    pub tags: Vlan,
    /// The interface it was seen at, if that is known.
    pub interface: Option<&'a Arc<str>>,
    /// Its bytes, as many as were captured.
    pub bytes: &'a [u8],
}

impl<'a> Captured<'a> {
    /// Without tags taken off, and of an unknown interface.
    pub fn new(at: Timestamp, link: Link, bytes: &'a [u8]) -> Self {
        Self { at, link, tags: Vlan::default(), interface: None, bytes }
    }
}

/// Follows the beginnings of SSH connections.
pub struct Sensor {
    /// Empty: any.
    ports: Vec<u16>,
    table: Table,
}

impl Sensor {
    /// A sensor of servers at these ports; without any, of all connections.
    pub fn new(ports: Vec<u16>, limits: Limits) -> Self {
        Self { ports, table: Table::new(limits) }
    }

    /// Takes a packet, and tells what it makes known. Hot; guarded by `bench/divert`.
    pub fn take(&mut self, captured: &Captured<'_>, tell: &mut impl FnMut(Sighting)) {
        let counts = &mut self.table.counts;
        counts.packets += 1;
        let segment = match packet::read(captured.link, captured.tags, captured.bytes) {
            Ok(segment) => segment,
            Err(passed) => {
                match passed {
                    Passed::Other => {}
                    Passed::Fragment => counts.fragments += 1,
                    Passed::Broken => counts.broken += 1,
                }
                return;
            }
        };
        let ends = [segment.source.port(), segment.destination.port()];
        if !self.ports.is_empty() && !ends.iter().any(|port| self.ports.contains(port)) {
            return;
        }
        self.table.take(&segment, &self.ports, captured.at, captured.interface, tell);
    }

    /// Time goes on: tells of connections that are of age, of so many at most. Once for a batch of packets, and when
    /// [`Sensor::due`] says.
    pub fn expire(&mut self, now: Timestamp, most: usize, tell: &mut impl FnMut(Sighting)) {
        self.table.expire(now, most, tell);
    }

    /// Nothing more comes: tells of all that is under way.
    pub fn finish(&mut self, at: Timestamp, tell: &mut impl FnMut(Sighting)) {
        self.table.finish(at, tell);
    }

    /// When [`Sensor::expire`] has something to do at the earliest.
    pub fn due(&self) -> Option<Timestamp> {
        self.table.due()
    }

    /// What it has met.
    pub fn counts(&self) -> Counts {
        self.table.counts
    }

    /// Connections in memory, and bytes of their segments that are kept.
    pub fn size(&self) -> (usize, usize) {
        self.table.size()
    }
}
