//! Values with a unit, as the configuration file and the command line write them: `"180d"`, `"50GiB"`.
//!
//! A duration is a sum of whole numbers with units, the largest unit first: `90s`, `15m`, `24h`, `1d12h`,
//! `2w`. Units: `ms`, `s`, `m` (minutes), `h`, `d` (24 hours), `w` (7 days). Months and years have no fixed
//! length and are refused: `180d` says what is meant. A size is one whole number with a unit, decimal (`kB`,
//! `MB`, `GB`, `TB`) or binary (`KiB`, `MiB`, `GiB`, `TiB`), or `B`. A bare number is refused in both: it
//! would be a guess.
//!
//! Printing gives the shortest text that reads back as the same value.

use std::fmt::Write;
use std::time::Duration;

/// Units of time in milliseconds, largest first.
const TIME: [(&str, u64); 6] =
    [("w", 604_800_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// Units of size in bytes. The first spelling of each is the one that is printed.
const SIZE: [(&str, u64); 10] = [
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("kB", 1000),
    ("KB", 1000),
    ("B", 1),
];

/// A text that is no duration or size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnitError {
    /// It is empty, or a part of it does not begin with a digit.
    #[error("{text:?} is not a {what}; write {example}")]
    NoNumber {
        /// The whole text, cut to 40 characters.
        text: String,
        /// "duration" or "size".
        what: &'static str,
        /// What would be accepted.
        example: &'static str,
    },
    /// A number without a unit.
    #[error("{text:?} lacks a unit; write {example}")]
    NoUnit {
        /// The whole text, cut to 40 characters.
        text: String,
        /// What would be accepted.
        example: &'static str,
    },
    /// A unit that does not exist.
    #[error("{unit:?} in {text:?} is not a unit of a {what}; {hint}")]
    Unit {
        /// The refused unit, cut to 40 characters.
        unit: String,
        /// The whole text, cut likewise.
        text: String,
        /// "duration" or "size".
        what: &'static str,
        /// The units there are, or what is meant most likely.
        hint: &'static str,
    },
    /// Units of time that do not go from large to small.
    #[error("{text:?} does not name its units once each, the largest first; write 1d12h")]
    Order {
        /// The whole text, cut to 40 characters.
        text: String,
    },
    /// Too large to be counted.
    #[error("{text:?} is too large")]
    TooLarge {
        /// The whole text, cut to 40 characters.
        text: String,
    },
}

/// Reads a duration: `90s`, `15m`, `24h`, `180d`, `2w`, `1d12h`, `500ms`.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    const EXAMPLE: &str = "90s, 15m, 24h, 180d or 2w";
    let mut rest = text;
    let mut millis: u64 = 0;
    let mut above = usize::MIN;
    if rest.is_empty() {
        return Err(UnitError::NoNumber { text: cut(text), what: "duration", example: EXAMPLE });
    }
    while !rest.is_empty() {
        let (number, unit, tail) = part(rest);
        if number.is_empty() {
            return Err(UnitError::NoNumber { text: cut(text), what: "duration", example: EXAMPLE });
        }
        if unit.is_empty() {
            return Err(UnitError::NoUnit { text: cut(text), example: EXAMPLE });
        }
        let Some(place) = TIME.iter().position(|(name, _)| *name == unit) else {
            let hint = time_hint(unit);
            return Err(UnitError::Unit { unit: cut(unit), text: cut(text), what: "duration", hint });
        };
        if place < above {
            return Err(UnitError::Order { text: cut(text) });
        }
        above = place + 1;
        let added = number.parse::<u64>().ok().and_then(|n| n.checked_mul(TIME[place].1));
        millis = added
            .and_then(|n| millis.checked_add(n))
            .ok_or_else(|| UnitError::TooLarge { text: cut(text) })?;
        rest = tail;
    }
    Ok(Duration::from_millis(millis))
}

/// Reads a size in bytes: `512B`, `10MB`, `64MiB`, `2TB`.
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    const EXAMPLE: &str = "10MB, 64MiB or 2TB";
    let (number, unit, tail) = part(text);
    if number.is_empty() {
        return Err(UnitError::NoNumber { text: cut(text), what: "size", example: EXAMPLE });
    }
    if unit.is_empty() {
        return Err(UnitError::NoUnit { text: cut(text), example: EXAMPLE });
    }
    let unit = &text[number.len()..];
    let found = if tail.is_empty() { SIZE.iter().find(|(name, _)| *name == unit) } else { None };
    let Some((_, bytes)) = found else {
        return Err(UnitError::Unit {
            unit: cut(unit),
            text: cut(text),
            what: "size",
            hint: size_hint(unit),
        });
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(*bytes))
        .ok_or_else(|| UnitError::TooLarge { text: cut(text) })
}

/// The shortest text that [`parse_duration`] reads as the same duration; parts of a millisecond are dropped.
pub fn format_duration(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if rest == 0 {
        return "0s".to_owned();
    }
    // "180d" rather than "25w5d": days are how retention is spoken of, so weeks only where they come out
    // even.
    let units = if rest.is_multiple_of(TIME[0].1) { &TIME[..1] } else { &TIME[1..] };
    let mut text = String::new();
    for (name, millis) in units {
        let count = rest / millis;
        if count > 0 {
            // Writing to a String cannot fail.
            let _ = write!(text, "{count}{name}");
            rest %= millis;
        }
    }
    text
}

/// The shortest text that [`parse_size`] reads as the same number of bytes.
pub fn format_size(bytes: u64) -> String {
    SIZE.iter()
        .filter(|(_, unit)| bytes.is_multiple_of(*unit) && bytes >= *unit)
        .map(|(name, unit)| format!("{}{name}", bytes / unit))
        .min_by_key(String::len)
        .unwrap_or_else(|| "0B".to_owned())
}

/// Splits off leading digits and the word behind them.
fn part(text: &str) -> (&str, &str, &str) {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(digits);
    let word = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
    let (unit, tail) = rest.split_at(word);
    (number, unit, tail)
}

fn time_hint(unit: &str) -> &'static str {
    match unit.trim().to_ascii_lowercase().as_str() {
        "y" | "a" | "yr" | "year" | "years" => "a year has no fixed length: write 365d",
        "mo" | "mon" | "month" | "months" => "a month has no fixed length: write 30d or 31d",
        "min" | "mins" | "minute" | "minutes" => "minutes are m",
        "sec" | "secs" | "second" | "seconds" => "seconds are s",
        "hr" | "hrs" | "hour" | "hours" => "hours are h",
        "day" | "days" => "days are d",
        "wk" | "week" | "weeks" => "weeks are w",
        _ => "there are ms, s, m, h, d and w, without spaces",
    }
}

fn size_hint(unit: &str) -> &'static str {
    match unit.trim().to_ascii_lowercase().as_str() {
        "k" | "kb" | "kib" => "write kB (1000 bytes) or KiB (1024)",
        "m" | "mb" | "mib" => "write MB (1000² bytes) or MiB (1024²)",
        "g" | "gb" | "gib" => "write GB (1000³ bytes) or GiB (1024³)",
        "t" | "tb" | "tib" => "write TB (1000⁴ bytes) or TiB (1024⁴)",
        _ => "there are B, kB, MB, GB, TB and KiB, MiB, GiB, TiB, on a whole number, without spaces",
    }
}

fn cut(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_documented_durations_parse() {
        let seconds = |text: &str| parse_duration(text).map(|d| d.as_secs_f64());
        assert_eq!(seconds("90s"), Ok(90.0));
        assert_eq!(seconds("15m"), Ok(900.0));
        assert_eq!(seconds("24h"), Ok(86_400.0));
        assert_eq!(seconds("180d"), Ok(15_552_000.0));
        assert_eq!(seconds("2w"), Ok(1_209_600.0));
        assert_eq!(seconds("1d12h"), Ok(129_600.0));
        assert_eq!(seconds("500ms"), Ok(0.5));
    }

    #[test]
    fn the_documented_sizes_parse() {
        assert_eq!(parse_size("10MB"), Ok(10_000_000));
        assert_eq!(parse_size("64MiB"), Ok(64 << 20));
        assert_eq!(parse_size("2TB"), Ok(2_000_000_000_000));
        assert_eq!(parse_size("7kB"), parse_size("7KB"));
    }

    #[test]
    fn what_is_wrong_is_said_with_a_way_out() {
        for (text, part) in [
            ("", "write 90s"),
            ("180", "lacks a unit"),
            ("1y", "365d"),
            ("6 months", "30d"),
            ("3 h", "without spaces"),
            ("12h1d", "largest first"),
            ("1h1h", "largest first"),
            ("-5s", "not a duration"),
            ("1.5h", "not a unit"),
            ("99999999999999999w", "too large"),
        ] {
            let message = parse_duration(text).expect_err(text).to_string();
            assert!(message.contains(part), "{text}: {message}");
        }
        for (text, part) in [
            ("", "write 10MB"),
            ("1024", "lacks a unit"),
            ("50G", "GiB"),
            ("50gib", "GiB"),
            ("1MiB5B", "not a unit"),
            ("99999999TiB", "too large"),
        ] {
            let message = parse_size(text).expect_err(text).to_string();
            assert!(message.contains(part), "{text}: {message}");
        }
    }

    #[test]
    fn a_round_value_prints_in_its_usual_unit() {
        let printed = |text: &str| format_duration(parse_duration(text).unwrap());
        assert_eq!(printed("180d"), "180d");
        assert_eq!(printed("14d"), "2w");
        assert_eq!(printed("90s"), "1m30s");
        assert_eq!(printed("0ms"), "0s");
        assert_eq!(format_size(50 << 30), "50GiB");
        assert_eq!(format_size(10_000_000), "10MB");
        assert_eq!(format_size(0), "0B");
    }

    proptest! {
        #[test]
        fn a_printed_duration_reads_back(millis: u64) {
            let duration = Duration::from_millis(millis);
            prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }

        #[test]
        fn a_printed_size_reads_back(number in 0u64..2000, shift in 0u32..50, exact: u64) {
            for bytes in [number << shift, exact] {
                prop_assert_eq!(parse_size(&format_size(bytes)), Ok(bytes));
            }
        }

        #[test]
        fn no_text_panics(text in ".{0,20}", near in "[0-9]{0,22}[a-zA-Z ]{0,3}[0-9]{0,3}[µé]?") {
            for text in [text, near] {
                let _ = parse_duration(&text);
                let _ = parse_size(&text);
            }
        }
    }
}
