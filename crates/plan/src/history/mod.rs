//! Every plan that was applied, with its time: which was in force then, and who had that port?
//!
//! ```text
//!  DIR/
//!    index                  records of one size, chained by SHA-256: a revision is begun, applied, refused; drift; pruning
//!    revisions/00000042.rows who had what, whole or as the difference to the revision before
//!    rules.v4.1608946501    the rules as they were loaded, for people; rules.v4 is a symbolic link to the newest
//! ```
//!
//! One writer (a lock), any number of readers. A revision is written whole before it is begun, begun before it is loaded
//! into the kernel, and applied after: whatever a crash leaves between, both the old and the new holder of a port are
//! named until somebody looked.
//!
//! Times are the wall clock's as it was. Boot time and boot id stand beside them, so that a clock that was set back
//! between two revisions is noticed: each then claims all of the time that it can have been in force.

mod adopt;
mod audit;
mod clocks;
mod error;
mod folder;
mod held;
mod index;
mod read;
mod record;
mod rows;
mod timeline;
mod write;

pub use adopt::{Adopted, AdoptedFile};
pub use audit::{Audit, Finding, audit};
pub use error::HistoryError;
pub use folder::{RulesFolder, Stamp};
pub use held::{Held, Holder, PlanGap};
pub use read::History;
pub use record::{Digest, DriftReason, Format, Moment, Outcome, Revision};
pub use timeline::{Claim, Drift, Holding};
pub use write::{Begun, HistoryWriter, NewRevision};

#[cfg(test)]
mod tests;

/// For the fuzz target: what a folder may hold, read as each kind of file, as it is and with checksums put right.
pub(crate) fn parse_any(path: &std::path::Path, bytes: &[u8]) {
    let crc = |bytes: &[u8]| crc32fast::hash(bytes).to_le_bytes();
    let mut index = bytes.to_vec();
    if let Some(records) = index.get_mut(index::HEADER..) {
        for record in records.as_chunks_mut::<{ record::LENGTH }>().0 {
            let crc = crc(&record[4..]);
            record[..4].copy_from_slice(&crc);
        }
    }
    for bytes in [bytes, &index] {
        let Ok(index) = index::parse(path, bytes, 0) else { continue };
        assert!(index.timeline.claims.iter().all(|claim| claim.period.from <= claim.period.to));
    }
    let mut whole = bytes.to_vec();
    if let Some((header, rows)) = bytes.split_at_checked(rows::HEADER) {
        let crc = crc(&[&header[..rows::HEADER - 4], rows].concat());
        whole[rows::HEADER - 4..rows::HEADER].copy_from_slice(&crc);
    }
    for bytes in [bytes, &whole] {
        if let Ok(rows) = rows::parse(path, bytes, 1) {
            let _ = rows.added().count() + rows.removed().count();
        }
    }
}
