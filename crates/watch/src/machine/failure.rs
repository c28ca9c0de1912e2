//! Why a step failed on an entry.

use unmasq_dialect::{PatternRunaway, RenderError};
use unmasq_entry::{Fields, Slot, Value};

use crate::program::literal::Unordered;

/// Longest part of a value that a message shows, in characters.
const SHOWN: usize = 80;

/// Why a step failed on an entry. A filter then does not pass; after an action the entry's way ends.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The two values have no order.
    #[error(transparent)]
    Unordered(#[from] Unordered),
    /// The backtracking engine gave up.
    #[error(transparent)]
    Runaway(#[from] PatternRunaway),
    /// A value cannot be shown as a template asks.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// The entry does not have the field.
    #[error("the entry has no field {0}")]
    Missing(Box<str>),
    /// A value is not what the step needs.
    #[error("{field} is {found}, not {wanted}")]
    Unfit {
        /// Its field.
        field: Box<str>,
        /// It, or its type.
        found: String,
        /// What it should be.
        wanted: &'static str,
    },
    /// The world could not.
    #[error("{0}")]
    World(String),
}

/// Makes failures that name fields.
#[derive(Clone, Copy)]
pub(super) struct Naming<'p>(pub(super) &'p Fields);

impl Naming<'_> {
    pub(super) fn missing(self, field: Slot) -> Failure {
        Failure::Missing(self.0.name(field).into())
    }

    /// A text is shown itself, cut and escaped: it is someone else's. Of other values the type is shown.
    pub(super) fn unfit(self, field: Slot, value: Value<'_>, wanted: &'static str) -> Failure {
        let found = match value {
            Value::Text(text) => {
                let cut: String = text.chars().take(SHOWN).collect();
                let more = if cut.len() < text.len() { "…" } else { "" };
                format!("{cut:?}{more}")
            }
            other => other.kind().to_owned(),
        };
        Failure::Unfit { field: self.0.name(field).into(), found, wanted }
    }
}
