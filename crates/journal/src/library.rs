//! The functions of libsystemd.so.0 that we call, found once and kept while the process lives.

use std::ffi::{c_char, c_int, c_void};
use std::sync::OnceLock;

use crate::{Error, Result};

/// `sd_journal`, which only the library looks into.
pub(crate) type Handle = *mut c_void;

/// `sd_id128_t`: a union of 16 bytes and two 64-bit words.
#[repr(C, align(8))]
#[derive(Clone, Copy, Default)]
pub(crate) struct Id128(pub(crate) [u8; 16]);

/// A function of the library, declared as in sd-journal.h.
macro_rules! functions {
    ($($field:ident = $symbol:ident($($argument:ty),*) -> $result:ty;)*) => {
        /// The functions, by our names for them.
        pub(crate) struct Library {
            $(pub(crate) $field: unsafe extern "C" fn($($argument),*) -> $result,)*
            /// Dropped, the functions would be gone.
            _loaded: libloading::Library,
        }

        impl Library {
            fn load() -> Result<Self, Missing> {
                // SAFETY: libsystemd has no initialiser that could misbehave in a process with threads; it is made to
                // be loaded at any time.
                let loaded = unsafe { libloading::Library::new("libsystemd.so.0") };
                let loaded = loaded.map_err(|error| Missing::Library(error.to_string()))?;
                Ok(Self {
                    $($field: {
                        let symbol = concat!(stringify!($symbol), "\0").as_bytes();
                        // SAFETY: the types are those of sd-journal.h, which libsystemd keeps for ever (its symbols
                        // are versioned).
                        let found = unsafe { loaded.get::<unsafe extern "C" fn($($argument),*) -> $result>(symbol) };
                        *found.map_err(|_| Missing::Function(stringify!($symbol)))?
                    },)*
                    _loaded: loaded,
                })
            }
        }
    };
}

functions! {
    open = sd_journal_open(*mut Handle, c_int) -> c_int;
    open_namespace = sd_journal_open_namespace(*mut Handle, *const c_char, c_int) -> c_int;
    open_directory = sd_journal_open_directory(*mut Handle, *const c_char, c_int) -> c_int;
    open_files = sd_journal_open_files(*mut Handle, *const *const c_char, c_int) -> c_int;
    close = sd_journal_close(Handle) -> ();
    seek_head = sd_journal_seek_head(Handle) -> c_int;
    seek_tail = sd_journal_seek_tail(Handle) -> c_int;
    seek_realtime = sd_journal_seek_realtime_usec(Handle, u64) -> c_int;
    seek_cursor = sd_journal_seek_cursor(Handle, *const c_char) -> c_int;
    next = sd_journal_next(Handle) -> c_int;
    next_skip = sd_journal_next_skip(Handle, u64) -> c_int;
    previous = sd_journal_previous(Handle) -> c_int;
    data = sd_journal_get_data(Handle, *const c_char, *mut *const c_void, *mut usize) -> c_int;
    enumerate = sd_journal_enumerate_available_data(Handle, *mut *const c_void, *mut usize) -> c_int;
    restart = sd_journal_restart_data(Handle) -> ();
    set_threshold = sd_journal_set_data_threshold(Handle, usize) -> c_int;
    realtime = sd_journal_get_realtime_usec(Handle, *mut u64) -> c_int;
    monotonic = sd_journal_get_monotonic_usec(Handle, *mut u64, *mut Id128) -> c_int;
    cursor = sd_journal_get_cursor(Handle, *mut *mut c_char) -> c_int;
    test_cursor = sd_journal_test_cursor(Handle, *const c_char) -> c_int;
    descriptor = sd_journal_get_fd(Handle) -> c_int;
    timeout = sd_journal_get_timeout(Handle, *mut u64) -> c_int;
    process = sd_journal_process(Handle) -> c_int;
}

/// Why there is no library; told again each time it is asked for.
enum Missing {
    Library(String),
    Function(&'static str),
}

/// The library, loaded at the first call.
pub(crate) fn library() -> Result<&'static Library> {
    static LIBRARY: OnceLock<Result<Library, Missing>> = OnceLock::new();
    match LIBRARY.get_or_init(Library::load) {
        Ok(library) => Ok(library),
        Err(Missing::Library(reason)) => Err(Error::NoLibrary { reason: reason.clone() }),
        Err(Missing::Function(function)) => Err(Error::OldLibrary { function }),
    }
}
