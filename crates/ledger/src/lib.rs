//! The ledger: every flow ever recorded, on disk, near the entropy of the data.
//!
//! ```text
//!  opened, ended, carry, cover        ┌──────────────── a stream: one writer, any number of readers ───────────────┐
//!            │                        │                                                                            │
//!            ▼         flush          │            seal                     merge                                  │
//!         Writer ──────────────────►  │  journal ─────────►  08/000016.run ─────────►  08/000017.run  ──► pruned   │
//!    (batch in memory)   write(2)     │     │ statements        │ each of them a line      │                       │
//!                                     │     ▼                   ▼                          ▼                       │
//!                                     │  coverage             chain ◄──────────────────────┘                       │
//!                                     └──────────▲───────────────────▲───────────────────────▲─────────────────────┘
//!                                                └───────────────────┴─── Ledger: find, neighbours, client, flows, verify
//! ```
//!
//! A **flow** stands as a row in every UTC hour that it touches, so that a look-up reads the hour that it asks about and
//! no other: as *open* where it began, as *carried* between, as *final* where it ended. [`run`] has the rules by which
//! rows of one flow give way to the one that knows most.
//!
//! **Coverage** is written in the same journal as the flows that it is about, and behind them: whatever is lost, nothing
//! is ever called complete without the flows that make it so.
//!
//! The writer asks no clock: time comes with [`CoverageEvent`]. Everything that changes the disk goes through
//! [`storage::Storage`], so that tests can cut the power at every moment.
//!
//! ```
//! use std::time::Duration;
//! use unmasq_flow::{Bound, Endpoint, Flow, Origin, Period, Protocol, Timestamp};
//! use unmasq_ledger::{Ledger, Query, Writer, WriterOptions};
//!
//! # let folder = tempfile::tempdir().expect("a folder");
//! # let directory = folder.path().join("ledger");
//! let (mut writer, _recovery) = Writer::open(&directory, "gw1", WriterOptions::default())?;
//! let server = Endpoint::v4([198, 51, 100, 7], 443);
//! let (client, masked) = (Endpoint::v4([10, 0, 0, 2], 47244), Endpoint::v4([203, 0, 113, 1], 61002));
//! let mut flow = Flow::new(Origin::new("gw1", "").shared(), Protocol::TCP, (client, server), (server, masked));
//! flow.start = Bound::Exact(Timestamp::from_seconds(1_795_251_448));
//! flow.end = Bound::Open;
//! writer.opened(&flow);
//! writer.flush()?;
//!
//! let period = Period::around(Timestamp::from_seconds(1_795_251_450), Duration::from_secs(5));
//! let found = Ledger::open(&directory)?.find(&Query { masked, protocol: None, period })?;
//! assert_eq!(found.hits[0].flow.client, client);
//! assert!(!found.coverage[0].1.is_complete(), "nobody said that the stream was complete then");
//! # writer.finish()?;
//! # Ok::<(), unmasq_ledger::LedgerError>(())
//! ```

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
mod verify;
mod writer;

pub use chain::Hash;
pub use coverage::CoverageEvent;
pub use destination::DestinationKey;
pub use error::LedgerError;
pub use hold::Hold;
pub use layout::{StreamKind, VERSION};
pub use read::{Found, Hit, Ledger, Neighbours, Query, StreamInfo};
pub use verify::{HeadCheck, Problem, StreamReport, VerifyOptions, VerifyProgress, VerifyReport};
pub use writer::{Recovery, Retention, Writer, WriterOptions, WriterStats};
