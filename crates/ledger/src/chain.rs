//! The chain: every run, merge and pruning of a stream in order, each line with the hash of the one before.
//!
//! ```text
//! chain := line*
//! line  := number " " last-run-number " " millis " " what " " hash LF     hash = SHA-256(hash before || line up to it)
//! what  := "run " path " " sha256 | "merge " path " " sha256 " from " number ("," number)*
//!        | "prune " hour " " run-count " " reason
//! ```
//!
//! Whoever keeps the last hash (the *head*) somewhere else can later tell whether anything before it was changed. The
//! order is that of sealing, not of hours. A last line that was cut short by a power cut is dropped and written anew.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use unmasq_flow::Timestamp;

use crate::storage::{Appender, Storage};
use crate::{LedgerError, layout};

/// A SHA-256.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Hash(pub [u8; 32]);

impl std::fmt::Display for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::str::FromStr for Hash {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = || format!("{text:?} is not a chain's hash: 64 hex digits");
        if text.len() != 64 || !text.is_ascii() {
            return Err(refused());
        }
        let mut hash = [0; 32];
        for (byte, pair) in hash.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| refused())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| refused())?;
        }
        Ok(Self(hash))
    }
}

/// What an entry records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// A journal's flows of an hour became a run.
    Run { hour: i64, number: u64, hash: Hash },
    /// Runs of an hour became one.
    Merge { hour: i64, number: u64, hash: Hash, inputs: Vec<u64> },
    /// An hour was removed.
    Prune { hour: i64, runs: u64, reason: String },
}

/// An entry of the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Counts from 1.
    pub(crate) number: u64,
    /// The highest number that a run had until then.
    pub(crate) last_run: u64,
    /// The writer's clock, in milliseconds since the Unix epoch.
    pub(crate) at: Timestamp,
    pub(crate) what: What,
    /// Over this entry and the hash before.
    pub(crate) hash: Hash,
}

fn hour_text(hour: i64) -> String {
    layout::hour_name(hour)
}

fn parse_hour(text: &str) -> Option<i64> {
    let numbers: Vec<i64> = text.split('/').map(str::parse).collect::<Result<_, _>>().ok()?;
    let [year, month, day, hour] = numbers[..] else { return None };
    layout::hour_number(year, month, day, hour)
}

impl Entry {
    fn body(&self) -> String {
        let run = |hour: i64, number: u64| format!("{}/{number:06}.run", hour_text(hour));
        let what = match &self.what {
            What::Run { hour, number, hash } => format!("run {} {hash}", run(*hour, *number)),
            What::Merge { hour, number, hash, inputs } => {
                let inputs: Vec<String> = inputs.iter().map(u64::to_string).collect();
                format!("merge {} {hash} from {}", run(*hour, *number), inputs.join(","))
            }
            What::Prune { hour, runs, reason } => format!("prune {} {runs} {reason}", hour_text(*hour)),
        };
        format!("{} {} {} {what}", self.number, self.last_run, self.at.as_millis())
    }

    fn seal(mut self, before: Hash) -> Self {
        self.hash = hash_of(before, &self.body());
        self
    }

    fn line(&self) -> String {
        format!("{} {}\n", self.body(), self.hash)
    }

    /// A line without its line feed; the hash is not compared.
    fn parse(line: &str) -> Option<Self> {
        let (body, hash) = line.rsplit_once(' ')?;
        let mut words = body.splitn(5, ' ');
        let mut number = || words.next()?.parse().ok();
        let (number, last_run) = (number()?, number()?);
        let at = Timestamp::from_millis(words.next()?.parse().ok()?);
        let (kind, rest) = (words.next()?, words.next()?);
        let run = |path: &str| {
            let (hour, name) = path.rsplit_once('/')?;
            Some((parse_hour(hour)?, name.strip_suffix(".run")?.parse().ok()?))
        };
        let mut rest = rest.splitn(if kind == "prune" { 3 } else { 4 }, ' ');
        let what = match kind {
            "run" => {
                let (hour, number) = run(rest.next()?)?;
                What::Run { hour, number, hash: rest.next()?.parse().ok()? }
            }
            "merge" => {
                let (hour, number) = run(rest.next()?)?;
                let hash = rest.next()?.parse().ok()?;
                let inputs = (rest.next()? == "from").then(|| rest.next())??;
                let inputs = inputs.split(',').map(str::parse).collect::<Result<_, _>>().ok()?;
                What::Merge { hour, number, hash, inputs }
            }
            "prune" => What::Prune {
                hour: parse_hour(rest.next()?)?,
                runs: rest.next()?.parse().ok()?,
                reason: rest.next()?.to_owned(),
            },
            _ => return None,
        };
        Some(Self { number, last_run, at, what, hash: hash.parse().ok()? })
    }
}

fn hash_of(before: Hash, body: &str) -> Hash {
    Hash(Sha256::new().chain_update(before.0).chain_update(body).finalize().into())
}

/// What is wrong with a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    /// Counted from 1.
    pub(crate) line: u64,
    pub(crate) what: String,
}

/// Gives every entry of a chain in order, with what is wrong with it. A last line without its line feed is being
/// written, or was cut short: it is not given.
pub(crate) fn read(path: &Path, each: &mut dyn FnMut(Entry)) -> Result<Vec<Broken>, LedgerError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(LedgerError::io("read", path)(error)),
    };
    let mut broken = Vec::new();
    let mut before = Hash::default();
    let mut number = 0;
    for (line, count) in text.split_inclusive(|b| *b == b'\n').zip(1..) {
        let Some(line) = line.strip_suffix(b"\n") else { break };
        let mut refuse = |what: String| broken.push(Broken { line: count, what });
        let Some(entry) = std::str::from_utf8(line).ok().and_then(Entry::parse) else {
            refuse("does not parse".to_owned());
            continue;
        };
        if entry.number != number + 1 {
            refuse(format!("has number {} where {} was due: lines are missing", entry.number, number + 1));
        } else if entry.hash != hash_of(before, &entry.body()) {
            refuse("has a hash that does not fit it and the line before: one of them was changed".to_owned());
        }
        number = entry.number;
        before = entry.hash;
        each(entry);
    }
    Ok(broken)
}

/// The chain of a stream, being written.
#[derive(Debug)]
pub(crate) struct Chain {
    storage: Arc<dyn Storage>,
    path: PathBuf,
    file: Arc<dyn Appender>,
    head: Hash,
    number: u64,
    last_run: u64,
    length: u64,
    /// The last entry that was there when it was opened.
    last: Option<Entry>,
}

impl Chain {
    /// Opens it, cut back to its last whole line. Only the last lines are read: [`read`] checks all.
    pub(crate) fn open(storage: Arc<dyn Storage>, stream: &Path) -> Result<Self, LedgerError> {
        let path = stream.join(layout::CHAIN);
        let length = match fs::metadata(&path) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                layout::replace(&*storage, &path, b"")?;
                0
            }
            Err(error) => return Err(LedgerError::io("open", &path)(error)),
        };
        let (whole, last) = last_entry(&path, length)?;
        if whole < length {
            storage.truncate(&path, whole).map_err(LedgerError::io("truncate", &path))?;
        }
        let file = storage.append(&path).map_err(LedgerError::io("open", &path))?;
        Ok(Self {
            storage,
            path,
            file,
            head: last.as_ref().map_or(Hash::default(), |entry| entry.hash),
            number: last.as_ref().map_or(0, |entry| entry.number),
            last_run: last.as_ref().map_or(0, |entry| entry.last_run),
            length: whole,
            last,
        })
    }

    /// The last entry that was there when the chain was opened.
    pub(crate) fn last(&self) -> Option<&Entry> {
        self.last.as_ref()
    }

    /// The hash of the last entry.
    pub(crate) fn head(&self) -> Hash {
        self.head
    }

    /// The number that the next run is to have.
    pub(crate) fn next_run(&self) -> u64 {
        self.last_run + 1
    }

    /// Adds an entry, and returns when it is on the disk. After an error nothing was added.
    pub(crate) fn add(&mut self, at: Timestamp, what: What) -> Result<(), LedgerError> {
        let last_run = match &what {
            What::Run { number, .. } | What::Merge { number, .. } => self.last_run.max(*number),
            What::Prune { .. } => self.last_run,
        };
        let number = self.number + 1;
        let entry = Entry { number, last_run, at, what, hash: Hash::default() }.seal(self.head);
        let line = entry.line();
        if let Err(error) = self.file.write_all(line.as_bytes()).and_then(|()| self.file.sync()) {
            // What was written of it must not stay: the next entry would stand behind half a line.
            let _ = self.storage.truncate(&self.path, self.length);
            return Err(LedgerError::io("write", &self.path)(error));
        }
        self.length += line.len() as u64;
        (self.head, self.number, self.last_run) = (entry.hash, number, last_run);
        Ok(())
    }
}

/// Where the whole lines end, and the last of them.
fn last_entry(path: &Path, length: u64) -> Result<(u64, Option<Entry>), LedgerError> {
    let mut file = File::open(path).map_err(LedgerError::io("open", path))?;
    let mut size = 64 << 10;
    loop {
        let from = length.saturating_sub(size);
        let mut tail = Vec::new();
        file.seek(SeekFrom::Start(from))
            .and_then(|_| Read::by_ref(&mut file).take(length - from).read_to_end(&mut tail))
            .map_err(LedgerError::io("read", path))?;
        let mut end = tail.len();
        // From the back to the first line that parses: what a power cut leaves need not end in the middle of a line.
        while let Some(feed) = tail[..end].iter().rposition(|b| *b == b'\n') {
            let start = tail[..feed].iter().rposition(|b| *b == b'\n').map(|p| p + 1);
            let Some(start) = start.or((from == 0).then_some(0)) else { break };
            if let Some(entry) = std::str::from_utf8(&tail[start..feed]).ok().and_then(Entry::parse) {
                return Ok((from + feed as u64 + 1, Some(entry)));
            }
            end = start;
        }
        if from == 0 {
            return Ok((0, None));
        }
        size *= 8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Disk;

    fn entries() -> Vec<What> {
        vec![
            What::Run { hour: 498_680, number: 1, hash: Hash([1; 32]) },
            What::Run { hour: 498_680, number: 2, hash: Hash([2; 32]) },
            What::Merge { hour: 498_680, number: 3, hash: Hash([3; 32]), inputs: vec![1, 2] },
            What::Prune { hour: 498_680, runs: 1, reason: "older than 180 days".to_owned() },
        ]
    }

    fn chain(path: &Path) -> Chain {
        Chain::open(Arc::new(Disk), path).unwrap()
    }

    fn add_all(path: &Path) {
        let mut chain = chain(path);
        for what in entries() {
            chain.add(Timestamp::from_seconds(1), what).unwrap();
        }
    }

    fn list(path: &Path) -> (Vec<What>, Vec<Broken>) {
        let mut found = Vec::new();
        let broken = read(&path.join(layout::CHAIN), &mut |entry| found.push(entry.what)).unwrap();
        (found, broken)
    }

    #[test]
    fn entries_read_back_and_a_reopened_chain_goes_on() {
        let directory = tempfile::tempdir().unwrap();
        for what in entries() {
            chain(directory.path()).add(Timestamp::from_seconds(1), what).unwrap();
        }
        assert_eq!(list(directory.path()), (entries(), vec![]));
        assert_eq!(chain(directory.path()).next_run(), 4);
        let head = chain(directory.path()).head();
        assert_eq!(head.to_string().parse(), Ok(head));
    }

    #[test]
    fn every_cut_leaves_the_whole_lines_and_can_be_continued() {
        let directory = tempfile::tempdir().unwrap();
        add_all(directory.path());
        let path = directory.path().join(layout::CHAIN);
        let whole = fs::read(&path).unwrap();
        for cut in 0..=whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            let lines = whole[..cut].split(|b| *b == b'\n').count() - 1;
            let mut chain = chain(directory.path());
            assert_eq!(chain.last().map(|e| e.what.clone()), entries()[..lines].last().cloned());
            chain.add(Timestamp::from_seconds(2), entries()[0].clone()).unwrap();
            let (found, broken) = list(directory.path());
            assert_eq!((found.len(), broken), (lines + 1, vec![]));
        }
    }

    #[test]
    fn a_changed_or_missing_line_is_found() {
        let directory = tempfile::tempdir().unwrap();
        add_all(directory.path());
        let path = directory.path().join(layout::CHAIN);
        let whole = fs::read_to_string(&path).unwrap();
        fs::write(&path, whole.replacen("000002.run 02", "000002.run 12", 1)).unwrap();
        assert_eq!(list(directory.path()).1.iter().map(|b| b.line).collect::<Vec<_>>(), [2]);
        let without: Vec<&str> =
            whole.split_inclusive('\n').enumerate().filter(|l| l.0 != 1).map(|l| l.1).collect();
        fs::write(&path, without.concat()).unwrap();
        assert_eq!(list(directory.path()).1.iter().map(|b| b.line).collect::<Vec<_>>(), [2]);
    }
}
