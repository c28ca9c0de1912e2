//! A flow in one hour.

use unmasq_flow::{Bound, Flow, Timestamp};

/// A flow in one UTC hour: a line of a run.
///
/// - *final*: the flow's end is known. Stands in the hour of the end, and in later hours that already carried it.
/// - *open*: the end is open or unknown. Stands in the hour of the start.
/// - *carry* ([`Row::continues`]): the flow began before this hour and had not ended when the hour was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The flow. Runs keep its times in whole milliseconds (rounded down) and leave the kernel's id out.
    pub flow: Flow,
    /// The flow also has a row in another hour, which knows more of it: a carry row.
    pub continues: bool,
}

impl Row {
    /// A row that is no carry row.
    pub const fn new(flow: Flow) -> Self {
        Self { flow, continues: false }
    }

    /// A carry row.
    pub const fn carry(flow: Flow) -> Self {
        Self { flow, continues: true }
    }

    /// Does it say when the flow ended?
    pub fn is_final(&self) -> bool {
        self.flow.end.is_closed()
    }

    /// The row as a run gives it back: times in whole milliseconds, no kernel id.
    #[must_use]
    pub fn as_stored(mut self) -> Self {
        self.flow.start = stored(self.flow.start);
        self.flow.end = stored(self.flow.end);
        self.flow.kernel_id = None;
        self
    }
}

/// A bound in whole milliseconds, rounded down.
pub(super) fn stored(bound: Bound) -> Bound {
    match bound {
        Bound::Exact(t) => Bound::Exact(from_millis(millis(t))),
        Bound::Read(t) => Bound::Read(from_millis(millis(t))),
        Bound::Between(a, b) => Bound::Between(from_millis(millis(a)), from_millis(millis(b))),
        Bound::Open => Bound::Open,
        Bound::Unknown => Bound::Unknown,
    }
}

/// Milliseconds of a time, such that [`from_millis`] gives the ends of time back as they were.
pub(super) fn millis(time: Timestamp) -> i64 {
    if time == Timestamp::MAX { time.as_millis() + 1 } else { time.as_millis() }
}

/// The inverse of [`millis`]. Saturates, which is how [`Timestamp::MIN`] and [`Timestamp::MAX`] come back.
pub(super) const fn from_millis(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}
