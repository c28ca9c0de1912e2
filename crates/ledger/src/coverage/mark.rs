//! What is said about coverage, as bytes.

use std::time::Duration;

use unmasq_flow::{ClockReading, DestinationPolicy, Gap, GapReason, Period, Scope, ScopeKind, Timestamp};

use crate::codec::{Bytes, from_millis, millis, put_signed, put_text, put_varint};

/// A statement that a writer is given about the completeness of its stream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CoverageEvent {
    /// From now on the record is complete for this scope.
    Started {
        /// Which flows of which namespace.
        scope: Scope,
        /// Now.
        clock: ClockReading,
    },
    /// All that was started is complete up to now, apart from the gaps that are stated. At least once a second.
    Alive {
        /// Now.
        clock: ClockReading,
    },
    /// A stretch is not complete. Later statements do not cover it again.
    Gap(Gap),
    /// Recording ends in good order.
    Stopped {
        /// A namespace that is gone or no longer to be recorded: it is no gap from here on. `None`: the recorder stops.
        namespace: Option<Box<str>>,
        /// Now.
        clock: ClockReading,
    },
    /// Another program's log was read.
    Imported {
        /// What the log holds.
        scope: Scope,
        /// Between its first and its last line.
        period: Period,
        /// Is the log known to be complete for its scope? Only if somebody said so.
        is_complete: bool,
    },
}

/// A stretch that is covered, as the coverage file sums it up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) scope: Scope,
    pub(crate) period: Period,
    pub(crate) is_synchronised: bool,
    pub(crate) is_complete: bool,
}

/// A step of the wall clock: from one reading to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) before: Timestamp,
    pub(crate) after: Timestamp,
    /// By how much, in nanoseconds.
    pub(crate) by: i64,
}

/// A stretch in which a namespace was not to be recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Absence {
    pub(crate) namespace: Box<str>,
    pub(crate) period: Period,
}

/// Everything that a journal or a coverage file says about coverage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    Event(CoverageEvent),
    /// A writer opened the stream. What was covered before ended with the last statement before.
    Session,
    Span(Span),
    Step(Step),
    Absent(Absence),
    /// All before this was pruned.
    Pruned(Timestamp),
    /// The last reading, where the statements that held it were summed up.
    Clock(ClockReading),
}

fn put_time(out: &mut Vec<u8>, time: Timestamp) {
    put_signed(out, millis(time));
}

fn put_period(out: &mut Vec<u8>, period: Period) {
    put_time(out, period.from);
    // Rounded up, so that a gap or a stretch does not lose its last part of a millisecond.
    let end = millis(period.to);
    let is_whole = !period.to.is_finite() || from_millis(end) == period.to;
    put_signed(out, if is_whole { end } else { end + 1 });
}

fn put_clock(out: &mut Vec<u8>, clock: ClockReading) {
    put_signed(out, clock.wall.as_nanos());
    put_varint(out, u64::try_from(clock.boot.as_nanos()).unwrap_or(u64::MAX));
    out.push(u8::from(clock.is_synchronised));
}

fn put_scope(out: &mut Vec<u8>, scope: &Scope) {
    put_text(out, &scope.namespace);
    out.push(match scope.kind {
        ScopeKind::All => 0,
        ScopeKind::Translated => 1,
        ScopeKind::TranslatedLocal => 2,
    });
    out.push(match scope.destinations {
        DestinationPolicy::Drop => 0,
        DestinationPolicy::Hash => 1,
        DestinationPolicy::Keep => 2,
    });
}

fn put_namespace(out: &mut Vec<u8>, namespace: Option<&str>) {
    out.push(u8::from(namespace.is_some()));
    put_text(out, namespace.unwrap_or(""));
}

fn put_reason(out: &mut Vec<u8>, reason: &GapReason) {
    let (kind, text): (u8, &str) = match reason {
        GapReason::Overrun { lost: None } => (0, ""),
        GapReason::Overrun { lost: Some(lost) } => {
            out.push(1);
            put_varint(out, *lost);
            return;
        }
        GapReason::NamespaceGone => (3, ""),
        GapReason::Setting(what) => (4, what),
        GapReason::Failed(what) => (5, what),
        GapReason::Damaged(what) => (6, what),
        GapReason::Pruned => (7, ""),
        // A reason that this version cannot write down is still a gap.
        _ => (2, ""),
    };
    out.push(kind);
    if matches!(kind, 4..=6) {
        put_text(out, text);
    }
}

impl Mark {
    /// Appends the mark.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Event(CoverageEvent::Started { scope, clock }) => {
                out.push(1);
                put_scope(out, scope);
                put_clock(out, *clock);
            }
            Self::Event(CoverageEvent::Alive { clock }) => {
                out.push(2);
                put_clock(out, *clock);
            }
            Self::Event(CoverageEvent::Gap(gap)) => {
                out.push(3);
                put_period(out, gap.period);
                put_namespace(out, gap.namespace.as_deref());
                put_reason(out, &gap.reason);
            }
            Self::Event(CoverageEvent::Stopped { namespace, clock }) => {
                out.push(4);
                put_namespace(out, namespace.as_deref());
                put_clock(out, *clock);
            }
            Self::Event(CoverageEvent::Imported { scope, period, is_complete }) => {
                out.push(5);
                put_scope(out, scope);
                put_period(out, *period);
                out.push(u8::from(*is_complete));
            }
            Self::Session => out.push(6),
            Self::Span(span) => {
                out.push(7);
                put_scope(out, &span.scope);
                put_period(out, span.period);
                out.push(u8::from(span.is_synchronised) | u8::from(span.is_complete) << 1);
            }
            Self::Step(step) => {
                out.push(8);
                put_time(out, step.before);
                put_time(out, step.after);
                put_signed(out, step.by);
            }
            Self::Absent(absence) => {
                out.push(9);
                put_text(out, &absence.namespace);
                put_period(out, absence.period);
            }
            Self::Pruned(until) => {
                out.push(10);
                put_time(out, *until);
            }
            Self::Clock(clock) => {
                out.push(11);
                put_clock(out, *clock);
            }
        }
    }

    /// Takes the mark at the head of the bytes.
    pub(crate) fn parse(bytes: &mut Bytes<'_>) -> Option<Self> {
        Some(match bytes.byte()? {
            1 => Self::Event(CoverageEvent::Started { scope: scope(bytes)?, clock: clock(bytes)? }),
            2 => Self::Event(CoverageEvent::Alive { clock: clock(bytes)? }),
            3 => {
                let period = period(bytes)?;
                let Named(namespace) = namespace(bytes)?;
                Self::Event(CoverageEvent::Gap(Gap { period, namespace, reason: reason(bytes)? }))
            }
            4 => {
                let Named(namespace) = namespace(bytes)?;
                Self::Event(CoverageEvent::Stopped { namespace, clock: clock(bytes)? })
            }
            5 => {
                let scope = scope(bytes)?;
                let period = period(bytes)?;
                Self::Event(CoverageEvent::Imported { scope, period, is_complete: bytes.byte()? == 1 })
            }
            6 => Self::Session,
            7 => {
                let (scope, period, flags) = (scope(bytes)?, period(bytes)?, bytes.byte()?);
                Self::Span(Span {
                    scope,
                    period,
                    is_synchronised: flags & 1 != 0,
                    is_complete: flags & 2 != 0,
                })
            }
            8 => Self::Step(Step { before: bytes.time(0)?, after: bytes.time(0)?, by: bytes.signed()? }),
            9 => Self::Absent(Absence { namespace: bytes.text()?.into(), period: period(bytes)? }),
            10 => Self::Pruned(bytes.time(0)?),
            11 => Self::Clock(clock(bytes)?),
            _ => return None,
        })
    }

    /// The reading that it states, if it states one.
    pub(crate) fn clock(&self) -> Option<ClockReading> {
        match self {
            Self::Event(
                CoverageEvent::Started { clock, .. }
                | CoverageEvent::Alive { clock }
                | CoverageEvent::Stopped { clock, .. },
            )
            | Self::Clock(clock) => Some(*clock),
            Self::Event(CoverageEvent::Gap(_) | CoverageEvent::Imported { .. })
            | Self::Session
            | Self::Span(_)
            | Self::Step(_)
            | Self::Absent(_)
            | Self::Pruned(_) => None,
        }
    }
}

fn period(bytes: &mut Bytes<'_>) -> Option<Period> {
    Some(Period::new(bytes.time(0)?, bytes.time(0)?))
}

fn clock(bytes: &mut Bytes<'_>) -> Option<ClockReading> {
    Some(ClockReading {
        wall: Timestamp::from_nanos(bytes.signed()?),
        boot: Duration::from_nanos(bytes.varint()?),
        is_synchronised: bytes.byte()? == 1,
    })
}

fn scope(bytes: &mut Bytes<'_>) -> Option<Scope> {
    let namespace = bytes.text()?.into();
    let kind = match bytes.byte()? {
        0 => ScopeKind::All,
        1 => ScopeKind::Translated,
        2 => ScopeKind::TranslatedLocal,
        _ => return None,
    };
    let destinations = match bytes.byte()? {
        0 => DestinationPolicy::Drop,
        1 => DestinationPolicy::Hash,
        2 => DestinationPolicy::Keep,
        _ => return None,
    };
    Some(Scope { namespace, kind, destinations })
}

/// A namespace, or all of them.
struct Named(Option<Box<str>>);

fn namespace(bytes: &mut Bytes<'_>) -> Option<Named> {
    let is_one = bytes.byte()? == 1;
    let text = bytes.text()?;
    Some(Named(is_one.then(|| text.into())))
}

fn reason(bytes: &mut Bytes<'_>) -> Option<GapReason> {
    Some(match bytes.byte()? {
        0 => GapReason::Overrun { lost: None },
        1 => GapReason::Overrun { lost: Some(bytes.varint()?) },
        2 => GapReason::Down,
        3 => GapReason::NamespaceGone,
        4 => GapReason::Setting(bytes.text()?.to_owned()),
        5 => GapReason::Failed(bytes.text()?.to_owned()),
        6 => GapReason::Damaged(bytes.text()?.to_owned()),
        7 => GapReason::Pruned,
        _ => return None,
    })
}
