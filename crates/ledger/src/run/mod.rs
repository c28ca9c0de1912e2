//! Immutable columnar files ("runs") of the flows of one UTC hour.
//!
//! ```text
//!  Row ──push──► Builder ──finish──► file ──open──► Run ──find, scan, neighbours──► Row
//!                 (sort, supersede)   │              │
//!                                     └───◄─ merge ◄─┘   many runs of an hour become one
//! ```
//!
//! Rows are sorted by (masked address, protocol, masked selector, start) and cut into blocks; each column of a block is
//! coded by itself. A look-up reads the index, then the key columns of the one or two blocks that can hold the key, then
//! the other columns up to the last row that matches. Times have a resolution of 1 ms. Every field of a flow is kept
//! except the kernel's id; the stream's name is the reader's to know.
//!
//! `docs/ledger-format.md` has the grammar.

mod assemble;
mod block;
mod builder;
mod code;
mod dictionary;
mod error;
mod file;
mod filter;
mod fuzz;
mod interner;
mod layout;
mod merge;
mod packed;
mod reader;
mod reconcile;
mod row;
mod sort;
#[cfg(test)]
mod tests;

pub use builder::{Builder, Summary, WriteOptions, write};
pub use error::{Damage, RunError};
pub use filter::{AddressRange, Filter};
pub use fuzz::fuzz_open;
pub use merge::merge;
pub use reader::{Header, Neighbours, Run};
pub use reconcile::{Reconciled, reconcile};
pub use row::Row;

/// The version of the format that is written. Every version that was ever written is read.
pub const FORMAT_VERSION: u16 = 1;
