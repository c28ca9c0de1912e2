//! inotify on the file and its directory: only a reason to look. What happened is found by looking.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;

use super::family::Identity;

pub(super) struct Watch {
    events: OwnedFd,
    /// The watch, and what it watches: the kernel does not tell that a directory was removed while a file in it is open.
    directory: Option<(i32, Identity)>,
    /// The file that is read, and the one that is read next.
    files: [Option<i32>; 2],
}

impl Watch {
    pub(super) fn new() -> io::Result<Self> {
        let events = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        Ok(Self { events, directory: None, files: [None; 2] })
    }

    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.events.as_fd()
    }

    /// Empties the queue; false: nothing was in it. Watches that the kernel has removed are forgotten.
    pub(super) fn drain(&mut self) -> bool {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(self.events.as_fd(), &mut buffer);
        let mut has_any = false;
        loop {
            match reader.next() {
                Ok(event) => {
                    has_any = true;
                    let is_gone = event.events().intersects(ReadFlags::IGNORED | ReadFlags::MOVE_SELF);
                    self.directory.take_if(|(watch, _)| is_gone && *watch == event.wd());
                }
                Err(Errno::INTR) => {}
                // Nothing left, or nothing that could be done about it: the file is looked at every second anyway.
                Err(_) => return has_any,
            }
        }
    }

    /// Watches the directory, if it is there and is not watched yet.
    pub(super) fn directory(&mut self, path: &Path) -> io::Result<()> {
        let metadata = std::fs::metadata(path);
        let identity = metadata.as_ref().map(Identity::from).ok();
        if let Some((old, _)) = self.directory.take_if(|(_, watched)| Some(*watched) != identity) {
            // It is gone already if the directory is.
            let _ = inotify::remove_watch(&self.events, old);
        }
        if self.directory.is_none() {
            let what = WatchFlags::CREATE
                | WatchFlags::MOVED_TO
                | WatchFlags::MOVED_FROM
                | WatchFlags::DELETE
                | WatchFlags::ATTRIB
                | WatchFlags::DELETE_SELF
                | WatchFlags::MOVE_SELF
                | WatchFlags::ONLYDIR;
            self.directory =
                Some((inotify::add_watch(&self.events, path, what)?, Identity::from(&metadata?)));
        }
        Ok(())
    }

    /// Watches the file that is read, and the one that will be.
    pub(super) fn files(&mut self, files: [Option<BorrowedFd<'_>>; 2]) {
        let what = WatchFlags::MODIFY | WatchFlags::ATTRIB;
        let watches = files.map(|file| {
            // By its descriptor: the name may be another file's.
            let path = format!("/proc/self/fd/{}", file?.as_raw_fd());
            inotify::add_watch(&self.events, path, what).ok()
        });
        for old in self.files.into_iter().flatten().filter(|old| !watches.contains(&Some(*old))) {
            // It is gone already if the file is.
            let _ = inotify::remove_watch(&self.events, old);
        }
        self.files = watches;
    }
}
