//! Times as log lines have them: RFC 3339, and RFC 3164's `Nov 21 08:57:28`, which names neither year nor zone.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use unmasq_flow::Timestamp;

/// Reads times, and remembers what the last one came to: lines of the same minute need no calendar.
#[derive(Debug)]
pub(super) struct Stamps {
    zone: TimeZone,
    latest: Timestamp,
    /// Month, day, hour and minute of the last RFC 3164 time, and the moment of its second 0.
    minute: Option<([u8; 12], Timestamp)>,
}

const DAY_SECONDS: i64 = 86_400;
const MONTHS: &[u8; 36] = b"JanFebMarAprMayJunJulAugSepOctNovDec";

impl Stamps {
    pub(super) fn new(zone: TimeZone, latest: Timestamp) -> Self {
        Self { zone, latest, minute: None }
    }

    pub(super) fn set_latest(&mut self, latest: Timestamp) {
        // A remembered minute could be of another year by now.
        if latest.as_seconds() / DAY_SECONDS != self.latest.as_seconds() / DAY_SECONDS {
            self.minute = None;
        }
        self.latest = latest;
    }

    /// `Nov 21 08:57:28`, `Nov  1 …`, with a fraction or a year as some write it; and what follows.
    pub(super) fn rfc3164<'t>(&mut self, text: &'t str) -> Option<(Timestamp, &'t str)> {
        let bytes = text.as_bytes();
        // Month and day: `Nov 21`, `Nov  7`, and of some programs `Nov 7`.
        let length = if bytes.get(5) == Some(&b' ') { 5 } else { 6 };
        let (date, rest) = bytes.split_at_checked(length)?;
        if date[3] != b' ' || rest.first() != Some(&b' ') {
            return None;
        }
        // `Nov 21 2026 08:57:28`: some network devices.
        let year = rest.get(1..6).filter(|year| year[4] == b' ').and_then(|year| number(&year[..4]));
        let clock_at = length + if year.is_some() { 6 } else { 1 };
        let clock = bytes.get(clock_at..clock_at + 8)?;
        if clock[2] != b':' || clock[5] != b':' {
            return None;
        }
        let second = number(&clock[6..]).filter(|second| *second <= 60)?;
        let mut key = [0; 12];
        key[..length].copy_from_slice(date);
        key[6..11].copy_from_slice(&clock[..5]);
        let minute = match self.minute {
            Some((last, minute)) if last == key && year.is_none() => minute,
            _ => {
                let month = MONTHS.chunks_exact(3).position(|month| month == &date[..3])? as i8 + 1;
                let day = number(date[4..].trim_ascii_start())? as i8;
                let (hour, minute) = (number(&clock[..2])? as i8, number(&clock[3..5])? as i8);
                let of_year = |year| self.moment(DateTime::new(year, month, day, hour, minute, 0, 0).ok()?);
                let found = match year {
                    Some(year) => of_year(i16::try_from(year).ok()?)?,
                    None => self.last_year(of_year)?,
                };
                if year.is_none() {
                    self.minute = Some((key, found));
                }
                found
            }
        };
        let (nanos, end) = fraction(bytes, clock_at + 8);
        Some((plus(minute, i64::from(second), nanos), &text[end..]))
    }

    /// The last moment that is no more than a day after the newest. February 29 can be up to eight years back.
    fn last_year(&self, of_year: impl Fn(i16) -> Option<Timestamp>) -> Option<Timestamp> {
        let newest = self.latest.as_seconds().saturating_add(DAY_SECONDS);
        let this_year = jiff::Timestamp::from_second(self.latest.as_seconds()).ok()?;
        let this_year = this_year.to_zoned(self.zone.clone()).year();
        let mut years = (this_year.saturating_sub(8)..=this_year.saturating_add(1)).rev();
        years.find_map(|year| of_year(year).filter(|time| time.as_seconds() <= newest))
    }

    /// `2026-11-21T08:57:28.761000+01:00`, also with a blank for `T`, `+0100`, or no zone at all; and what follows.
    pub(super) fn rfc3339<'t>(&self, text: &'t str) -> Option<(Timestamp, &'t str)> {
        let bytes = text.as_bytes();
        let head = bytes.get(..19)?;
        let [year, month, day, hour, minute, second] =
            [(0, 4), (5, 7), (8, 10), (11, 13), (14, 16), (17, 19)].map(|(from, to)| number(&head[from..to]));
        if [head[4], head[7], head[13], head[16]] != *b"--::" || !matches!(head[10], b'T' | b't' | b' ') {
            return None;
        }
        let (month, day) = (month?, day?);
        let (hour, minute, second) = (hour?, minute?, second?);
        if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let (nanos, end) = fraction(bytes, 19);
        let (offset, end) = match bytes.get(end) {
            Some(b'Z' | b'z') => (0, end + 1),
            Some(sign @ (b'+' | b'-')) => {
                let hours = number(bytes.get(end + 1..end + 3)?)?;
                let minutes_at = end + 3 + usize::from(bytes.get(end + 3) == Some(&b':'));
                let minutes = number(bytes.get(minutes_at..minutes_at + 2)?)?;
                let seconds = i64::from(hours * 3600 + minutes * 60);
                (if *sign == b'-' { -seconds } else { seconds }, minutes_at + 2)
            }
            _ => {
                let civil =
                    DateTime::new(year? as i16, month as i8, day as i8, hour as i8, minute as i8, 0, 0);
                let minute = self.moment(civil.ok()?)?;
                return Some((plus(minute, i64::from(second), nanos), &text[end..]));
            }
        };
        let days = days_from_civil(i64::from(year?), i64::from(month), i64::from(day));
        let seconds = days * DAY_SECONDS + i64::from(hour * 3600 + minute * 60 + second) - offset;
        Some((plus(Timestamp::from_seconds(seconds), 0, nanos), &text[end..]))
    }

    fn moment(&self, civil: DateTime) -> Option<Timestamp> {
        let moment = self.zone.to_ambiguous_zoned(civil).compatible().ok()?;
        Some(Timestamp::from_seconds(moment.timestamp().as_second()))
    }
}

fn plus(moment: Timestamp, seconds: i64, nanos: i64) -> Timestamp {
    Timestamp::from_nanos(moment.as_nanos().saturating_add(seconds * 1_000_000_000 + nanos))
}

/// Decimal digits, and nothing else.
fn number(digits: &[u8]) -> Option<u32> {
    let is_number = !digits.is_empty() && digits.len() < 9 && digits.iter().all(u8::is_ascii_digit);
    is_number.then(|| digits.iter().fold(0, |value, digit| value * 10 + u32::from(digit - b'0')))
}

/// Nanoseconds of `.761000` at `at`, and where it ends; digits past the ninth are dropped.
fn fraction(bytes: &[u8], at: usize) -> (i64, usize) {
    if bytes.get(at) != Some(&b'.') || !bytes.get(at + 1).is_some_and(u8::is_ascii_digit) {
        return (0, at);
    }
    let (mut nanos, mut unit, mut end) = (0, 100_000_000, at + 1);
    while let Some(digit) = bytes.get(end).filter(|byte| byte.is_ascii_digit()) {
        nanos += i64::from(digit - b'0') * unit;
        unit /= 10;
        end += 1;
    }
    (nanos, end)
}

/// Days since the Unix epoch, in the proleptic Gregorian calendar: years begin in March, so that a leap day is last.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamps(latest: &str) -> Stamps {
        let latest: jiff::Timestamp = latest.parse().unwrap();
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        Stamps::new(zone, Timestamp::from_seconds(latest.as_second()))
    }

    fn utc(time: Timestamp) -> String {
        jiff::Timestamp::from_nanosecond(time.as_nanos().into()).unwrap().to_string()
    }

    #[test]
    fn a_time_without_a_year_is_of_the_last_year_that_is_not_the_future() {
        for (latest, text, time) in [
            ("2026-11-21T12:00:00Z", "Nov 21 08:57:28", "2026-11-21T07:57:28Z"),
            ("2026-11-21T12:00:00Z", "Jun  1 08:57:28.5", "2026-06-01T06:57:28.5Z"),
            ("2026-11-21T12:00:00Z", "Jun 1 08:57:28", "2026-06-01T06:57:28Z"),
            ("2026-11-21T12:00:00Z", "Jun 1 2019 08:57:28", "2019-06-01T06:57:28Z"),
            ("2027-01-01T00:00:01Z", "Dec 31 23:59:59", "2026-12-31T22:59:59Z"),
            ("2026-12-31T23:59:59Z", "Jan  1 01:00:05", "2027-01-01T00:00:05Z"),
            ("2026-11-21T12:00:00Z", "Nov 23 08:57:28", "2025-11-23T07:57:28Z"),
            ("2026-11-21T12:00:00Z", "Feb 29 08:00:00", "2024-02-29T07:00:00Z"),
            ("2026-11-21T12:00:00Z", "Nov 21 2019 08:57:28", "2019-11-21T07:57:28Z"),
        ] {
            let mut stamps = stamps(latest);
            let (found, rest) = stamps.rfc3164(text).unwrap();
            assert_eq!((utc(found).as_str(), rest), (time, ""), "{text} at {latest}");
            // From memory.
            assert_eq!(stamps.rfc3164(text).unwrap().0, found);
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        let mut stamps = stamps("2026-11-21T12:00:00Z");
        for text in
            ["", "Nov 21", "Nov 32 08:57:28", "Now 21 08:57:28", "Nov 21 24:57:28", "Nov 21 08:57:2x", "é"]
        {
            assert_eq!(stamps.rfc3164(text), None, "{text}");
        }
        for text in ["2026-11-21", "2026-13-21T08:57:28Z", "2026-11-21T08:57:28+1", "2026/11/21T08:57:28Z"] {
            assert_eq!(stamps.rfc3339(text), None, "{text}");
        }
    }

    #[test]
    fn rfc3339_is_read_with_and_without_a_zone() {
        let stamps = stamps("2026-11-21T12:00:00Z");
        for (text, time) in [
            ("2026-11-21T08:57:28.761+01:00 x", "2026-11-21T07:57:28.761Z"),
            ("2026-11-21T08:57:28.761000+0100 x", "2026-11-21T07:57:28.761Z"),
            ("2026-11-21T08:57:28Z x", "2026-11-21T08:57:28Z"),
            ("1969-02-28t23:59:60-00:30 x", "1969-03-01T00:30:00Z"),
            ("2024-02-29 08:57:28.1234567891 x", "2024-02-29T07:57:28.123456789Z"),
        ] {
            let (found, rest) = stamps.rfc3339(text).unwrap();
            assert_eq!((utc(found).as_str(), rest), (time, " x"), "{text}");
        }
    }
}
