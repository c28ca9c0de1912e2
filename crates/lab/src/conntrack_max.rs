//! The host's `nf_conntrack_max`, raised for a while.
//!
//! Inside a namespace the setting is read-only and shows the host's value, so a test with a million flows has
//! to raise it for the whole machine. One holder at a time; the former value is on disk while it is raised,
//! so that it can be put back even after the holder was killed.

use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use crate::LabError;
use crate::error::Doing;
use crate::lock::{LOCKS, LockFile};

const SETTING: &str = "/proc/sys/net/netfilter/nf_conntrack_max";

/// The host's `nf_conntrack_max` is at least what was asked for while this lives.
#[derive(Debug)]
pub struct ConntrackMax {
    lock: LockFile,
    setting: PathBuf,
}

impl ConntrackMax {
    /// Waits until no other process holds it raised, then raises it to at least `entries`. Never lowers it.
    ///
    /// Call it outside of namespaces.
    pub fn raise(entries: u64) -> Result<Self, LabError> {
        Self::raise_at(Path::new(SETTING), &record_path(), entries)
    }

    fn raise_at(setting: &Path, record: &Path, entries: u64) -> Result<Self, LabError> {
        let mut lock = LockFile::wait(record)?;
        // Until it is put back, the record must outlive this process.
        lock.leave();
        restore(&mut lock.file, setting)?;
        let before = fs::read_to_string(setting).doing(|| format!("reading {}", setting.display()))?;
        if before.trim().parse::<u64>().is_ok_and(|now| now < entries) {
            (lock.file.write_all(before.trim().as_bytes()))
                .and_then(|()| lock.file.sync_all())
                .doing(|| format!("writing {}", record.display()))?;
            fs::write(setting, entries.to_string()).doing(|| format!("writing {}", setting.display()))?;
        }
        Ok(Self { lock, setting: setting.to_owned() })
    }
}

impl Drop for ConntrackMax {
    fn drop(&mut self) {
        match restore(&mut self.lock.file, &self.setting) {
            Ok(()) => self.lock.remove_on_drop(),
            // A drop cannot report. The record stays, and the next lab tries again.
            Err(error) => eprintln!("unmasq-lab: {error}"),
        }
    }
}

fn record_path() -> PathBuf {
    Path::new(LOCKS).join("conntrack-max")
}

/// Puts back what a killed holder raised. Does nothing while a living one holds it.
pub(crate) fn restore_stale() -> Result<(), LabError> {
    let Some(mut lock) = LockFile::take_over(&record_path()) else { return Ok(()) };
    lock.leave();
    restore(&mut lock.file, Path::new(SETTING))?;
    lock.remove_on_drop();
    Ok(())
}

/// Writes the recorded value back, if there is one, and forgets it. The caller holds the lock.
fn restore(record: &mut File, setting: &Path) -> Result<(), LabError> {
    let mut text = String::new();
    record
        .rewind()
        .and_then(|()| record.read_to_string(&mut text))
        .doing(|| "reading the former nf_conntrack_max".into())?;
    if let Ok(before) = text.trim().parse::<u64>() {
        fs::write(setting, before.to_string()).doing(|| format!("writing {}", setting.display()))?;
    }
    record.set_len(0).and_then(|()| record.rewind()).doing(|| "clearing the former nf_conntrack_max".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file in place of the setting: the real one is the whole machine's.
    fn stand_in(name: &str) -> (PathBuf, PathBuf) {
        let folder = std::env::temp_dir().join(format!("unmasq-conntrack-max-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let setting = folder.join("setting");
        fs::write(&setting, "262144\n").unwrap();
        (setting, folder.join("record"))
    }

    fn value(setting: &Path) -> String {
        fs::read_to_string(setting).unwrap().trim().to_owned()
    }

    #[test]
    fn it_is_raised_while_held_and_put_back() {
        let (setting, record) = stand_in("held");
        let held = ConntrackMax::raise_at(&setting, &record, 2_000_000).unwrap();
        assert_eq!(value(&setting), "2000000");
        drop(held);
        assert_eq!(value(&setting), "262144");
        assert!(!record.exists());
        fs::remove_dir_all(setting.parent().unwrap()).unwrap();
    }

    #[test]
    fn it_is_never_lowered() {
        let (setting, record) = stand_in("lower");
        let held = ConntrackMax::raise_at(&setting, &record, 1_000).unwrap();
        assert_eq!(value(&setting), "262144");
        drop(held);
        assert_eq!(value(&setting), "262144");
        assert!(!record.exists());
        fs::remove_dir_all(setting.parent().unwrap()).unwrap();
    }

    #[test]
    fn what_a_killed_holder_raised_is_put_back_by_the_next() {
        let (setting, record) = stand_in("killed");
        let held = ConntrackMax::raise_at(&setting, &record, 2_000_000).unwrap();
        // Killed: the kernel unlocks, the drop never runs.
        rustix::fs::flock(&held.lock.file, rustix::fs::FlockOperation::Unlock).unwrap();
        std::mem::forget(held);
        drop(ConntrackMax::raise_at(&setting, &record, 1_000).unwrap());
        assert_eq!(value(&setting), "262144");
        assert!(!record.exists());
        fs::remove_dir_all(setting.parent().unwrap()).unwrap();
    }
}
