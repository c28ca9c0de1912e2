//! Times as people and logs write them, read into stretches of real time.
//!
//! A report says "Feb 22 12:27:04" or "14:32" and means a stretch of time, not an instant: as long as what is written
//! is precise, in a zone that has to be known. So the reading of a text is one [`Period`], or two where the
//! clock was set back and the local time occurred twice. Nothing is guessed silently: what had to be inferred is in [`Asked::notes`],
//! and what cannot be known is refused with what to write instead.
//!
//! ```
//! use unmasq_trace::time::{self, Context};
//!
//! let context = Context { now: "2026-11-21T12:00:00Z".parse()?, zone: Some(time::zone("Europe/Berlin")?) };
//! let asked = time::parse("2020/12/26 13:37:42", &context)?;
//! assert_eq!(asked.windows[0].from.to_string(), "2020-12-26T12:37:42Z");
//! assert!(time::parse("26 Dec 2020 13:37 CST", &context).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod form;
mod resolve;
mod zone;

use std::time::Duration;

use jiff::tz::TimeZone;
use unmasq_flow::Period;

pub use resolve::parse;
pub use zone::zone;

/// What a written time is read against.
#[derive(Clone, Debug)]
pub struct Context {
    /// The present moment, for `yesterday` and for years that were not written.
    pub now: jiff::Timestamp,
    /// The zone of times that name none (`--tz`).
    pub zone: Option<TimeZone>,
}

/// A written time and what it means.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// As it was written.
    pub text: String,
    /// The stretch that it means, as long as it is precise; two where the local time occurred twice.
    pub windows: Vec<Period>,
    /// The zone that it was read in, to show the answer in.
    pub zone: TimeZone,
    /// What was inferred, for the user to check.
    pub notes: Vec<String>,
}

impl Asked {
    /// The same, `by` longer on both sides.
    #[must_use]
    pub fn widened(mut self, by: Duration) -> Self {
        for window in &mut self.windows {
            *window = Period { from: window.from - by, to: window.to + by };
        }
        self
    }
}

/// A text that is no time, or does not say which.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TimeError {
    /// Some part of it is not understood.
    #[error(
        "{text:?} is not a time: {part:?}: {why}; write 2026-11-21T08:57:28Z, a Unix time, or \
         \"2020/12/26 13:37:42\", \"Feb 22 12:27:04 2014\", \"14:32 yesterday\" with --tz ZONE"
    )]
    NotATime {
        /// The text, cut to 64 characters.
        text: String,
        /// The part that was refused.
        part: String,
        /// Why.
        why: &'static str,
    },
    /// No zone is given.
    #[error(
        "{text:?} names no time zone; add one ({text}Z, {text}+01:00) or say which is meant: --tz Europe/Berlin"
    )]
    NoZone {
        /// The text, cut to 64 characters.
        text: String,
    },
    /// An abbreviation that several zones use, or one whose zone must be known to apply it.
    #[error("the abbreviation {abbreviation} does not say which zone is meant; name it: --tz {}", zones.join(" or --tz "))]
    AmbiguousZone {
        /// The abbreviation.
        abbreviation: String,
        /// Zones that use it.
        zones: &'static [&'static str],
    },
    /// An abbreviation that the zone given does not use at that time.
    #[error("{text:?} says {abbreviation}, but {zone} had {actual} at that time; is another --tz meant?")]
    WrongAbbreviation {
        /// The text, cut to 64 characters.
        text: String,
        /// The abbreviation in it.
        abbreviation: String,
        /// The zone of `--tz`.
        zone: String,
        /// What is used there.
        actual: String,
    },
    /// No such zone.
    #[error("{name:?} is not a time zone{}; give an IANA name such as Europe/Berlin, UTC, or an offset such as +01:00", like.as_ref().map_or_else(String::new, |l| format!(" (did you mean {l}?)")))]
    UnknownZone {
        /// The name, cut to 64 characters.
        name: String,
        /// A zone of a similar name.
        like: Option<String>,
    },
    /// This machine's zone is not known.
    #[error("this machine's own time zone is not known; give an IANA name such as Europe/Berlin")]
    NoLocalZone,
    /// Day and month could be swapped.
    #[error("{text:?} can mean {day_first} or {month_first}; write one of these")]
    AmbiguousDate {
        /// The text, cut to 64 characters.
        text: String,
        /// With the day first.
        day_first: String,
        /// With the month first.
        month_first: String,
    },
    /// The year is missing and more than one, or none, fits.
    #[error("{text:?} has no year, and {why}; write the year ({example})")]
    NoYear {
        /// The text, cut to 64 characters.
        text: String,
        /// Why none is inferred.
        why: String,
        /// With a year.
        example: String,
    },
    /// The weekday is not that of the date.
    #[error("{text:?}: {date} was a {actual}; is the date or the weekday wrong?")]
    WrongWeekday {
        /// The text, cut to 64 characters.
        text: String,
        /// The date.
        date: String,
        /// Its weekday.
        actual: String,
    },
    /// The clock was set forward over it.
    #[error(
        "{local} did not occur in {zone}: the clock was set forward over it; is {before} or {after} meant?"
    )]
    DoesNotExist {
        /// The local time.
        local: String,
        /// The zone.
        zone: String,
        /// The neighbour, were the clock not yet set forward, as an absolute time.
        before: String,
        /// The neighbour, were it set forward already.
        after: String,
    },
    /// Out of the range of times that can be recorded.
    #[error("{text:?} is outside the years 1970 to 2200")]
    OutOfRange {
        /// The text, cut to 64 characters.
        text: String,
    },
}

impl TimeError {
    fn cut(text: &str) -> String {
        text.chars().take(64).collect()
    }
}

#[cfg(test)]
mod tests;
