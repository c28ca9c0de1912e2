//! A lab: a set of network namespaces that vanish together.
//!
//! What a lab makes carries its id (process id and a number) in its name, and each lab holds a lock on a file
//! of that name. The lock goes when the process does, by whatever cause, so the next lab can tell what a
//! killed run left and remove it.

use std::fs::{self, File, OpenOptions};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};

use crate::LabError;
use crate::command::output;
use crate::conntrack_max;
use crate::error::Doing;
use crate::node::Node;

/// Where the locks are. A memory file system, so that nothing survives a reboot, as the namespaces do not.
pub(crate) const LOCKS: &str = "/run/unmasq-lab";
const PREFIX: &str = "unmasq-lab-";

/// A set of network namespaces, and a folder for scratch files. All of it goes when the last [`Node`] of it
/// is dropped.
///
/// ```no_run
/// let lab = unmasq_lab::Lab::new()?;
/// let (client, gateway) = (lab.node("client")?, lab.node("gateway")?);
/// client.link("wan", &["192.168.101.2/24"], (&gateway, "lan", &["192.168.101.1/24"]))?;
/// client.exec(&["ping", "-c1", "192.168.101.1"])?;
/// # Ok::<(), unmasq_lab::LabError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Lab(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    id: String,
    scratch: PathBuf,
    /// Held, never read.
    _lock: File,
}

impl Lab {
    /// A new lab. Removes what killed runs left.
    pub fn new() -> Result<Self, LabError> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let _turn = take_turn()?;
        clean_stale()?;
        let id = format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let lock = open_lock(&lock_path(&id))?;
        flock(&lock, FlockOperation::LockExclusive)
            .doing(|| format!("locking {}", lock_path(&id).display()))?;
        let scratch = scratch_path(&id);
        fs::create_dir_all(&scratch).doing(|| format!("making {}", scratch.display()))?;
        Ok(Self(Arc::new(Inner { id, scratch, _lock: lock })))
    }

    /// Removes what killed runs left, and nothing of a lab that lives.
    pub fn clean() -> Result<(), LabError> {
        let _turn = take_turn()?;
        clean_stale()
    }

    /// The id that the names of all its namespaces begin with, after `unmasq-lab-`.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// A folder that goes with the lab.
    pub fn scratch(&self) -> &Path {
        &self.0.scratch
    }

    /// A new namespace with its loopback up. `name` is short and unique in this lab.
    pub fn node(&self, name: &str) -> Result<Node, LabError> {
        Node::create(self.clone(), format!("{PREFIX}{}-{name}", self.0.id))
    }

    /// Removes all of it now, although nodes are still held: for a signal handler that exits next.
    pub fn remove(&self) -> Result<(), LabError> {
        remove(&self.0.id)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // A drop cannot report. What it leaves, the next lab removes.
        if let Err(error) = remove(&self.id) {
            eprintln!("unmasq-lab: {error}");
        }
    }
}

fn lock_path(id: &str) -> PathBuf {
    Path::new(LOCKS).join(format!("{id}.lock"))
}

fn scratch_path(id: &str) -> PathBuf {
    std::env::temp_dir().join(format!("{PREFIX}{id}"))
}

/// Opens a lock file, made if missing. The lock itself is not taken.
pub(crate) fn open_lock(path: &Path) -> Result<File, LabError> {
    fs::create_dir_all(LOCKS).doing(|| format!("making {LOCKS} (the lab needs root)"))?;
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(path)
        .doing(|| format!("opening {}", path.display()))
}

/// Labs are made and cleaned one at a time: else one could take another's lock file, made but not yet locked,
/// for stale.
fn take_turn() -> Result<File, LabError> {
    let path = Path::new(LOCKS).join("turn");
    let file = open_lock(&path)?;
    flock(&file, FlockOperation::LockExclusive).doing(|| format!("locking {}", path.display()))?;
    Ok(file)
}

fn clean_stale() -> Result<(), LabError> {
    for entry in fs::read_dir(LOCKS).doing(|| format!("reading {LOCKS}"))? {
        let path = entry.doing(|| format!("reading {LOCKS}"))?.path();
        let (Some(id), Some("lock")) =
            (path.file_stem().and_then(|s| s.to_str()), path.extension().and_then(|e| e.to_str()))
        else {
            continue;
        };
        let Ok(file) = File::open(&path) else { continue };
        if flock(file.as_fd(), FlockOperation::NonBlockingLockExclusive).is_ok() {
            remove(id)?;
        }
    }
    conntrack_max::restore_stale()
}

/// Removes the processes, namespaces, files and at last the lock of a lab.
fn remove(id: &str) -> Result<(), LabError> {
    let prefix = format!("{PREFIX}{id}-");
    for name in namespaces() {
        if !name.starts_with(&prefix) {
            continue;
        }
        // Whatever still runs in a namespace of a lab was started there by the lab's user.
        let pids = output(Command::new("ip").args(["netns", "pids", &name]), "").unwrap_or_default();
        for pid in pids.lines().filter_map(|line| Pid::from_raw(line.trim().parse().ok()?)) {
            if pid != rustix::process::getpid() {
                // It may have ended meanwhile.
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        output(Command::new("ip").args(["netns", "del", &name]), "")?;
    }
    let scratch = scratch_path(id);
    if scratch.exists() {
        fs::remove_dir_all(&scratch).doing(|| format!("removing {}", scratch.display()))?;
    }
    let lock = lock_path(id);
    if lock.exists() {
        fs::remove_file(&lock).doing(|| format!("removing {}", lock.display()))?;
    }
    Ok(())
}

fn namespaces() -> Vec<String> {
    // No folder: no namespace was ever made.
    let Ok(entries) = fs::read_dir("/run/netns") else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect()
}
