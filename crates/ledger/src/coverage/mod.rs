//! Coverage: when a stream is complete, for which scope, and why not where it is not.
//!
//! Statements go into the journal with the flows that they are about, so that a statement can never be on the disk
//! without the flows before it. When a journal's flows are in runs, its statements are summed up in the file `coverage`:
//!
//! ```text
//! coverage := frame(journal-number mark*)*      the journals up to that number are summed up
//! ```

mod mark;
mod timeline;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use mark::CoverageEvent;
pub(crate) use mark::Mark;
pub(crate) use timeline::Timeline;

use crate::codec::{Bytes, put_varint};
use crate::frame::{self, Piece, Reader};
use crate::storage::{Appender, Storage};
use crate::{LedgerError, layout};

/// What a coverage file says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Summed {
    pub(crate) timeline: Timeline,
    /// The journals up to this number are in it.
    pub(crate) journal: u64,
    /// Frames in the file: more than a few, and it is worth writing anew.
    pub(crate) frames: u64,
    /// Bytes that could not be read: (from, to).
    pub(crate) damage: Vec<(u64, u64)>,
    /// Where the whole frames end, if bytes follow that are none.
    pub(crate) torn_at: Option<u64>,
}

/// Reads a coverage file. One that is not there says nothing.
pub(crate) fn read(path: &Path) -> Result<Summed, LedgerError> {
    let mut summed = Summed::default();
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(summed),
        Err(error) => return Err(LedgerError::io("open", path)(error)),
    };
    let mut reader = Reader::new(file);
    while let Some(piece) = reader.next().map_err(LedgerError::io("read", path))? {
        match piece {
            Piece::Frame { offset, payload } => {
                let mut bytes = Bytes(payload);
                summed.frames += 1;
                if let Some(number) = bytes.varint() {
                    summed.journal = summed.journal.max(number);
                }
                while !bytes.is_empty() {
                    let Some(mark) = Mark::parse(&mut bytes) else {
                        summed.damage.push((offset, offset + payload.len() as u64));
                        break;
                    };
                    summed.timeline.apply(&mark);
                }
            }
            Piece::Damage { from, to } => summed.damage.push((from, to)),
            Piece::Tail { from, .. } => summed.torn_at = Some(from),
        }
    }
    Ok(summed)
}

/// The coverage file of a stream, being written.
#[derive(Debug)]
pub(crate) struct CoverageFile {
    storage: Arc<dyn Storage>,
    path: PathBuf,
    file: Arc<dyn Appender>,
    summed: Summed,
}

/// So many frames make a new file.
const FRAMES_BEFORE_REWRITE: u64 = 256;
/// Marks of a frame stay below this size.
const FRAME_BYTES: usize = 64 << 10;

impl CoverageFile {
    /// Opens it, cut back to its whole frames and summed up anew.
    pub(crate) fn open(storage: Arc<dyn Storage>, stream: &Path) -> Result<Self, LedgerError> {
        let path = stream.join(layout::COVERAGE);
        let summed = read(&path)?;
        let file = rewrite(&*storage, &path, &summed)?;
        Ok(Self { storage, path, file, summed: Summed { frames: 1, torn_at: None, ..summed } })
    }

    /// What it says.
    pub(crate) fn timeline(&self) -> &Timeline {
        &self.summed.timeline
    }

    /// The journals up to this number are in it.
    pub(crate) fn journal(&self) -> u64 {
        self.summed.journal
    }

    /// Damage that was found when it was opened.
    pub(crate) fn damage(&self) -> &[(u64, u64)] {
        &self.summed.damage
    }

    /// Adds the marks of a journal, and returns when they are on the disk. After an error nothing was added.
    pub(crate) fn add(&mut self, journal: u64, marks: &[Mark]) -> Result<(), LedgerError> {
        let before = self.summed.clone();
        self.try_to_add(journal, marks).inspect_err(|_| self.summed = before)
    }

    fn try_to_add(&mut self, journal: u64, marks: &[Mark]) -> Result<(), LedgerError> {
        for mark in marks {
            self.summed.timeline.apply(mark);
        }
        self.summed.journal = self.summed.journal.max(journal);
        self.summed.frames += 1;
        let is_small = self.summed.frames < FRAMES_BEFORE_REWRITE;
        if is_small {
            let mut bytes = Vec::new();
            put_frames(self.summed.journal, marks, &mut bytes);
            let written = self.file.write_all(&bytes).and_then(|()| self.file.sync());
            if written.is_ok() {
                return Ok(());
            }
        }
        // Many frames, or one that was cut short by a full disk: the whole file anew, under another name first.
        self.file = rewrite(&*self.storage, &self.path, &self.summed)?;
        self.summed.frames = 1;
        Ok(())
    }
}

fn put_frames(journal: u64, marks: &[Mark], out: &mut Vec<u8>) {
    let mut payload = Vec::new();
    put_varint(&mut payload, journal);
    let head = payload.len();
    for mark in marks {
        mark.put(&mut payload);
        if payload.len() > FRAME_BYTES {
            out.extend(frame::wrap(&payload));
            payload.truncate(head);
        }
    }
    out.extend(frame::wrap(&payload));
}

fn rewrite(storage: &dyn Storage, path: &Path, summed: &Summed) -> Result<Arc<dyn Appender>, LedgerError> {
    let mut bytes = Vec::new();
    put_frames(summed.journal, &summed.timeline.summary(), &mut bytes);
    layout::replace(storage, path, &bytes)?;
    storage.append(path).map_err(LedgerError::io("open", path))
}
