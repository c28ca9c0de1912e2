//! What is only true until the machine restarts: what was loaded last, a test under way, and the lock that lets one process at a
//! time change rules.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::{FdFlags, fcntl_setfd};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use unmasq_flow::Timestamp;

use crate::RulesError;
use crate::live::State;
use crate::store::{remove, replace};

/// How long one waits for another to be done.
const PATIENCE: Duration = Duration::from_secs(10);

/// So much later than a process its socket is closed.
const AFTER_A_KILL: Duration = Duration::from_secs(1);

/// The folder of what is only true until the machine restarts, `/run/unmasq/rules`.
#[derive(Clone, Debug)]
pub struct Run {
    directory: PathBuf,
}

/// The right to change rules. Goes with the process that has it, and the programs that it has started.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Something that is true of one kernel's rules.
#[derive(Serialize, Deserialize)]
struct Here<T> {
    /// `/proc/sys/kernel/random/boot_id`: a folder that outlives a restart by mistake says nothing about this kernel.
    boot: String,
    /// The inode of the network namespace: rules of one are not put back in another.
    namespace: u64,
    what: T,
}

impl Run {
    /// The folder, which need not be there yet.
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// Where it is.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The socket of the process that has a test under way.
    pub fn socket(&self) -> PathBuf {
        self.directory.join("test.sock")
    }

    /// Waits for the right to change rules.
    ///
    /// # Errors
    /// [`RulesError::Busy`] if another has it for long: a test that nobody has answered yet.
    pub fn lock(&self) -> Result<Lock, RulesError> {
        let asked = Instant::now();
        loop {
            match self.try_lock()? {
                Some(lock) => return Ok(lock),
                // A test lasts longer than anyone waits. One that was just killed leaves its socket, and its lock when the programs
                // that it has started are done.
                None if asked.elapsed() > PATIENCE
                    || (asked.elapsed() > AFTER_A_KILL && self.is_answered()) =>
                {
                    return Err(RulesError::Busy { path: self.lock_path() });
                }
                None => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    /// Does somebody listen at the socket of a test?
    fn is_answered(&self) -> bool {
        UnixStream::connect(self.socket()).is_ok()
    }

    /// Takes the right to change rules, if nobody has it.
    pub fn try_lock(&self) -> Result<Option<Lock>, RulesError> {
        fs::create_dir_all(&self.directory).map_err(RulesError::io("make", &self.directory))?;
        let path = self.lock_path();
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&path)
            .map_err(RulesError::io("open", &path))?;
        // nft and iptables inherit it: killed while one of them is at work, we leave the lock to it until it is done, so that nobody
        // mends what is still being changed.
        fcntl_setfd(&file, FdFlags::empty()).map_err(|errno| RulesError::io("share", &path)(errno.into()))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Lock { _file: file })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(RulesError::io("lock", &path)(errno.into())),
        }
    }

    fn lock_path(&self) -> PathBuf {
        self.directory.join("lock")
    }

    /// What is a ruleset's own of what is loaded, if it was loaded since the machine started: what it makes in an empty kernel.
    /// The rest is others'.
    pub fn loaded(&self, name: &str) -> Result<Option<State>, RulesError> {
        Self::read(&self.loaded_path(name))
    }

    /// Writes it down, now that it has been loaded.
    pub(crate) fn set_loaded(&self, name: &str, state: &State) -> Result<(), RulesError> {
        self.write(&self.loaded_path(name), state)
    }

    pub(crate) fn forget_loaded(&self, name: &str) -> Result<(), RulesError> {
        remove(&self.loaded_path(name))
    }

    fn loaded_path(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.loaded"))
    }

    /// Notes how the last test went, for whoever was cut off by it.
    pub fn note_last(&self, what: &str) -> Result<(), RulesError> {
        self.write(&self.last_path(), &(Timestamp::now().as_nanos(), what))
    }

    /// How the last test went, and when.
    pub fn last(&self) -> Result<Option<(Timestamp, String)>, RulesError> {
        let last: Option<(i64, String)> = Self::read(&self.last_path())?;
        Ok(last.map(|(at, what)| (Timestamp::from_nanos(at), what)))
    }

    fn last_path(&self) -> PathBuf {
        self.directory.join("last")
    }

    /// Is a test under way, or left by a kill? Also one of another network namespace.
    pub fn has_trial(&self) -> bool {
        self.trial_path().exists()
    }

    pub(crate) fn forget_trial(&self) -> Result<(), RulesError> {
        remove(&self.trial_path())
    }

    pub(crate) fn trial_path(&self) -> PathBuf {
        self.directory.join("test.json")
    }

    pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, RulesError> {
        let text = match fs::read(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(RulesError::io("read", path))?,
        };
        let damaged =
            |error: serde_json::Error| RulesError::Damaged { path: path.to_owned(), what: error.to_string() };
        let kept: Here<T> = serde_json::from_slice(&text).map_err(damaged)?;
        Ok((kept.boot == boot_id()? && kept.namespace == namespace()?).then_some(kept.what))
    }

    pub(crate) fn write<T: Serialize>(&self, path: &Path, what: &T) -> Result<(), RulesError> {
        fs::create_dir_all(&self.directory).map_err(RulesError::io("make", &self.directory))?;
        let damaged =
            |error: serde_json::Error| RulesError::Damaged { path: path.to_owned(), what: error.to_string() };
        let text =
            serde_json::to_vec(&Here { boot: boot_id()?, namespace: namespace()?, what }).map_err(damaged)?;
        replace(path, &text)
    }
}

fn namespace() -> Result<u64, RulesError> {
    let path = Path::new("/proc/thread-self/ns/net");
    Ok(fs::metadata(path).map_err(RulesError::io("look at", path))?.ino())
}

fn boot_id() -> Result<String, RulesError> {
    let path = Path::new("/proc/sys/kernel/random/boot_id");
    Ok(fs::read_to_string(path).map_err(RulesError::io("read", path))?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use unmasq_netfilter::netns::Namespace;

    use super::*;

    #[test]
    fn what_is_true_of_one_namespace_is_not_of_another() {
        let folder = tempfile::tempdir().unwrap();
        let run = Run::new(folder.path());
        let path = folder.path().join("what");
        run.write(&path, &7).unwrap();
        assert_eq!(Run::read::<u32>(&path).unwrap(), Some(7));
        assert_eq!(Namespace::scratch(|| Run::read::<u32>(&path).unwrap()).unwrap(), None);
        let other_boot = fs::read_to_string(&path).unwrap().replace(&boot_id().unwrap(), "another");
        fs::write(&path, other_boot).unwrap();
        assert_eq!(Run::read::<u32>(&path).unwrap(), None);
    }

    #[test]
    fn one_at_a_time_has_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let run = Run::new(folder.path());
        let lock = run.try_lock().unwrap();
        assert!(lock.is_some() && run.try_lock().unwrap().is_none());
        drop(lock);
        assert!(run.try_lock().unwrap().is_some());
    }

    #[test]
    fn the_socket_of_a_killed_test_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let run = Run::new(folder.path());
        assert!(!run.is_answered());
        let listener = std::os::unix::net::UnixListener::bind(run.socket()).unwrap();
        assert!(run.is_answered());
        drop(listener);
        assert!(run.socket().exists() && !run.is_answered());
    }
}
