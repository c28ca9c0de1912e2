//! The folder of mails that wait: a file each, made whole by renaming; those refused for good in `failed`.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::MailError;
use super::letter::Letter;

/// Where mails go that nobody takes.
const FAILED: &str = "failed";
/// Most files kept there; the oldest go first.
const MOST_FAILED: usize = 1000;
/// How long another holder may take to leave.
const LEAVING: Duration = Duration::from_secs(3);

/// The folder, held by one process at a time.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// The folder itself, locked.
    handle: File,
}

/// A mail found in the folder.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) name: String,
    pub(super) bytes: u64,
    /// Seconds since the Unix epoch.
    pub(super) queued: u64,
}

impl Folder {
    /// Opens it, made if it is not there, and lists the mails that wait, oldest first. Damaged ones are put with the
    /// failed ones, and told.
    pub(super) fn open(path: &Path) -> Result<(Self, Vec<Found>, Vec<String>), MailError> {
        let failed = |doing| move |source| MailError::File { doing, path: path.to_owned(), source };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path.join(FAILED))
            .map_err(failed("making the folder of mails"))?;
        let handle = File::open(path).map_err(failed("opening the folder of mails"))?;
        hold(&handle).map_err(failed("another process sends the mails of"))?;
        let folder = Self { path: path.to_owned(), handle };
        let mut found = Vec::new();
        let mut told = Vec::new();
        for entry in fs::read_dir(path).map_err(failed("reading the folder of mails"))? {
            let entry = entry.map_err(failed("reading the folder of mails"))?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if has_ending(&name, "part") {
                // A crash left it half written; whoever queued it was never told that it was.
                folder.remove(&name).map_err(failed("removing a half-written mail in"))?;
            }
            if !has_ending(&name, "mail") {
                continue;
            }
            match folder.read(&name) {
                Ok((letter, bytes)) => found.push(Found { name, bytes, queued: letter.envelope.queued }),
                Err(error) => {
                    let moved = fs::rename(path.join(&name), path.join(FAILED).join(&name));
                    moved.map_err(failed("putting a damaged mail aside in"))?;
                    told.push(format!("{}: {error}; it was put into {FAILED}/", path.join(&name).display()));
                }
            }
        }
        found.sort_by(|a, b| (a.queued, &a.name).cmp(&(b.queued, &b.name)));
        Ok((folder, found, told))
    }

    /// Writes a mail, so that at any moment there is the whole file or none; gives its size.
    pub(super) fn write(&self, name: &str, letter: &Letter) -> Result<u64, MailError> {
        let bytes = letter.to_file(None);
        put(&self.path.join(name), &bytes)?;
        Ok(bytes.len() as u64)
    }

    /// Writes a mail among the failed ones, with the reason.
    pub(super) fn write_failed(&self, name: &str, letter: &Letter, reason: &str) -> Result<(), MailError> {
        put(&self.path.join(FAILED).join(name), &letter.to_file(Some(reason)))?;
        self.prune();
        Ok(())
    }

    /// Reads a mail; also gives its size.
    pub(super) fn read(&self, name: &str) -> io::Result<(Letter, u64)> {
        let bytes = fs::read(self.path.join(name))?;
        Ok((Letter::from_file(&bytes)?, bytes.len() as u64))
    }

    /// Has a mail outlast a power cut.
    pub(super) fn sync(&self, name: &str) -> io::Result<()> {
        File::open(self.path.join(name))?.sync_data()?;
        self.handle.sync_all()
    }

    /// Removes a mail.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.path.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Keeps the failed ones within their number.
    fn prune(&self) {
        let Ok(entries) = fs::read_dir(self.path.join(FAILED)) else { return };
        let mut files: Vec<_> = entries
            .filter_map(|entry| {
                let entry = entry.ok()?;
                Some((entry.metadata().ok()?.modified().ok()?, entry.path()))
            })
            .collect();
        if files.len() > MOST_FAILED {
            files.sort();
            for (_, path) in &files[..files.len() - MOST_FAILED] {
                // It is tried again with the next one that fails.
                let _ = fs::remove_file(path);
            }
        }
    }
}

/// Locks the folder. Who is leaving may still hold it for a moment, as may a child of ours that is about to become
/// another program.
fn hold(handle: &File) -> io::Result<()> {
    let until = Instant::now() + LEAVING;
    loop {
        match flock(handle, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) if Instant::now() < until => thread::sleep(Duration::from_millis(20)),
            outcome => return Ok(outcome?),
        }
    }
}

fn has_ending(name: &str, ending: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == ending)
}

/// Writes a file aside, then puts it in its place.
fn put(path: &Path, bytes: &[u8]) -> Result<(), MailError> {
    let part = path.with_extension("part");
    let write = || -> io::Result<()> {
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&part)?;
        file.write_all(bytes)?;
        fs::rename(&part, path)
    };
    write().map_err(|source| {
        // Of a full disk, not even the half is kept.
        let _ = fs::remove_file(&part);
        MailError::File { doing: "writing a mail into", path: path.to_owned(), source }
    })
}
