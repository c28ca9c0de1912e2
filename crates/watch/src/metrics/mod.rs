//! What a watch counts, for Prometheus: values that the engine renews in batches, a page made of them, and the small
//! server that gives the page out.
//!
//! ```text
//!  engine ──add, set (once a batch)──► Metrics ──render──► text ◄── GET /metrics ── Server (a thread of its own)
//! ```
//!
//! The labels come from the configuration and from closed lists (reasons, outcomes), never from a log line, so that an
//! attacker cannot grow the page.

mod page;
mod server;
mod value;

pub use server::{Server, ServerError};
pub use value::{Gauge, Histogram, Labelled, Total};

/// All that is counted. Shared by an `Arc`; each value may be written from any thread.
#[derive(Debug)]
pub struct Metrics {
    /// Entries read. `source`.
    pub entries: Labelled<1>,
    /// Entries that no step handled.
    pub unhandled: Total,
    /// Entries cut because they were longer than the limit. `source`.
    pub oversized: Labelled<1>,
    /// Entries that could not be decoded. `source`.
    pub undecodable: Labelled<1>,
    /// Seconds between now and the entry read last. `source`.
    pub lag: Labelled<1>,
    /// Entries for which a step was passed. `chain`, `step`.
    pub step_seen: Labelled<2>,
    /// Entries that a filter let through, or that an action handled. `chain`, `step`.
    pub step_matched: Labelled<2>,
    /// Errors of a step. `chain`, `step`.
    pub step_errors: Labelled<2>,
    /// Entries that wait for their client now.
    pub waits: Gauge,
    /// Waits that have ended. `outcome`: corrected, passed, skipped, overflow.
    pub waits_ended: Labelled<1>,
    /// Keys that counters hold now. `counter`.
    pub counters: Labelled<1>,
    /// Keys that were given up to keep a counter within its memory. `counter`.
    pub counters_evicted: Labelled<1>,
    /// Elements wanted in a set now. `set`.
    pub bans: Labelled<1>,
    /// Bans ordered. `set`.
    pub bans_ordered: Labelled<1>,
    /// Elements that the kernel refused. `set`.
    pub bans_failed: Labelled<1>,
    /// Elements that somebody else had removed and that were put back. `set`.
    pub bans_mended: Labelled<1>,
    /// Bans that the guard refused. `reason`.
    pub refusals: Labelled<1>,
    /// Mails: `state` is queued, sent, failed or dropped.
    pub mails: Labelled<1>,
    /// Mails on disk that wait to be sent.
    pub mails_waiting: Gauge,
    /// Log entries that were written, or lost because the log took none. `state`: written, lost.
    pub log: Labelled<1>,
    /// Commits of the state.
    pub commits: Total,
    /// Seconds that a commit took.
    pub commit_seconds: Histogram,
    /// Seconds from an entry's own time to the kernel's word that its ban is in force.
    pub log_to_kernel: Histogram,
    /// Questions to the book. `outcome`: found, unknown, timeout, refused.
    pub book: Labelled<1>,
    /// Reloads of the configuration. `outcome`: done, refused.
    pub reloads: Labelled<1>,
}

impl Default for Metrics {
    fn default() -> Self {
        // From the kernel's millisecond to the slowest that is still of use.
        let latencies = &[0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0, 30.0];
        Self {
            entries: Labelled::new(["source"]),
            unhandled: Total::default(),
            oversized: Labelled::new(["source"]),
            undecodable: Labelled::new(["source"]),
            lag: Labelled::new(["source"]),
            step_seen: Labelled::new(["chain", "step"]),
            step_matched: Labelled::new(["chain", "step"]),
            step_errors: Labelled::new(["chain", "step"]),
            waits: Gauge::default(),
            waits_ended: Labelled::new(["outcome"]),
            counters: Labelled::new(["counter"]),
            counters_evicted: Labelled::new(["counter"]),
            bans: Labelled::new(["set"]),
            bans_ordered: Labelled::new(["set"]),
            bans_failed: Labelled::new(["set"]),
            bans_mended: Labelled::new(["set"]),
            refusals: Labelled::new(["reason"]),
            mails: Labelled::new(["state"]),
            mails_waiting: Gauge::default(),
            log: Labelled::new(["state"]),
            commits: Total::default(),
            commit_seconds: Histogram::new(latencies),
            log_to_kernel: Histogram::new(latencies),
            book: Labelled::new(["outcome"]),
            reloads: Labelled::new(["outcome"]),
        }
    }
}
