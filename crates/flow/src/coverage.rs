//! Coverage is data, not its absence: every second of a stream's life is covered for a stated scope, or it is a gap.

use std::fmt;
use std::time::Duration;

use crate::{DestinationPolicy, Period, Timestamp};

/// Which flows a recorder was told to keep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ScopeKind {
    /// Every flow.
    All,
    /// Flows whose source or destination is translated.
    Translated,
    /// Those, and flows whose source is an address of the gateway itself.
    #[default]
    TranslatedLocal,
}

impl ScopeKind {
    /// The word on the command line: `all`, `translated`, `translated+local`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Translated => "translated",
            Self::TranslatedLocal => "translated+local",
        }
    }
}

/// What a stretch of coverage is complete for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scope {
    /// One namespace; empty for the recorder's own.
    pub namespace: Box<str>,
    /// Which flows.
    pub kind: ScopeKind,
    /// What of their destinations.
    pub destinations: DestinationPolicy,
}

/// The clocks at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClockReading {
    /// Wall clock (`CLOCK_REALTIME`).
    pub wall: Timestamp,
    /// Time since boot, suspend included (`CLOCK_BOOTTIME`).
    pub boot: Duration,
    /// Does the kernel call the clock synchronised (adjtimex(2), `STA_UNSYNC` clear)?
    pub is_synchronised: bool,
}

impl ClockReading {
    /// How far the wall clock was set forward (or back, negative) between the two readings, in nanoseconds.
    pub fn step_since(self, earlier: Self) -> i64 {
        let boot = i64::try_from(self.boot.as_nanos()).unwrap_or(i64::MAX)
            - i64::try_from(earlier.boot.as_nanos()).unwrap_or(i64::MAX);
        (self.wall.as_nanos() - earlier.wall.as_nanos()).saturating_sub(boot)
    }
}

/// Why a moment is not covered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GapReason {
    /// The kernel's receive buffer overran. How many messages it counted as dropped, if that is known.
    Overrun {
        /// Messages (not flows); `None` in reliable mode, where the kernel's counter counts attempts.
        lost: Option<u64>,
    },
    /// No recorder was running: stopped, killed, or not yet started.
    Down,
    /// The namespace vanished.
    NamespaceGone,
    /// A kernel setting kept events back (such as `nf_conntrack_events=0`).
    Setting(String),
    /// Reading or writing failed, with the reason.
    Failed(String),
    /// Damage found in the stored record.
    Damaged(String),
    /// Pruned by the retention setting.
    Pruned,
}

impl fmt::Display for GapReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Overrun { lost: Some(n) } => write!(f, "receive buffer overran, {n} messages lost"),
            Self::Overrun { lost: None } => f.write_str("receive buffer overran, loss not known"),
            Self::Down => f.write_str("no recorder was running"),
            Self::NamespaceGone => f.write_str("the namespace was gone"),
            Self::Setting(what) => write!(f, "kernel setting: {what}"),
            Self::Failed(what) => write!(f, "failed: {what}"),
            Self::Damaged(what) => write!(f, "record damaged: {what}"),
            Self::Pruned => f.write_str("pruned by the retention setting"),
        }
    }
}

/// A stretch of time that is not covered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Gap {
    /// When.
    pub period: Period,
    /// In which namespace; `None` for all of the stream.
    pub namespace: Option<Box<str>>,
    /// Why.
    pub reason: GapReason,
}

/// What one stream knows about a period that was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Stretches inside the period in which the record is complete, for which scope.
    pub covered: Vec<(Period, Scope)>,
    /// Stretches inside the period in which it is not, and why. Together they fill the period.
    pub gaps: Vec<Gap>,
    /// Steps of the wall clock inside the period: (when, by how many nanoseconds).
    pub clock_steps: Vec<(Timestamp, i64)>,
    /// Was the clock synchronised throughout, as far as covered?
    pub is_clock_synchronised: bool,
}

impl Coverage {
    /// Is the whole period covered?
    pub fn is_complete(&self) -> bool {
        self.gaps.is_empty() && !self.covered.is_empty()
    }
}
