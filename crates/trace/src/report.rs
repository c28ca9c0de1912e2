//! The answer as JSON. The schema is documented in docs/find-who-used-an-address.md and only grows.

use serde::Serialize;
use unmasq_flow::record::Record;
use unmasq_flow::{Evidence, Period, ScopeKind, Timestamp};

use crate::candidate::{Candidate, Certainty, Conversation, Cut, Hop, Reading};
use crate::completeness::Shortfall;
use crate::{Answer, Hit, ServerCheck};

/// An [`Answer`], as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// What was asked.
    pub question: QuestionReport,
    /// The stretches of time that were looked at.
    pub window: Vec<PeriodReport>,
    /// Is the record complete for the question?
    pub complete: bool,
    /// Can it have been more than one client?
    pub ambiguous: bool,
    /// 0, 1, 3, 4 or 5, as the command's exit status.
    pub exit_status: u8,
    /// The distinct client addresses.
    pub clients: Vec<String>,
    /// Who it can have been, the best founded first.
    pub candidates: Vec<CandidateReport>,
    /// Pairs of indexes into `candidates` that cannot both be true.
    pub contradictions: Vec<(usize, usize)>,
    /// What would decide between several clients: `port`, `protocol`, `destination`, `time`, `place`.
    pub decide: Vec<&'static str>,
    /// Why the record is not complete.
    pub gaps: Vec<GapReport>,
    /// Files that could not be read.
    pub damage: Vec<String>,
    /// Steps of a recorder's clock that the window touches.
    pub clock_steps: Vec<ClockStepReport>,
    /// The nearest flows, if there is no candidate.
    pub neighbours: NeighboursReport,
    /// What was inferred, which witnesses were missing, and other things to know.
    pub notes: Vec<String>,
}

/// What was asked, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct QuestionReport {
    /// The masked endpoint.
    pub masked: String,
    /// The protocol, if one was given.
    pub protocol: Option<String>,
    /// The server, if one was given.
    pub server: Option<String>,
    /// The time as it was written; null for "now".
    pub at: Option<String>,
}

/// A stretch of time, both ends included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PeriodReport {
    /// RFC 3339, UTC.
    pub from: String,
    /// RFC 3339, UTC.
    pub to: String,
}

/// A candidate, as JSON: a flow as every export writes it, from the client that is furthest behind to the masked endpoint, and what it rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CandidateReport {
    /// `client` and `target` are those of the client furthest behind; all else is the flow on the masked endpoint.
    #[serde(flatten)]
    pub flow: Record,
    /// Who knows of it, and where.
    pub evidence: Vec<EvidenceReport>,
    /// `sure` or `possible`: was it alive in the window?
    pub certainty: &'static str,
    /// `assured`, `answered`, `one-sided` or `unknown`.
    pub conversation: &'static str,
    /// `same`, `same-hash` or `undecided`, if a server was asked for.
    pub server_check: Option<&'static str>,
    /// Nanoseconds by which the time asked for was shifted, for the other reading of a clock that was set; null if it was not.
    pub shifted_by: Option<i64>,
    /// The flows one behind the other, the one on the masked endpoint first; empty if there is only that one.
    pub steps: Vec<StepReport>,
    /// `loop` or `too-deep`, if the steps could not be followed to their end.
    pub cut: Option<&'static str>,
}

/// One of several flows behind one another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StepReport {
    /// The flow.
    #[serde(flatten)]
    pub flow: Record,
    /// Who knows of it, and where.
    pub evidence: Vec<EvidenceReport>,
}

/// Who knows of a flow, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EvidenceReport {
    /// `kernel`, `book`, `ledger` or `import`.
    pub witness: String,
    /// A file of the ledger and the row in it, a control socket, a namespace.
    pub place: String,
}

/// Why the record is not complete, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GapReport {
    /// `gap`, `nothing-records`, `future`, `scope` or `unknown-address`.
    pub kind: &'static str,
    /// The stream, if it is about one.
    pub stream: Option<String>,
    /// The namespace, if it is about one.
    pub namespace: Option<String>,
    /// RFC 3339, UTC; null where it has no beginning.
    pub from: Option<String>,
    /// RFC 3339, UTC; null where it has no end.
    pub to: Option<String>,
    /// In words.
    pub reason: String,
}

/// A step of a recorder's clock, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClockStepReport {
    /// The stream.
    pub stream: String,
    /// The wall clock after the step.
    pub at: String,
    /// By how many seconds it was set forward (back, if negative).
    pub seconds: f64Text,
}

/// Seconds with nine decimals, written as a JSON number.
#[allow(non_camel_case_types, reason = "private to the report; reads as what it is")]
pub type f64Text = serde_json::Number;

/// The nearest flows, as JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NeighboursReport {
    /// The one that ended last before the window.
    pub before: Option<StepReport>,
    /// The one that began first after it.
    pub after: Option<StepReport>,
}
