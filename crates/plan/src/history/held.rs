//! Who had a port at a time: the question to a history.

use std::net::Ipv4Addr;

use unmasq_flow::{Period, Protocol, Selector, Timestamp};

use super::HistoryError;
use super::clocks::union;
use super::read::History;
use super::record::{DriftReason, Revision};
use super::timeline::{Claim, Holding};
use crate::plan::{Allocation, ProtocolSet};

/// A client that had the port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The client, its block and its protocols.
    pub allocation: Allocation,
    /// Number of the revision that says so; 0 for a file in a folder without an index.
    pub revision: u64,
    /// The rules file.
    pub file: String,
    /// How it comes to be named.
    pub holding: Holding,
    /// For how long the claim holds. [`Timestamp::MAX`] if it still does.
    pub period: Period,
}

/// Why a plan does not say who it was, or not surely.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PlanGap {
    /// No plan was in force yet.
    BeforeFirst,
    /// The revisions of that time were removed because of their age.
    Pruned,
    /// The kernel's rules were not those of the plan.
    Drift(DriftReason),
    /// The file of this revision could not be read when it was adopted.
    Unreadable(u64),
    /// The plan gives ports for other protocols than the one that was asked for.
    Protocol(ProtocolSet),
    /// The rules of that time give nobody ports of his own.
    NoPorts,
    /// The port is one of the overflow, which clients share.
    Overflow,
    /// The address is none of those that the plan gives out.
    NotPublic,
}

/// What a plan says of a port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Who can have had it. None if it is no client's.
    pub holders: Vec<Holder>,
    /// Stretches of the window in which that is not sure, and why.
    pub gaps: Vec<(Period, PlanGap)>,
    /// What else there is to know, as sentences.
    pub notes: Vec<String>,
}

impl Held {
    /// Does it speak of the whole window?
    pub fn is_complete(&self) -> bool {
        self.gaps.is_empty()
    }
}

/// Asks plans about a masked endpoint.
#[derive(Clone, Copy, Debug)]
pub(super) struct Port {
    pub(super) address: Ipv4Addr,
    pub(super) number: u16,
    /// Those that can be meant.
    pub(super) protocols: ProtocolSet,
}

impl Port {
    /// `None` without a port or id: an address alone has many holders.
    pub(super) fn new(address: Ipv4Addr, selector: Selector, protocol: Option<Protocol>) -> Option<Self> {
        let icmp = ProtocolSet::only(Protocol::ICMP);
        let protocols = match (selector, protocol) {
            (Selector::None, _) => return None,
            (_, Some(protocol)) => ProtocolSet::only(protocol),
            (Selector::Port(_), None) => ProtocolSet::ALL.without(icmp),
            (Selector::Id(_), None) => icmp,
        };
        Some(Self { address, number: selector.number()?, protocols })
    }
}

impl History {
    /// Who can have had this port (or ICMP id) of this address at some moment of the window. Without a protocol, any for
    /// which the plan gives ports. `None` for an address without a port: it has many holders.
    pub fn held(
        &self,
        address: Ipv4Addr,
        selector: Selector,
        protocol: Option<Protocol>,
        window: Period,
    ) -> Result<Option<Held>, HistoryError> {
        let Some(port) = Port::new(address, selector, protocol) else { return Ok(None) };
        let claims = self.timeline.claims.iter().filter(|claim| claim.period.overlaps(window));
        let mut held = Held::of_claims(claims, window, self.timeline.first, |held, claim, inside| {
            let revision = &self.timeline.revisions[claim.place];
            let mut said =
                Said::nothing(*claim, revision.number, self.rules_file(revision).display().to_string());
            if self.is_pruned(revision.number) {
                held.gap(inside, PlanGap::Pruned);
                return Ok(said);
            }
            if revision.is_unreadable {
                held.gap(inside, PlanGap::Unreadable(revision.number));
                return Ok(said);
            }
            let (found, is_public) = self.on(revision, port)?;
            if found.iter().any(Allocation::is_overflow) {
                held.gap(inside, PlanGap::Overflow);
            } else {
                said.found = found;
            }
            if claim.kind != Holding::Lingering {
                if let Some(gap) = gap(revision, port, is_public) {
                    held.gap(inside, gap);
                }
                if revision.has_other_rules {
                    held.note(format!(
                        "the rules of {} have other source NAT beside the plan's: look at the file",
                        revision.file_name()
                    ));
                }
            }
            Ok(said)
        })?;
        for drift in self.timeline.drifts.iter().filter(|drift| drift.period.overlaps(window)) {
            held.gap(intersection(drift.period, window), PlanGap::Drift(drift.reason));
        }
        if self.timeline.set_back.iter().any(|period| period.overlaps(window)) {
            held.note(
                "the clock was set back between two plans: all that can have been in force at that time are named"
                    .to_owned(),
            );
        }
        Ok(Some(held))
    }

    /// The allocations of a revision that have the port, and whether any has a port of that address. Hot: guarded by
    /// `benches/history.rs`.
    fn on(&self, revision: &Revision, port: Port) -> Result<(Vec<Allocation>, bool), HistoryError> {
        let mut found = Vec::new();
        // Rows that a later file takes away, ascending.
        let mut gone: Vec<Allocation> = Vec::new();
        let mut is_public = false;
        self.walk(revision.number, |rows| {
            let is_left = |allocation: &Allocation| gone.binary_search(allocation).is_err();
            found.extend(rows.on(port.address, port.number).filter(is_left));
            is_public = is_public || rows.of(port.address).any(|allocation| is_left(&allocation));
            let before = gone.len();
            gone.extend(rows.removed().filter(|a| a.block.address == port.address));
            if gone.len() > before {
                gone.sort_unstable();
            }
            true
        })?;
        found.retain(|a: &Allocation| !a.protocols.intersection(port.protocols).is_empty());
        Ok((found, is_public))
    }
}

/// Why this revision does not tell of such a port.
fn gap(revision: &Revision, port: Port, is_public: bool) -> Option<PlanGap> {
    if revision.clients == 0 {
        return Some(PlanGap::NoPorts);
    }
    if revision.protocols.intersection(port.protocols).is_empty() {
        return Some(PlanGap::Protocol(revision.protocols));
    }
    (!is_public).then_some(PlanGap::NotPublic)
}

fn intersection(a: Period, b: Period) -> Period {
    Period { from: a.from.max(b.from), to: a.to.min(b.to) }
}

/// What a plan says for the time of a claim.
#[derive(Clone, Debug)]
pub(super) struct Said {
    claim: Claim,
    revision: u64,
    file: String,
    /// Who had the port. None if the plan does not tell.
    pub(super) found: Vec<Allocation>,
}

impl Said {
    pub(super) const fn nothing(claim: Claim, revision: u64, file: String) -> Self {
        Self { claim, revision, file, found: Vec::new() }
    }

    fn names(&self, allocation: &Allocation) -> bool {
        self.found.iter().any(|a| (a.client, a.block) == (allocation.client, allocation.block))
    }
}

/// Two plans can have been in force then, and each that can says the same: it makes no difference which it was.
fn is_said_by_all(all: &[Said], one: &Said, allocation: &Allocation) -> bool {
    let period = one.claim.period;
    let others = || {
        all.iter().filter(|other| {
            other.claim.kind != Holding::Lingering
                && other.claim.place != one.claim.place
                && other.claim.period.overlaps(period)
        })
    };
    let is_throughout =
        |other: &Said| other.claim.period.from <= period.from && period.to <= other.claim.period.to;
    others().any(is_throughout) && others().all(|other| other.names(allocation))
}

impl Held {
    /// Asks `look` what each claim's plan says. `first` is when the first plan of all was loaded.
    pub(super) fn of_claims<'a>(
        claims: impl Iterator<Item = &'a Claim>,
        window: Period,
        first: Option<Period>,
        mut look: impl FnMut(&mut Self, &Claim, Period) -> Result<Said, HistoryError>,
    ) -> Result<Self, HistoryError> {
        let mut held = Self::default();
        let mut covered_from = Timestamp::MAX;
        let mut all = Vec::new();
        for claim in claims {
            let inside = intersection(claim.period, window);
            // At the instant at which loading the next one begins, neither is sure; another claim says so.
            let is_last_instant = inside.from == claim.period.to && claim.period.from < claim.period.to;
            if claim.kind == Holding::InForce && is_last_instant {
                continue;
            }
            if claim.kind != Holding::Lingering {
                covered_from = covered_from.min(inside.from);
            }
            all.push(look(&mut held, claim, inside)?);
        }
        for said in &all {
            for allocation in &said.found {
                let is_sure = said.claim.kind == Holding::Unconfirmed
                    && first.is_none_or(|first| first.to <= said.claim.period.from)
                    && is_said_by_all(&all, said, allocation);
                held.add(Holder {
                    allocation: *allocation,
                    revision: said.revision,
                    file: said.file.clone(),
                    holding: if is_sure { Holding::InForce } else { said.claim.kind },
                    period: said.claim.period,
                });
            }
        }
        if covered_from > window.from {
            let to = covered_from.min(window.to);
            held.gaps.insert(0, (Period::new(window.from, to), PlanGap::BeforeFirst));
        }
        Ok(held)
    }

    /// Adds a holder. Those in force come before those that linger; a client is named once for the same block, as surely as
    /// it can be.
    fn add(&mut self, mut new: Holder) {
        let key = |holder: &Holder| (holder.allocation.client, holder.allocation.block);
        if let Some(place) = self.holders.iter().position(|known| key(known) == key(&new)) {
            let known = &self.holders[place];
            if known.holding < new.holding {
                return;
            }
            // The same under two plans, one after the other: the later one is shown, for the time of both. What lies
            // between two times is nobody's claim.
            if known.holding == new.holding && known.period.overlaps(new.period) {
                new.period = union(known.period, new.period);
            }
            new.allocation.protocols = new.allocation.protocols.union(known.allocation.protocols);
            self.holders.remove(place);
        }
        let place = self.holders.iter().position(|known| known.holding > new.holding);
        self.holders.insert(place.unwrap_or(self.holders.len()), new);
    }

    /// Adds a gap. The same one a moment later is one gap.
    pub(super) fn gap(&mut self, period: Period, gap: PlanGap) {
        let is_same = |(known, why): &&mut (Period, PlanGap)| *why == gap && known.overlaps(period);
        match self.gaps.iter_mut().rev().find(is_same) {
            Some((known, _)) => *known = union(*known, period),
            None => self.gaps.push((period, gap)),
        }
    }

    pub(super) fn note(&mut self, note: String) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }
}
