//! Was the record complete where the question looked? Never "nobody" when it means "I don't know".
//!
//! A *place* is one namespace of one recorder's stream. The places that could know are those that have seen the address as a
//! masking one; if none has, all of them. The record is complete if each of these is covered for the whole window, with a
//! scope that records flows of the kind asked for.

use std::collections::{BTreeMap, BTreeSet};

use unmasq_flow::{Gap, GapReason, Period, ScopeKind, Timestamp};
use unmasq_plan::history::PlanGap;

use crate::{Standing, StreamCoverage, StreamKind};

/// A stretch that a place should cover and does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingStretch {
    /// The stream.
    pub stream: String,
    /// The gap, cut to what no witness of that stream covers.
    pub gap: Gap,
}

/// Why a record is not complete for a question.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Shortfall {
    /// Some stretch is not covered.
    NotCovered(MissingStretch),
    /// There is no recorder's stream at all.
    NothingRecords,
    /// The window, or its end, has not come yet.
    Future,
    /// The scope of the stream leaves out flows that could be meant.
    Scope {
        /// The stream.
        stream: String,
        /// Its scope.
        kind: ScopeKind,
    },
    /// A port plan does not say, or not surely, whose the port was.
    Plan {
        /// The folder of the plan.
        plan: String,
        /// For which part of the window.
        period: Period,
        /// Why.
        gap: PlanGap,
    },
    /// A port plan names a client, but the record is complete and has no flow on that port.
    Unseen,
    /// Nobody has ever seen this address as one that masks, and streams whose scope is not `all` record only those.
    UnknownAddress,
}

/// What was found, as far as it matters here.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Found {
    /// Was any flow found?
    pub(crate) any: bool,
    /// Is there one with the very server and protocol that were asked for, so that the kernel allows no other at that time?
    pub(crate) is_tuple_settled: bool,
}

/// What is missing of the record in one window.
pub(crate) fn shortfalls(
    window: Period,
    coverage: &[StreamCoverage],
    found: Found,
    now: Timestamp,
) -> Vec<Shortfall> {
    let mut missing = Vec::new();
    if window.from > now {
        return vec![Shortfall::Future];
    }
    let streams = by_stream(coverage);
    let is_known = streams.values().any(|s| !s.seen_in.is_empty());
    // The kernel's table of this moment settles a question about this moment, when nothing else records.
    let has_recorder = streams.values().any(|s| s.kind == StreamKind::Recorder);
    let mut is_covered_somewhere = false;
    let mut kinds = BTreeMap::new();
    for (name, stream) in &streams {
        let counts = match stream.kind {
            StreamKind::Recorder => true,
            StreamKind::Kernel | StreamKind::Import => !has_recorder,
        };
        if !counts || (is_known && stream.seen_in.is_empty() && stream.was_looked_at) {
            continue;
        }
        let is_relevant =
            |namespace: &str| !is_known || !stream.was_looked_at || stream.seen_in.contains(namespace);
        let namespaces: BTreeSet<&str> =
            stream.covered.iter().map(|(_, ns, _)| *ns).filter(|ns| is_relevant(ns)).collect();
        let before = missing.len();
        for gap in &stream.gaps {
            let is_elsewhere = gap.namespace.as_deref().is_some_and(|namespace| !is_relevant(namespace));
            if is_elsewhere || !gap.period.overlaps(window) {
                continue;
            }
            let inside = Period { from: gap.period.from.max(window.from), to: gap.period.to.min(window.to) };
            // The ledger ends a second before the present, and says "down" of what follows; the book of the same stream knows better.
            // What was lost stays lost, whoever else was running.
            let left = if gap.reason == GapReason::Down {
                let is_meant =
                    |ns: &str| gap.namespace.as_deref().map_or_else(|| is_relevant(ns), |own| own == ns);
                let covered: Vec<Period> =
                    stream.covered.iter().filter(|(_, ns, _)| is_meant(ns)).map(|c| c.0).collect();
                subtract(inside, &covered)
            } else {
                vec![inside]
            };
            missing
                .extend(left.into_iter().map(|period| not_covered(name, Gap { period, ..(*gap).clone() })));
        }
        // A place that says neither "covered" nor "gap" for a stretch has not covered it.
        for namespace in namespaces.iter().copied().chain(namespaces.is_empty().then_some("")) {
            let mut said: Vec<Period> =
                stream.covered.iter().filter(|(_, ns, _)| *ns == namespace).map(|c| c.0).collect();
            said.extend(
                stream
                    .gaps
                    .iter()
                    .filter(|g| g.namespace.as_deref().is_none_or(|ns| ns == namespace))
                    .map(|g| g.period),
            );
            for period in subtract(window, &said) {
                let gap = Gap { period, namespace: Some(namespace.into()), reason: GapReason::Down };
                missing.push(not_covered(name, gap));
            }
        }
        if missing.len() == before {
            is_covered_somewhere = true;
        }
        for (_, namespace, kind) in &stream.covered {
            if is_relevant(namespace) {
                kinds.insert(*name, *kind);
            }
        }
    }
    if !is_covered_somewhere && missing.is_empty() {
        missing.push(Shortfall::NothingRecords);
    }
    for (stream, kind) in &kinds {
        let leaves_out = match kind {
            // Without the gateway's own connections, one of them could have shared the port toward another server.
            ScopeKind::Translated => !found.is_tuple_settled,
            ScopeKind::All | ScopeKind::TranslatedLocal => false,
        };
        if leaves_out {
            missing.push(Shortfall::Scope { stream: (*stream).to_owned(), kind: *kind });
        }
    }
    if !is_known && !found.any && kinds.values().any(|kind| *kind == ScopeKind::TranslatedLocal) {
        missing.push(Shortfall::UnknownAddress);
    }
    missing
}

struct Stream<'a> {
    kind: StreamKind,
    covered: Vec<(Period, &'a str, ScopeKind)>,
    gaps: Vec<&'a Gap>,
    seen_in: BTreeSet<&'a str>,
    was_looked_at: bool,
}

/// What all witnesses say of the same stream, together: what the ledger does not cover yet, the book may.
fn by_stream(coverage: &[StreamCoverage]) -> BTreeMap<&str, Stream<'_>> {
    let mut streams: BTreeMap<&str, Stream<'_>> = BTreeMap::new();
    for part in coverage {
        let stream = streams.entry(part.stream.as_str()).or_insert_with(|| Stream {
            kind: part.kind,
            covered: Vec::new(),
            gaps: Vec::new(),
            seen_in: BTreeSet::new(),
            was_looked_at: false,
        });
        stream
            .covered
            .extend(part.coverage.covered.iter().map(|(p, scope)| (*p, &*scope.namespace, scope.kind)));
        stream.gaps.extend(&part.coverage.gaps);
        if let Standing::SeenIn(namespaces) = &part.standing {
            stream.was_looked_at = true;
            stream.seen_in.extend(namespaces.iter().map(|ns| &**ns));
        }
    }
    streams
}

fn not_covered(stream: &str, gap: Gap) -> Shortfall {
    Shortfall::NotCovered(MissingStretch { stream: stream.to_owned(), gap })
}

/// What is left of a period without others. Periods include both ends, so two that meet within a millisecond leave nothing
/// between them, nor does one that begins or ends within a millisecond of the period's own: that is the ledger's resolution.
fn subtract(period: Period, others: &[Period]) -> Vec<Period> {
    const RESOLUTION: std::time::Duration = std::time::Duration::from_millis(1);
    let mut sorted: Vec<Period> = others.iter().copied().filter(|p| p.overlaps(period)).collect();
    sorted.sort_unstable_by_key(|p| p.from);
    let mut left = Vec::new();
    let mut from = period.from;
    let mut is_covered = false;
    for other in sorted {
        if other.from > from + RESOLUTION {
            left.push(Period { from, to: other.from });
        }
        if other.to >= from {
            from = other.to;
            is_covered = true;
        }
    }
    if !is_covered || from + RESOLUTION < period.to {
        left.push(Period { from, to: period.to });
    }
    left
}
