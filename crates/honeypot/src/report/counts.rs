//! Lines, counted. Several of these can count parts of a file side by side and be added up.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;

use super::line::{Line, Secret};
use super::model::{Period, Report, Row, Section, Table, Totals};
use super::moment::Moment;
use super::tally::{SpillError, Tally, Top};
use crate::record::EventKind;

/// Time that is counted at once, in seconds. No zone's offset changes within a quarter of an hour.
const QUARTER: i64 = 900;
/// In front of a password and of a hash in a key.
const PLAIN: u8 = 0;
const HASHED: u8 = 1;

/// What is counted.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Which tables are made, in this order.
    pub sections: Vec<Section>,
    /// Users whose passwords have a table each.
    pub users: Vec<Vec<u8>>,
    /// Length of the prefix that is one IPv4 network, in bits (0 to 32).
    pub prefix4: u8,
    /// The same for IPv6 (0 to 128).
    pub prefix6: u8,
    /// Only lines of this time are counted.
    pub period: RangeInclusive<Moment>,
    /// Only lines of clients whose software has this in its name, which is not empty.
    pub software: Option<Vec<u8>>,
    /// Where counts are kept that do not fit into memory.
    pub folder: Arc<Path>,
    /// Memory for counts (bytes).
    pub memory: usize,
}

/// What one of the tallies is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Passwords,
    /// Of that of the users asked for.
    PasswordsOf(usize),
    Users,
    Pairs,
    Software,
    Networks,
    Hassh,
    Keys,
    /// Quarters of an hour since the Unix epoch: hours and days of any zone are made of them.
    Quarters,
    Sources,
    Sessions,
}

/// Counts of some lines.
#[derive(Debug)]
pub struct Counts {
    wanted: Arc<Wanted>,
    tallies: Vec<(What, Tally)>,
    totals: Totals,
    /// A key under construction.
    key: Vec<u8>,
}

impl Counts {
    /// Nothing counted yet.
    pub fn new(wanted: Arc<Wanted>) -> Self {
        let mut whats = vec![What::Sources, What::Sessions];
        for section in &wanted.sections {
            let of = match section {
                Section::Passwords => What::Passwords,
                Section::UserPasswords => {
                    whats.extend((0..wanted.users.len()).map(What::PasswordsOf));
                    continue;
                }
                Section::Users => What::Users,
                Section::Pairs => What::Pairs,
                Section::Software => What::Software,
                Section::Networks => What::Networks,
                Section::Hassh => What::Hassh,
                Section::Keys => What::Keys,
                Section::Hours | Section::Days => What::Quarters,
            };
            if !whats.contains(&of) {
                whats.push(of);
            }
        }
        let tallies = whats.into_iter().map(|what| (what, Tally::new(Arc::clone(&wanted.folder)))).collect();
        Self { wanted, tallies, totals: Totals::default(), key: Vec::new() }
    }

    /// Counts a line. Hot: `bench/honeypot_report.py` measures it.
    pub fn add(&mut self, line: &Line<'_>) -> Result<(), SpillError> {
        if !self.wanted.period.contains(&line.moment) {
            self.totals.outside += 1;
            return Ok(());
        }
        if self.wanted.software.as_ref().is_some_and(|wanted| !line.is_of_software(wanted)) {
            self.totals.other_clients += 1;
            return Ok(());
        }
        self.totals.see(line);
        let is_attempt = !matches!(line.event, EventKind::Connection | EventKind::None);
        for (what, tally) in &mut self.tallies {
            if !is_attempt && !matches!(what, What::Sources | What::Sessions) {
                break;
            }
            self.key.clear();
            if push_key(&mut self.key, *what, line, &self.wanted) {
                tally.add(&self.key, 1)?;
            }
        }
        Ok(())
    }

    /// Puts the largest counts aside while all take more than this (bytes).
    pub fn keep_within(&mut self, bytes: usize) -> Result<(), SpillError> {
        while self.tallies.iter().map(|(_, tally)| tally.bytes()).sum::<usize>() > bytes {
            let Some((_, largest)) = self.tallies.iter_mut().max_by_key(|(_, tally)| tally.bytes()) else {
                return Ok(());
            };
            largest.spill()?;
        }
        Ok(())
    }

    /// Takes in what another has counted of the same.
    pub fn absorb(&mut self, other: Self) -> Result<(), SpillError> {
        self.totals.absorb(&other.totals);
        for ((_, tally), (_, of_other)) in self.tallies.iter_mut().zip(other.tallies) {
            tally.absorb(of_other)?;
        }
        self.keep_within(self.wanted.memory)
    }

    /// The report: `top` rows of each table, hours and days in the zone whose offset from UTC at a Unix time is given (both in seconds).
    pub fn report(mut self, top: usize, offset: impl Fn(i64) -> i64) -> Result<Report, SpillError> {
        let mut report = Report { totals: self.totals.clone(), tables: Vec::new(), damage: None };
        report.totals.sources = Top::of(self.take(What::Sources), 0)?.distinct;
        report.totals.sessions = Top::of(self.take(What::Sessions), 0)?.distinct;
        let wanted = Arc::clone(&self.wanted);
        let mut quarters = Vec::new();
        if self.tallies.iter().any(|(what, _)| *what == What::Quarters) {
            self.take(What::Quarters).in_order(|key, count| {
                let bytes = key.try_into().map(i64::from_be_bytes);
                quarters.extend(bytes.map(|quarter| (quarter, count)));
                Ok::<(), SpillError>(())
            })?;
        }
        for section in &wanted.sections {
            let of = match section {
                Section::Hours | Section::Days => {
                    let local = quarters.iter().map(|(quarter, count)| {
                        let seconds = quarter * QUARTER;
                        (seconds + offset(seconds), *count)
                    });
                    let period = if *section == Section::Hours { Period::Hour } else { Period::Day };
                    report.tables.push(period.table(local));
                    continue;
                }
                Section::UserPasswords => {
                    for (place, user) in wanted.users.iter().enumerate() {
                        let found = Top::of(self.take(What::PasswordsOf(place)), top)?;
                        report.tables.push(table(*section, Some(user.clone()), &found, &wanted));
                    }
                    continue;
                }
                Section::Passwords => What::Passwords,
                Section::Users => What::Users,
                Section::Pairs => What::Pairs,
                Section::Software => What::Software,
                Section::Networks => What::Networks,
                Section::Hassh => What::Hassh,
                Section::Keys => What::Keys,
            };
            let found = Top::of(self.take(of), top)?;
            report.tables.push(table(*section, None, &found, &wanted));
        }
        Ok(report)
    }

    /// Every row of a section, the most frequent first.
    pub fn each_by_count<E: From<SpillError>>(
        mut self,
        section: ListOf,
        mut each: impl FnMut(Row) -> Result<(), E>,
    ) -> Result<(), E> {
        let (what, section) = match section {
            ListOf::Passwords => (What::Passwords, Section::Passwords),
            ListOf::Users => (What::Users, Section::Users),
            ListOf::Pairs => (What::Pairs, Section::Pairs),
        };
        let (tally, wanted) = (self.take(what), self.wanted);
        // What was counted for the totals is not needed any more.
        self.tallies.clear();
        tally.by_count(wanted.memory, |key, count| each(row(section, key, count, &wanted)))
    }

    fn take(&mut self, what: What) -> Tally {
        let empty = || Tally::new(Arc::clone(&self.wanted.folder));
        match self.tallies.iter().position(|(of, _)| *of == what) {
            Some(place) => self.tallies.swap_remove(place).1,
            None => empty(),
        }
    }
}

/// What a word list is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListOf {
    /// Passwords of any user.
    Passwords,
    /// User names.
    Users,
    /// User names with passwords.
    Pairs,
}

impl ListOf {
    /// The section that has to be counted for it.
    pub const fn section(self) -> Section {
        match self {
            Self::Passwords => Section::Passwords,
            Self::Users => Section::Users,
            Self::Pairs => Section::Pairs,
        }
    }
}

/// Writes a line's key for a tally. False if the line has nothing for it.
#[inline]
fn push_key(key: &mut Vec<u8>, what: What, line: &Line<'_>, wanted: &Wanted) -> bool {
    let push = |key: &mut Vec<u8>, bytes: Option<&[u8]>| {
        key.extend_from_slice(bytes.unwrap_or_default());
        bytes.is_some()
    };
    match what {
        What::Passwords => push_secret(key, line),
        What::PasswordsOf(place) => {
            line.user.as_deref() == Some(&wanted.users[place]) && push_secret(key, line)
        }
        What::Users => push(key, line.user.as_deref()),
        What::Pairs => {
            let Some(user) = line.user.as_deref() else { return false };
            key.extend_from_slice(&(user.len() as u64).to_be_bytes());
            key.extend_from_slice(user);
            push_secret(key, line)
        }
        What::Software => push(key, line.software.as_deref()),
        What::Hassh => push(key, line.hassh.as_deref()),
        What::Keys => push(key, line.key_fingerprint.as_deref()),
        What::Networks => {
            push_address(key, network(line.source, wanted));
            true
        }
        What::Sources => {
            push_address(key, line.source);
            true
        }
        What::Sessions => {
            if let Some(session) = &line.session {
                key.push(1);
                key.extend_from_slice(session);
            } else {
                key.push(0);
                key.extend_from_slice(&line.port.to_be_bytes());
                push_address(key, line.source);
            }
            true
        }
        What::Quarters => {
            key.extend_from_slice(&line.moment.seconds().div_euclid(QUARTER).to_be_bytes());
            true
        }
    }
}

fn push_secret(key: &mut Vec<u8>, line: &Line<'_>) -> bool {
    let (tag, bytes) = match &line.secret {
        Some(Secret::Plain(bytes)) => (PLAIN, bytes),
        Some(Secret::Hashed(bytes)) => (HASHED, bytes),
        None => return false,
    };
    key.push(tag);
    key.extend_from_slice(bytes);
    true
}

fn push_address(key: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => key.extend_from_slice(&address.octets()),
        IpAddr::V6(address) => key.extend_from_slice(&address.octets()),
    }
}

fn network(address: IpAddr, wanted: &Wanted) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(wanted.prefix4.into())).unwrap_or(0);
            IpAddr::V4((address.to_bits() & mask).into())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(wanted.prefix6.into())).unwrap_or(0);
            IpAddr::V6((address.to_bits() & mask).into())
        }
    }
}

fn table(section: Section, user: Option<Vec<u8>>, found: &Top, wanted: &Wanted) -> Table {
    let rows = found.rows.iter().map(|(key, count)| row(section, key, *count, wanted)).collect();
    Table { section, user, rows, distinct: found.distinct, sum: found.sum }
}

/// A row from its key.
fn row(section: Section, key: &[u8], count: u64, wanted: &Wanted) -> Row {
    let plain = |value: &[u8]| Row { user: None, value: value.to_vec(), is_hash: false, count };
    let secret = |key: &[u8]| match key.split_first() {
        Some((tag, value)) => Row { is_hash: *tag == HASHED, ..plain(value) },
        None => plain(key),
    };
    match section {
        Section::Passwords | Section::UserPasswords => secret(key),
        Section::Pairs => {
            let pair = key.split_first_chunk().and_then(|(length, rest)| {
                rest.split_at_checked(usize::try_from(u64::from_be_bytes(*length)).ok()?)
            });
            let (user, rest) = pair.unwrap_or_default();
            Row { user: Some(user.to_vec()), ..secret(rest) }
        }
        Section::Networks => {
            let (v4, v6) = (<[u8; 4]>::try_from(key), <[u8; 16]>::try_from(key));
            let text = match (v4, v6) {
                (Ok(v4), _) => format!("{}/{}", IpAddr::from(v4), wanted.prefix4),
                (_, Ok(v6)) => format!("{}/{}", IpAddr::from(v6), wanted.prefix6),
                _ => String::new(),
            };
            plain(text.as_bytes())
        }
        Section::Users
        | Section::Software
        | Section::Hassh
        | Section::Keys
        | Section::Hours
        | Section::Days => plain(key),
    }
}
