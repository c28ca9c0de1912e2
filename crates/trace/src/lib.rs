//! The question "who was it?", its witnesses and its answer.
//!
//! ```text
//!   text ─ time::parse ─► Inquiry ─ answer() ─► Question ─► Witness (ledger, book, kernel, plan) ─► Testimony
//!                                       │                                                        │
//!                                       └── merge, follow, rank, complete? ◄─────────────────────┘
//!                                                   │
//!                                                Answer ─► Verdict (exit status), report (JSON)
//! ```
//!
//! A witness says which flows it knows of, what it covers, and what it could not read. How each stores is its own
//! affair. [`answer()`] asks them all, takes what they say of the same flow together, looks behind clients that are masked
//! themselves, and says what is missing: it never says "nobody" when it means "I don't know".
//!
//! ```
//! use unmasq_flow::{Bound, Coverage, Evidence, Flow, Origin, Period, Protocol, Timestamp, Witness as By};
//! use unmasq_trace::{Inquiry, Memory, Witness, answer};
//!
//! let at = Timestamp::from_seconds(1_795_251_450);
//! let origin = Origin::new("gw1", "").shared();
//! let server = "198.51.100.7:80".parse()?;
//! let mut flow = Flow::new(origin, Protocol::TCP, ("192.168.101.2:47244".parse()?, server), (server, "203.0.113.1:61002".parse()?));
//! flow.start = Bound::Exact(Timestamp::from_seconds(1_795_251_448));
//! flow.end = Bound::Exact(Timestamp::from_seconds(1_795_251_460));
//!
//! let evidence = Evidence { witness: By::Ledger, place: "example".to_owned() };
//! let mut witnesses: Vec<Box<dyn Witness>> = vec![Box::new(Memory::new(vec![flow], evidence, Vec::new()))];
//! let answer = answer(&Inquiry::new("203.0.113.1:61002".parse()?, Period::at(at), at), &mut witnesses);
//!
//! assert_eq!(answer.candidates[0].client().to_string(), "192.168.101.2:47244");
//! assert_eq!(answer.verdict().code(), 4, "one client, but nothing says that the record is complete");
//! # Ok::<(), unmasq_flow::ParseError>(())
//! ```

mod answer;
mod candidate;
mod completeness;
mod ledger;
mod memory;
mod overview;
mod plan;
mod question;
pub mod report;
pub mod time;
mod verdict;
mod witness;

pub use answer::{Answer, ClockStep, Decider, answer};
pub use candidate::{Candidate, Certainty, Conversation, Cut, Hop, Reading};
pub use completeness::{MissingStretch, Shortfall};
pub use ledger::LedgerWitness;
pub use memory::Memory;
pub use overview::{ClientFlows, HistoryEnd, Overview, history, overview};
pub use plan::{PlanSays, PlanWitness};
pub use question::{ClientQuestion, Inquiry, Question, ServerCheck};
pub use verdict::Verdict;
pub use witness::{
    Closing, Hit, Neighbours, Standing, StreamCoverage, StreamKind, Testimony, Witness, WitnessError,
};
