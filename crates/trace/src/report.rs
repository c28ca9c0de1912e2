//! The answer as JSON. The schema is documented in docs/find-who-used-an-address.md and only grows.

use std::fmt;

use serde::Serialize;
use unmasq_flow::record::{OriginRecord, Record};
use unmasq_flow::{Bound, Evidence, Period, ScopeKind, Timestamp};
use unmasq_plan::history::{Holder, Holding, PlanGap};

use crate::candidate::{Candidate, Certainty, Conversation, Cut, Hop, Reading};
use crate::completeness::Shortfall;
use crate::{Answer, ClientFlows, HistoryEnd, Hit, Inquiry, Overview, ServerCheck};

/// An [`Answer`], as JSON.
#[derive(Clone, Debug, PartialEq, Serialize)]
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
#[derive(Clone, Debug, PartialEq, Serialize)]
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
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PeriodReport {
    /// RFC 3339, UTC.
    pub from: String,
    /// RFC 3339, UTC.
    pub to: String,
}

/// A candidate, as JSON: a flow as every export writes it, from the client that is furthest behind to the masked endpoint, and what it rests on.
#[derive(Clone, Debug, PartialEq, Serialize)]
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
    /// Whose the port was by the plan; null if no plan says that it was this client's.
    pub plan: Option<PlanReport>,
}

/// Whose a port was by a plan, as JSON.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlanReport {
    /// Number of the revision; null for a file in a folder without a history.
    pub revision: Option<u64>,
    /// The rules file.
    pub file: String,
    /// The client's ports: `203.0.113.1:1024-2047`.
    pub range: String,
    /// For these protocols.
    pub protocols: Vec<String>,
    /// `in-force`, `unconfirmed` (nobody wrote whether the kernel took it) or `lingering` (flows of a former plan that were
    /// left alone).
    pub holding: &'static str,
    /// From when on, RFC 3339, UTC; null if that has no beginning.
    pub from: Option<String>,
    /// Until when; null if it still is so.
    pub to: Option<String>,
}

impl From<&Holder> for PlanReport {
    fn from(holder: &Holder) -> Self {
        let time = |t: Timestamp| t.is_finite().then(|| t.to_string());
        Self {
            revision: Some(holder.revision).filter(|number| *number > 0),
            file: holder.file.clone(),
            range: holder.allocation.block.to_string(),
            protocols: holder.allocation.protocols.iter().map(|p| p.to_string()).collect(),
            holding: match holder.holding {
                Holding::InForce => "in-force",
                Holding::Unconfirmed => "unconfirmed",
                Holding::Lingering => "lingering",
            },
            from: time(holder.period.from),
            to: time(holder.period.to),
        }
    }
}

/// One of several flows behind one another.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepReport {
    /// The flow.
    #[serde(flatten)]
    pub flow: Record,
    /// Who knows of it, and where.
    pub evidence: Vec<EvidenceReport>,
}

/// Who knows of a flow, and where.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EvidenceReport {
    /// `kernel`, `book`, `ledger`, `plan` or `import`.
    pub witness: String,
    /// A file of the ledger and the row in it, a control socket, a namespace.
    pub place: String,
}

/// Why the record is not complete, as JSON.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GapReport {
    /// `gap`, `nothing-records`, `future`, `scope`, `plan`, `unseen` or `unknown-address`.
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
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClockStepReport {
    /// The stream.
    pub stream: String,
    /// The wall clock after the step.
    pub at: String,
    /// By how many seconds it was set forward (back, if negative).
    pub seconds: f64,
}

/// The nearest flows, as JSON.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct NeighboursReport {
    /// The one that ended last before the window.
    pub before: Option<StepReport>,
    /// The one that began first after it.
    pub after: Option<StepReport>,
}

impl Report {
    /// An answer as JSON. `at` is the time as it was written, `more_notes` what the caller has to add (such as what was inferred
    /// about the time).
    pub fn new(answer: &Answer, at: Option<&str>, more_notes: &[String]) -> Self {
        let inquiry = &answer.inquiry;
        Self {
            question: QuestionReport::new(inquiry, at),
            window: inquiry.windows.iter().map(|w| (*w).into()).collect(),
            complete: answer.is_complete(),
            ambiguous: answer.is_ambiguous(),
            exit_status: answer.verdict().code(),
            clients: answer.clients().iter().map(ToString::to_string).collect(),
            candidates: answer.candidates.iter().map(CandidateReport::from).collect(),
            contradictions: answer.contradictions.clone(),
            decide: answer.deciders.iter().map(|d| d.word()).collect(),
            gaps: answer.shortfalls.iter().map(GapReport::from).collect(),
            damage: answer.damage.clone(),
            clock_steps: answer
                .clock_steps
                .iter()
                .map(|step| ClockStepReport {
                    stream: step.stream.clone(),
                    at: step.at.to_string(),
                    seconds: step.by as f64 / 1e9,
                })
                .collect(),
            neighbours: NeighboursReport {
                before: answer.neighbours.before.as_ref().map(StepReport::from),
                after: answer.neighbours.after.as_ref().map(StepReport::from),
            },
            notes: more_notes.iter().cloned().chain(notes(answer)).collect(),
        }
    }
}

/// What is known of an address without a port, as JSON.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OverviewReport {
    /// What was asked.
    pub question: QuestionReport,
    /// The stretches of time that were looked at.
    pub window: Vec<PeriodReport>,
    /// Is the record complete for the question?
    pub complete: bool,
    /// Is it more than one client?
    pub ambiguous: bool,
    /// As the command's exit status.
    pub exit_status: u8,
    /// The distinct client addresses.
    pub clients: Vec<String>,
    /// Each client with its flows, the busiest first.
    pub summary: Vec<ClientFlowsReport>,
    /// Why the record is not complete.
    pub gaps: Vec<GapReport>,
    /// Files that could not be read.
    pub damage: Vec<String>,
    /// What was inferred, and which witnesses were missing.
    pub notes: Vec<String>,
}

/// The flows of one client behind an address, as JSON.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClientFlowsReport {
    /// The client's address.
    pub client: String,
    /// How many flows.
    pub flows: u64,
    /// How many of them had not ended, as far as is known.
    pub open: u64,
    /// Of which protocols.
    pub protocols: Vec<String>,
    /// The earliest start that is known.
    pub first: Option<String>,
    /// The latest end that is known.
    pub last: Option<String>,
    /// Where it was seen.
    pub origin: OriginRecord,
}

impl OverviewReport {
    /// An overview as JSON; `at` and `more_notes` as in [`Report::new`].
    pub fn new(overview: &Overview, at: Option<&str>, more_notes: &[String]) -> Self {
        let mut clients: Vec<String> = Vec::new();
        for client in overview.clients.iter().map(|c| c.client.to_string()) {
            if !clients.contains(&client) {
                clients.push(client);
            }
        }
        Self {
            question: QuestionReport::new(&overview.inquiry, at),
            window: overview.inquiry.windows.iter().map(|w| (*w).into()).collect(),
            complete: overview.is_complete(),
            ambiguous: overview.client_count() > 1,
            exit_status: overview.verdict().code(),
            clients,
            summary: overview.clients.iter().map(ClientFlowsReport::from).collect(),
            gaps: overview.shortfalls.iter().map(GapReport::from).collect(),
            damage: overview.damage.clone(),
            notes: more_notes.iter().chain(&overview.silent).cloned().collect(),
        }
    }
}

impl From<&ClientFlows> for ClientFlowsReport {
    fn from(client: &ClientFlows) -> Self {
        Self {
            client: client.client.to_string(),
            flows: client.flows,
            open: client.open,
            protocols: client.protocols.iter().map(ToString::to_string).collect(),
            first: client.first.map(|t| t.to_string()),
            last: client.last.map(|t| t.to_string()),
            origin: OriginRecord {
                stream: client.origin.stream.to_string(),
                namespace: client.origin.namespace.to_string(),
                zone_original: client.origin.zones.original,
                zone_reply: client.origin.zones.reply,
            },
        }
    }
}

/// The last line of the JSON lines that list all that a client did; the lines before it are [`StepReport`]s.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HistoryReport {
    /// Tells this line from a flow.
    pub end: HistoryEndReport,
}

/// What there is to say after all flows of a client, as JSON.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HistoryEndReport {
    /// How many flows were listed.
    pub flows: u64,
    /// Is the record complete, as far as its scope goes?
    pub complete: bool,
    /// As the command's exit status.
    pub exit_status: u8,
    /// Why the record is not complete.
    pub gaps: Vec<GapReport>,
    /// Files that could not be read.
    pub damage: Vec<String>,
    /// What was inferred, and which witnesses were missing.
    pub notes: Vec<String>,
}

impl HistoryReport {
    /// The end of a history as JSON.
    pub fn new(end: &HistoryEnd, more_notes: &[String]) -> Self {
        Self {
            end: HistoryEndReport {
                flows: end.flows,
                complete: end.is_complete(),
                exit_status: end.verdict().code(),
                gaps: end.shortfalls.iter().map(GapReport::from).collect(),
                damage: end.damage.clone(),
                notes: more_notes.iter().chain(&end.silent).cloned().collect(),
            },
        }
    }
}

impl QuestionReport {
    fn new(inquiry: &Inquiry, at: Option<&str>) -> Self {
        Self {
            masked: inquiry.masked.to_string(),
            protocol: inquiry.protocol.map(|p| p.to_string()),
            server: inquiry.server.map(|s| s.to_string()),
            at: at.map(str::to_owned),
        }
    }
}

/// What a reader of the answer must know besides, as sentences.
pub fn notes(answer: &Answer) -> Vec<String> {
    let mut notes = Vec::new();
    for step in &answer.clock_steps {
        let direction = if step.by < 0 { "back" } else { "forward" };
        notes.push(format!(
            "the clock of {} was set {direction} by {:.3} s at {}; both readings of the time were asked",
            step.stream,
            step.by.unsigned_abs() as f64 / 1e9,
            step.at
        ));
    }
    for stream in &answer.unsynchronised {
        notes.push(format!("the clock of {stream} was not synchronised; its times can be off"));
    }
    notes.extend(answer.silent.iter().cloned());
    let candidates = &answer.candidates;
    let has = |check: ServerCheck| candidates.iter().any(|c| c.hops[0].server == check);
    if has(ServerCheck::SameHash) {
        notes.push("the destination was checked through 16 keyed bits; another one has the same in one case of 65,536".to_owned());
    }
    if has(ServerCheck::Undecided) {
        notes.push("the destination was not kept, so it cannot be checked".to_owned());
    }
    if candidates.iter().any(Candidate::is_import_only) {
        notes.push(
            "an imported log is the only witness of some candidate; log lines can be forged".to_owned(),
        );
    }
    if candidates.iter().any(|c| matches!(c.outer().end, Bound::Exact(_)) && !c.hops[0].is_import_only()) {
        notes.push(
            "the kernel's end of a flow includes the conntrack timeout after its last packet".to_owned(),
        );
    }
    notes.extend(answer.notes.iter().cloned());
    for (a, b) in &answer.contradictions {
        if candidates[*a].hops[0].plan.is_some() != candidates[*b].hops[0].plan.is_some() {
            notes.push(format!(
                "candidates {} and {} contradict each other: the plan gives the port to the one, and the record has a flow of the other on it",
                a + 1,
                b + 1
            ));
            continue;
        }
        notes.push(format!(
            "candidates {} and {} contradict each other: the kernel gives one reply tuple to one client at a time",
            a + 1,
            b + 1
        ));
    }
    notes
}

impl From<Period> for PeriodReport {
    fn from(period: Period) -> Self {
        Self { from: period.from.to_string(), to: period.to.to_string() }
    }
}

impl From<&Evidence> for EvidenceReport {
    fn from(evidence: &Evidence) -> Self {
        Self { witness: evidence.witness.to_string(), place: evidence.place.clone() }
    }
}

impl From<&Hop> for StepReport {
    fn from(hop: &Hop) -> Self {
        Self {
            flow: Record::from(&hop.flow),
            evidence: hop.evidence.iter().map(EvidenceReport::from).collect(),
        }
    }
}

impl From<&Hit> for StepReport {
    fn from(hit: &Hit) -> Self {
        Self { flow: Record::from(&hit.flow), evidence: vec![EvidenceReport::from(&hit.evidence)] }
    }
}

impl From<&Candidate> for CandidateReport {
    fn from(candidate: &Candidate) -> Self {
        let inner = Record::from(candidate.inner());
        let flow = Record {
            client: inner.client,
            target: inner.target,
            target_hash: inner.target_hash,
            ..Record::from(candidate.outer())
        };
        Self {
            flow,
            evidence: candidate.evidence().map(EvidenceReport::from).collect(),
            certainty: match candidate.certainty {
                Certainty::Sure => "sure",
                Certainty::Possible => "possible",
            },
            conversation: Conversation::of(candidate.outer()).word(),
            server_check: match candidate.hops[0].server {
                ServerCheck::Same => Some("same"),
                ServerCheck::SameHash => Some("same-hash"),
                ServerCheck::Undecided => Some("undecided"),
                ServerCheck::NotAsked | ServerCheck::Differs => None,
            },
            shifted_by: match candidate.reading {
                Reading::Asked(_) => None,
                Reading::Shifted(by) => Some(by),
            },
            steps: if candidate.hops.len() > 1 {
                candidate.hops.iter().map(StepReport::from).collect()
            } else {
                Vec::new()
            },
            cut: candidate.cut.map(|cut| match cut {
                Cut::Loop => "loop",
                Cut::TooDeep => "too-deep",
            }),
            plan: candidate.hops[0].plan.as_ref().map(PlanReport::from),
        }
    }
}

impl From<&Shortfall> for GapReport {
    fn from(shortfall: &Shortfall) -> Self {
        let time = |t: Timestamp| t.is_finite().then(|| t.to_string());
        let empty = Self {
            kind: "gap",
            stream: None,
            namespace: None,
            from: None,
            to: None,
            reason: shortfall.to_string(),
        };
        match shortfall {
            Shortfall::NotCovered(missing) => Self {
                stream: Some(missing.stream.clone()),
                namespace: missing.gap.namespace.as_deref().map(str::to_owned),
                from: time(missing.gap.period.from),
                to: time(missing.gap.period.to),
                reason: missing.gap.reason.to_string(),
                ..empty
            },
            Shortfall::NothingRecords => Self { kind: "nothing-records", ..empty },
            Shortfall::Future => Self { kind: "future", ..empty },
            Shortfall::Scope { stream, .. } => Self { kind: "scope", stream: Some(stream.clone()), ..empty },
            Shortfall::UnknownAddress => Self { kind: "unknown-address", ..empty },
            Shortfall::Unseen => Self { kind: "unseen", ..empty },
            Shortfall::Plan { period, .. } => {
                Self { kind: "plan", from: time(period.from), to: time(period.to), ..empty }
            }
        }
    }
}

impl fmt::Display for Shortfall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotCovered(missing) => {
                match (missing.stream.as_str(), missing.gap.namespace.as_deref()) {
                    ("", _) => return f.write_str("only the kernel's table of this moment could be asked"),
                    (stream, None | Some("")) => write!(f, "{stream}")?,
                    (stream, Some(namespace)) => write!(f, "{stream}/{namespace}")?,
                }
                let Period { from, to } = missing.gap.period;
                write!(f, ": {from} to {to}: {}", missing.gap.reason)
            }
            Self::NothingRecords => f.write_str("no recorder's stream is there to ask"),
            Self::Future => f.write_str("that time has not come yet"),
            Self::Scope { stream, kind: ScopeKind::Translated } => {
                write!(f, "{stream} records translated flows only: a connection of the gateway itself would not be in it")
            }
            Self::Scope { stream, kind } => write!(f, "{stream} records only flows of the scope {}", kind.word()),
            Self::Unseen => f.write_str(
                "the plan names a client, but the record is complete there and has no flow on this port: is the time right?",
            ),
            Self::Plan { plan, period, gap } => {
                write!(f, "plan {plan}: ")?;
                match gap {
                    PlanGap::BeforeFirst => write!(f, "from {} to {}: no plan was in force yet", period.from, period.to),
                    PlanGap::Pruned => f.write_str("the plans of that time were pruned"),
                    PlanGap::Drift(reason) => write!(f, "from {} to {}: {reason}", period.from, period.to),
                    PlanGap::Unreadable(number) => {
                        write!(f, "the rules of revision {number} could not be read when they were adopted")
                    }
                    PlanGap::Protocol(known) => {
                        write!(f, "it gives ports for {known} only, so it does not tell of others")
                    }
                    PlanGap::NoPorts => f.write_str("its rules of that time give no client ports of its own"),
                    PlanGap::Overflow => f.write_str(
                        "the port is one of the overflow, which clients share: only the record of flows can tell",
                    ),
                    PlanGap::NotPublic => f.write_str("the address is none of those that it gives out"),
                }
            }
            Self::UnknownAddress => f.write_str(
                "this address was never seen as one that masks clients, and flows that are forwarded without translation \
                 are not recorded",
            ),
        }
    }
}
