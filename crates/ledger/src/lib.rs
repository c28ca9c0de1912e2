//! ledger
mod chain;
mod codec;
mod coverage;
mod destination;
mod error;
mod frame;
mod hold;
mod journal;
mod layout;
mod read;
pub mod run;
pub mod storage;
mod writer;

pub use chain::Hash;
pub use coverage::CoverageEvent;
pub use destination::DestinationKey;
pub use error::LedgerError;
pub use hold::Hold;
pub use layout::{StreamKind, VERSION};
pub use read::{Found, Hit, Ledger, Neighbours, Query, StreamInfo};
pub use writer::{Recovery, Retention, Writer, WriterOptions, WriterStats};
