//! When a flow began or ended, and how well that is known.

use crate::{Period, Timestamp};

/// A flow's start or end. A bound, not a number: every format keeps which of these it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bound {
    /// The kernel's own time (`CTA_TIMESTAMP`, `CTA_TIMESTAMP_EVENT`).
    Exact(Timestamp),
    /// The time at which the event was read, because the kernel gave none. The event is no later than this.
    Read(Timestamp),
    /// Somewhere between two sightings. [`Timestamp::MIN`] or [`Timestamp::MAX`] where one of them is missing.
    Between(Timestamp, Timestamp),
    /// An end only: the flow had not ended when this was written.
    Open,
    /// Nothing is known.
    Unknown,
}

impl Bound {
    /// The earliest instant that it can be. An open end can be any time.
    pub fn earliest(self) -> Timestamp {
        match self {
            Self::Exact(t) | Self::Read(t) | Self::Between(t, _) => t,
            Self::Open | Self::Unknown => Timestamp::MIN,
        }
    }

    /// The latest instant that it can be.
    pub fn latest(self) -> Timestamp {
        match self {
            Self::Exact(t) | Self::Read(t) | Self::Between(_, t) => t,
            Self::Open | Self::Unknown => Timestamp::MAX,
        }
    }

    /// Both, as a period.
    pub fn range(self) -> Period {
        Period { from: self.earliest(), to: self.latest() }
    }

    /// Does it say that the flow is over (rather than still open or unknown)?
    pub fn is_closed(self) -> bool {
        !matches!(self, Self::Open | Self::Unknown)
    }

    /// A word for it, as in JSON and CSV: `exact`, `read`, `between`, `open`, `unknown`.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Exact(_) => "exact",
            Self::Read(_) => "read",
            Self::Between(..) => "between",
            Self::Open => "open",
            Self::Unknown => "unknown",
        }
    }
}
