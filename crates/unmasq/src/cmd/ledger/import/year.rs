//! The year of a log that has none, where the file itself proves it.
//!
//! A file's time of modification is that of its last line, unless it was copied. So where the last line's date and the
//! modification agree to a day, the year is known; else it has to be given.

use std::time::{Duration, SystemTime};

use jiff::tz::TimeZone;
use unmasq_flow::Timestamp;
use unmasq_import::{Format, Parser, Settings};

/// The furthest that a last line may lie before the file's last modification, or after it.
const AGREEMENT: Duration = Duration::from_secs(24 * 3600);

/// The year of the first line, if the last line and the modification time prove it.
pub(super) fn proven(
    format: Format,
    zone: &TimeZone,
    first_line: &[u8],
    (tail, modified): &(Vec<u8>, SystemTime),
) -> Option<i16> {
    let modified = Timestamp::from(*modified);
    let settings = |year| Settings { zone: Some(zone.clone()), year: Some(year), seen_at: None };
    let last = |year| {
        let mut parser = Parser::new(format, settings(year));
        tail.split(|b| *b == b'\n')
            .rev()
            .take(10)
            .find_map(|line| parser.line(line).ok().flatten()?.instant())
    };
    let at = jiff::Timestamp::from_nanosecond(i128::from(modified.as_nanos())).ok()?;
    let around = zone.to_datetime(at).year();
    let agrees = |year: &i16| {
        last(*year).is_some_and(|last| modified.since(last) <= AGREEMENT && last.since(modified) <= AGREEMENT)
    };
    let last_year = [around - 1, around, around + 1].into_iter().find(agrees)?;
    // A first line that would be later than the last is from the year before. A log of more than a year has to be told its year.
    let first = |year| Parser::new(format, settings(year)).line(first_line).ok().flatten()?.instant();
    let (first, last) = (first(last_year)?, last(last_year)?);
    Some(if first > last { last_year - 1 } else { last_year })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(date: &str) -> Vec<u8> {
        format!(
            "{date} vm [NEW] ORIG: SRC=192.168.101.2 DST=203.0.113.80 PROTO=TCP SPT=1 DPT=2 PKTS=0 BYTES=0 , REPLY: \
             SRC=203.0.113.80 DST=203.0.113.1 PROTO=TCP SPT=2 DPT=1 PKTS=0 BYTES=0 "
        )
        .into_bytes()
    }

    fn year(first: &str, last: &str, modified: &str) -> Option<i16> {
        let modified: jiff::Timestamp = modified.parse().unwrap();
        proven(Format::UlogdEmu, &TimeZone::UTC, &line(first), &(line(last), modified.into()))
    }

    #[test]
    fn only_a_file_untouched_since_its_last_line_proves_the_year() {
        assert_eq!(year("Nov 20 10:00:00", "Nov 21 10:00:00", "2026-11-21T10:00:01Z"), Some(2026));
        assert_eq!(year("Dec 30 10:00:00", "Jan  2 10:00:00", "2026-01-02T10:00:01Z"), Some(2025));
        assert_eq!(year("Dec 30 10:00:00", "Dec 31 23:59:59", "2026-01-01T00:10:00Z"), Some(2025));
        assert_eq!(year("Nov 20 10:00:00", "Nov 21 10:00:00", "2026-11-25T10:00:00Z"), None);
    }
}
