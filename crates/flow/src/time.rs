//! Points and stretches of time, as the kernel gives them: nanoseconds since the Unix epoch, UTC.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A point in time: nanoseconds since the Unix epoch, UTC, uncorrected.
///
/// Range: [`Timestamp::MIN`] and [`Timestamp::MAX`] stand for "since always" and "for ever"; arithmetic saturates there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Before every recorded time.
    pub const MIN: Self = Self(i64::MIN);
    /// After every recorded time.
    pub const MAX: Self = Self(i64::MAX);

    /// From nanoseconds since the Unix epoch.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// From milliseconds since the Unix epoch, saturating.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// From whole seconds since the Unix epoch, saturating.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000_000_000))
    }

    /// The wall clock's reading. The pure parts of the project take time as an argument and never call this.
    pub fn now() -> Self {
        SystemTime::now().into()
    }

    /// Nanoseconds since the Unix epoch.
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// Milliseconds since the Unix epoch, rounded down.
    pub const fn as_millis(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// Seconds since the Unix epoch, rounded down.
    pub const fn as_seconds(self) -> i64 {
        self.0.div_euclid(1_000_000_000)
    }

    /// The UTC hour that holds this point, counted since the Unix epoch.
    pub const fn hour(self) -> i64 {
        self.0.div_euclid(3_600_000_000_000)
    }

    /// Is this a real point, neither [`Timestamp::MIN`] nor [`Timestamp::MAX`]?
    pub const fn is_finite(self) -> bool {
        self.0 != i64::MIN && self.0 != i64::MAX
    }

    /// Time since `earlier`, or zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(u64::try_from(i128::from(self.0) - i128::from(earlier.0)).unwrap_or(0))
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let nanos = match time.duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |n| -n),
        };
        Self(nanos)
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        if !self.is_finite() {
            return self;
        }
        Self(self.0.saturating_add(i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, span: Duration) -> Self {
        if !self.is_finite() {
            return self;
        }
        Self(self.0.saturating_sub(i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with as many digits as the value needs; `-inf` and `+inf` for the ends of time.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::MIN => f.write_str("-inf"),
            Self::MAX => f.write_str("+inf"),
            Self(nanos) => match jiff::Timestamp::from_nanosecond(i128::from(nanos)) {
                Ok(time) => time.fmt(f),
                // Unreachable: every i64 of nanoseconds is within jiff's range of years. Kept total all the same.
                Err(_) => write!(f, "@{nanos}ns"),
            },
        }
    }
}

/// A stretch of time, both ends included. A point is a period of length zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Period {
    /// First instant.
    pub from: Timestamp,
    /// Last instant; never before `from`.
    pub to: Timestamp,
}

impl Period {
    /// All of time.
    pub const ALWAYS: Self = Self { from: Timestamp::MIN, to: Timestamp::MAX };

    /// From one instant to another; swapped if they come in the wrong order.
    pub fn new(a: Timestamp, b: Timestamp) -> Self {
        Self { from: a.min(b), to: a.max(b) }
    }

    /// One instant.
    pub const fn at(time: Timestamp) -> Self {
        Self { from: time, to: time }
    }

    /// `window` to either side of an instant.
    pub fn around(time: Timestamp, window: Duration) -> Self {
        Self { from: time - window, to: time + window }
    }

    /// Do the two share an instant?
    pub fn overlaps(self, other: Self) -> bool {
        self.from <= other.to && other.from <= self.to
    }

    /// Is the instant inside?
    pub fn contains(self, time: Timestamp) -> bool {
        self.from <= time && time <= self.to
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_prints_as_rfc_3339_in_utc() {
        assert_eq!(
            Timestamp::from_nanos(1_795_251_448_173_452_000).to_string(),
            "2026-11-21T08:57:28.173452Z"
        );
        assert_eq!(Timestamp::MAX.to_string(), "+inf");
    }

    #[test]
    fn arithmetic_stays_at_the_ends_of_time() {
        let hour = Duration::from_secs(3600);
        assert_eq!(Timestamp::MIN + hour, Timestamp::MIN);
        assert_eq!(Timestamp::MAX - hour, Timestamp::MAX);
        assert_eq!(Timestamp::from_nanos(i64::MAX - 5) + hour, Timestamp::MAX);
        assert_eq!(Timestamp::from_seconds(-1).hour(), -1);
    }

    #[test]
    fn the_ends_of_a_period_belong_to_it() {
        let p = Period::new(Timestamp::from_seconds(20), Timestamp::from_seconds(10));
        assert!(p.overlaps(Period::at(Timestamp::from_seconds(10))));
        assert!(p.overlaps(Period::at(Timestamp::from_seconds(20))));
        assert!(!p.overlaps(Period::at(Timestamp::from_seconds(21))));
    }
}
