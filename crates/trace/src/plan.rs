//! A port plan as a witness: it knows of no flow, but whose a port was.
//!
//! What it says is held against the flows that others know: the same client is one more piece of evidence, another is a
//! contradiction, and where no flow is known the plan alone names the client.

use std::net::IpAddr;
use std::path::Path;

use unmasq_flow::{
    Bound, Destination, Endpoint, Evidence, Flow, Origin, Period, Protocol, Selector, Witness as By,
};
use unmasq_plan::ProtocolSet;
use unmasq_plan::history::{Held, History, HistoryError, Holder, Holding, PlanGap, RulesFolder};

use crate::candidate::{Certainty, Hop};
use crate::completeness::Shortfall;
use crate::{Question, Testimony, Witness, WitnessError};

/// What a plan says of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanSays {
    /// The folder of the plan.
    pub plan: String,
    /// Who had it.
    pub held: Held,
}

/// A history of plans, or a bare folder of the files of eduVPN's script.
#[derive(Debug)]
pub struct PlanWitness(Source);

#[derive(Debug)]
enum Source {
    History(History),
    Folder(RulesFolder),
}

impl PlanWitness {
    /// Opens a folder.
    pub fn open(directory: &Path) -> Result<Self, HistoryError> {
        if History::is_in(directory) {
            return History::open(directory).map(|history| Self(Source::History(history)));
        }
        RulesFolder::open(directory).map(|folder| Self(Source::Folder(folder)))
    }

    fn directory(&self) -> &Path {
        match &self.0 {
            Source::History(history) => history.directory(),
            Source::Folder(folder) => folder.directory(),
        }
    }

    fn held(&mut self, question: &Question) -> Result<Option<Held>, HistoryError> {
        let Endpoint { address: IpAddr::V4(address), selector } = question.masked else { return Ok(None) };
        let of = |history: &History| history.held(address, selector, question.protocol, question.window);
        match &mut self.0 {
            Source::History(history) => match of(history) {
                // Pruned since the history was opened: what is there now says so.
                Err(error) if error.is_gone() => {
                    *history = History::open(history.directory())?;
                    of(history)
                }
                held => held,
            },
            Source::Folder(folder) => folder.held(address, selector, question.protocol, question.window),
        }
    }
}

impl Witness for PlanWitness {
    fn name(&self) -> String {
        format!("plan {}", self.directory().display())
    }

    fn needs_port(&self) -> bool {
        true
    }

    fn ask(&mut self, question: &Question) -> Result<Testimony, WitnessError> {
        let held = self
            .held(question)
            .map_err(|error| WitnessError::Unreadable { what: self.name(), reason: error.to_string() })?;
        let plan = self.directory().display().to_string();
        Ok(Testimony {
            plans: held.map(|held| PlanSays { plan, held }).into_iter().collect(),
            ..Testimony::default()
        })
    }
}

impl PlanSays {
    /// What it leaves open.
    pub(crate) fn shortfalls(&self) -> impl Iterator<Item = Shortfall> {
        self.held.gaps.iter().map(|(period, gap)| Shortfall::Plan {
            plan: self.plan.clone(),
            period: *period,
            gap: gap.clone(),
        })
    }

    /// Is the plan one of this address at all?
    pub(crate) fn concerns(&self) -> bool {
        !self.held.gaps.iter().all(|(_, gap)| *gap == PlanGap::NotPublic) || self.held.gaps.is_empty()
    }
}

/// Holds what plans say against the flows that are known.
pub(crate) fn join(hops: &mut Vec<Hop>, plans: &[PlanSays], question: &Question) {
    for holder in plans.iter().flat_map(|says| &says.held.holders) {
        let evidence = evidence(holder);
        let mut is_known = false;
        for hop in hops.iter_mut().filter(|hop| is_of(&hop.flow, holder)) {
            is_known = true;
            if !hop.evidence.contains(&evidence) {
                hop.evidence.push(evidence.clone());
            }
            if hop.plan.as_ref().is_none_or(|known| known.holding > holder.holding) {
                hop.plan = Some(holder.clone());
            }
        }
        if !is_known {
            hops.push(Hop::of_holder(flow_of(holder, question), holder.clone(), evidence));
        }
    }
}

fn is_of(flow: &Flow, holder: &Holder) -> bool {
    let block = holder.allocation.block;
    flow.client.address == IpAddr::V4(holder.allocation.client)
        && flow.masked.address == IpAddr::V4(block.address)
        && flow.masked.selector.number().is_some_and(|number| block.ports.contains(number))
        && holder.allocation.protocols.has(flow.protocol)
}

fn evidence(holder: &Holder) -> Evidence {
    let revision =
        if holder.revision > 0 { format!(", revision {}", holder.revision) } else { String::new() };
    Evidence { witness: By::Plan, place: format!("{}{revision}", holder.file) }
}

/// What is known of the flow that was asked about, if it was one of this client.
fn flow_of(holder: &Holder, question: &Question) -> Flow {
    let icmp = ProtocolSet::only(Protocol::ICMP);
    let kind = if matches!(question.masked.selector, Selector::Id(_)) {
        icmp
    } else {
        ProtocolSet::ALL.without(icmp)
    };
    let protocols = holder.allocation.protocols;
    let protocol = question.protocol.or_else(|| protocols.intersection(kind).iter().next());
    let client = Endpoint::address_only(IpAddr::V4(holder.allocation.client));
    let ends = (client, question.server.unwrap_or(client));
    let mut flow = Flow::new(
        Origin::default().shared(),
        // A holder is only given for a protocol that it has ports for.
        protocol.unwrap_or(Protocol::TCP),
        ends,
        (ends.1, question.masked),
    );
    (flow.target, flow.server) = (Destination::Omitted, Destination::Omitted);
    (flow.start, flow.end) = (Bound::Unknown, Bound::Unknown);
    flow
}

/// Was the port surely this client's in the window?
pub(crate) fn certainty(holder: &Holder, window: Period) -> Certainty {
    let is_throughout = holder.period.from <= window.from && window.to <= holder.period.to;
    match holder.holding {
        Holding::InForce if is_throughout => Certainty::Sure,
        Holding::InForce | Holding::Unconfirmed | Holding::Lingering => Certainty::Possible,
    }
}

#[cfg(test)]
mod tests;
