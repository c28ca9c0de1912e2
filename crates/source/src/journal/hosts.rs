//! The journals of several hosts in one folder, as systemd-journal-remote fills it: `remote-HOST.journal` of each, with
//! the rotated `remote-HOST@….journal` before it.
//!
//! Read as one journal by the library, what one host sends later than another's newer entries would be passed
//! over. So each host's files are a journal of their own here, read by [`Merge`] with an allowance.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::inotify;
use unmasq_entry::format::Encoding;
use unmasq_entry::{Entry, Fields};
use unmasq_journal::{Error, Where};

use super::{Journal, Options};
use crate::merge::{Merge, Order};
use crate::{Behind, Counts, Notice, Position, Read, Source, SourceError, Start};

/// The folder is looked at this often even if the kernel says nothing of it (network file systems).
const RECHECK: Duration = Duration::from_secs(10);

/// The files of each host, by what their names have in common.
type Groups = BTreeMap<String, BTreeSet<PathBuf>>;

/// A file that cannot be opened yet is tried again this often: it is being made.
const RETRY: Duration = Duration::from_millis(50);

/// A file that cannot be opened for so long is damaged. Who makes one waits for the disk three times before it can be opened,
/// each of which takes seconds on a busy disk.
const YOUNG: Duration = Duration::from_secs(60);

/// The journals in a folder, each host's for itself.
pub struct Hosts {
    folder: PathBuf,
    start: Start,
    encoding: Encoding,
    /// None: to the end.
    watch: Option<OwnedFd>,
    merge: Merge<Journal>,
    /// The files that are open.
    groups: Groups,
    /// The hosts whose files were there at first.
    first: BTreeSet<String>,
    /// Files that cannot be opened.
    unread: BTreeMap<PathBuf, Unread>,
    /// What went wrong when files were opened, as it was told.
    trouble: Option<String>,
    notices: VecDeque<Notice>,
    looked: Instant,
    name: String,
}

/// A file that is not read.
struct Unread {
    why: io::Error,
    since: Instant,
    is_told: bool,
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
        if let Start::At(position @ (Position::Cursor(_) | Position::File(_))) = start {
            return Err(SourceError::Position { name, position: position.clone() });
        }
        let watch = match allowance {
            Some(_) => Some(watch(folder).map_err(failed)?),
            None => None,
        };
        let found = groups(folder).map_err(failed)?;
        let order = allowance.map_or(Order::Exact, |allowance| Order::Live { allowance });
        let mut hosts = Self {
            folder: folder.to_owned(),
            start: start.clone(),
            encoding,
            watch,
            merge: Merge::new(name.clone(), order),
            groups: Groups::new(),
            first: found.keys().cloned().collect(),
            unread: BTreeMap::new(),
            trouble: None,
            notices: VecDeque::new(),
            looked: Instant::now(),
            name,
        };
        hosts.take_up(&found)?;
        if hosts.watch.is_none() {
            hosts.tell_of_unread(Duration::ZERO);
        }
        Ok(hosts)
    }

    /// Opens what is not open of the files in the folder.
    fn take_up(&mut self, found: &Groups) -> Result<(), SourceError> {
        let mut good = Groups::new();
        for (group, files) in found {
            for file in files {
                if let Some(why) = self.obstacle(group, file)? {
                    let now = Unread { why, since: Instant::now(), is_told: false };
                    self.unread.entry(file.clone()).or_insert(now);
                } else {
                    self.unread.remove(file);
                    good.entry(group.clone()).or_default().insert(file.clone());
                }
            }
        }
        self.unread.retain(|file, _| found.values().any(|files| files.contains(file)));
        for (group, files) in good {
            if self.groups.get(&group) != Some(&files) {
                self.open_group(&group, &files)?;
                self.groups.insert(group, files);
            }
        }
        self.groups.retain(|group, _| found.contains_key(group));
        Ok(())
    }

    /// Why a file cannot be opened: the library takes none of several if it cannot take one of them.
    fn obstacle(&self, group: &str, file: &Path) -> Result<Option<io::Error>, SourceError> {
        if self.groups.get(group).is_some_and(|files| files.contains(file)) {
            return Ok(None);
        }
        match unmasq_journal::Journal::open(&Where::Files(vec![file.to_owned()])) {
            Ok(_) => Ok(None),
            Err(Error::Open { source, .. }) => Ok(Some(source)),
            Err(error) => Err(SourceError::Journal { name: self.name.clone(), what: error.to_string() }),
        }
    }

    fn open_group(&mut self, group: &str, files: &BTreeSet<PathBuf>) -> Result<(), SourceError> {
        let place = Where::Files(files.iter().cloned().collect());
        if let Some(journal) = self.merge.member_mut(group) {
            return journal.reopen(place);
        }
        let (start, saved) = match &self.start {
            // All that a host sent that was not there at first, or when the position was noted, came later.
            Start::Tail | Start::Head if !self.first.contains(group) => (Start::Head, None),
            Start::At(position) => match position.member(group) {
                Some(saved) => (Start::At(saved.place.clone()), Some(saved)),
                None => (Start::Head, None),
            },
            start => (start.clone(), None),
        };
        let follow = self.watch.is_some();
        let journal = Journal::open(Options { place, start, encoding: self.encoding, follow })?;
        self.merge.add(group, journal, saved)
    }

    /// Looks for files that came and went, if the kernel tells of some or it is time.
    fn look(&mut self) {
        let Some(watch) = &self.watch else { return };
        let mut buffer = [0; 4096];
        let mut is_changed = self.looked.elapsed() >= self.patience();
        // Which files they are is seen in the folder. Ends with `WouldBlock`.
        while rustix::io::read(watch, &mut buffer).is_ok_and(|bytes| bytes > 0) {
            is_changed = true;
        }
        if !is_changed {
            return;
        }
        self.looked = Instant::now();
        let failed = |source| SourceError::Open { path: self.folder.clone(), source };
        let result = groups(&self.folder).map_err(failed).and_then(|found| self.take_up(&found));
        // A file can go while it is opened. What lasts is told, and tried again.
        let trouble = result.err().map(|error| error.to_string());
        if let Some(trouble) = trouble.as_ref().filter(|_| trouble != self.trouble) {
            self.notices.push_back(Notice::loss(format!("not all hosts are read: {trouble}")));
        }
        self.trouble = trouble;
        self.tell_of_unread(YOUNG);
    }

    /// Tells of the files that could not be opened for so long.
    fn tell_of_unread(&mut self, patience: Duration) {
        for (file, unread) in &mut self.unread {
            if !unread.is_told && unread.since.elapsed() >= patience {
                unread.is_told = true;
                let what = match unread.why.kind() {
                    io::ErrorKind::PermissionDenied => "run as root, or make the user a member of its group",
                    _ => "it is not a journal, or damaged (`journalctl --verify --file` tells more)",
                };
                let message = format!("{} is not read: {}; {what}", file.display(), unread.why);
                self.notices.push_back(Notice::loss(message));
            }
        }
    }

    /// How long to wait before the next look if the kernel tells nothing.
    fn patience(&self) -> Duration {
        let is_young = |unread: &Unread| unread.since.elapsed() < YOUNG || !unread.is_told;
        if self.unread.values().any(is_young) { RETRY } else { RECHECK }
    }
}

impl Source for Hosts {
    fn read(&mut self, entry: &mut Entry, fields: &Fields) -> Result<Read, SourceError> {
        match self.merge.read(entry, fields)? {
            Read::Entry => Ok(Read::Entry),
            Read::Idle => {
                self.look();
                self.merge.read(entry, fields)
            }
            // No host yet.
            Read::End if self.watch.is_some() => {
                self.look();
                if self.merge.is_empty() { Ok(Read::Idle) } else { self.merge.read(entry, fields) }
            }
            Read::End => Ok(Read::End),
        }
    }

    fn position(&mut self) -> Result<Position, SourceError> {
        let mut position = self.merge.position()?;
        // Of hosts whose files cannot be opened now, or are not there.
        if let (Position::Merged(members), Start::At(Position::Merged(saved))) = (&mut position, &self.start)
        {
            let gone = saved.iter().filter(|saved| !members.iter().any(|member| member.name == saved.name));
            let gone: Vec<_> = gone.cloned().collect();
            members.extend(gone);
        }
        Ok(position)
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
        let recheck = self.watch.is_some().then(|| self.patience());
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
        self.notices.pop_front().or_else(|| self.merge.notice())
    }
}

fn watch(folder: &Path) -> io::Result<OwnedFd> {
    use inotify::{CreateFlags, WatchFlags};
    let watch = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    let changes = WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::MOVED_FROM | WatchFlags::DELETE;
    inotify::add_watch(&watch, folder, changes | WatchFlags::ONLYDIR)?;
    Ok(watch)
}

fn groups(folder: &Path) -> io::Result<Groups> {
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
