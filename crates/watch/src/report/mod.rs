//! The daily report: what was told to it since the last one, grouped as it will be shown.
//!
//! ```text
//!  action_dailyReport ──Event──► Report ──► render_html, render_text ──► mail
//!                                  ▲ Schedule says when
//! ```
//!
//! The report is grouped while it grows, so that a message that comes a million times takes one row. What would grow
//! without end anyway is bounded ([`Limits`]); beyond the bounds, counts and the first and last time are kept, and the
//! report says so.

mod due;
mod html;
#[cfg(test)]
mod tests;
mod text;
mod visible;

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use unmasq_flow::Timestamp;

pub use due::Schedule;
pub use html::render_html;
pub use text::render_text;

/// The section of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Level {
    /// Pyruse's `WARN`.
    Warn,
    /// Pyruse's `INFO`.
    Info,
    /// Whatever else, Pyruse's `OTHER`: listed one by one.
    Other,
}

impl Level {
    /// As Pyruse reads it: all that is neither `WARN` nor `INFO` is `OTHER`.
    pub fn parse(text: &str) -> Self {
        match text {
            "WARN" => Self::Warn,
            "INFO" => Self::Info,
            _ => Self::Other,
        }
    }
}

/// Which of a message's times the report shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Details {
    /// None of them.
    None,
    /// The first.
    First,
    /// The last.
    Last,
    /// The first and the last.
    FirstLast,
    /// Each.
    All,
}

impl Details {
    /// The names, as configurations have them.
    pub const NAMES: [(&'static str, Self); 5] = [
        ("NONE", Self::None),
        ("FIRST", Self::First),
        ("LAST", Self::Last),
        ("FIRSTLAST", Self::FirstLast),
        ("ALL", Self::All),
    ];

    /// Of that name; `None` for another, which Pyruse takes for `ALL`.
    pub fn parse(text: &str) -> Option<Self> {
        Self::NAMES.into_iter().find(|(name, _)| *name == text).map(|(_, details)| details)
    }
}

/// Something that the report tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event<'a> {
    /// Its section.
    pub level: Level,
    /// Which of the times are shown.
    pub details: Details,
    /// The text.
    pub message: &'a str,
    /// When it happened.
    pub time: Timestamp,
}

/// How large a report may get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of a message; the rest is cut off.
    pub message_bytes: usize,
    /// Most bytes of all messages together.
    pub total_bytes: usize,
    /// Most messages in a section.
    pub rows: usize,
    /// Most times that are listed for a message.
    pub times: usize,
    /// Most times that are listed at all.
    pub total_times: usize,
}

impl Default for Limits {
    /// A report of at most about 8 MiB.
    fn default() -> Self {
        Self { message_bytes: 4096, total_bytes: 4 << 20, rows: 10_000, times: 1000, total_times: 200_000 }
    }
}

/// Events of which only this is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tally {
    pub(crate) count: u64,
    pub(crate) first: Timestamp,
    pub(crate) last: Timestamp,
}

impl Tally {
    fn add(tally: &mut Option<Self>, time: Timestamp) {
        let tally = tally.get_or_insert(Self { count: 0, first: time, last: time });
        tally.count += 1;
        tally.last = time;
    }
}

/// The occurrences of a message under one setting of details.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Group {
    details: Details,
    tally: Tally,
    /// For [`Details::All`], the first of the times; for others none.
    times: Vec<Timestamp>,
}

/// A section with a row for each message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Section {
    /// In the order of the messages; the groups of each in the order in which they came.
    rows: BTreeMap<Box<str>, Vec<Group>>,
    /// Those of which there is no row.
    unlisted: Option<Tally>,
}

/// What was told since the last report.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    warnings: Section,
    information: Section,
    others: Vec<(Timestamp, Box<str>)>,
    unlisted_others: Option<Tally>,
    /// Of messages, and of times in groups.
    bytes: usize,
    times: usize,
}

impl Report {
    /// Adds an event.
    pub fn add(&mut self, event: &Event<'_>, limits: &Limits) {
        let message = cut(event.message, limits.message_bytes);
        let has_room = self.bytes + message.len() <= limits.total_bytes;
        let section = match event.level {
            Level::Warn => &mut self.warnings,
            Level::Info => &mut self.information,
            Level::Other => {
                if has_room && self.others.len() < limits.rows {
                    self.bytes += message.len();
                    self.others.push((event.time, message.into()));
                } else {
                    Tally::add(&mut self.unlisted_others, event.time);
                }
                return;
            }
        };
        let groups = if let Some(groups) = section.rows.get_mut(&*message) {
            groups
        } else if has_room && section.rows.len() < limits.rows {
            self.bytes += message.len();
            section.rows.entry(message.into()).or_default()
        } else {
            Tally::add(&mut section.unlisted, event.time);
            return;
        };
        let tally = Tally { count: 0, first: event.time, last: event.time };
        let place = groups.iter().position(|group| group.details == event.details).unwrap_or_else(|| {
            groups.push(Group { details: event.details, tally, times: Vec::new() });
            groups.len() - 1
        });
        let group = &mut groups[place];
        group.tally.count += 1;
        group.tally.last = event.time;
        let lists = event.details == Details::All;
        if lists && group.times.len() < limits.times && self.times < limits.total_times {
            group.times.push(event.time);
            self.times += 1;
        }
    }

    /// Was nothing told?
    pub fn is_empty(&self) -> bool {
        self.count(Level::Warn) + self.count(Level::Info) + self.count(Level::Other) == 0
    }

    /// How many events a section has.
    pub fn count(&self, level: Level) -> u64 {
        let unlisted = |tally: &Option<Tally>| tally.map_or(0, |tally| tally.count);
        let section = match level {
            Level::Warn => &self.warnings,
            Level::Info => &self.information,
            Level::Other => return self.others.len() as u64 + unlisted(&self.unlisted_others),
        };
        let listed: u64 = section.rows.values().flatten().map(|group| group.tally.count).sum();
        listed + unlisted(&section.unlisted)
    }
}

/// What a report is headed with, and the zone of its times.
#[derive(Clone, Copy, Debug)]
pub struct Heading<'a> {
    /// Its title: `Pyruse Report` there.
    pub title: &'a str,
    /// Times are shown as local times of this zone.
    pub zone: &'a TimeZone,
}

/// A message of a length that can be shown, with a note where it was cut.
fn cut(message: &str, most: usize) -> std::borrow::Cow<'_, str> {
    if message.len() <= most {
        return message.into();
    }
    let end = (0..=most).rfind(|end| message.is_char_boundary(*end)).unwrap_or(0);
    let kept = &message[..end];
    format!("{kept}… ({} bytes more)", message.len() - kept.len()).into()
}

/// A time as Python prints it: `2118-01-01 08:01:01.000009`, the fraction only where there is one.
fn local(time: Timestamp, zone: &TimeZone) -> String {
    let Ok(stamp) = jiff::Timestamp::from_nanosecond(i128::from(time.as_nanos())) else {
        return time.to_string();
    };
    let time = stamp.to_zoned(zone.clone()).datetime();
    let micros = time.subsec_nanosecond() / 1000;
    let whole = time.strftime("%Y-%m-%d %H:%M:%S");
    if micros == 0 { whole.to_string() } else { format!("{whole}.{micros:06}") }
}

/// The lines of a group of times; Pyruse's words, with its no-break space.
fn lines(group: &Group, zone: &TimeZone) -> Vec<String> {
    let Tally { count, first, last } = group.tally;
    let (first, last) = (local(first, zone), local(last, zone));
    let from = |time| format!("From\u{a0}: {time}");
    let until = |time| format!("Until: {time}");
    match group.details {
        Details::None => Vec::new(),
        Details::First => vec![from(first)],
        Details::Last => vec![until(last)],
        Details::FirstLast if count == 1 => vec![first],
        Details::FirstLast => vec![from(first), until(last)],
        Details::All => {
            let mut lines: Vec<String> = group.times.iter().map(|time| local(*time, zone)).collect();
            let left = count - group.times.len() as u64;
            if left > 0 {
                lines.push(format!("and {left} more, the last one at {last}"));
            }
            lines
        }
    }
}

/// The sentence on events of which there is no row.
fn unlisted(tally: Tally, zone: &TimeZone) -> String {
    let (first, last) = (local(tally.first, zone), local(tally.last, zone));
    format!("{} more, from {first} until {last}, are not listed: the report had got too long.", tally.count)
}
