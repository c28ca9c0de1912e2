//! Points and stretches of time, as the kernel gives them: nanoseconds since the Unix epoch, UTC.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::Text;

/// A point in time: nanoseconds since the Unix epoch, UTC, uncorrected.
///
/// Range: [`Timestamp::MIN`] and [`Timestamp::MAX`] stand for "since always" and "for ever"; arithmetic saturates there.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
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

    /// Date and time of day in UTC, rounded down to milliseconds, for people: `2026-11-21 08:57:28.173`. `None` for the
    /// ends of time.
    pub fn to_millis_text(self) -> Option<Text> {
        self.is_finite().then(|| {
            let mut text = self.to_seconds_text(b' ');
            text.push(b'.');
            text.padded(self.subsecond() / 1_000_000, 3);
            text
        })
    }

    /// The same with a `T` between and to microseconds, for formats that want all digits: `2026-11-21T08:57:28.173456`, without
    /// a zone.
    pub fn to_micros_text(self) -> Option<Text> {
        self.is_finite().then(|| {
            let mut text = self.to_seconds_text(b'T');
            text.push(b'.');
            text.padded(self.subsecond() / 1000, 6);
            text
        })
    }

    /// RFC 3339 in UTC with as many digits as the value needs.
    fn to_rfc_3339(self) -> Text {
        let mut text = self.to_seconds_text(b'T');
        let (mut fraction, mut digits) = (self.subsecond(), 9);
        if fraction > 0 {
            while fraction % 10 == 0 {
                fraction /= 10;
                digits -= 1;
            }
            text.push(b'.');
            text.padded(fraction, digits);
        }
        text.push(b'Z');
        text
    }

    /// Nanoseconds since the second began.
    const fn subsecond(self) -> u32 {
        self.0.rem_euclid(1_000_000_000) as u32
    }

    /// `2026-11-21T08:57:28`. The years of 64 bits of nanoseconds are 1677 to 2262: four digits, all of them.
    fn to_seconds_text(self, separator: u8) -> Text {
        let seconds = self.as_seconds();
        let (year, month, day) = civil(seconds.div_euclid(86_400));
        let of_day = seconds.rem_euclid(86_400) as u32;
        let mut text = Text::new();
        text.padded(year, 4);
        for part in [month, day] {
            text.push(b'-');
            text.padded(part, 2);
        }
        text.push(separator);
        text.padded(of_day / 3600, 2);
        for part in [of_day / 60 % 60, of_day % 60] {
            text.push(b':');
            text.padded(part, 2);
        }
        text
    }
}

/// Year, month and day of a day counted since the Unix epoch (Howard Hinnant, "chrono-compatible low-level date
/// algorithms"), for years from 0 to 9999.
const fn civil(day: i64) -> (u32, u32, u32) {
    // Days since 0000-03-01: no year of a timestamp is before that.
    let day = (day + 719_468) as u32;
    let (era, of_era) = (day / 146_097, day % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    // Months counted from March.
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + if month <= 2 { 1 } else { 0 }, month, day)
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
            _ => f.write_str(self.to_rfc_3339().as_str()),
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
    fn texts_are_those_of_a_calendar_library() {
        let day = 86_400_000_000_000;
        let spread = (-100_000..=100_000).map(|n: i64| n * (day + 1_234_567_891_234));
        let edges = [i64::MIN + 1, i64::MAX - 1, -1, 0, 1, 999_999_999, 1_000_000, 951_782_400_000_000_000];
        let whole = (-300..300).map(|n| n * 30_000_000_120_000_000);
        for nanos in spread.chain(edges).chain(whole) {
            let time = Timestamp::from_nanos(nanos);
            let other = jiff::Timestamp::from_nanosecond(i128::from(nanos)).unwrap();
            assert_eq!(time.to_string(), other.to_string());
            let expected = other.strftime("%Y-%m-%d %H:%M:%S%.3f").to_string();
            assert_eq!(time.to_millis_text().map(|t| t.to_string()), Some(expected), "{nanos}");
        }
        assert!(Timestamp::MIN.to_millis_text().is_none());
        let micros = Timestamp::from_nanos(-1).to_micros_text().map(|text| text.to_string());
        assert_eq!(micros.as_deref(), Some("1969-12-31T23:59:59.999999"));
        assert!(Timestamp::MAX.to_micros_text().is_none());
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
