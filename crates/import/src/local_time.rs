//! Local times without zone or year, as other programs print them, made into instants.
//!
//! A zone that was not given is an error, never a guess. The one exception needs no guess: `conntrack -E -o timestamp,ktimestamp`
//! prints the moment of reading as Unix time and, on the same line, the end as local time. An end is read within minutes,
//! and zones differ from UTC by whole quarters of an hour, so the line itself tells its offset ([`offset_from`]).

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use unmasq_flow::{Bound, Timestamp};

use crate::Refusal;
use crate::scan;

/// One second less one nanosecond: a time printed to the second is somewhere in it.
pub(crate) const SECOND: i64 = 999_999_999;

/// Somewhere within the second that begins at this Unix time.
pub(crate) fn within_second(seconds: i64) -> Bound {
    let from = Timestamp::from_seconds(seconds);
    Bound::Between(from, Timestamp::from_nanos(from.as_nanos().saturating_add(SECOND)))
}

/// A month's number from its English abbreviation.
pub(crate) fn month(name: &[u8]) -> Option<i8> {
    const NAMES: [&[u8]; 12] =
        [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
    (1..).zip(NAMES).find(|(_, known)| *known == name).map(|(number, _)| number)
}

/// `hh:mm:ss`, as three numbers in range.
pub(crate) fn clock(text: &[u8]) -> Option<(i8, i8, i8)> {
    let &[h1, h0, b':', m1, m0, b':', s1, s0] = text else { return None };
    let two = |a, b| scan::small::<i8>(&[a, b]);
    let (hour, minute, second) = (two(h1, h0)?, two(m1, m0)?, two(s1, s0)?);
    (hour < 24 && minute < 60 && second < 60).then_some((hour, minute, second))
}

/// The `asctime(3)` form without its newline: `Sat Nov 21 09:31:55 2026`.
pub(crate) fn asctime(text: &[u8]) -> Option<DateTime> {
    let mut words = scan::Words::new(text);
    let _weekday = words.next()?;
    let month = month(words.next()?)?;
    let day = scan::small(words.next()?)?;
    let (hour, minute, second) = clock(words.next()?)?;
    let year = scan::small(words.next()?)?;
    words.next().is_none().then_some(())?;
    DateTime::new(year, month, day, hour, minute, second, 0).ok()
}

/// Seconds since the epoch, were the local time UTC.
pub(crate) fn as_if_utc(local: DateTime) -> i64 {
    TimeZone::UTC.to_timestamp(local).map_or(0, jiff::Timestamp::as_second)
}

/// The instants that a local time can mean: one, or two where clocks were set back.
pub(crate) fn instants(local: DateTime, zone: &TimeZone) -> Result<(i64, Option<i64>), Refusal> {
    let utc = as_if_utc(local);
    match zone.to_ambiguous_timestamp(local).offset() {
        AmbiguousOffset::Unambiguous { offset } => Ok((utc - i64::from(offset.seconds()), None)),
        AmbiguousOffset::Fold { before, after } => {
            Ok((utc - i64::from(before.seconds()), Some(utc - i64::from(after.seconds()))))
        }
        AmbiguousOffset::Gap { .. } => Err(Refusal::NoSuchTime("the local time")),
    }
}

/// A local time as a bound to the second. Where it occurs twice, both readings are within the bound.
pub(crate) fn bound(local: DateTime, zone: Option<&TimeZone>) -> Result<Bound, Refusal> {
    let (first, second) = instants(local, zone.ok_or(Refusal::NoZone)?)?;
    Ok(Bound::Between(within_second(first).earliest(), within_second(second.unwrap_or(first)).latest()))
}

/// How far the local time of an end is ahead of UTC (seconds), from the moment at which the line was read.
///
/// The end lies between 0 and 15 minutes before its reading: the kernel's garbage collection takes up to a minute
/// (`GC_SCAN_INTERVAL_MAX`), and zones are whole quarters of an hour.
pub(crate) fn offset_from(end_local: DateTime, read: Timestamp) -> i64 {
    const QUARTER: i64 = 900;
    let ahead = as_if_utc(end_local) - read.as_seconds();
    (ahead + QUARTER - 1).div_euclid(QUARTER) * QUARTER
}

/// Gives dates without a year the year in which they lie nearest to the line before, starting from the year given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct YearClock {
    first: Option<i16>,
    last: Option<DateTime>,
}

impl YearClock {
    pub(crate) fn new(first: Option<i16>) -> Self {
        Self { first, last: None }
    }

    /// The full date of a line. It counts as the line before for the next.
    pub(crate) fn date(
        &mut self,
        month: i8,
        day: i8,
        (hour, minute, second): (i8, i8, i8),
    ) -> Result<DateTime, Refusal> {
        let around = self.last.map(DateTime::year).or(self.first).ok_or(Refusal::NoYear)?;
        let in_year = |year: i16| DateTime::new(year, month, day, hour, minute, second, 0).ok();
        let found = match self.last {
            None => in_year(around),
            Some(last) => [around.saturating_sub(1), around, around.saturating_add(1)]
                .into_iter()
                .filter_map(in_year)
                .min_by_key(|date| as_if_utc(*date).abs_diff(as_if_utc(last))),
        };
        let date = found.ok_or(Refusal::NoSuchTime("the date"))?;
        self.last = Some(date);
        Ok(date)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asctime_reads_with_one_or_two_digits_of_day() {
        assert_eq!(
            asctime(b"Sat Nov 21 09:31:55 2026"),
            Some(jiff::civil::date(2026, 11, 21).at(9, 31, 55, 0))
        );
        assert_eq!(
            asctime(b"Sun Nov  1 09:31:55 2026"),
            Some(jiff::civil::date(2026, 11, 1).at(9, 31, 55, 0))
        );
        for wrong in [
            "Sat Nov 31 09:31:55 2026",
            "Sat Nov 21 24:00:00 2026",
            "Sat Nov 21 09:31:55",
            "Sat Nov 21 09:31:55 2026 x",
        ] {
            assert_eq!(asctime(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn a_line_tells_its_own_offset() {
        let read = Timestamp::from_seconds(1_795_259_986);
        let utc = asctime(b"Sat Nov 21 11:19:14 2026").unwrap();
        assert_eq!(offset_from(utc, read), 0);
        assert_eq!(offset_from(asctime(b"Sat Nov 21 06:19:14 2026").unwrap(), read), -5 * 3600);
        assert_eq!(offset_from(asctime(b"Sat Nov 21 17:04:14 2026").unwrap(), read), 5 * 3600 + 45 * 60);
        assert_eq!(
            offset_from(asctime(b"Sat Nov 21 11:19:46 2026").unwrap(), read),
            0,
            "read in the very second"
        );
    }

    #[test]
    fn a_local_time_that_occurs_twice_is_bounded_by_both() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let twice = asctime(b"Sun Oct 25 02:30:00 2026").unwrap();
        let Bound::Between(from, to) = bound(twice, Some(&zone)).unwrap() else { panic!("no bound") };
        assert_eq!(to.since(from).as_secs(), 3600);
        let never = asctime(b"Sun Mar 29 02:30:00 2026").unwrap();
        assert_eq!(bound(never, Some(&zone)), Err(Refusal::NoSuchTime("the local time")));
        assert_eq!(bound(never, None), Err(Refusal::NoZone));
    }

    #[test]
    fn the_year_rolls_over_and_back() {
        let mut years = YearClock::new(Some(2025));
        let mut year = |month, day| years.date(month, day, (12, 0, 0)).map(DateTime::year);
        assert_eq!(year(12, 31), Ok(2025));
        assert_eq!(year(1, 1), Ok(2026));
        assert_eq!(year(12, 31), Ok(2025), "a line that comes late");
        assert_eq!(year(1, 2), Ok(2026));
        assert_eq!(year(7, 1), Ok(2026));
        assert_eq!(year(2, 29), Err(Refusal::NoSuchTime("the date")));
        assert_eq!(YearClock::new(None).date(1, 1, (0, 0, 0)), Err(Refusal::NoYear));
    }
}
