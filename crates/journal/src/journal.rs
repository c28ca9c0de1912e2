//! An open journal: the safe form of `sd_journal`.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::fmt;
use std::io;
use std::os::fd::{BorrowedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::{self, NonNull};
use std::slice;
use std::time::Duration;

use crate::library::{Handle, Id128, Library, library};
use crate::{Error, Result, Where};

/// `SD_JOURNAL_LOCAL_ONLY` of sd-journal.h.
const LOCAL_ONLY: c_int = 1 << 0;
/// `SD_JOURNAL_SYSTEM` of sd-journal.h.
const SYSTEM: c_int = 1 << 2;

/// What happened to a journal since it was last asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changed {
    /// Nothing.
    Nothing,
    /// Entries were added to its end.
    Appended,
    /// Files were added or removed (rotation, vacuuming): entries may have gone, or have come before its end.
    Invalidated,
}

/// A journal, open. It stands before its first entry, on an entry, or past the last.
///
/// It can be given to another thread, but not be used by two.
pub struct Journal {
    handle: NonNull<c_void>,
    library: &'static Library,
    place: String,
    /// The library's inotify descriptor, which lives as long as the handle.
    descriptor: Option<RawFd>,
    refused: u64,
}

// SAFETY: sd-journal(3): the functions are thread-agnostic; a journal may be used by any thread, by one at a time, which
// `&mut self` and the lack of `Sync` see to.
unsafe impl Send for Journal {}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal")
            .field("place", &self.place)
            .field("refused", &self.refused)
            .finish_non_exhaustive()
    }
}

impl Journal {
    /// Longest value of a field that is given, in bytes. Longer ones are passed over and counted.
    pub const LONGEST: usize = 64 << 20;

    /// Opens a journal, before its first entry. To read what it has; for what comes later, see [`Journal::watch`].
    pub fn open(place: &Where) -> Result<Self> {
        let library = library()?;
        let mut handle: Handle = ptr::null_mut();
        let failed = |number: c_int| Error::Open { journal: place.to_string(), source: os_error(number) };
        let result = match place {
            // SAFETY: `handle` is a place for the result.
            Where::System => unsafe { (library.open)(&raw mut handle, LOCAL_ONLY | SYSTEM) },
            Where::Namespace(name) => {
                let name = c_string("the namespace", Path::new(name))?;
                // SAFETY: as above; `name` lives until the call is over.
                unsafe { (library.open_namespace)(&raw mut handle, name.as_ptr(), LOCAL_ONLY) }
            }
            Where::Directory(path) => {
                let path = c_string("the path", path)?;
                // SAFETY: as above.
                unsafe { (library.open_directory)(&raw mut handle, path.as_ptr(), 0) }
            }
            Where::Files(paths) => {
                let paths =
                    paths.iter().map(|path| c_string("the path", path)).collect::<Result<Vec<_>>>()?;
                let mut pointers: Vec<*const c_char> = paths.iter().map(|path| path.as_ptr()).collect();
                pointers.push(ptr::null());
                // SAFETY: as above; the list ends with a null pointer, as the library wants it.
                unsafe { (library.open_files)(&raw mut handle, pointers.as_ptr(), 0) }
            }
        };
        if result < 0 {
            return Err(failed(result));
        }
        let handle = NonNull::new(handle).ok_or_else(|| failed(-libc::EINVAL))?;
        let journal = Self { handle, library, place: place.to_string(), descriptor: None, refused: 0 };
        // One byte more than we take: what the library cuts is then seen to be too long.
        // SAFETY: the handle is open.
        let result = unsafe { (library.set_threshold)(journal.raw(), Self::LONGEST + 1) };
        journal.checked("setting the longest value", result)?;
        Ok(journal)
    }

    /// Has the library watch the journal, so that [`Journal::process`] sees new entries and files, and
    /// [`Journal::descriptor`] tells when. To be called before the first entry is read, or files that come meanwhile
    /// are missed.
    pub fn watch(&mut self) -> Result<()> {
        // SAFETY: the handle is open.
        let result = unsafe { (self.library.descriptor)(self.raw()) };
        if result < 0 {
            return Err(Error::Watch { journal: self.place.clone(), source: os_error(result) });
        }
        self.descriptor = Some(result);
        Ok(())
    }

    /// Readable when [`Journal::process`] has something to tell; none before [`Journal::watch`].
    ///
    /// journald tells of an entry up to a quarter of a second after it can be read (it waits for further ones):
    /// who must know sooner calls [`Journal::next`] from time to time.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        // SAFETY: the descriptor is open as long as the handle, which the result borrows.
        self.descriptor.map(|descriptor| unsafe { BorrowedFd::borrow_raw(descriptor) })
    }

    /// After how long [`Journal::process`] is to be called although the descriptor is not readable: for journals on
    /// network file systems, which tell nothing. `None`: never.
    pub fn timeout(&mut self) -> Result<Option<Duration>> {
        let mut micros = 0;
        // SAFETY: the handle is open, `micros` is a place for the result.
        let result = unsafe { (self.library.timeout)(self.raw(), &raw mut micros) };
        self.checked("asking how long to wait", result)?;
        if micros == u64::MAX {
            return Ok(None);
        }
        // The library answers with a moment of CLOCK_MONOTONIC, which `Instant` is on Linux but does not show; its
        // rechecks are two seconds apart (`JOURNAL_FILES_RECHECK_USEC`), so any wait up to that will do.
        Ok(Some(Duration::from_secs(2)))
    }

    /// What happened since the last call; never blocks. Files that were removed are let go here.
    pub fn process(&mut self) -> Result<Changed> {
        // SAFETY: the handle is open.
        let result = unsafe { (self.library.process)(self.raw()) };
        Ok(match self.checked("looking for new entries and files", result)? {
            // SD_JOURNAL_NOP, SD_JOURNAL_APPEND, SD_JOURNAL_INVALIDATE of sd-journal.h.
            0 => Changed::Nothing,
            1 => Changed::Appended,
            _ => Changed::Invalidated,
        })
    }

    /// Stands before the first entry.
    pub fn seek_head(&mut self) -> Result<()> {
        // SAFETY: the handle is open.
        let result = unsafe { (self.library.seek_head)(self.raw()) };
        self.checked("going to the beginning", result).map(drop)
    }

    /// Stands past the last entry there is now: on it, so that the next one is the first that comes later.
    pub fn seek_tail(&mut self) -> Result<()> {
        // SAFETY: the handle is open.
        let result = unsafe { (self.library.seek_tail)(self.raw()) };
        self.checked("going to the end", result)?;
        // The library's end is a place that moves; `next` from there finds nothing, for ever. A journal without an
        // entry has a beginning, which does not move.
        if !self.previous()? {
            self.seek_head()?;
        }
        Ok(())
    }

    /// Stands before the first entry of this time (since 1970) or later.
    pub fn seek_realtime(&mut self, time: Duration) -> Result<()> {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        // SAFETY: the handle is open.
        let result = unsafe { (self.library.seek_realtime)(self.raw(), micros) };
        self.checked("going to a time", result).map(drop)
    }

    /// Stands before the entry of this cursor, or, if it has gone, before the one that is next by the library's order.
    pub fn seek_cursor(&mut self, cursor: &str) -> Result<()> {
        let text = self.cursor_text(cursor)?;
        // SAFETY: the handle is open, the text lives until the call is over.
        let result = unsafe { (self.library.seek_cursor)(self.raw(), text.as_ptr()) };
        if result == -libc::EINVAL {
            return Err(self.bad_cursor(cursor));
        }
        self.checked("going to a cursor", result).map(drop)
    }

    /// Is this the cursor of the entry it stands on?
    pub fn is_at(&mut self, cursor: &str) -> Result<bool> {
        let text = self.cursor_text(cursor)?;
        // SAFETY: the handle is open, the text lives until the call is over.
        let result = unsafe { (self.library.test_cursor)(self.raw(), text.as_ptr()) };
        if result == -libc::EINVAL {
            return Err(self.bad_cursor(cursor));
        }
        Ok(self.checked("comparing a cursor", result)? > 0)
    }

    /// Goes to the next entry; false if there is none (yet). Hot: once for every entry.
    #[allow(clippy::should_implement_trait, reason = "what it stands on borrows from it: no iterator")]
    pub fn next(&mut self) -> Result<bool> {
        // SAFETY: the handle is open.
        let result = unsafe { (self.library.next)(self.raw()) };
        Ok(self.checked("going to the next entry", result)? > 0)
    }

    /// Goes on by so many entries, or to the last; says by how many it went.
    pub fn next_skip(&mut self, entries: u64) -> Result<u64> {
        // SAFETY: the handle is open. The library counts in int.
        let result = unsafe { (self.library.next_skip)(self.raw(), entries.min(i32::MAX as u64)) };
        Ok(self.checked("passing over entries", result)? as u64)
    }

    /// Goes to the entry before; false if there is none.
    pub fn previous(&mut self) -> Result<bool> {
        // SAFETY: the handle is open.
        let result = unsafe { (self.library.previous)(self.raw()) };
        Ok(self.checked("going to the entry before", result)? > 0)
    }

    /// The first value of a field of the entry it stands on, if the entry has it.
    pub fn field(&mut self, name: &CStr) -> Result<Option<&[u8]>> {
        let (mut data, mut length) = (ptr::null(), 0);
        // SAFETY: the handle is open, the name lives until the call is over, the others are places for results.
        let result =
            unsafe { (self.library.data)(self.raw(), name.as_ptr(), &raw mut data, &raw mut length) };
        if is_absent(result) {
            return Ok(None);
        }
        self.checked("reading a field", result)?;
        // SAFETY: as below, in `each_field`.
        let whole = unsafe { borrowed(data, length) };
        let value = whole.get(name.count_bytes() + 1..);
        if value.is_some_and(|value| value.len() > Self::LONGEST) {
            self.refused += 1;
            return Ok(None);
        }
        Ok(value)
    }

    /// Every field of the entry it stands on, by name and value, in the library's order; a repeated field comes
    /// as often as it is there. Hot: the cost of reading an entry is here.
    pub fn each_field(&mut self, mut each: impl FnMut(&[u8], &[u8])) -> Result<()> {
        // SAFETY: the handle is open.
        unsafe { (self.library.restart)(self.raw()) };
        loop {
            let (mut data, mut length) = (ptr::null(), 0);
            // SAFETY: the handle is open, the others are places for results.
            let result = unsafe { (self.library.enumerate)(self.raw(), &raw mut data, &raw mut length) };
            if self.checked("reading the fields of an entry", result)? == 0 {
                return Ok(());
            }
            // SAFETY: the library gives `length` bytes at `data`, which it leaves alone until the next call on this
            // journal; `each` cannot make one, as we hold the only reference to it, nor can it keep what it is given.
            // Fields that were written are not changed any more by journald.
            let whole = unsafe { borrowed(data, length) };
            // Names are at most 64 bytes long.
            let Some(equals) = whole.iter().position(|&byte| byte == b'=') else { continue };
            if whole.len() - equals > Self::LONGEST {
                self.refused += 1;
            } else {
                each(&whole[..equals], &whole[equals + 1..]);
            }
        }
    }

    /// When the entry was written, as journald's host says: since 1970.
    pub fn realtime(&mut self) -> Result<Duration> {
        let mut micros = 0;
        // SAFETY: the handle is open, `micros` is a place for the result.
        let result = unsafe { (self.library.realtime)(self.raw(), &raw mut micros) };
        self.checked("reading the time of an entry", result)?;
        Ok(Duration::from_micros(micros))
    }

    /// When the entry was written: since the boot of journald's host, and the id of that boot.
    pub fn monotonic(&mut self) -> Result<(Duration, [u8; 16])> {
        let (mut micros, mut boot) = (0, Id128::default());
        // SAFETY: the handle is open, the others are places for the results.
        let result = unsafe { (self.library.monotonic)(self.raw(), &raw mut micros, &raw mut boot) };
        self.checked("reading the monotonic time of an entry", result)?;
        Ok((Duration::from_micros(micros), boot.0))
    }

    /// The place of the entry it stands on, to go on from in a later run. Makes a text: not for every entry.
    pub fn cursor(&mut self) -> Result<String> {
        let mut text: *mut c_char = ptr::null_mut();
        // SAFETY: the handle is open, `text` is a place for the result.
        let result = unsafe { (self.library.cursor)(self.raw(), &raw mut text) };
        self.checked("reading the cursor of an entry", result)?;
        // SAFETY: the library made the text, which ends with a zero byte, with malloc, for us to free.
        let cursor = unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned();
        // SAFETY: as above; nothing refers to it any more.
        unsafe { libc::free(text.cast()) };
        Ok(cursor)
    }

    /// How many values were passed over as they are longer than [`Journal::LONGEST`].
    pub fn refused(&self) -> u64 {
        self.refused
    }

    fn raw(&self) -> Handle {
        self.handle.as_ptr()
    }

    fn checked(&self, doing: &'static str, result: c_int) -> Result<c_int> {
        if result >= 0 {
            return Ok(result);
        }
        Err(Error::Call { journal: self.place.clone(), doing, source: os_error(result) })
    }

    fn cursor_text(&self, cursor: &str) -> Result<CString> {
        CString::new(cursor).map_err(|_| self.bad_cursor(cursor))
    }

    fn bad_cursor(&self, cursor: &str) -> Error {
        Error::BadCursor { journal: self.place.clone(), cursor: cursor.chars().take(200).collect() }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // SAFETY: the handle is open, and not used after this.
        unsafe { (self.library.close)(self.raw()) };
    }
}

/// # Safety
///
/// `data` has `length` bytes that do not change while the result lives, or `length` is 0.
unsafe fn borrowed<'j>(data: *const c_void, length: usize) -> &'j [u8] {
    if data.is_null() {
        return &[];
    }
    // SAFETY: as the caller says.
    unsafe { slice::from_raw_parts(data.cast(), length) }
}

/// The entry does not have the field, or it is compressed in a way, or too large, that the library cannot undo.
fn is_absent(result: c_int) -> bool {
    [libc::ENOENT, libc::EPROTONOSUPPORT, libc::ENOBUFS, libc::E2BIG].contains(&-result)
}

fn os_error(negative: c_int) -> io::Error {
    io::Error::from_raw_os_error(negative.saturating_neg())
}

fn c_string(what: &'static str, value: &Path) -> Result<CString> {
    CString::new(value.as_os_str().as_bytes()).map_err(|_| Error::ZeroByte { what, value: value.to_owned() })
}
