//! The index: a file of records, read whole.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::HistoryError;
use super::record::{Digest, Entry, LENGTH, chain_of};
use super::timeline::{Reading, Timeline};

/// Begins every index: a word, and the version in four bytes.
const MAGIC: &[u8; 12] = b"unmasq-plan\n";
pub(super) const VERSION: u32 = 1;
pub(super) const HEADER: usize = 16;

/// What an index holds.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    pub(super) timeline: Timeline,
    /// Where the next record goes.
    pub(super) end: usize,
    /// The chain at its end.
    pub(super) chain: Digest,
    /// Bytes behind the last whole record: what a crash left of one.
    pub(super) torn: usize,
}

pub(super) fn path(directory: &Path) -> PathBuf {
    directory.join("index")
}

pub(super) fn header() -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..12].copy_from_slice(MAGIC);
    header[12..].copy_from_slice(&VERSION.to_le_bytes());
    header
}

/// Reads it. The last record alone may be torn: it was being written.
pub(super) fn read(directory: &Path) -> Result<Index, HistoryError> {
    let path = path(directory);
    let file = File::open(&path).map_err(HistoryError::io("opening", &path))?;
    let length = file.metadata().map_or(0, |metadata| metadata.len());
    parse(&path, file, length as usize / LENGTH)
}

/// So many records are read at once. Hot: an index has thousands, and a buffer that stays in the processor's cache makes
/// opening twice as fast (`benches/history.rs`).
const AT_ONCE: usize = 256;

/// Reads one from anywhere, of about so many records.
pub(super) fn parse(path: &Path, mut from: impl Read, about: usize) -> Result<Index, HistoryError> {
    let mut buffer = vec![0; AT_ONCE * LENGTH];
    let mut fill = |buffer: &mut [u8]| fill(&mut from, buffer).map_err(HistoryError::io("reading", path));
    let mut header = [0; HEADER];
    if fill(&mut header)? < HEADER {
        return Err(HistoryError::damaged(path, 0, "it ends within its header"));
    }
    if &header[..12] != MAGIC {
        return Err(HistoryError::damaged(path, 0, "it does not begin as an index of plans does"));
    }
    let found = u32::from_le_bytes([header[12], header[13], header[14], header[15]]);
    if found != VERSION {
        return Err(HistoryError::Version { path: path.to_owned(), found, known: VERSION });
    }
    let mut index = Index { end: HEADER, ..Index::default() };
    let mut reading = Reading::with_capacity(about);
    loop {
        let length = fill(&mut buffer)?;
        let (records, rest) = buffer[..length].as_chunks::<LENGTH>();
        index.torn = rest.len();
        for (place, record) in records.iter().enumerate() {
            match Entry::decode(record) {
                Ok(entry) => reading.add(entry),
                Err(what) => {
                    let is_last = place + 1 == records.len() && rest.is_empty() && fill(&mut [0])? == 0;
                    if !is_last || !is_torn(index.end, record) {
                        return Err(HistoryError::damaged(path, index.end, what));
                    }
                    index.torn = LENGTH;
                    break;
                }
            }
            index.chain = chain_of(record);
            index.end += LENGTH;
        }
        if length < AT_ONCE * LENGTH || index.torn > 0 {
            break;
        }
    }
    index.timeline = reading.finish();
    Ok(index)
}

/// As many bytes as there are, up to the buffer's length.
fn fill(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match from.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

/// Is a last record that is none one that did not get to the disk, or not all of it? A power cut can leave a file that is
/// longer than what was written into it: from the sector on, or up to it, where the disk stopped, all is zero. A record that
/// was there and got damaged is not like that.
fn is_torn(offset: usize, record: &[u8; LENGTH]) -> bool {
    const SECTOR: usize = 512;
    /// So many zeros are no coincidence: every record has a hash at its end.
    const LEAST: usize = 8;
    let to_boundary = SECTOR - offset % SECTOR;
    let (before, after) = record.split_at(to_boundary.min(LENGTH));
    let is_empty = |part: &[u8]| part.iter().all(|byte| *byte == 0);
    is_empty(before) && is_empty(after)
        || [before, after].iter().any(|part| part.len() >= LEAST && part.len() < LENGTH && is_empty(part))
}
