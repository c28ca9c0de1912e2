//! Other programs' logs, read into flows.
//!
//! ```text
//!  bytes ──► Lines ──line──► Parser ──Sighting──► Pairer ──Paired──► a ledger's writer
//!            (64 KiB)        per format           joins NEW, UPDATE,
//!                            or a Refusal         DESTROY of one flow
//! ```
//!
//! This crate opens no file and knows no ledger. A line that cannot be read is a [`Refusal`] with its reason, never a panic
//! and never a guess: a local time without a zone is refused, a flow whose end was not seen has an unknown end.
//!
//! ```
//! use unmasq_flow::{Bound, Origin};
//! use unmasq_import::{Format, Pairer, Parser, Settings};
//!
//! let log = "\
//! [1795259950.866147]\t    [NEW] tcp      6 120 SYN_SENT src=192.168.101.2 dst=203.0.113.80 sport=40001 dport=8080 \
//! [UNREPLIED] src=203.0.113.80 dst=203.0.113.1 sport=8080 dport=59933 id=276664576
//! [1795259952.597087]\t[DESTROY] tcp      6 TIME_WAIT src=192.168.101.2 dst=203.0.113.80 sport=40001 dport=8080 \
//! src=203.0.113.80 dst=203.0.113.1 sport=8080 dport=59933 [ASSURED] id=276664576";
//!
//! let mut parser = Parser::new(Format::Conntrack, Settings::default());
//! let mut pairer = Pairer::new(Origin::new("import", ""), 1000);
//! let mut flows = Vec::new();
//! for line in log.lines() {
//!     if let Some(sighting) = parser.line(line.as_bytes())? {
//!         pairer.push(&sighting, &mut |paired| flows.push(paired.flow));
//!     }
//! }
//! assert_eq!(flows[0].client.to_string(), "192.168.101.2:40001");
//! assert_eq!(flows[0].masked.to_string(), "203.0.113.1:59933");
//! assert!(matches!(flows[0].end, Bound::Read(_)));
//! # Ok::<(), unmasq_import::Refusal>(())
//! ```

mod conntrack;
mod format;
mod lines;
mod local_time;
mod natlog;
mod pair;
mod refusal;
mod scan;
mod sighting;
mod ulogd_emu;
mod ulogd_json;

pub use format::{Format, Parser, Settings, UnknownFormat, fuzz_line};
pub use lines::{Line, Lines, MAX_LINE};
pub use pair::{Paired, Pairer};
pub use refusal::Refusal;
pub use sighting::{Event, Sighting, Tuples};
