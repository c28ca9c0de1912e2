//! Lock files that die with their process and leave nothing when let go.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::LabError;
use crate::error::Doing;

/// Where the lab's locks are. A memory file system, so that nothing survives a reboot, as the namespaces do
/// not.
pub(crate) const LOCKS: &str = "/run/unmasq-lab";

/// What becomes of a lock whose file is not there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum IfMissing {
    Make,
    Fail,
}

/// A file that this process has locked. Dropped, it is removed and unlocked; the kernel unlocks it when the
/// process dies by any cause, and then the file stays to tell of it.
#[derive(Debug)]
pub(crate) struct LockFile {
    pub(crate) file: File,
    path: PathBuf,
    stays: bool,
}

impl LockFile {
    /// Waits for the lock on a file, made if missing.
    pub(crate) fn wait(path: &Path) -> Result<Self, LabError> {
        let locked = Self::lock(path, IfMissing::Make, FlockOperation::LockExclusive);
        locked.doing(|| format!("locking {} (the lab needs root)", path.display()))
    }

    /// Locks a file, made if missing, if nobody else has it.
    pub(crate) fn try_new(path: &Path) -> Result<Option<Self>, LabError> {
        match Self::lock(path, IfMissing::Make, FlockOperation::NonBlockingLockExclusive) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            other => other.map(Some).doing(|| format!("locking {} (the lab needs root)", path.display())),
        }
    }

    /// Locks a file if it exists and nobody else has it. A file whose holder removes it meanwhile is not made anew: who looks
    /// whether it has gone would find it again.
    pub(crate) fn take_over(path: &Path) -> Option<Self> {
        Self::lock(path, IfMissing::Fail, FlockOperation::NonBlockingLockExclusive).ok()
    }

    fn lock(path: &Path, if_missing: IfMissing, how: FlockOperation) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).truncate(false).create(if_missing == IfMissing::Make);
        loop {
            if let Some(folder) = path.parent().filter(|_| if_missing == IfMissing::Make) {
                fs::create_dir_all(folder)?;
            }
            let file = match options.open(path) {
                Ok(file) => file,
                // The last holder removed the folder just now.
                Err(error) if error.kind() == io::ErrorKind::NotFound && if_missing == IfMissing::Make => {
                    continue;
                }
                Err(error) => return Err(error),
            };
            flock(&file, how)?;
            // A holder removes the file before letting go: who waited for it may have locked what no longer
            // has a name.
            let named = fs::metadata(path).map(|m| (m.dev(), m.ino())).ok();
            let locked = file.metadata()?;
            if named == Some((locked.dev(), locked.ino())) {
                return Ok(Self { file, path: path.to_owned(), stays: false });
            }
        }
    }

    /// Leaves the file when dropped, as if the process had been killed.
    pub(crate) fn leave(&mut self) {
        self.stays = true;
    }

    /// Takes back [`LockFile::leave`].
    pub(crate) fn remove_on_drop(&mut self) {
        self.stays = false;
    }
}

impl Drop for LockFile {
    fn drop(&mut self) {
        if !self.stays {
            remove(&self.path);
        }
    }
}

/// Removes a lock file, and the folder with the last of them.
pub(crate) fn remove(path: &Path) {
    // Whatever else is wrong will be said by the next to lock it.
    let _ = fs::remove_file(path);
    if let Some(folder) = path.parent().filter(|folder| *folder == Path::new(LOCKS)) {
        let _ = fs::remove_dir(folder);
    }
}
