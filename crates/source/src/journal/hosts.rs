//! The journals of several hosts in one folder, as systemd-journal-remote fills it: `remote-HOST.journal` of each, with
//! the rotated `remote-HOST@….journal` before it.
//!
//! Read as one journal by the library, what one host sends later than another's newer entries would be passed
//! over. So each host's files are a journal of their own here, read by [`Merge`] with an allowance.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::inotify;
use unmasq_entry::format::Encoding;
use unmasq_entry::{Entry, Fields};
use unmasq_journal::Where;

use super::{Journal, Options};
use crate::merge::{Merge, Order};
use crate::{Behind, Counts, MemberPosition, Notice, Position, Read, Source, SourceError, Start};

/// The folder is looked at this often even if the kernel says nothing of it (network file systems).
const RECHECK: Duration = Duration::from_secs(10);

/// The files of each host, by what their names have in common.
type Groups = BTreeMap<String, BTreeSet<PathBuf>>;

/// The journals in a folder, each host's for itself.
pub struct Hosts {
    folder: PathBuf,
    encoding: Encoding,
    /// None: to the end.
    watch: Option<OwnedFd>,
    merge: Merge<Journal>,
    groups: Groups,
    looked: Instant,
    name: String,
}

impl Hosts {
    /// Is there no journal in the folder?
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Opens the journals of a folder. `allowance`: see [`Order::Live`]; `None` reads what there is, exactly by time.
    pub fn open(
        folder: &Path,
        start: &Start,
        encoding: Encoding,
        allowance: Option<Duration>,
    ) -> Result<Self, SourceError> {
        let name = format!("journals in {}", folder.display());
        let failed = |source| SourceError::Open { path: folder.to_owned(), source };
        let watch = match allowance {
            Some(_) => Some(watch(folder).map_err(failed)?),
            None => None,
        };
        let order = allowance.map_or(Order::Exact, |allowance| Order::Live { allowance });
        let mut hosts = Self {
            folder: folder.to_owned(),
            encoding,
            watch,
            merge: Merge::new(name.clone(), order),
            groups: groups(folder).map_err(failed)?,
            looked: Instant::now(),
            name,
        };
        if let Start::At(position @ (Position::Cursor(_) | Position::File(_))) = start {
            return Err(SourceError::Position { name: hosts.name, position: position.clone() });
        }
        for (group, files) in hosts.groups.clone() {
            let (start, saved) = match start {
                Start::Head => (Start::Head, None),
                Start::Tail => (Start::Tail, None),
                // A host that was not there when the position was noted: all it sent came later.
                Start::At(position) => match position.member(&group) {
                    Some(saved) => (Start::At(saved.place.clone()), Some(saved)),
                    None => (Start::Head, None),
                },
            };
            hosts.add(&group, &files, start, saved)?;
        }
        Ok(hosts)
    }

    fn add(
        &mut self,
        group: &str,
        files: &BTreeSet<PathBuf>,
        start: Start,
        saved: Option<&MemberPosition>,
    ) -> Result<(), SourceError> {
        let journal = Journal::open(Options {
            place: Where::Files(files.iter().cloned().collect()),
            start,
            encoding: self.encoding,
            follow: self.watch.is_some(),
        })?;
        self.merge.add(group, journal, saved)
    }

    /// Looks for files that came and went, if the kernel tells of some or it is time.
    fn look(&mut self) -> Result<(), SourceError> {
        let Some(watch) = &self.watch else { return Ok(()) };
        let mut buffer = [0; 4096];
        let mut is_changed = self.looked.elapsed() >= RECHECK;
        // Which files they are is seen in the folder. Ends with `WouldBlock`.
        while rustix::io::read(watch, &mut buffer).is_ok_and(|bytes| bytes > 0) {
            is_changed = true;
        }
        if !is_changed {
            return Ok(());
        }
        self.looked = Instant::now();
        let failed = |source| SourceError::Open { path: self.folder.clone(), source };
        let now = groups(&self.folder).map_err(failed)?;
        for (group, files) in &now {
            match self.groups.get(group) {
                Some(known) if known == files => {}
                Some(_) => {
                    if let Some(journal) = self.merge.member_mut(group) {
                        journal.reopen(Where::Files(files.iter().cloned().collect()))?;
                    }
                }
                None => self.add(group, files, Start::Head, None)?,
            }
        }
        self.groups = now;
        Ok(())
    }
}

impl Source for Hosts {
    fn read(&mut self, entry: &mut Entry, fields: &Fields) -> Result<Read, SourceError> {
        match self.merge.read(entry, fields)? {
            Read::Entry => Ok(Read::Entry),
            Read::Idle => {
                self.look()?;
                self.merge.read(entry, fields)
            }
            // No host yet.
            Read::End if self.watch.is_some() => {
                self.look()?;
                if self.merge.is_empty() { Ok(Read::Idle) } else { self.merge.read(entry, fields) }
            }
            Read::End => Ok(Read::End),
        }
    }

    fn position(&mut self) -> Result<Position, SourceError> {
        self.merge.position()
    }

    fn last_place(&mut self) -> Result<Option<String>, SourceError> {
        self.merge.last_place()
    }

    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        let mut descriptors = self.merge.descriptors();
        descriptors.extend(self.watch.as_ref().map(AsFd::as_fd));
        descriptors
    }

    fn wake(&self) -> Option<Duration> {
        let recheck = self.watch.is_some().then_some(RECHECK);
        self.merge.wake().into_iter().chain(recheck).min()
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn refit(&mut self, old: &Fields, new: &Fields) {
        self.merge.refit(old, new);
    }

    fn behind(&self) -> Option<Behind> {
        self.merge.behind()
    }

    fn counts(&self) -> Counts {
        self.merge.counts()
    }

    fn notice(&mut self) -> Option<Notice> {
        self.merge.notice()
    }
}

fn watch(folder: &Path) -> std::io::Result<OwnedFd> {
    use inotify::{CreateFlags, WatchFlags};
    let watch = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    let changes = WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::MOVED_FROM | WatchFlags::DELETE;
    inotify::add_watch(&watch, folder, changes | WatchFlags::ONLYDIR)?;
    Ok(watch)
}

fn groups(folder: &Path) -> std::io::Result<Groups> {
    let mut groups = Groups::new();
    for file in fs::read_dir(folder)? {
        let file = file?;
        if let Some(group) = group(&file.file_name()) {
            groups.entry(group.to_owned()).or_default().insert(file.path());
        }
    }
    Ok(groups)
}

/// What the names of a host's files have in common: `remote-gw` of `remote-gw.journal`, of
/// `remote-gw@0a1b….journal`, and of `remote-gw@0a1b….journal~`, which was not closed properly.
fn group(file: &OsStr) -> Option<&str> {
    let name = file.to_str()?;
    let name = name.strip_suffix(".journal").or_else(|| name.strip_suffix(".journal~"))?;
    Some(name.split_once('@').map_or(name, |(group, _)| group))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_a_host_are_found_by_their_names() {
        for (file, expected) in [
            ("remote-gw.journal", Some("remote-gw")),
            ("remote-gw@0a1b-00-11.journal", Some("remote-gw")),
            ("remote-gw@0a1b-00.journal~", Some("remote-gw")),
            ("remote-2001:db8::1.journal", Some("remote-2001:db8::1")),
            ("system.journal", Some("system")),
            (".#system.journal1234", None),
            ("remote-gw.journal.gz", None),
        ] {
            assert_eq!(group(OsStr::new(file)), expected, "{file}");
        }
    }
}
