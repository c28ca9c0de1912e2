//! Network namespaces: by name in /run/netns, entered on a thread of their own, never on the caller's.
//!
//! A namespace is a property of a thread, and a socket belongs to the namespace that its thread was in when
//! it was made. So [`Namespace::run`] starts a thread, enters the namespace there, runs the closure and ends
//! the thread: what comes back (a socket, mostly) stays in the namespace, and the caller has not moved.
//!
//! ```no_run
//! use unmasq_netfilter::netns::Namespace;
//!
//! let vpn = Namespace::named("vpn0")?;
//! let settings = vpn.run(|| std::fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_count"))?;
//! # Ok::<(), unmasq_netfilter::Error>(())
//! ```

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::linux::fs::MetadataExt;
use std::panic;
use std::path::PathBuf;
use std::thread;

use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};

use crate::{Error, Result};

/// Where ip-netns(8) mounts the namespaces that have a name.
const DIRECTORY: &str = "/run/netns";

/// `NSFS_MAGIC` of linux/magic.h: a file of this file system is a namespace, any other is a leftover.
const NSFS_MAGIC: u64 = 0x6e73_6673;

/// A network namespace: the process's own, or one with a name in /run/netns.
///
/// Holds no file open, so it does not keep a namespace alive that everyone else has left.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Namespace {
    name: Box<str>,
    /// Device and inode of the nsfs file at the time of opening; `None` for the process's own.
    identity: Option<(u64, u64)>,
}

impl Namespace {
    /// The namespace that the calling thread is in. Its name is empty.
    pub fn current() -> Self {
        Self { name: "".into(), identity: None }
    }

    /// The namespace of that name in /run/netns.
    pub fn named(name: &str) -> Result<Self> {
        let unknown = || Error::NoSuchNamespace { name: name.to_owned() };
        if name.is_empty() || name.contains('/') || name == "." || name == ".." {
            return Err(unknown());
        }
        let identity = identity_of(name).map_err(|_| unknown())?.ok_or_else(unknown)?;
        Ok(Self { name: name.into(), identity: Some(identity) })
    }

    /// All namespaces in /run/netns, by name. Files there that are no namespace are left out.
    pub fn all_named() -> Result<Vec<Self>> {
        let entries = match fs::read_dir(DIRECTORY) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(Error::ListNamespaces)?,
        };
        let mut found = Vec::new();
        for entry in entries {
            let file_name = entry.map_err(Error::ListNamespaces)?.file_name();
            // One that vanishes between listing and opening is simply not there any more.
            if let Some(Ok(namespace)) = file_name.to_str().map(Self::named) {
                found.push(namespace);
            }
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// The name in /run/netns; empty for the process's own.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Is it still the same namespace that has this name? The process's own always exists.
    pub fn still_exists(&self) -> bool {
        self.identity.is_none() || identity_of(&self.name).is_ok_and(|now| now == self.identity)
    }

    /// Runs the closure on a thread of its own inside a new namespace, empty but for a loopback that is down, which goes
    /// when nothing is left in it. Children that the closure starts are in it too: so a ruleset can be loaded and read back
    /// without touching anyone's.
    pub fn scratch<T: Send>(inside: impl FnOnce() -> T + Send) -> Result<T> {
        let made = thread::scope(|scope| {
            let work = || {
                // SAFETY: unsharing the network namespace touches no memory, file table or signal state that other threads
                // share; only `FILES`, which is not among the flags, would make descriptors unsound.
                unsafe { unshare_unsafe(UnshareFlags::NEWNET) }?;
                Ok::<T, rustix::io::Errno>(inside())
            };
            scope.spawn(work).join()
        });
        joined(made).map_err(|errno| Error::MakeNamespace { source: errno.into() })
    }

    /// Runs the closure on a thread of its own inside the namespace.
    pub fn run<T: Send>(&self, inside: impl FnOnce() -> T + Send) -> Result<T> {
        let Some(expected) = self.identity else {
            return Ok(joined(thread::scope(|scope| scope.spawn(inside).join())));
        };
        let file = File::open(path_of(&self.name))
            .map_err(|_| Error::NoSuchNamespace { name: self.name.to_string() })?;
        if !file.metadata().is_ok_and(|m| (m.st_dev(), m.st_ino()) == expected) {
            return Err(Error::NoSuchNamespace { name: self.name.to_string() });
        }
        let entered = thread::scope(|scope| {
            let work = || {
                move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
                Ok::<T, rustix::io::Errno>(inside())
            };
            scope.spawn(work).join()
        });
        joined(entered)
            .map_err(|errno| Error::EnterNamespace { name: self.name.to_string(), source: errno.into() })
    }
}

/// A panic inside the closure goes on in the caller, as if it had been called directly.
fn joined<T>(result: thread::Result<T>) -> T {
    result.unwrap_or_else(|payload| panic::resume_unwind(payload))
}

fn path_of(name: &str) -> PathBuf {
    [DIRECTORY, name].iter().collect()
}

/// Device and inode of the namespace of that name; `None` if the file is no namespace.
fn identity_of(name: &str) -> io::Result<Option<(u64, u64)>> {
    let file = File::open(path_of(name))?;
    let is_namespace = rustix::fs::fstatfs(&file)?.f_type as u64 == NSFS_MAGIC;
    let metadata = file.metadata()?;
    Ok(is_namespace.then(|| (metadata.st_dev(), metadata.st_ino())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_a_path_is_no_namespace() {
        for name in ["", ".", "..", "../../proc/self/ns/net", "no-such-namespace"] {
            assert!(matches!(Namespace::named(name), Err(Error::NoSuchNamespace { .. })), "{name}");
        }
    }

    #[test]
    fn a_scratch_namespace_is_empty_and_the_caller_has_not_moved() {
        let interfaces = || fs::read_to_string("/proc/thread-self/net/dev").unwrap().lines().count();
        let before = interfaces();
        assert_eq!(Namespace::scratch(interfaces).unwrap(), 3, "two lines of titles, and lo");
        assert_eq!(interfaces(), before);
    }

    #[test]
    fn the_own_namespace_runs_what_it_is_given() {
        let own = Namespace::current();
        assert_eq!(own.run(|| 7).ok(), Some(7));
        assert!(own.still_exists());
        assert_eq!(own.name(), "");
    }
}
