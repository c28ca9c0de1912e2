//! What a report says, whatever it is printed as.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use super::line::{Line, LineError};
use super::moment::Moment;
use super::visible;
use crate::record::EventKind;

/// Most days that have a bar each; beyond it months have one.
const MOST_DAYS: i64 = 62;
/// Most months.
const MOST_MONTHS: i64 = 60;
const DAY: i64 = 86_400;

/// A part of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Section {
    /// Passwords for one user.
    UserPasswords,
    /// Passwords for any user.
    Passwords,
    /// User names.
    Users,
    /// User names with passwords.
    Pairs,
    /// The clients' software.
    Software,
    /// The networks that attempts came from.
    Networks,
    /// Fingerprints of how the clients negotiate.
    Hassh,
    /// Public keys.
    Keys,
    /// The hour of the day.
    Hours,
    /// The day.
    Days,
}

impl Section {
    /// All, in the report's order.
    pub const ALL: [Self; 10] = [
        Self::UserPasswords,
        Self::Passwords,
        Self::Users,
        Self::Pairs,
        Self::Days,
        Self::Hours,
        Self::Software,
        Self::Networks,
        Self::Hassh,
        Self::Keys,
    ];

    /// In CSV, JSON and names of files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::UserPasswords => "user-passwords",
            Self::Passwords => "passwords",
            Self::Users => "users",
            Self::Pairs => "pairs",
            Self::Software => "software",
            Self::Networks => "networks",
            Self::Hassh => "hassh",
            Self::Keys => "keys",
            Self::Hours => "hours",
            Self::Days => "days",
        }
    }

    /// Are its rows a course of time, and not a ranking?
    pub const fn is_course(self) -> bool {
        matches!(self, Self::Hours | Self::Days)
    }
}

/// What is told of all lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Passwords.
    pub passwords: u64,
    /// Answers to keyboard-interactive's prompts.
    pub answers: u64,
    /// Public keys, offered or signed with.
    pub keys: u64,
    /// Other methods.
    pub others: u64,
    /// How often it was asked which methods there are (`none`): no attempts.
    pub none: u64,
    /// Connections that ended: no attempts either.
    pub connections: u64,
    /// Lines of other times than those asked for.
    pub outside: u64,
    /// Lines of other clients than those asked for.
    pub other_clients: u64,
    /// Different addresses.
    pub sources: u64,
    /// Different connections in which anything was tried or asked.
    pub sessions: u64,
    /// The earliest and the latest line.
    pub period: Option<(Moment, Moment)>,
}

impl Totals {
    pub(super) fn see(&mut self, line: &Line<'_>) {
        *match line.event {
            EventKind::Password => &mut self.passwords,
            EventKind::KeyboardInteractive => &mut self.answers,
            EventKind::Publickey => &mut self.keys,
            EventKind::None => &mut self.none,
            EventKind::Other => &mut self.others,
            EventKind::Connection => &mut self.connections,
        } += 1;
        let (first, last) = self.period.unwrap_or((line.moment, line.moment));
        self.period = Some((first.min(line.moment), last.max(line.moment)));
    }

    pub(super) fn absorb(&mut self, other: &Self) {
        self.passwords += other.passwords;
        self.answers += other.answers;
        self.keys += other.keys;
        self.others += other.others;
        self.none += other.none;
        self.connections += other.connections;
        self.outside += other.outside;
        self.other_clients += other.other_clients;
        let both = self.period.into_iter().chain(other.period);
        self.period = both.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
    }

    /// Attempts of any kind.
    pub const fn attempts(&self) -> u64 {
        self.passwords + self.answers + self.keys + self.others
    }
}

/// A bar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The user name, in a section of pairs.
    pub user: Option<Vec<u8>>,
    /// What was counted; bytes as an attacker sent them.
    pub value: Vec<u8>,
    /// It is a hash in place of a password.
    pub is_hash: bool,
    /// How often.
    pub count: u64,
}

impl Row {
    /// As it is shown, harmless.
    pub fn label(&self) -> String {
        self.label_if(|_| true)
    }

    /// The same, with characters that cannot be drawn as their number.
    pub fn label_if(&self, can_be_drawn: impl Fn(char) -> bool) -> String {
        let mut value = visible::visible_if(&self.value, &can_be_drawn);
        if self.is_hash {
            value.insert_str(0, HASH);
        } else if value.starts_with(HASH) {
            value.replace_range(..1, "\\x28");
        }
        match &self.user {
            // A colon in a user name would make the password look longer.
            Some(user) => {
                format!("{}:{value}", visible::visible_if(user, can_be_drawn).replace(':', "\\x3a"))
            }
            None => value,
        }
    }
}

/// In front of a hash.
const HASH: &str = "(hash) ";

/// A section with its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Which.
    pub section: Section,
    /// Whose passwords, in [`Section::UserPasswords`].
    pub user: Option<Vec<u8>>,
    /// The rows: the most frequent first, or a course of time.
    pub rows: Vec<Row>,
    /// How many different values there are, shown or not.
    pub distinct: u64,
    /// The sum of their counts.
    pub sum: u64,
}

impl Table {
    /// Its heading.
    pub fn title(&self) -> String {
        match self.section {
            Section::UserPasswords => {
                let user = visible::visible(self.user.as_deref().unwrap_or_default());
                format!("Passwords for {}", visible::cut(&user, 32))
            }
            Section::Passwords => "Passwords for any user".to_owned(),
            Section::Users => "User names".to_owned(),
            Section::Pairs => "User names with passwords".to_owned(),
            Section::Software => "Client software".to_owned(),
            Section::Networks => "Networks".to_owned(),
            Section::Hassh => "HASSH".to_owned(),
            Section::Keys => "Public keys".to_owned(),
            Section::Hours => "Hour of the day".to_owned(),
            Section::Days => match self.rows.first().map_or(10, |row| row.value.len()) {
                4 => "Years".to_owned(),
                7 => "Months".to_owned(),
                _ => "Days".to_owned(),
            },
        }
    }

    /// What its rows are of.
    pub fn subtitle(&self) -> String {
        let attempts = if self.sum == 1 { "attempt" } else { "attempts" };
        if self.section.is_course() {
            return format!("{} {attempts}", grouped(self.sum));
        }
        let shown = self.rows.len() as u64;
        if shown < self.distinct {
            format!("{shown} of {} different; {} {attempts}", grouped(self.distinct), grouped(self.sum))
        } else {
            format!("{} different; {} {attempts}", grouped(self.distinct), grouped(self.sum))
        }
    }

    /// A count's part of all, in per cent.
    pub fn share(&self, count: u64) -> Share {
        Share(if self.sum == 0 { 0.0 } else { count as f64 * 100.0 / self.sum as f64 })
    }

    /// A name for a file: of ASCII letters, digits and dashes.
    pub fn file_stem(&self) -> String {
        let Some(user) = &self.user else { return self.section.name().to_owned() };
        let mut stem = "passwords-".to_owned();
        for byte in user.iter().take(64) {
            if byte.is_ascii_alphanumeric() {
                stem.push(char::from(*byte));
            } else {
                // Not two of them with one name.
                let _ = write!(stem, "_{byte:02x}");
            }
        }
        stem
    }
}

/// Per cent, with as many digits as people look at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share(pub f64);

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            share if share > 0.0 && share < 0.1 => f.write_str("< 0.1 %"),
            share => write!(f, "{share:.1} %"),
        }
    }
}

/// All of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What is told of all lines.
    pub totals: Totals,
    /// The sections, in the order that was asked for.
    pub tables: Vec<Table>,
    /// What could not be counted.
    pub damage: Option<Damage>,
}

/// Lines that could not be counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// How many.
    pub lines: u64,
    /// The file of the first.
    pub file: String,
    /// Its number in the file, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub why: LineError,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (lines, are) = if self.lines == 1 { ("line", "is") } else { ("lines", "are") };
        let file = visible::visible(self.file.as_bytes());
        write!(
            f,
            "{} {lines} {are} not counted; the first is {file}:{}: {}",
            grouped(self.lines),
            self.line,
            self.why
        )
    }
}

/// What a course of time is divided into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Period {
    Hour,
    Day,
}

impl Period {
    /// From local Unix times (seconds) and counts.
    pub(super) fn table(self, counts: impl Iterator<Item = (i64, u64)>) -> Table {
        let mut bars: BTreeMap<i64, u64> = BTreeMap::new();
        let row = |text: String, count: u64| Row { user: None, value: text.into(), is_hash: false, count };
        let table = |section, rows: Vec<Row>| {
            let sum = rows.iter().map(|row| row.count).sum();
            let distinct = rows.iter().filter(|row| row.count > 0).count() as u64;
            Table { section, user: None, rows, distinct, sum }
        };
        if self == Self::Hour {
            bars.extend((0..24).map(|hour| (hour, 0)));
            for (time, count) in counts {
                *bars.entry(time.rem_euclid(DAY) / 3600).or_default() += count;
            }
            if bars.values().all(|count| *count == 0) {
                bars.clear();
            }
            let rows = bars.iter().map(|(hour, count)| row(format!("{hour:02}"), *count));
            return table(Section::Hours, rows.collect());
        }
        for (time, count) in counts {
            *bars.entry(time.div_euclid(DAY)).or_default() += count;
        }
        let ends = bars.first_key_value().zip(bars.last_key_value());
        let Some((first, last)) = ends.map(|((first, _), (last, _))| (*first, *last)) else {
            return table(Section::Days, Vec::new());
        };
        if last - first < MOST_DAYS {
            let rows = (first..=last).map(|day| {
                let (year, month, of_month) = civil(day);
                row(format!("{year:04}-{month:02}-{of_month:02}"), bars.get(&day).copied().unwrap_or(0))
            });
            return table(Section::Days, rows.collect());
        }
        let mut months: BTreeMap<i64, u64> = BTreeMap::new();
        for (day, count) in bars {
            let (year, month, _) = civil(day);
            *months.entry(year * 12 + month - 1).or_default() += count;
        }
        let ends = months.first_key_value().zip(months.last_key_value());
        let (first, last) = ends.map_or((0, 0), |((first, _), (last, _))| (*first, *last));
        if last - first < MOST_MONTHS {
            let rows = (first..=last).map(|month| {
                let text = format!("{:04}-{:02}", month.div_euclid(12), month.rem_euclid(12) + 1);
                row(text, months.get(&month).copied().unwrap_or(0))
            });
            return table(Section::Days, rows.collect());
        }
        let mut years: BTreeMap<i64, u64> = BTreeMap::new();
        for (month, count) in months {
            *years.entry(month.div_euclid(12)).or_default() += count;
        }
        let rows = years.iter().map(|(year, count)| row(format!("{year:04}"), *count));
        table(Section::Days, rows.collect())
    }
}

/// Year, month and day of a day since 1970-01-01, by eras of 400 years that begin in March.
fn civil(day: i64) -> (i64, i64, i64) {
    let shifted = day + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, of_month)
}

/// A Unix time in seconds as `2026-11-29 10:00:00`.
pub fn clock(seconds: i64) -> String {
    let (year, month, day) = civil(seconds.div_euclid(DAY));
    let of_day = seconds.rem_euclid(DAY);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}", of_day / 3600, of_day / 60 % 60, of_day % 60)
}

/// A number with its thousands apart.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(table: &Table) -> Vec<(String, u64)> {
        table.rows.iter().map(|row| (row.label(), row.count)).collect()
    }

    #[test]
    fn days_without_attempts_have_a_bar_of_nothing() {
        let day = 20_786 * DAY; // 2026-11-29
        let table = Period::Day.table([(day, 3), (day + 10, 1), (day + 2 * DAY, 5)].into_iter());
        let expected = [("2026-11-29", 4), ("2026-11-30", 0), ("2026-12-01", 5)];
        assert_eq!(values(&table), expected.map(|(day, count)| (day.to_owned(), count)));
        assert_eq!((table.sum, table.distinct), (9, 2));
    }

    #[test]
    fn many_days_become_months_and_many_months_years() {
        let day = 20_786 * DAY;
        let table = Period::Day.table([(day, 3), (day + 70 * DAY, 5)].into_iter());
        let expected = [("2026-11", 3), ("2026-12", 0), ("2027-01", 0), ("2027-02", 5)];
        assert_eq!(values(&table), expected.map(|(month, count)| (month.to_owned(), count)));
        assert_eq!(table.title(), "Months");
        let table = Period::Day.table([(day, 3), (day + 3000 * DAY, 5)].into_iter());
        assert_eq!(values(&table), [("2026".to_owned(), 3), ("2035".to_owned(), 5)]);
    }

    #[test]
    fn every_hour_has_a_bar() {
        let table = Period::Hour.table([(-1, 2), (3600, 1)].into_iter());
        assert_eq!(table.rows.len(), 24);
        assert_eq!((table.rows[23].count, table.rows[1].count), (2, 1));
    }

    #[test]
    fn a_hash_is_not_mistaken_for_a_password_nor_a_pair_for_another() {
        let row = |value: &[u8], is_hash, user: Option<&[u8]>| Row {
            user: user.map(<[u8]>::to_vec),
            value: value.to_vec(),
            is_hash,
            count: 1,
        };
        assert_eq!(row(b"3fa9", true, None).label(), "(hash) 3fa9");
        assert_eq!(row(b"(hash) 3fa9", false, None).label(), "\\x28hash) 3fa9");
        assert_eq!(row(b"b:c", false, Some(b"a")).label(), "a:b:c");
        assert_eq!(row(b"c", false, Some(b"a:b")).label(), "a\\x3ab:c");
    }

    #[test]
    fn a_day_is_the_one_of_the_calendar() {
        assert_eq!(clock(1_403_779_685), "2014-06-26 10:48:05");
        assert_eq!(clock(-1), "1969-12-31 23:59:59");
        assert_eq!(clock(951_782_400), "2000-02-29 00:00:00");
    }
}
