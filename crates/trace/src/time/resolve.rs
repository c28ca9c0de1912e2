//! The meaning of a written time: its words, a zone and the present moment, made into stretches of real time.

use jiff::civil::{Date, DateTime, Weekday};
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use jiff::{Span, ToSpan};
use unmasq_flow::{Period, Timestamp};

use super::form::{self, Clock, Day, Form, Zone};
use super::{Asked, Context, TimeError, zone};

/// Reads a time in any of the documented forms.
pub fn parse(text: &str, context: &Context) -> Result<Asked, TimeError> {
    let text = text.trim();
    if let Some(asked) = now(text, context).or_else(|| unix(text, context)) {
        return asked;
    }
    let form = form::read(text)?;
    let mut notes = Vec::new();
    let zone = zone_of(text, &form, context)?;
    let date = date_of(text, &form, &zone, context, &mut notes)?;
    if let Some(weekday) = form.weekday
        && weekday != date.weekday()
    {
        return Err(TimeError::WrongWeekday {
            text: TimeError::cut(text),
            date: date.to_string(),
            actual: weekday_name(date.weekday()).to_owned(),
        });
    }
    let (first, length) = match form.clock {
        None => (date.at(0, 0, 0, 0), 1.day()),
        Some(clock) => stretch(date, clock),
    };
    let abbreviation = match &form.zone {
        Some(Zone::Abbreviation(abbreviation)) => Some(abbreviation.as_str()),
        _ => None,
    };
    let windows = Local { text, zone: &zone, abbreviation }.windows(first, length)?;
    if let [one, two] = windows.as_slice() {
        notes.push(format!(
            "{} occurred twice in {}, because the clock was set back; both are asked for: {} and {}",
            first.strftime("%Y-%m-%d %H:%M:%S"),
            name_of(&zone),
            one.from,
            two.from
        ));
    }
    Ok(Asked { text: text.to_owned(), windows, zone, notes })
}

fn now(text: &str, context: &Context) -> Option<Result<Asked, TimeError>> {
    text.eq_ignore_ascii_case("now").then(|| {
        let now = timestamp(text, context.now)?;
        let zone = context.zone.clone().unwrap_or(TimeZone::UTC);
        Ok(Asked { text: text.to_owned(), windows: vec![Period::at(now)], zone, notes: Vec::new() })
    })
}

/// A Unix time: seconds with 9 or 10 digits and perhaps a fraction, else milli-, micro- or nanoseconds by the number of digits.
/// Eight and fourteen digits are dates.
fn unix(text: &str, context: &Context) -> Option<Result<Asked, TimeError>> {
    let digits = text.strip_prefix('@').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty()
        || !is_number(whole)
        || !is_number(fraction)
        || (digits.contains('.') && fraction.is_empty())
    {
        return None;
    }
    let unit: i64 = match whole.len() {
        9 | 10 => 1_000_000_000,
        12 | 13 => 1_000_000,
        15 | 16 => 1_000,
        18 | 19 => 1,
        // "@0" is a Unix time whatever its length.
        _ if text.starts_with('@') && whole.len() <= 11 => 1_000_000_000,
        _ => return None,
    };
    let out_of_range = || TimeError::OutOfRange { text: TimeError::cut(text) };
    let read = || {
        let mut nanos = whole.parse::<i64>().ok()?.checked_mul(unit)?;
        let mut precision = unit;
        for digit in fraction.bytes().take(9) {
            precision /= 10;
            if precision == 0 {
                // Finer than a nanosecond: as good as exact.
                precision = 1;
                break;
            }
            nanos = nanos.checked_add(i64::from(digit - b'0') * precision)?;
        }
        Some(Period {
            from: Timestamp::from_nanos(nanos),
            to: Timestamp::from_nanos(nanos.checked_add(precision - 1)?),
        })
    };
    Some(read().ok_or_else(out_of_range).map(|window| Asked {
        text: text.to_owned(),
        windows: vec![window],
        zone: context.zone.clone().unwrap_or(TimeZone::UTC),
        notes: Vec::new(),
    }))
}

fn zone_of(text: &str, form: &Form, context: &Context) -> Result<TimeZone, TimeError> {
    match (&form.zone, &context.zone) {
        (Some(Zone::Fixed(offset)), _) => Ok(TimeZone::fixed(*offset)),
        (Some(Zone::Named(name)), _) => zone(name),
        // Checked against the zone once the local time is known.
        (Some(Zone::Abbreviation(_)) | None, Some(zone)) => Ok(zone.clone()),
        (Some(Zone::Abbreviation(abbreviation)), None) => Err(TimeError::AmbiguousZone {
            abbreviation: abbreviation.clone(),
            zones: zone::zones_of(abbreviation).unwrap_or_default(),
        }),
        (None, None) => Err(TimeError::NoZone { text: TimeError::cut(text) }),
    }
}

fn date_of(
    text: &str,
    form: &Form,
    zone: &TimeZone,
    context: &Context,
    notes: &mut Vec<String>,
) -> Result<Date, TimeError> {
    let now = context.now.to_zoned(zone.clone()).datetime();
    let days_before = |days: i64| {
        now.date().checked_sub(days.days()).map_err(|_| TimeError::OutOfRange { text: TimeError::cut(text) })
    };
    match form.day {
        Some(Day::Full(date)) => Ok(date),
        Some(Day::Ago(days)) => {
            let date = days_before(days)?;
            notes.push(format!("taken as {date} in {}", name_of(zone)));
            Ok(date)
        }
        Some(Day::NoYear { month, day }) => {
            let date = YearOf { text, month, day, weekday: form.weekday, now }.infer()?;
            notes.push(format!("the year was not given; {} is the latest one that fits", date.year()));
            Ok(date)
        }
        None => {
            // A time of day alone: the latest one that has come.
            let clock =
                form.clock.map_or(DateTime::MIN.time(), |c| jiff::civil::time(c.hour, c.minute, 0, 0));
            let date = if clock <= now.time() { now.date() } else { days_before(1)? };
            notes.push(format!("the day was not given; taken as {date} in {}", name_of(zone)));
            Ok(date)
        }
    }
}

struct YearOf<'a> {
    text: &'a str,
    month: i8,
    day: i8,
    weekday: Option<Weekday>,
    now: DateTime,
}

impl YearOf<'_> {
    /// The latest year that is not in the future, if no other is likely: with a weekday the one that it fits, else one within
    /// the last year. The first day of the future is refused, because a clock that is ahead writes that too.
    fn infer(&self) -> Result<Date, TimeError> {
        let this_year = self.now.year();
        let fits = |date: &Date| self.weekday.is_none_or(|w| w == date.weekday());
        let in_year = |year: i16| Date::new(year, self.month, self.day).ok();
        let tomorrow = self.now.date().tomorrow().unwrap_or(Date::MAX);
        let ahead =
            [this_year, this_year.saturating_add(1)].into_iter().filter_map(in_year).find(|d| *d == tomorrow);
        let latest = (this_year.saturating_sub(8)..=this_year)
            .rev()
            .filter_map(in_year)
            .find(|date| *date <= self.now.date() && fits(date));
        let refuse = |why: String, year: i16| TimeError::NoYear {
            text: TimeError::cut(self.text),
            why,
            example: format!("{year:04}-{:02}-{:02}", self.month, self.day),
        };
        if let Some(ahead) = ahead.filter(fits) {
            let other = latest.map_or(String::new(), |d| format!(" or that of {}", d.year()));
            return Err(refuse(format!("it can be tomorrow's date{other}"), ahead.year()));
        }
        let latest = latest.ok_or_else(|| refuse("no year of the last eight fits".to_owned(), this_year))?;
        let is_recent = latest.year() >= this_year - 1;
        if !is_recent && self.weekday.is_none() {
            return Err(refuse("it has not occurred within the last year".to_owned(), latest.year()));
        }
        Ok(latest)
    }
}

/// The first local instant that is meant, and how long the stretch is that is written.
fn stretch(date: Date, clock: Clock) -> (DateTime, Span) {
    // A leap second is the first second of the next minute for every clock that counts as POSIX does.
    let (second, leap) = match clock.second {
        Some(60) => (59, 1.second()),
        Some(second) => (second, 0.seconds()),
        None => (0, 0.seconds()),
    };
    let (nanos, length) = match clock.fraction {
        Some((nanos, digits)) => (nanos, 10_i64.pow(9 - digits).nanoseconds()),
        None if clock.second.is_some() => (0, 1.second()),
        None => (0, 1.minute()),
    };
    let first = date.at(clock.hour, clock.minute, second, nanos);
    (first.checked_add(leap).unwrap_or(first), length)
}

/// A local time in its zone.
struct Local<'a> {
    text: &'a str,
    zone: &'a TimeZone,
    abbreviation: Option<&'a str>,
}

impl Local<'_> {
    fn windows(&self, first: DateTime, length: Span) -> Result<Vec<Period>, TimeError> {
        let is_day = length.get_days() != 0;
        let offsets = match self.zone.to_ambiguous_timestamp(first).offset() {
            AmbiguousOffset::Unambiguous { offset } => vec![offset],
            AmbiguousOffset::Fold { before, after } => vec![before, after],
            // A day that begins in a gap (00:00 does not exist) begins at the gap's end.
            AmbiguousOffset::Gap { before, .. } if is_day => vec![before],
            AmbiguousOffset::Gap { before, after } => return Err(self.does_not_exist(first, before, after)),
        };
        let offsets = self.with_abbreviation(first, offsets)?;
        let out_of_range = |_| TimeError::OutOfRange { text: TimeError::cut(self.text) };
        if is_day {
            // A day has 23 or 25 hours when the clock is set; it ends where the next begins, in whatever offset.
            let next = first.checked_add(length).map_err(out_of_range)?;
            let begin = self.zone.to_ambiguous_timestamp(first).compatible().map_err(out_of_range)?;
            let end = self.zone.to_ambiguous_timestamp(next).compatible().map_err(out_of_range)?;
            return Ok(vec![period(self.text, begin, end)?]);
        }
        let end = first.checked_add(length).map_err(out_of_range)?;
        offsets
            .into_iter()
            .map(|offset| {
                let begin = offset.to_timestamp(first).map_err(out_of_range)?;
                period(self.text, begin, offset.to_timestamp(end).map_err(out_of_range)?)
            })
            .collect()
    }

    /// Of the offsets that a local time can have, those that are called what was written.
    fn with_abbreviation(&self, local: DateTime, offsets: Vec<Offset>) -> Result<Vec<Offset>, TimeError> {
        let Some(wanted) = self.abbreviation else { return Ok(offsets) };
        let called = |offset: &Offset| {
            offset
                .to_timestamp(local)
                .map_or_else(|_| String::new(), |t| self.zone.to_offset_info(t).abbreviation().to_owned())
        };
        let fitting: Vec<Offset> =
            offsets.iter().copied().filter(|o| called(o).eq_ignore_ascii_case(wanted)).collect();
        if fitting.is_empty() {
            return Err(TimeError::WrongAbbreviation {
                text: TimeError::cut(self.text),
                abbreviation: wanted.to_owned(),
                zone: name_of(self.zone),
                actual: offsets.iter().map(called).collect::<Vec<_>>().join(" or "),
            });
        }
        Ok(fitting)
    }

    fn does_not_exist(&self, local: DateTime, before: Offset, after: Offset) -> TimeError {
        // Read with the offset before the change, the time falls after it, and the other way round.
        let written = |offset: Offset| {
            offset.to_timestamp(local).map_or_else(
                |_| String::new(),
                |t| t.to_zoned(self.zone.clone()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
            )
        };
        TimeError::DoesNotExist {
            local: local.strftime("%Y-%m-%d %H:%M:%S").to_string(),
            zone: name_of(self.zone),
            before: written(after),
            after: written(before),
        }
    }
}

fn period(text: &str, begin: jiff::Timestamp, end: jiff::Timestamp) -> Result<Period, TimeError> {
    let from = timestamp(text, begin)?;
    let end = timestamp(text, end)?;
    Ok(Period { from, to: Timestamp::from_nanos(end.as_nanos().saturating_sub(1)).max(from) })
}

fn timestamp(text: &str, time: jiff::Timestamp) -> Result<Timestamp, TimeError> {
    i64::try_from(time.as_nanosecond())
        .map(Timestamp::from_nanos)
        .map_err(|_| TimeError::OutOfRange { text: TimeError::cut(text) })
}

/// A zone's name for people: `Europe/Berlin`, `UTC`, `+01:00`.
pub(super) fn name_of(zone: &TimeZone) -> String {
    if let Some(name) = zone.iana_name() {
        return name.to_owned();
    }
    zone.to_fixed_offset().map_or_else(
        |_| "the local time zone".to_owned(),
        |offset| {
            let seconds = offset.seconds();
            let (sign, rest) = if seconds < 0 { ('-', -seconds) } else { ('+', seconds) };
            if rest == 0 {
                "UTC".to_owned()
            } else {
                format!("{sign}{:02}:{:02}", rest / 3600, rest / 60 % 60)
            }
        },
    )
}

fn weekday_name(weekday: Weekday) -> &'static str {
    match weekday {
        Weekday::Monday => "Monday",
        Weekday::Tuesday => "Tuesday",
        Weekday::Wednesday => "Wednesday",
        Weekday::Thursday => "Thursday",
        Weekday::Friday => "Friday",
        Weekday::Saturday => "Saturday",
        Weekday::Sunday => "Sunday",
    }
}
