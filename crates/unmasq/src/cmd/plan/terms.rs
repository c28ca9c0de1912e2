//! What a plan says besides who has which ports: its form, protocols, overflow, and where flows leave.

use std::fmt;

use unmasq_plan::Plan;
use unmasq_plan::history::{History, Revision};

use crate::plan::kernel::Kernel;

/// The interface by which flows leave; none is any.
const OUT: &str = "out";

/// What a plan says besides who has which ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    /// What, and its value; none where there is none.
    values: [(&'static str, Option<String>); 4],
}

/// One of them that differs.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(super) struct TermChange {
    what: &'static str,
    before: Option<String>,
    after: Option<String>,
}

impl Terms {
    /// Of a plan, and of how it is loaded.
    pub(super) fn new(kernel: Kernel, plan: &Plan) -> Self {
        let protocols = plan.protocols();
        Self {
            values: [
                ("format", Some(kernel.format.word().to_owned())),
                (OUT, kernel.out_interface),
                ("protocols", (!protocols.is_empty()).then(|| protocols.to_string())),
                ("overflow", plan.overflow.map(|block| block.to_string())),
            ],
        }
    }

    /// Of a revision, whose plan this is.
    pub(super) fn of(history: &History, revision: &Revision, plan: &Plan) -> anyhow::Result<Self> {
        Ok(Self::new(Kernel::of(history, revision)?, plan))
    }

    /// What differs.
    pub(super) fn changes_to(&self, after: &Self) -> Vec<TermChange> {
        let pairs = self.values.iter().zip(&after.values);
        pairs
            .filter(|(before, after)| before.1 != after.1)
            .map(|(before, after)| TermChange {
                what: before.0,
                before: before.1.clone(),
                after: after.1.clone(),
            })
            .collect()
    }
}

impl TermChange {
    /// Another interface by which flows leave.
    pub(super) fn of_out(before: Option<String>, after: Option<String>) -> Option<Self> {
        (before != after).then_some(Self { what: OUT, before, after })
    }
}

impl fmt::Display for TermChange {
    /// `out: any -> wan`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let none = if self.what == OUT { "any" } else { "none" };
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| none.to_owned());
        write!(f, "{}: {} -> {}", self.what, text(&self.before), text(&self.after))
    }
}
