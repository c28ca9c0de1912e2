//! A bare folder of the files that eduVPN's script leaves: `rules.v4.<unix time>`, each in force until the next.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use unmasq_flow::{Period, Protocol, Selector, Timestamp};

use super::HistoryError;
use super::held::{Held, PlanGap, Port, Said};
use super::record::{Entry, Outcome, Revision};
use super::timeline::{Claim, Reading, Timeline};
use crate::rules::{RulesFile, read};

/// A file and the time in its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp {
    /// Seconds since the Unix epoch.
    pub time: i64,
    /// Tells files of one second apart; 0 for the first.
    pub number: u16,
    /// The file.
    pub path: PathBuf,
}

impl Stamp {
    /// The time in the name of a file, if it is named as the script names them.
    pub fn of(path: &Path) -> Option<Self> {
        let rest = path.file_name()?.to_str()?.strip_prefix("rules.v4.")?;
        let (time, number) = rest.split_once('.').map_or((rest, Some(0)), |(t, n)| (t, n.parse().ok()));
        let is_number = !time.is_empty() && time.bytes().all(|b| b.is_ascii_digit());
        Some(Self { time: time.parse().ok().filter(|_| is_number)?, number: number?, path: path.to_owned() })
    }

    /// The time.
    pub const fn time(&self) -> Timestamp {
        Timestamp::from_seconds(self.time)
    }

    /// Reads the file.
    pub fn read(&self) -> Result<RulesFile, HistoryError> {
        let bytes = fs::read(&self.path).map_err(HistoryError::io("reading", &self.path))?;
        read(&bytes).map_err(|source| HistoryError::Rules { path: self.path.clone(), source })
    }
}

/// A folder of the script's files.
#[derive(Clone, Debug)]
pub struct RulesFolder {
    directory: PathBuf,
    stamps: Vec<Stamp>,
    claims: Vec<Claim>,
    /// When the first was loaded.
    first: Option<Period>,
}

impl RulesFolder {
    /// Lists the files, without reading any.
    pub fn open(directory: &Path) -> Result<Self, HistoryError> {
        let io = || HistoryError::io("listing", directory);
        let mut stamps = Vec::new();
        for entry in fs::read_dir(directory).map_err(io())? {
            let entry = entry.map_err(io())?;
            // The script leaves no folders, whatever they are called.
            if !entry.file_type().map_err(io())?.is_dir() {
                stamps.extend(Stamp::of(&entry.path()));
            }
        }
        if stamps.is_empty() {
            return Err(HistoryError::NoPlan { path: directory.to_owned() });
        }
        stamps.sort();
        let mut reading = Reading::with_capacity(stamps.len());
        for stamp in &stamps {
            let revision = Revision::of_file(0, (stamp.time, stamp.number));
            let outcome = Outcome::Applied(revision.loaded_by());
            reading.add(Entry::Begun(Box::new(Revision { outcome, ..revision })));
        }
        let Timeline { claims, first, .. } = reading.finish();
        Ok(Self { directory: directory.to_owned(), stamps, claims, first })
    }

    /// The folder.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The files in order of time.
    pub fn stamps(&self) -> &[Stamp] {
        &self.stamps
    }

    /// As [`History::held`](super::History::held), from the files that were in force in the window.
    pub fn held(
        &self,
        address: Ipv4Addr,
        selector: Selector,
        protocol: Option<Protocol>,
        window: Period,
    ) -> Result<Option<Held>, HistoryError> {
        let Some(port) = Port::new(address, selector, protocol) else { return Ok(None) };
        let claims = self.claims.iter().filter(|claim| claim.period.overlaps(window));
        Held::of_claims(claims, window, self.first, |held, claim, inside| {
            let stamp = &self.stamps[claim.place];
            let rules = stamp.read()?;
            let name = stamp.path.display().to_string();
            if let Some(other) = rules.others.first() {
                held.note(format!(
                    "{name} has other source NAT beside the plan's: line {}: {}",
                    other.line, other.text
                ));
            }
            let protocols = rules.plan.protocols();
            if rules.plan.allocations.is_empty() {
                held.gap(inside, PlanGap::NoPorts);
            } else if protocols.intersection(port.protocols).is_empty() {
                held.gap(inside, PlanGap::Protocol(protocols));
            } else if rules.plan.allocations.iter().all(|a| a.block.address != address) {
                held.gap(inside, PlanGap::NotPublic);
            }
            let mut said = Said::nothing(*claim, 0, name);
            said.found = rules.plan.allocations;
            said.found.retain(|a| {
                a.block.address == address
                    && a.block.ports.contains(port.number)
                    && !a.protocols.intersection(port.protocols).is_empty()
            });
            Ok(said)
        })
        .map(Some)
    }
}
