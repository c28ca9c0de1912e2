//! conntrack: what the kernel says about the flows that it tracks.
//!
//! [`EventSocket`] hands over datagrams, [`parse()`] turns them into [`Event`]s, [`Dumper`] lists what is
//! alive, and deletes.

mod batch;
mod dump;
mod encode;
mod entry;
mod events;
pub(crate) mod kernel;
mod parse;

pub use batch::{Batch, Datagrams};
pub use dump::{Direction, DumpReport, Dumper, Tuple};
pub use entry::{Entry, Event, EventKind};
pub use events::{EventOptions, EventSocket, Received};
pub use parse::{ParseError, Progress, parse};

pub use crate::sockopt::Memory;
