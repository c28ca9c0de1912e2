//! Python's regular expressions and format strings, compiled: chains are written in these two dialects.
//!
//! ```text
//!  "Failed .* for (?P<user>\S+)$" ──► Pattern ──► find(text) ──► Captures
//!  "{user} came from {ip:>15}"    ──► Template ──► render(entry) ──► text
//! ```
//!
//! ```
//! use unmasq_dialect::{Captures, Pattern, Template};
//! use unmasq_entry::{Entry, Fields, Value};
//!
//! let pattern = Pattern::new(r"Failed password for (?P<user>\S+)")?;
//! let mut captures = Captures::new(&pattern);
//! let text = "Failed password for root from 192.0.2.7";
//! assert!(pattern.find(text, &mut captures)?);
//! assert_eq!(captures.get(1), Some(20..24));
//!
//! let mut fields = Fields::default();
//! let template = Template::parse("user: {user:*^8}", &mut fields)?;
//! let mut entry = Entry::new(&fields);
//! entry.set(fields.slot("user"), Value::Text(&text[20..24]));
//! let mut out = String::new();
//! template.render(&entry, &jiff::tz::TimeZone::UTC, &mut out)?;
//! assert_eq!(out, "user: **root**");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod fuzz;
mod pattern;
mod template;
mod unicode;

pub use fuzz::{fuzz_pattern, fuzz_template};
pub use pattern::{Captures, Engine, Hits, Pattern, PatternError, PatternRunaway, PatternSet};
pub use template::{RenderError, Template, TemplateError, python_str};
