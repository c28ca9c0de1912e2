//! The domain of unmasq: one fact, the [`Flow`], and everything that is said about it.
//!
//! ```text
//!             original direction                        as the far side sees it
//!   client 192.168.101.2:47244 → target 198.51.100.7:80   (original source → destination)
//!   masked 203.0.113.1:61002   ← server 198.51.100.7:80   (reply destination ← source)
//! ```
//!
//! This crate knows no kernel, no disk and no configuration: it takes time and input as arguments.
//! [`Book`] is the index of the flows that are alive now or were lately.
//!
//! ```
//! use unmasq_flow::{Bound, Endpoint, Flow, Origin, Period, Protocol, Timestamp};
//!
//! let origin = Origin::new("gw1", "").shared();
//! let client: Endpoint = "192.168.101.2:47244".parse()?;
//! let masked: Endpoint = "203.0.113.1:61002".parse()?;
//! let server: Endpoint = "198.51.100.7:80".parse()?;
//! let mut flow = Flow::new(origin, Protocol::TCP, (client, server), (server, masked));
//! flow.start = Bound::Exact(Timestamp::from_seconds(1_795_251_448));
//! flow.end = Bound::Open;
//!
//! assert!(flow.is_source_translated());
//! assert!(!flow.is_destination_translated());
//! assert!(flow.overlaps(Period::at(Timestamp::from_seconds(1_795_251_500))));
//! # Ok::<(), unmasq_flow::ParseError>(())
//! ```

mod book;
mod bound;
mod coverage;
mod endpoint;
mod evidence;
mod flow;
mod origin;
mod protocol;
pub mod record;
mod text;
mod time;

pub use book::{Ask, Book, BookFull, Ended, Limits, Seen, Stats};
pub use bound::Bound;
pub use coverage::{ClockReading, Coverage, Gap, GapReason, Scope, ScopeKind};
pub use endpoint::{Endpoint, ParseError, Selector};
pub use evidence::{Evidence, Witness};
pub use flow::{Count, Destination, DestinationPolicy, Flow, Status, Traffic};
pub use origin::{Origin, Zones};
pub use protocol::Protocol;
pub use text::Text;
pub use time::{Period, Timestamp};
