//! The formats, by name and by look, and the one parser that reads a line of any of them.

use std::fmt;
use std::str::FromStr;

use jiff::tz::TimeZone;
use unmasq_flow::Timestamp;

use crate::local_time::YearClock;
use crate::natlog::Columns;
use crate::{Refusal, Sighting, conntrack, natlog, ulogd_emu, ulogd_json};

/// A log format that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// `conntrack -E` with `-o timestamp`, `id`, `ktimestamp`, `extended`, `labels` in any mixture, and `conntrack -L`.
    Conntrack,
    /// ulogd2: `NFCT` into `JSON`.
    UlogdJson,
    /// ulogd2: `NFCT` through `PRINTFLOW` into `LOGEMU` or `SYSLOG`.
    UlogdEmu,
    /// natlog 3: log lines, or the table of `--log-data`.
    Natlog,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Conntrack, Self::UlogdJson, Self::UlogdEmu, Self::Natlog];

    /// The word on the command line: `conntrack`, `ulogd-json`, `ulogd-emu`, `natlog`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Conntrack => "conntrack",
            Self::UlogdJson => "ulogd-json",
            Self::UlogdEmu => "ulogd-emu",
            Self::Natlog => "natlog",
        }
    }

    /// The format in which most of these lines can be read, if one can be told.
    ///
    /// ```
    /// use unmasq_import::Format;
    ///
    /// let line = b"Nov 21 08:57:28 vm [NEW] ORIG: SRC=203.0.113.5 DST=203.0.113.1 PROTO=TCP SPT=1 DPT=2 PKTS=0 BYTES=0 , \
    /// REPLY: SRC=10.0.0.2 DST=10.0.0.1 PROTO=TCP SPT=2 DPT=1 PKTS=0 BYTES=0 ";
    /// assert_eq!(Format::of_lines(&[line]), Some(Format::UlogdEmu));
    /// ```
    pub fn of_lines<L: AsRef<[u8]>>(lines: &[L]) -> Option<Self> {
        // Any zone and year will do to know a format by its look.
        let settings =
            Settings { zone: Some(TimeZone::UTC), year: Some(2024), seen_at: Some(Timestamp::default()) };
        let readable = |format: Self| {
            let mut parser = Parser::new(format, settings.clone());
            lines.iter().filter(|line| parser.line(line.as_ref()).is_ok_and(|s| s.is_some())).count()
        };
        Self::ALL
            .into_iter()
            .map(|f| (readable(f), f))
            .max_by_key(|(n, _)| *n)
            .filter(|(n, _)| *n > 0)
            .map(|(_, f)| f)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// A word that names no format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a log format; give conntrack, ulogd-json, ulogd-emu or natlog")]
pub struct UnknownFormat(String);

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(word: &str) -> Result<Self, UnknownFormat> {
        let known = Self::ALL.into_iter().find(|format| format.word() == word);
        known.ok_or_else(|| UnknownFormat(word.chars().take(64).collect()))
    }
}

/// What a log leaves out and its reader must know.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The recording host's zone, for local times.
    pub zone: Option<TimeZone>,
    /// The year of the first line, for dates without one.
    pub year: Option<i16>,
    /// When `conntrack -L` was run, for its lines, which have no time.
    pub seen_at: Option<Timestamp>,
}

/// Reads lines of one format, in the order of the file (dates without a year depend on the line before).
#[derive(Clone, Debug)]
pub struct Parser {
    format: Format,
    settings: Settings,
    years: YearClock,
    columns: Columns,
}

impl Parser {
    /// A reader at the beginning of a log.
    pub fn new(format: Format, settings: Settings) -> Self {
        let years = YearClock::new(settings.year);
        Self { format, settings, years, columns: Columns::default() }
    }

    /// Reads one line, without its line feed. `None` if it says nothing of a flow: blank, a header, the program's own words.
    pub fn line(&mut self, line: &[u8]) -> Result<Option<Sighting>, Refusal> {
        if line.len() > crate::MAX_LINE {
            return Err(Refusal::TooLong);
        }
        match self.format {
            Format::Conntrack => conntrack::line(line, &self.settings),
            Format::UlogdJson => ulogd_json::line(line, &self.settings),
            Format::UlogdEmu => ulogd_emu::line(line, self.settings.zone.as_ref(), &mut self.years),
            Format::Natlog => {
                natlog::line(line, self.settings.zone.as_ref(), &mut self.years, &mut self.columns)
            }
        }
    }
}

/// Any bytes as a line of a format: the entry for fuzzers and property tests.
///
/// # Panics
///
/// If a sighting breaks its promise: bounds in order, and some instant known.
pub fn fuzz_line(format: Format, bytes: &[u8]) {
    for zone in [None, Some(TimeZone::UTC)] {
        let mut parser = Parser::new(format, Settings { zone, year: Some(2026), seen_at: None });
        if let Ok(Some(sighting)) = parser.line(bytes) {
            for bound in [sighting.at, sighting.start, sighting.end] {
                assert!(bound.earliest() <= bound.latest(), "{bound:?} of {sighting:?}");
            }
            assert!(sighting.instant().is_some(), "no time in {sighting:?}");
        }
    }
}
