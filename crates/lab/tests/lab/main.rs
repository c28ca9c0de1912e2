//! The lab itself: what it builds works, and nothing of it stays.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod journald;
mod lifecycle;
mod translation;
