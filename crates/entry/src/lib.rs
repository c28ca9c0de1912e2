//! A log entry: named fields with values, and (in `format`) the formats that entries are written in.
//!
//! ```text
//!  names ──► Fields ──► Slot            asked once, when chains are compiled
//!  a line or a journal record ──► Entry  (values in slots, their bytes in one arena; used again for the next entry)
//! ```
//!
//! Nothing is looked up by name while entries flow, but by a source that has names: it asks [`Fields::find`], and
//! leaves out what no chain uses. A captured group is a part of the text that it was found in and is not copied.
//!
//! ```
//! use unmasq_entry::{Entry, Fields, Value};
//!
//! let mut fields = Fields::default();
//! let (message, user) = (fields.slot("MESSAGE"), fields.slot("user"));
//! let mut entry = Entry::new(&fields);
//! entry.set(message, Value::Text("Failed password for root from 192.0.2.7"));
//! entry.set_part(user, message, 20..24);
//! assert_eq!(entry.get(user), Some(Value::Text("root")));
//! ```

mod entry;
mod fields;
pub mod format;
pub mod journal_fields;
pub mod saved;
mod value;

pub use entry::{Entry, floor_char_boundary};
pub use fields::{Fields, Slot};
pub use value::{Items, Value};
