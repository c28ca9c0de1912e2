//! Flows that changes of plans left alone: by which plans they can have begun, and whether they are over.

use unmasq_plan::Plan;
use unmasq_plan::history::{History, HistoryError, HistoryWriter, Outcome, Revision};

use super::flows::Survey;
use super::moment;

/// What may be left of former plans.
#[derive(Debug, Default)]
pub(crate) struct Lingering {
    /// Revisions that left flows alone which nobody has seen to be over.
    revisions: Vec<u64>,
    /// The plans before them.
    pub(crate) plans: Vec<Plan>,
}

impl Lingering {
    /// Of the newest plan of a history.
    pub(crate) fn of(history: &History) -> Result<Self, HistoryError> {
        let in_force: Vec<&Revision> = history.revisions().iter().filter(|r| r.was_in_force()).collect();
        let is_open = |revision: &&Revision| revision.keeps_flows && revision.settled.is_none();
        let Some(first) = in_force.iter().position(is_open) else { return Ok(Self::default()) };
        // If nobody wrote whether the kernel took the one before, it can have been the one before that.
        let before = in_force[..first].iter().rposition(|revision| is_applied(revision)).unwrap_or(0);
        let plans = in_force[before..in_force.len() - 1]
            .iter()
            .filter(|revision| is_readable(history, revision))
            .map(|revision| history.plan(revision.number))
            .collect::<Result<_, _>>()?;
        Ok(Self { revisions: in_force.iter().copied().filter(is_open).map(|r| r.number).collect(), plans })
    }

    /// Are the flows over that were left alone?
    pub(crate) fn is_over(&self, survey: &Survey) -> bool {
        !self.revisions.is_empty() && !survey.strays.iter().any(|stray| stray.is_of_former)
    }

    /// Writes that they are.
    pub(crate) fn settle(&self, writer: &mut HistoryWriter) -> Result<(), HistoryError> {
        self.revisions.iter().try_for_each(|number| writer.settled(*number, moment::now()))
    }
}

/// The plans that can be what the kernel does now: that of the newest revision, and if nobody wrote whether the kernel took
/// it, those before it, up to one that it surely took. The newest is the last.
pub(crate) fn possible(history: &History) -> Result<Vec<Plan>, HistoryError> {
    let in_force: Vec<&Revision> = history.revisions().iter().filter(|r| r.was_in_force()).collect();
    let first = in_force.iter().rposition(|revision| is_applied(revision)).unwrap_or(0);
    let readable = in_force[first..].iter().filter(|revision| is_readable(history, revision));
    readable.map(|revision| history.plan(revision.number)).collect()
}

fn is_applied(revision: &Revision) -> bool {
    matches!(revision.outcome, Outcome::Applied(_))
}

fn is_readable(history: &History, revision: &Revision) -> bool {
    !revision.is_unreadable && !history.is_pruned(revision.number)
}
