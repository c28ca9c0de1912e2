//! A lab: a set of network namespaces that vanish together.
//!
//! What a lab makes carries its id (process id and a number) in its name, and each lab holds a lock on a file
//! of that name. The lock goes when the process does, by whatever cause, so the next lab can tell what a
//! killed run left and remove it.

use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::command::{guarded, output};
use crate::conntrack_max;
use crate::error::Doing;
use crate::lock::{self, LOCKS, LockFile};
use crate::{LabError, Node};

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
    _lock: LockFile,
}

impl Lab {
    /// A new lab. Removes what killed runs left.
    pub fn new() -> Result<Self, LabError> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let _turn = take_turn()?;
        // A lab whose processes are still dying, and write in its folder, is for the next one to remove.
        if let Err(error) = clean_stale() {
            eprintln!("unmasq-lab: {error}");
        }
        let (id, lock) = loop {
            let id = format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
            // A process of another PID namespace can have the same id, and a lab that lives.
            if let Some(lock) = LockFile::try_new(&lock_path(&id))? {
                break (id, lock);
            }
        };
        let scratch = scratch_path(&id);
        // The id is ours alone: what is there is of a killed run whose lock has gone, as with a reboot.
        remove_folder(&scratch)?;
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

    /// A command, killed when the thread that starts it ends, that sees of the namespaces in /run/netns only this lab's: with
    /// other labs beside it, who asks all of them hears of strangers with the same addresses.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        // In a mount namespace of its own, so that nothing of this is left.
        const ALONE: &str = "mkdir -p \"$1\" && mount -t tmpfs none \"$1\" && \
            for n in /run/netns/\"$2\"*; do if [ -e \"$n\" ]; then \
            : > \"$1/${n##*/}\" && mount --bind \"$n\" \"$1/${n##*/}\" || exit 125; fi; done; \
            mount --rbind \"$1\" /run/netns && shift 2 && exec \"$@\"";
        let mut command = guarded("unshare");
        command.args(["--mount", "sh", "-c", ALONE, "sh"]).arg(self.scratch().join("netns"));
        command.arg(format!("{PREFIX}{}-", self.0.id)).arg(program);
        command
    }

    /// Removes the lab and ends the process on SIGINT, SIGTERM and SIGHUP, although nodes are still held: for a demo that people
    /// interrupt. Children end with it.
    pub fn remove_when_interrupted(&self) -> Result<(), LabError> {
        let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM]).doing(|| "handling signals".to_owned())?;
        let id = self.id().to_owned();
        thread::spawn(move || {
            if let Some(signal) = signals.forever().next() {
                if let Err(error) = remove(&id) {
                    eprintln!("unmasq-lab: {error}");
                }
                std::process::exit(128 + signal);
            }
        });
        Ok(())
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

/// Labs are made and cleaned one at a time: else one could take another's lock file, made but not yet locked,
/// for stale.
fn take_turn() -> Result<LockFile, LabError> {
    LockFile::wait(&Path::new(LOCKS).join("turn"))
}

/// Removes all that it can, and says what it could not first.
fn clean_stale() -> Result<(), LabError> {
    let mut outcome = Ok(());
    for entry in fs::read_dir(LOCKS).doing(|| format!("reading {LOCKS}"))? {
        let path = entry.doing(|| format!("reading {LOCKS}"))?.path();
        let is_lab = path.extension().is_some_and(|extension| extension == "lock");
        let Some(id) = path.file_stem().and_then(|stem| stem.to_str()).filter(|_| is_lab) else { continue };
        if let Some(mut lock) = LockFile::take_over(&path) {
            // Should removing fail, the lock must tell the next one to try again.
            lock.leave();
            outcome = outcome.and(remove(id));
        }
    }
    outcome.and(conntrack_max::restore_stale())
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
    remove_folder(&scratch_path(id))?;
    lock::remove(&lock_path(id));
    Ok(())
}

fn remove_folder(folder: &Path) -> Result<(), LabError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).doing(|| format!("removing {}", folder.display()))
        }
        _ => Ok(()),
    }
}

fn namespaces() -> Vec<String> {
    // No folder: no namespace was ever made.
    let Ok(entries) = fs::read_dir("/run/netns") else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect()
}
