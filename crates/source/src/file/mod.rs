//! A log file that is followed while others write, rename, empty and remove it.
//!
//! ```text
//!  a.log.2 ─► a.log.1 ─► a.log ─► (waits)      the family in the order of writing; each is read to its end
//!                │
//!                └ a position: device, inode, hash of the first bytes, offset
//! ```
//!
//! - *Renamed*: the old file is read on until the new one has something in it, then to its end, then the new one.
//!   So nothing is lost when its one writer goes on in the old file for a while. With several writers, what one of them
//!   writes into the old file after another has begun the new one is not seen.
//! - *Emptied* (`copytruncate`): found by its size or its first bytes. If a copy exists, what was not read is read there.
//!   What is written between the copy and the emptying is in no file any more; no reader can give it.
//! - *Removed*: read to its end; then whatever has the name next.
//! - A line without its end waits for it; it is given as it is when a newer file takes over.
//!
//! Compressed older files are not searched: when the file of a saved position was compressed meanwhile, that is told.

mod family;
mod watch;

use std::collections::hash_map::DefaultHasher;
use std::fs::File;
use std::hash::Hasher;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use unmasq_entry::format::{Context, Format};
use unmasq_entry::{Entry, Fields};
use unmasq_flow::Timestamp;

use crate::decoder::Decoder;
use crate::records::READ_BYTES;
use crate::{Behind, Counts, FilePosition, Notice, Position, Read, Source, SourceError, Start};
use family::{Identity, Member};
use watch::Watch;

/// First bytes that a file is known by.
const HEAD_BYTES: usize = 256;

/// Looked at this often even if inotify says nothing: network file systems have none, and neither has what is not there.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The file that is read.
struct Current {
    file: File,
    identity: Identity,
    /// Its first bytes, as they were read.
    head: Vec<u8>,
    size: u64,
    written: i64,
}

/// A followed file.
pub struct Followed {
    decoder: Decoder,
    path: PathBuf,
    watch: Watch,
    current: Option<Current>,
    /// Read next, when `current` is at its end.
    next: Option<Current>,
    /// The end of the file before the current one. It stands for the current one's beginning, by which alone that could
    /// not be told from what it holds after it is emptied.
    before: Option<FilePosition>,
    /// The place that is searched while no file is open.
    sought: Option<FilePosition>,
    /// What stands in the way of opening the file, told once.
    obstacle: Option<io::ErrorKind>,
}

/// What the search for more came to.
enum More {
    Some,
    None,
    /// The current file is at its end, for ever.
    Over,
}

impl Followed {
    /// Follows the file of that name, which need not exist yet. [`Start::Tail`] begins with the line that is written
    /// next; a line that has no end yet is given whole.
    pub fn open(path: &Path, format: Format, context: Context, start: Start) -> Result<Self, SourceError> {
        let name = format!("file {}", path.display());
        let failed = |source| SourceError::Open { path: path.to_owned(), source };
        let mut followed = Self {
            decoder: Decoder::new(name.clone(), format, context),
            path: path.to_owned(),
            watch: Watch::new().map_err(failed)?,
            current: None,
            next: None,
            before: None,
            sought: None,
            obstacle: None,
        };
        match start {
            Start::Head => followed.start_head(),
            Start::Tail | Start::At(Position::None) => followed.start_tail(),
            Start::At(Position::File(place)) => {
                followed.sought = Some(place);
                followed.find();
            }
            Start::At(position @ (Position::Cursor(_) | Position::Merged(_) | Position::Beginning)) => {
                return Err(SourceError::Position { name, position });
            }
        }
        Ok(followed)
    }

    /// Passes over lines without this text, undecoded; for JSON, where `text` has letters, digits, `_`, `-` and `.` only. `None`: none
    /// are.
    #[must_use]
    pub fn containing(mut self, text: Option<&str>) -> Self {
        self.decoder.set_containing(text);
        self
    }

    fn start_head(&mut self) {
        // Should the file come only later, and be renamed before it is seen: what is written from now on is new.
        let written = file_clock_nanos() - 1;
        self.sought = Some(FilePosition { path: self.path.clone(), written, ..FilePosition::default() });
        match File::open(&self.path).and_then(|file| Current::new(file, Vec::new())) {
            Ok(current) => {
                self.current = Some(current);
                self.found();
            }
            Err(_) => self.find(),
        }
    }

    fn start_tail(&mut self) {
        self.start_head();
        let Some(current) = &self.current else { return };
        let end = last_line_end(&current.file, current.size);
        match end.and_then(|end| Ok((end, read_head(&current.file, end)?))) {
            Ok((end, head)) => {
                self.decoder.records.restart(end, 0);
                if let Some(current) = &mut self.current {
                    current.head = head;
                }
            }
            Err(e) => self.obstructed(&e),
        }
    }

    /// Opens the file that holds the sought place, or the next one after it.
    fn find(&mut self) {
        // The directory first: what appears after the search is then told.
        self.watch.drain();
        let watched = self.watch.directory(family::directory(&self.path));
        match self.try_find() {
            Ok(true) => self.found(),
            Ok(false) => match watched {
                Err(e) => self.obstructed(&e),
                Ok(()) => self.obstructed(&io::ErrorKind::NotFound.into()),
            },
            Err(e) => self.obstructed(&e),
        }
    }

    fn found(&mut self) {
        self.sought = None;
        if self.obstacle.take().is_some() {
            self.note(Notice::note(format!("{}: is read now", self.decoder.meter.name)));
        }
        self.watch_files();
    }

    fn try_find(&mut self) -> io::Result<bool> {
        let Some(place) = self.sought.clone() else { return Ok(self.current.is_some()) };
        for _ in 0..20 {
            let Search { members, holder } = search(&self.path, &place)?;
            if let Some((member, current)) = holder {
                if !member.is_current() {
                    let (name, older) = (&self.decoder.meter.name, member.path.display());
                    let notice = Notice::note(format!("{name}: rotated meanwhile, reads on in {older}"));
                    self.note(notice);
                }
                self.decoder.records.restart(place.offset, place.line);
                self.current = Some(current);
                return Ok(true);
            }
            // No longer by its inode: that is another file's by now, or holds other bytes.
            let next = family::next_after(&members, Identity::default(), place.written);
            let Some(member) = next else { return Ok(false) };
            let Some(file) = member.open()? else { continue };
            if place.inode != 0 && place.offset > 0 {
                self.note(Notice::loss(format!(
                    "{}: the file that was read is gone, or was compressed; what it had after byte {} is lost; \
                     reads on in {}",
                    self.decoder.meter.name,
                    place.offset,
                    member.path.display()
                )));
            }
            self.current = Some(Current::new(file, Vec::new())?);
            self.decoder.records.restart(0, 0);
            return Ok(true);
        }
        // Renamed faster than opened; the next look will find it.
        Ok(false)
    }

    /// Reads more of the current file, or finds the one to go on with.
    fn advance(&mut self) -> Result<More, SourceError> {
        if self.current.is_none() {
            self.find();
            return Ok(if self.current.is_some() { More::Some } else { More::None });
        }
        match self.fill() {
            Ok(Filled::Bytes) => Ok(More::Some),
            Ok(Filled::End) => Ok(self.at_end()),
            Ok(Filled::Emptied) => {
                self.emptied();
                Ok(More::Some)
            }
            Err(source) => Err(SourceError::Read { name: self.decoder.meter.name.clone(), source }),
        }
    }

    fn fill(&mut self) -> io::Result<Filled> {
        let Some(current) = &mut self.current else { return Ok(Filled::End) };
        let at = self.decoder.records.read_offset();
        let mut is_emptied = false;
        let count = self.decoder.fill(Timestamp::now(), |bytes| {
            let old = bytes.len();
            bytes.reserve(READ_BYTES);
            let count =
                rustix::io::retry_on_intr(|| rustix::io::pread(&current.file, spare_capacity(bytes), at))?;
            // After the read: what was emptied before it is seen, and what is emptied later does not matter.
            is_emptied = current.is_emptied(at)?;
            if is_emptied {
                bytes.truncate(old);
                return Ok(0);
            }
            let room = HEAD_BYTES.saturating_sub(current.head.len()).min(count);
            if at == current.head.len() as u64 {
                current.head.extend_from_slice(&bytes[old..old + room]);
            }
            Ok(count)
        })?;
        if self.decoder.records.offset() == 0 && count > 0 {
            // It may have been copied and emptied since it was found to be the next one: then the copy is the next. Half
            // a line is not enough to tell it by.
            is_emptied |= !self.is_next_after_before()?;
        }
        Ok(match count {
            _ if is_emptied => Filled::Emptied,
            0 => Filled::End,
            _ => Filled::Bytes,
        })
    }

    /// Does the current file follow the one that was read before it?
    fn is_next_after_before(&self) -> io::Result<bool> {
        let (Some(current), Some(before)) = (&self.current, &self.before) else { return Ok(true) };
        let Search { members, holder: Some((older, _)) } = search(&self.path, before)? else {
            return Ok(true);
        };
        let next = family::next_after(&members, older.identity, older.written);
        Ok(next.is_none_or(|next| next.identity == current.identity))
    }

    /// The current file has nothing more: is there a newer one?
    fn at_end(&mut self) -> More {
        if let (Some(current), Some(next)) = (&self.current, &self.next) {
            let at = self.decoder.records.read_offset();
            let is_copy = current.is_copy_of(next, at);
            // Asked last: the file that is next is emptied only after its copy is complete.
            return match current.file.metadata() {
                Ok(metadata) if metadata.len() > at => More::Some,
                _ if is_copy => {
                    self.switch_to_original();
                    More::Some
                }
                // The next was seen before the last read, so that this was the end. What has no line end will never
                // get one.
                _ => More::Over,
            };
        }
        // What was written since the last read is read now; what is written from here on will wake us.
        if self.watch.drain() {
            return More::Some;
        }
        if let Err(e) = self.watch.directory(family::directory(&self.path)) {
            self.obstructed(&e);
        }
        match self.find_next() {
            Ok(Some(next)) => {
                self.next = Some(next);
                More::Some
            }
            Ok(None) => More::None,
            Err(e) => {
                self.obstructed(&e);
                More::None
            }
        }
    }

    fn find_next(&mut self) -> io::Result<Option<Current>> {
        let Some(current) = &self.current else { return Ok(None) };
        for _ in 0..20 {
            match std::fs::metadata(&self.path) {
                Ok(metadata) if Identity::from(&metadata) == current.identity => return Ok(None),
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(e),
            }
            let members = family::members(&self.path)?;
            let Some(member) = family::next_after(&members, current.identity, current.written) else {
                return Ok(None);
            };
            let Some(file) = member.open()? else { continue };
            let next = Current::new(file, Vec::new())?;
            if next.size == 0 && member.is_current() {
                // Its writer has not come over yet; the first byte there is the sign.
                self.watch.files([Some(current.file.as_fd()), Some(next.file.as_fd())]);
                return Ok((next.file.metadata()?.len() > 0).then_some(next));
            }
            return Ok(Some(next));
        }
        Ok(None)
    }

    /// The copy was read before the file itself is emptied: what was written since the copy is in the file.
    fn switch_to_original(&mut self) {
        let (Some(mut next), Some(copy)) = (self.next.take(), &self.current) else { return };
        let (offset, line) = (self.decoder.records.offset(), self.decoder.records.line());
        let length = copy.head.len().min(usize::try_from(offset).unwrap_or(usize::MAX));
        next.head = copy.head[..length].to_vec();
        self.decoder.records.restart(offset, line);
        self.current = Some(next);
        self.watch_files();
    }

    fn switch(&mut self) {
        let Some(next) = self.next.take() else { return };
        self.before = Some(self.place());
        self.decoder.records.restart(0, 0);
        self.current = Some(next);
        if self.obstacle.take().is_some() {
            self.note(Notice::note(format!("{}: is read now", self.decoder.meter.name)));
        }
        let notice =
            Notice::note(format!("{}: rotated, the newer file is read now", self.decoder.meter.name));
        self.note(notice);
        self.watch_files();
    }

    /// The current file is shorter than what was read of it, or begins otherwise.
    fn emptied(&mut self) {
        self.next = None;
        let place = self.place();
        let Some(mut current) = self.current.take() else { return };
        let copy = search(&self.path, &place);
        let name = self.decoder.meter.name.clone();
        if let Ok(Search { holder: Some((member, copy)), .. }) = copy {
            self.decoder.records.restart(place.offset, place.line);
            let notice = format!("{name}: was emptied, {} is read first", member.path.display());
            self.note(Notice::note(notice));
            self.current = Some(copy);
        } else {
            self.decoder.records.restart(0, 0);
            self.before = None;
            self.note(Notice::loss(format!(
                "{name}: was emptied and has no copy; what it had after byte {} is lost",
                place.offset
            )));
            current.head.clear();
            self.current = Some(current);
        }
        self.watch_files();
    }

    fn watch_files(&mut self) {
        let file = self.current.as_ref().map(|current| current.file.as_fd());
        self.watch.files([file, None]);
    }

    fn obstructed(&mut self, error: &io::Error) {
        if self.obstacle == Some(error.kind()) {
            return;
        }
        self.obstacle = Some(error.kind());
        let name = &self.decoder.meter.name;
        let notice = match error.kind() {
            io::ErrorKind::NotFound => Notice::note(format!("{name}: is not there; it is waited for")),
            _ => {
                Notice::loss(format!("{name}: cannot be read now ({error}); it is tried again every second"))
            }
        };
        self.note(notice);
    }

    fn note(&mut self, notice: Notice) {
        self.decoder.meter.notices.push(notice);
    }

    fn place(&self) -> FilePosition {
        let (Some(current), None) = (&self.current, &self.sought) else {
            return self.sought.clone().unwrap_or_default();
        };
        let offset = self.decoder.records.offset();
        if let (0, Some(before)) = (offset, &self.before) {
            return before.clone();
        }
        let length = current.head.len().min(usize::try_from(offset).unwrap_or(usize::MAX));
        FilePosition {
            path: self.path.clone(),
            device: current.identity.device,
            inode: current.identity.inode,
            head: hash(&current.head[..length]),
            offset,
            line: self.decoder.records.line(),
            written: current.written,
        }
    }
}

enum Filled {
    Bytes,
    End,
    Emptied,
}

impl Current {
    fn new(file: File, head: Vec<u8>) -> io::Result<Self> {
        let metadata = file.metadata()?;
        let (identity, size, written) =
            (Identity::from(&metadata), metadata.len(), family::written(&metadata));
        Ok(Self { file, identity, head, size, written })
    }

    /// Has the other file the same first `offset` bytes? Both their ends are compared: files can begin with the same
    /// heading.
    fn is_copy_of(&self, other: &Self, offset: u64) -> bool {
        let length = usize::try_from(offset).unwrap_or(usize::MAX).min(HEAD_BYTES);
        let is_same = |at: u64| {
            let (mut a, mut b) = ([0; HEAD_BYTES], [0; HEAD_BYTES]);
            let (a, b) = (&mut a[..length], &mut b[..length]);
            self.file.read_exact_at(a, at).and_then(|()| other.file.read_exact_at(b, at)).is_ok() && a == b
        };
        offset > 0 && is_same(0) && is_same(offset - length as u64)
    }

    /// Was it emptied since its first `at` bytes were read? Notes its size and the time of its last change.
    fn is_emptied(&mut self, at: u64) -> io::Result<bool> {
        let metadata = self.file.metadata()?;
        if metadata.len() < at {
            return Ok(true);
        }
        let mut head = [0; HEAD_BYTES];
        let head = &mut head[..self.head.len()];
        match self.file.read_exact_at(head, 0) {
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(true),
            result => result?,
        }
        (self.size, self.written) = (metadata.len(), family::written(&metadata));
        Ok(*head != *self.head)
    }
}

/// The family of a file, and its member that holds a place: the same inode with the same first bytes, or else a copy
/// with these.
struct Search {
    members: Vec<Member>,
    holder: Option<(Member, Current)>,
}

/// Searches until nothing is renamed meanwhile.
fn search(path: &Path, place: &FilePosition) -> io::Result<Search> {
    let mut tries = 0;
    loop {
        let members = family::members(path)?;
        let (holder, is_steady) = holder(&members, place)?;
        tries += 1;
        if holder.is_some() || is_steady || tries == 100 {
            return Ok(Search { members, holder });
        }
    }
}

/// The member that holds a place; and false if a file was renamed or emptied before it could be looked at.
fn holder(members: &[Member], place: &FilePosition) -> io::Result<(Option<(Member, Current)>, bool)> {
    let mut is_steady = true;
    if place.inode == 0 {
        return Ok((None, is_steady));
    }
    let identity = Identity { device: place.device, inode: place.inode };
    let itself = members.iter().filter(|member| member.identity == identity);
    // The newest copy first: files can all begin with the same heading.
    let copies = members.iter().rev().filter(|member| member.identity != identity && place.offset > 0);
    for member in itself.chain(copies).filter(|member| member.size >= place.offset) {
        let Some(file) = member.open()? else {
            is_steady = false;
            continue;
        };
        match read_head(&file, place.offset) {
            Ok(head) if hash(&head) == place.head => {
                return Ok((Some((member.clone(), Current::new(file, head)?)), is_steady));
            }
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => is_steady = false,
            Err(e) => return Err(e),
        }
    }
    Ok((None, is_steady))
}

/// The bytes that a place in a file is known by: the first ones before it.
fn read_head(file: &File, offset: u64) -> io::Result<Vec<u8>> {
    let mut head = vec![0; usize::try_from(offset).unwrap_or(usize::MAX).min(HEAD_BYTES)];
    file.read_exact_at(&mut head, 0)?;
    Ok(head)
}

/// The standard library's SipHash with fixed keys; a file is told by it from its own older selves only.
fn hash(head: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(head);
    hasher.finish()
}

/// What the clock of file times shows: the kernel moves it on with its ticks, so that it is behind the wall clock by a few
/// milliseconds, and by more on a virtual processor that was not run for a while.
fn file_clock_nanos() -> i64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
    now.tv_sec.saturating_mul(1_000_000_000).saturating_add(now.tv_nsec)
}

/// The place after the last line end among the first `size` bytes.
fn last_line_end(file: &File, size: u64) -> io::Result<u64> {
    let mut end = size;
    let mut block = vec![0; READ_BYTES];
    while end > 0 {
        let start = end.saturating_sub(READ_BYTES as u64);
        let block = &mut block[..(end - start) as usize];
        file.read_exact_at(block, start)?;
        if let Some(place) = memchr::memrchr(b'\n', block) {
            return Ok(start + place as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

impl Source for Followed {
    fn read(&mut self, entry: &mut Entry, fields: &Fields) -> Result<Read, SourceError> {
        let mut is_end = false;
        loop {
            if self.decoder.next(is_end, entry, fields) {
                return Ok(Read::Entry);
            }
            if is_end {
                self.switch();
            }
            is_end = match self.advance()? {
                More::None => return Ok(Read::Idle),
                More::Some => false,
                More::Over => true,
            };
        }
    }

    fn position(&mut self) -> Result<Position, SourceError> {
        Ok(Position::File(self.place()))
    }

    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        vec![self.watch.descriptor()]
    }

    fn wake(&self) -> Option<Duration> {
        Some(LOOK_EVERY)
    }

    fn name(&self) -> &str {
        &self.decoder.meter.name
    }

    fn behind(&self) -> Option<Behind> {
        let current = self.current.as_ref()?;
        Some(Behind::Bytes(current.size.saturating_sub(self.decoder.records.offset())))
    }

    fn counts(&self) -> Counts {
        self.decoder.meter.counts
    }

    fn notice(&mut self) -> Option<Notice> {
        self.decoder.meter.notices.pop()
    }
}
