//! Is a history still what was written? Every hash is computed again.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use super::HistoryError;
use super::index::{self, HEADER};
use super::read::History;
use super::record::{Digest, LENGTH, chain_of, link};
use super::rows;
use crate::plan::Allocation;

/// Something that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The revision that it concerns, if it is one.
    pub revision: Option<u64>,
    /// What is wrong.
    pub what: String,
}

/// What an audit found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// Revisions that were looked at.
    pub revisions: usize,
    /// What is wrong; empty if all is as it was written.
    pub findings: Vec<Finding>,
    /// The chain at its end. Whoever keeps it elsewhere can tell later that nothing was cut off or rewritten.
    pub head: Digest,
}

impl Audit {
    fn find(&mut self, revision: Option<u64>, what: String) {
        self.findings.push(Finding { revision, what });
    }
}

/// Checks the history in a folder; `progress` is told how many of how many revisions are done.
pub fn audit(directory: &Path, progress: &mut dyn FnMut(usize, usize)) -> Result<Audit, HistoryError> {
    let mut audit = Audit::default();
    let path = index::path(directory);
    let bytes = fs::read(&path).map_err(HistoryError::io("reading", &path))?;
    let (records, rest) = bytes.get(HEADER..).unwrap_or(&[]).as_chunks::<LENGTH>();
    if !rest.is_empty() {
        let offset = bytes.len() - rest.len();
        audit.find(None, format!("{}: the record at byte {offset} is not finished", path.display()));
    }
    for (number, record) in records.iter().enumerate() {
        let expected = link(audit.head, record);
        if chain_of(record) != expected {
            let offset = HEADER + number * LENGTH;
            audit.find(None, format!("{}: the chain of hashes breaks at byte {offset}", path.display()));
        }
        audit.head = chain_of(record);
    }
    let history = match History::open(directory) {
        Ok(history) => history,
        Err(error @ (HistoryError::Damaged { .. } | HistoryError::Version { .. })) => {
            audit.find(None, error.to_string());
            return Ok(audit);
        }
        Err(error) => return Err(error),
    };
    let all = history.revisions();
    // Rows are put together once, from revision to revision.
    let mut now: HashSet<Allocation> = HashSet::new();
    for (done, revision) in all.iter().enumerate() {
        progress(done, all.len());
        if history.is_pruned(revision.number) {
            continue;
        }
        audit.revisions += 1;
        let number = Some(revision.number);
        match rows::read(directory, revision.number) {
            Ok(rows) => {
                if rows.base.is_none() {
                    now.clear();
                }
                for gone in rows.removed() {
                    now.remove(&gone);
                }
                now.extend(rows.added());
                let allocations: Vec<Allocation> = now.iter().copied().collect();
                if rows::digest(&allocations) != revision.rows {
                    audit.find(number, "its rows are not those that were written".to_owned());
                }
            }
            Err(error) => audit.find(number, error.to_string()),
        }
        let file = history.rules_file(revision);
        match fs::read(&file) {
            Ok(bytes) if Digest::of(&bytes) == revision.rules => {}
            Ok(_) => audit.find(number, format!("{} was changed", file.display())),
            Err(error) => audit.find(number, format!("{}: {error}", file.display())),
        }
    }
    progress(all.len(), all.len());
    Ok(audit)
}
