//! Numbers that a program counts, for Prometheus: values that threads share, a page made of them, and the small server that
//! gives the page out.
//!
//! ```text
//!  threads ──add, set──► values ──Page──► text ◄── GET /metrics ── Server (a thread of its own)
//! ```
//!
//! ```
//! use unmasq_metrics::{Page, Total};
//!
//! let entries = Total::default();
//! entries.add(3);
//! let mut page = Page::new("example");
//! page.total("entries_total", "Entries read", &entries);
//! assert!(page.into_text().ends_with("example_entries_total 3\n"));
//! ```

mod page;
mod server;
mod value;

pub use page::Page;
pub use server::{Server, ServerError};
pub use value::{Gauge, Histogram, Labelled, Total};
