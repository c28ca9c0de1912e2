//! The systemd journal, read through libsystemd.
//!
//! ```text
//!  Where ──open──► Journal ──next──► an entry ── field, each_field   (borrowed from the library's mapped files)
//!                    │                        └─ realtime, monotonic, cursor
//!                    └─ descriptor, process: tells of new entries, of new and removed files
//! ```
//!
//! The library is loaded when the first journal is opened: unmasq runs where there is none, and says what is
//! missing when a journal is asked for. What is borrowed from an entry cannot outlive the next call on its journal, as the
//! library may unmap the file by then.
//!
//! ```no_run
//! use unmasq_journal::{Journal, Where};
//!
//! let mut journal = Journal::open(&Where::System)?;
//! journal.seek_head()?;
//! while journal.next()? {
//!     if let Some(message) = journal.field(c"MESSAGE")? {
//!         println!("{}", String::from_utf8_lossy(message));
//!     }
//! }
//! # Ok::<(), unmasq_journal::Error>(())
//! ```

mod cursor;
mod error;
mod journal;
mod library;
mod place;

#[doc(hidden)]
pub use cursor::fuzz_cursor;
pub use cursor::{Cursor, CursorError};
pub use error::{Error, Result};
pub use journal::{Changed, Journal};
pub use place::{Unreadable, Where};
