//! What a stream has taken of which logs: a file `imports.json` beside the stream's own.
//!
//! It makes an import repeatable: a log that was taken wholly adds nothing, one that has grown adds its rest, and one that
//! begins the same but differs within is refused. The file is written last, so an import that was interrupted is done again,
//! and the ledger drops the rows that come twice.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

use super::source::{Extent, Source};

const FILE: &str = "imports.json";

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Known {
    logs: Vec<Log>,
    #[serde(skip)]
    path: PathBuf,
}

/// One log that was imported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Log {
    /// Hash of format, zone, year and first line: what makes it this log.
    pub(super) head: String,
    /// The files it was read from the last time.
    pub(super) files: Vec<PathBuf>,
    /// Decompressed bytes up to and with the last line feed, and their SHA-256.
    pub(super) whole_lines: u64,
    pub(super) whole_lines_sha256: String,
    /// Decompressed bytes in all, and their SHA-256.
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

/// How a log stands to what the stream has.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Not seen before.
    New,
    /// Taken wholly.
    Same,
    /// Taken up to this many bytes.
    Grown(u64),
}

impl Known {
    /// What the stream has taken; nothing if there is no such stream yet.
    pub(super) fn open(stream: &Path) -> anyhow::Result<Self> {
        let path = stream.join(FILE);
        match fs::read_to_string(&path) {
            Ok(text) => {
                let known: Self = serde_json::from_str(&text).with_context(|| {
                    format!(
                        "{} is damaged; give --stream NAME to import the log into another stream",
                        path.display()
                    )
                })?;
                Ok(Self { path, ..known })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self { path, logs: Vec::new() }),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// Compares a log with what was taken of it.
    pub(super) fn standing(&self, head: &str, source: &Source) -> anyhow::Result<Standing> {
        let Some(log) = self.logs.iter().find(|log| log.head == head) else { return Ok(Standing::New) };
        let (now, at_whole_lines) = source.extent(log.whole_lines)?;
        if now.hash == log.sha256 {
            return Ok(Standing::Same);
        }
        if at_whole_lines.as_deref() == Some(&log.whole_lines_sha256) {
            return Ok(Standing::Grown(log.whole_lines));
        }
        bail!(
            "this log begins like one that was imported already ({}) but differs within its first {} bytes; give --stream NAME \
             to import it into a stream of its own",
            log.files.iter().map(|f| f.display().to_string()).collect::<Vec<_>>().join(", "),
            log.whole_lines
        )
    }

    /// Notes what was taken, durably.
    pub(super) fn note(&mut self, head: &str, files: &[PathBuf], extent: Extent) -> anyhow::Result<()> {
        let Extent { whole_lines, whole_lines_hash, bytes, hash } = extent;
        let log = Log {
            head: head.to_owned(),
            files: files.to_vec(),
            whole_lines,
            whole_lines_sha256: whole_lines_hash,
            bytes,
            sha256: hash,
        };
        match self.logs.iter_mut().find(|known| known.head == head) {
            Some(known) => *known = log,
            None => self.logs.push(log),
        }
        let text = serde_json::to_string_pretty(self)?;
        let unfinished = self.path.with_extension("new");
        let written = fs::File::create(&unfinished).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&unfinished, &self.path)
        });
        written.with_context(|| format!("cannot write {}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_new_then_the_same_then_grown_then_refused() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let paths = [log.clone()];
        let standing = || {
            let source = Source::new(&paths).unwrap();
            Known::open(folder.path()).unwrap().standing("head", &source)
        };
        let note = || {
            let (extent, _) = Source::new(&paths).unwrap().extent(0).unwrap();
            Known::open(folder.path()).unwrap().note("head", &paths, extent).unwrap();
        };
        fs::write(&log, "one\ntw").unwrap();
        assert_eq!(standing().unwrap(), Standing::New);
        note();
        assert_eq!(standing().unwrap(), Standing::Same);
        fs::write(&log, "one\ntwo\nthree\n").unwrap();
        assert_eq!(standing().unwrap(), Standing::Grown(4), "the line that was cut off is read again");
        note();
        assert_eq!(standing().unwrap(), Standing::Same);
        fs::write(&log, "one\n").unwrap();
        assert!(standing().unwrap_err().to_string().contains("--stream"), "it has shrunk");
    }
}
