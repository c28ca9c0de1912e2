//! Taking over the files that eduVPN's script has left.

use std::fs;
use std::path::PathBuf;

use unmasq_flow::Timestamp;

use super::HistoryError;
use super::folder::RulesFolder;
use super::record::{Digest, Entry, Format, Outcome, Revision};
use super::rows;
use super::write::HistoryWriter;
use crate::plan::Plan;
use crate::rules::{OtherRule, read};

/// What became of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdoptedFile {
    /// The file.
    pub path: PathBuf,
    /// Its revision.
    pub number: u64,
    /// Clients with ports in it.
    pub clients: usize,
    /// Why it could not be read. Its time is then one of which nobody knows who had what.
    pub damage: Option<String>,
    /// Rules that translate sources in another way.
    pub others: Vec<OtherRule>,
}

/// What was taken over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Adopted {
    /// The files, oldest first.
    pub files: Vec<AdoptedFile>,
    /// How many were there already.
    pub known: usize,
}

impl HistoryWriter {
    /// Takes over all files of a folder that are not here yet. They must be newer than all that was adopted before, and
    /// older than the first plan that was applied here. A file that cannot be read is taken over as a gap: to leave it
    /// out would stretch the time of the one before it. None can have been loaded later than `now`.
    pub fn adopt(&mut self, folder: &RulesFolder, now: Timestamp) -> Result<Adopted, HistoryError> {
        let known: Vec<Revision> = self.history().revisions().to_vec();
        let find = |time: i64, rules: Digest| known.iter().find(|r| r.name.0 == time && r.rules == rules);
        let own = known.iter().find(|revision| !revision.is_adopted);
        let mut adopted = Adopted::default();
        let mut read_files = Vec::new();
        for stamp in folder.stamps() {
            if stamp.time() > now {
                return Err(HistoryError::YetToCome { file: stamp.path.clone(), when: stamp.time() });
            }
            let bytes = fs::read(&stamp.path).map_err(HistoryError::io("reading", &stamp.path))?;
            if let Some(revision) = find(stamp.time, Digest::of(&bytes)) {
                adopted.known += 1;
                if revision.is_adopted && revision.outcome == Outcome::Unknown {
                    // An adoption ended between its two records.
                    self.append(&Entry::Applied(revision.number, revision.loaded_by()))?;
                }
                continue;
            }
            let blocking = own.or_else(|| known.last().filter(|last| last.name.0 > stamp.time));
            if let Some(revision) = blocking {
                let since = revision.since().wall.to_string();
                return Err(HistoryError::NotOlder { file: stamp.path.clone(), since });
            }
            read_files.push((stamp, bytes));
        }
        for (stamp, bytes) in read_files {
            let (plan, others, damage) = match read(&bytes) {
                Ok(rules) => (rules.plan, rules.others, None),
                Err(error) => (Plan::default(), Vec::new(), Some(error.to_string())),
            };
            // Another file of that name was adopted before, from another folder.
            let is_taken = self.history().revisions().iter().any(|r| r.name == (stamp.time, stamp.number));
            let name = if is_taken {
                self.free_name(Format::Iptables, stamp.time)
            } else {
                (stamp.time, stamp.number)
            };
            let revision = Revision {
                clients: plan.client_count() as u32,
                ports_per_client: plan.ports_per_client,
                protocols: plan.protocols(),
                is_unreadable: damage.is_some(),
                has_other_rules: !others.is_empty(),
                rows: rows::digest(&plan.rows()),
                rules: Digest::of(&bytes),
                ..Revision::of_file(self.next_number(), name)
            };
            let loaded = revision.loaded_by();
            let begun = self.write(revision, &plan, &bytes)?;
            self.append(&Entry::Applied(begun.number, loaded))?;
            adopted.files.push(AdoptedFile {
                path: stamp.path.clone(),
                number: begun.number,
                clients: plan.client_count(),
                damage,
                others,
            });
        }
        self.point_at_newest()?;
        Ok(adopted)
    }
}
