//! The words of a written time: which date, which clock reading, which zone. No meaning yet, so no clock and no zone data.

use jiff::civil::{Date, Weekday};
use jiff::tz::Offset;

use super::{TimeError, zone};

/// A date, as far as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Day {
    /// Year, month and day.
    Full(Date),
    /// Month and day, as in syslog.
    NoYear { month: i8, day: i8 },
    /// Today, or so many days before.
    Ago(i64),
}

/// A reading of the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Clock {
    /// 0 to 23.
    pub(super) hour: i8,
    /// 0 to 59.
    pub(super) minute: i8,
    /// 0 to 60 (a leap second), if written.
    pub(super) second: Option<i8>,
    /// The fraction of the second in nanoseconds, and how many digits were written.
    pub(super) fraction: Option<(i32, u32)>,
}

/// A zone, as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Zone {
    /// `Z`, `UTC`, `GMT`, `+01:00`.
    Fixed(Offset),
    /// `Europe/Berlin`.
    Named(String),
    /// `CST`: means something only together with `--tz`.
    Abbreviation(String),
}

/// All that was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Form {
    pub(super) day: Option<Day>,
    pub(super) weekday: Option<Weekday>,
    pub(super) clock: Option<Clock>,
    pub(super) zone: Option<Zone>,
}

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
const WEEKDAYS: [(&str, Weekday); 7] = [
    ("monday", Weekday::Monday),
    ("tuesday", Weekday::Tuesday),
    ("wednesday", Weekday::Wednesday),
    ("thursday", Weekday::Thursday),
    ("friday", Weekday::Friday),
    ("saturday", Weekday::Saturday),
    ("sunday", Weekday::Sunday),
];

/// Reads the words of a time. `text` is trimmed and not empty.
pub(super) fn read(text: &str) -> Result<Form, TimeError> {
    let mut reader = Reader { text, form: Form::default(), year: None, month: None, day: None, half: None };
    let inner = [('[', ']'), ('"', '"'), ('(', ')'), ('\'', '\'')]
        .iter()
        .find_map(|(open, close)| text.strip_prefix(*open)?.strip_suffix(*close))
        .unwrap_or(text);
    for word in inner.split_whitespace() {
        // "Sat," and "22," end in a comma; "12:27:04,173" has one inside, which is a fraction.
        let word = word.trim_end_matches([',', ';']);
        match word.split_once(',') {
            Some((head, rest)) if head.chars().all(char::is_alphabetic) => {
                reader.word(head)?;
                reader.word(rest)?;
            }
            _ => reader.word(word)?,
        }
    }
    reader.finish()
}

struct Reader<'a> {
    text: &'a str,
    form: Form,
    year: Option<i16>,
    month: Option<i8>,
    day: Option<i8>,
    half: Option<bool>,
}

impl Reader<'_> {
    fn refuse(&self, part: &str, why: &'static str) -> TimeError {
        TimeError::NotATime { text: TimeError::cut(self.text), part: TimeError::cut(part), why }
    }

    fn word(&mut self, word: &str) -> Result<(), TimeError> {
        let lower = word.to_ascii_lowercase();
        match lower.as_str() {
            "" | "at" | "on" | "of" | "the" | "uhr" => return Ok(()),
            "today" => return self.set_day(word, Day::Ago(0)),
            "yesterday" => return self.set_day(word, Day::Ago(1)),
            "am" | "a.m." => return self.set_half(word, false),
            "pm" | "p.m." => return self.set_half(word, true),
            _ => {}
        }
        let name = lower.trim_end_matches('.');
        if let Some(weekday) = weekday(name) {
            return match self.form.weekday.replace(weekday) {
                Some(before) if before != weekday => Err(self.refuse(word, "there are two weekdays")),
                _ => Ok(()),
            };
        }
        if let Some(month) = month(name) {
            return match self.month.replace(month) {
                Some(_) => Err(self.refuse(word, "there are two months")),
                None => Ok(()),
            };
        }
        if word.bytes().all(|b| b.is_ascii_digit()) && word.len() <= 4 {
            return self.number(word);
        }
        if let Some((day, rest)) = self.date(word)? {
            self.set_day(word, day)?;
            return if rest.is_empty() { Ok(()) } else { self.clock(rest) };
        }
        if word.starts_with(|c: char| c.is_ascii_digit()) && word.contains(':') {
            return self.clock(word);
        }
        if let Some(ordinal) = ["st", "nd", "rd", "th"].iter().find_map(|end| lower.strip_suffix(end))
            && ordinal.bytes().all(|b| b.is_ascii_digit())
            && (1..=2).contains(&ordinal.len())
        {
            return self.number(ordinal);
        }
        self.zone(word)
    }

    /// A number that stands alone: a year if it has four digits, else the day of the month.
    fn number(&mut self, word: &str) -> Result<(), TimeError> {
        let value: i16 = word.parse().map_err(|_| self.refuse(word, "it is no day and no year"))?;
        let is_second = if word.len() == 4 {
            self.year.replace(value).is_some()
        } else {
            let day = i8::try_from(value).map_err(|_| self.refuse(word, "it is no day of a month"))?;
            self.day.replace(day).is_some()
        };
        if is_second { Err(self.refuse(word, "there are two of its kind")) } else { Ok(()) }
    }

    fn set_day(&mut self, word: &str, day: Day) -> Result<(), TimeError> {
        match self.form.day.replace(day) {
            Some(_) => Err(self.refuse(word, "there are two dates")),
            None => Ok(()),
        }
    }

    fn set_half(&mut self, word: &str, is_afternoon: bool) -> Result<(), TimeError> {
        match self.half.replace(is_afternoon) {
            Some(_) => Err(self.refuse(word, "am and pm are given more than once")),
            None => Ok(()),
        }
    }

    /// A date at the head of a word, and what follows it: `2020/12/26`, `22/Feb/2014:12:27:04`, `26.12.2020`, `20140222T122704Z`.
    fn date<'w>(&self, word: &'w str) -> Result<Option<(Day, &'w str)>, TimeError> {
        if let Some(found) = self.compact(word)? {
            return Ok(Some(found));
        }
        let bytes = word.as_bytes();
        let Some(first_end) = bytes.iter().position(|b| !b.is_ascii_digit()) else { return Ok(None) };
        let separator = bytes[first_end];
        if first_end == 0 || !b"-/.".contains(&separator) {
            return Ok(None);
        }
        let first = &word[..first_end];
        let Some((second, after)) = word[first_end + 1..].split_once(char::from(separator)) else {
            return Ok(None);
        };
        let third_end = after.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(after.len());
        let (third, rest) = after.split_at(third_end);
        let rest = match rest.as_bytes().first() {
            None => rest,
            Some(b'T' | b't' | b':' | b'_' | b'-') => &rest[1..],
            Some(_) => return Err(self.refuse(word, "something other than a time follows the date")),
        };
        self.date_of_parts(word, separator, first, second, third).map(|date| Some((Day::Full(date), rest)))
    }

    fn date_of_parts(
        &self,
        word: &str,
        separator: u8,
        first: &str,
        second: &str,
        third: &str,
    ) -> Result<Date, TimeError> {
        let number = |part: &str| {
            let is_short = (1..=4).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
            is_short
                .then(|| part.parse::<i16>().ok())
                .flatten()
                .ok_or_else(|| self.refuse(word, "it is no date"))
        };
        let named = month(&second.to_ascii_lowercase()).map(i16::from);
        let (year, month, day) = match (first.len(), named, third.len()) {
            (4, Some(month), _) => (number(first)?, month, number(third)?),
            (4, None, _) => (number(first)?, number(second)?, number(third)?),
            (_, Some(month), 4) => (number(third)?, month, number(first)?),
            (_, None, 4) => {
                let (a, b, year) = (number(first)?, number(second)?, number(third)?);
                // With dots the day comes first wherever dots are used. Slashes and dashes mean either.
                if separator == b'.' || a > 12 || a == b {
                    (year, b, a)
                } else if b > 12 {
                    (year, a, b)
                } else {
                    return Err(TimeError::AmbiguousDate {
                        text: TimeError::cut(self.text),
                        day_first: format!("{year:04}-{b:02}-{a:02}"),
                        month_first: format!("{year:04}-{a:02}-{b:02}"),
                    });
                }
            }
            _ => return Err(self.refuse(word, "write the year with four digits")),
        };
        self.full_date(word, year, month, day)
    }

    fn full_date(&self, word: &str, year: i16, month: i16, day: i16) -> Result<Date, TimeError> {
        let small = |n: i16| i8::try_from(n).unwrap_or(0);
        // The record's own times are nanoseconds in 64 bits, which end in 2262.
        if !(1970..=2200).contains(&year) {
            return Err(self.refuse(word, "the year is not between 1970 and 2200"));
        }
        Date::new(year, small(month), small(day)).map_err(|_| self.refuse(word, "there is no such day"))
    }

    /// `20140222T122704Z`, `20140222122704`, `20140222`.
    fn compact<'w>(&self, word: &'w str) -> Result<Option<(Day, &'w str)>, TimeError> {
        let digits = word.bytes().take_while(u8::is_ascii_digit).count();
        if digits != 8 && digits != 14 {
            return Ok(None);
        }
        let number = |range: std::ops::Range<usize>| word[range].parse::<i16>().unwrap_or(-1);
        let date = self.full_date(word, number(0..4), number(4..6), number(6..8))?;
        let rest = &word[8..];
        Ok(Some((Day::Full(date), rest.strip_prefix(['T', 't', '-', '_']).unwrap_or(rest))))
    }

    /// `12:27`, `12:27:04.173`, `122704`, and what is stuck to it: a zone, `am`, `pm`.
    fn clock(&mut self, word: &str) -> Result<(), TimeError> {
        let end =
            word.bytes().position(|b| !b.is_ascii_digit() && !b":.,".contains(&b)).unwrap_or(word.len());
        let (digits, suffix) = word.split_at(end);
        let wrong = || self.refuse(word, "it is no time of day");
        let (whole, fraction) = match digits.split_once(['.', ',']) {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (digits, None),
        };
        let pieces: Vec<&str> = match (whole.contains(':'), whole.len()) {
            (true, _) => whole.split(':').collect(),
            (false, 6) => vec![&whole[..2], &whole[2..4], &whole[4..]],
            (false, 4) => vec![&whole[..2], &whole[2..]],
            (false, _) => return Err(wrong()),
        };
        let number = |part: &str, most: i8| {
            let is_short = (1..=2).contains(&part.len());
            is_short
                .then(|| part.parse::<i8>().ok())
                .flatten()
                .filter(|n| (0..=most).contains(n))
                .ok_or_else(wrong)
        };
        let (hour, minute, second, fraction) = match pieces.as_slice() {
            [hour, minute] if fraction.is_none() => (number(hour, 23)?, number(minute, 59)?, None, None),
            [hour, minute, second] => {
                (number(hour, 23)?, number(minute, 59)?, Some(number(second, 60)?), fraction)
            }
            // natlog writes the microseconds behind a further colon.
            [hour, minute, second, micros] if fraction.is_none() => {
                (number(hour, 23)?, number(minute, 59)?, Some(number(second, 60)?), Some(*micros))
            }
            _ => return Err(wrong()),
        };
        let fraction = fraction.map(|digits| nanos(digits).ok_or_else(wrong)).transpose()?;
        if self.form.clock.replace(Clock { hour, minute, second, fraction }).is_some() {
            return Err(self.refuse(word, "there are two times of day"));
        }
        match suffix.to_ascii_lowercase().as_str() {
            "" => Ok(()),
            "am" => self.set_half(suffix, false),
            "pm" => self.set_half(suffix, true),
            _ => self.zone(suffix),
        }
    }

    fn zone(&mut self, word: &str) -> Result<(), TimeError> {
        // "+0000 (UTC)" and "+01:00[Europe/Berlin]": what follows an offset explains it.
        if let Some((offset, comment)) = word.split_once('[')
            && !offset.is_empty()
            && comment.ends_with(']')
        {
            return self.zone(offset);
        }
        let bare = word.trim_matches(['(', ')', '[', ']']);
        let zone = if zone::is_utc(bare) {
            Zone::Fixed(Offset::UTC)
        } else if let Some(offset) = zone::offset(bare) {
            Zone::Fixed(offset)
        } else if bare.contains('/') {
            Zone::Named(bare.to_owned())
        } else if zone::zones_of(bare).is_some() {
            Zone::Abbreviation(bare.to_ascii_uppercase())
        } else {
            return Err(self.refuse(word, "it is no part of a time that is known here"));
        };
        match (&self.form.zone, &zone) {
            // An offset that follows an abbreviation settles it.
            (None, _) | (Some(Zone::Abbreviation(_)), Zone::Fixed(_)) => self.form.zone = Some(zone),
            (Some(before), _) if *before == zone => {}
            // A comment behind an offset.
            (Some(Zone::Fixed(_)), _) if word.starts_with(['(', '[']) => {}
            (Some(_), _) => return Err(self.refuse(word, "there are two time zones")),
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Form, TimeError> {
        match (self.year, self.month, self.day) {
            (None, None, None) => {}
            (year, Some(month), Some(day)) if self.form.day.is_none() => {
                self.form.day = Some(match year {
                    Some(year) => Day::Full(self.full_date(self.text, year, month.into(), day.into())?),
                    // 2000 is a leap year: a 29 February is judged when the year is known.
                    None => Date::new(2000, month, day)
                        .map(|_| Day::NoYear { month, day })
                        .map_err(|_| self.refuse(self.text, "there is no such day"))?,
                });
            }
            _ => return Err(self.refuse(self.text, "the date is not whole")),
        }
        if let (Some(is_afternoon), Some(clock)) = (self.half, &mut self.form.clock) {
            clock.hour = match (clock.hour, is_afternoon) {
                (12, false) => 0,
                (12, true) => 12,
                (1..=11, false) => clock.hour,
                (1..=11, true) => clock.hour + 12,
                _ => return Err(self.refuse(self.text, "am and pm go with the hours 1 to 12")),
            };
        }
        if self.form.clock.is_none() && self.form.day.is_none() {
            return Err(self.refuse(self.text, "there is neither a date nor a time of day in it"));
        }
        Ok(self.form)
    }
}

fn month(lower: &str) -> Option<i8> {
    let found = MONTHS
        .iter()
        .position(|name| lower == *name || lower == &name[..3] || (lower == "sept" && *name == "september"));
    found.and_then(|index| i8::try_from(index + 1).ok())
}

fn weekday(lower: &str) -> Option<Weekday> {
    // "Thur" and "Tues" are usual; "mon" is also the start of nothing else here.
    let is_prefix = |name: &str| lower.len() >= 3 && lower.len() <= 5 && name.starts_with(lower);
    WEEKDAYS.iter().find(|(name, _)| lower == *name || is_prefix(name)).map(|(_, weekday)| *weekday)
}

/// `173` → 173,000,000 ns, 3 digits.
fn nanos(digits: &str) -> Option<(i32, u32)> {
    if !(1..=9).contains(&digits.len()) || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let value: i32 = digits.parse().ok()?;
    let length = digits.len() as u32;
    Some((value * 10_i32.pow(9 - length), length))
}
