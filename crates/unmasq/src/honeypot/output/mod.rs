//! Where notes go: files, the system's log, a set of the kernel's.

mod eve;
mod file;
mod line;
mod set;

use std::path::PathBuf;

use anyhow::Context;
use unmasq_ssh::Identification;
use unmasq_watch::journal_log::{Level, Log, Record};

pub(super) use file::File;
pub(crate) use line::Style;
pub(super) use line::{Client, Origin};
pub(super) use set::Set;

use super::note::{News, Note};
use crate::config::HoneypotOutputs as Outputs;
use crate::privileges::Account;

/// How the log knows us.
const IDENTIFIER: &str = "unmasq-honeypot";

/// The files, opened before privileges are dropped.
#[derive(Debug)]
pub(super) struct Files {
    json: Option<File>,
    eve: Option<File>,
}

impl Files {
    pub(super) fn open(outputs: &Outputs, account: Option<&Account>) -> anyhow::Result<Self> {
        let open = |path: &Option<PathBuf>| {
            let Some(path) = path else { return Ok(None) };
            File::open(path, outputs.file_size, outputs.files, account)
                .map(Some)
                .with_context(|| format!("cannot write to {}", path.display()))
        };
        Ok(Self { json: open(&outputs.json)?, eve: open(&outputs.eve)? })
    }

    /// The folders in which files are put aside and begun anew.
    pub(super) fn folders(&self) -> Vec<PathBuf> {
        [&self.json, &self.eve].into_iter().flatten().filter_map(File::folder).collect()
    }
}

/// The system's log, if it is wanted.
pub(super) fn log(outputs: &Outputs) -> Option<Log> {
    outputs.log.as_ref().map(|target| Log::open(IDENTIFIER, target))
}

/// All places at once.
pub(super) struct Outlets {
    pub(super) files: Files,
    pub(super) log: Option<Log>,
    pub(super) set: Option<Set>,
    /// With it, passwords are hashed.
    pub(super) secret: Option<ring::hmac::Key>,
    pub(super) style: Style,
    /// What the honeypot says that it is.
    pub(super) server: Identification,
}

/// What became of a batch of lines.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Written {
    pub(super) lines: u64,
    pub(super) lost: u64,
}

impl Outlets {
    /// Adds a note to what [`Outlets::flush`] writes.
    pub(super) fn add(&mut self, note: &Note, client: &Client) {
        let origin = Origin { note, client, secret: self.secret.as_ref() };
        if let Some(json) = &mut self.files.json
            && let Some(record) = origin.record(self.style)
        {
            json.add(&record);
        }
        if let Some(eve) = &mut self.files.eve
            && let Some(event) = eve::event(&origin, &self.server)
        {
            eve.add(event.as_bytes());
        }
        if let News::Attempt { .. } = &note.news {
            if let Some(log) = &mut self.log
                && let Some(message) = origin.message()
            {
                let message = message.as_bytes();
                log.write(&Record { level: Level::Info, message, chain: None, step: None, again: false });
            }
            if let Some(set) = &mut self.set {
                if client.address() != note.opened.source() {
                    set.note_masking(note.opened.source());
                }
                set.add(client.address());
            }
        }
    }

    /// Writes what was added.
    pub(super) fn flush(&mut self) -> Written {
        if let Some(log) = &mut self.log {
            log.flush();
        }
        let mut written = Written::default();
        for file in [&mut self.files.json, &mut self.files.eve].into_iter().flatten() {
            let (lines, outcome) = file.flush();
            match outcome {
                Ok(()) => written.lines += lines,
                Err(trouble) => {
                    written.lost += lines;
                    if let Some(trouble) = trouble {
                        eprintln!("unmasq: {trouble}");
                    }
                }
            }
        }
        written
    }

    /// Opens the files anew: somebody has put them aside.
    pub(super) fn reopen(&mut self) {
        for file in [&mut self.files.json, &mut self.files.eve].into_iter().flatten() {
            if let Err(error) = file.reopen() {
                eprintln!("unmasq: cannot open {} anew: {error}", file.path().display());
            }
        }
    }
}
