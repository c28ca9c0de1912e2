//! The crate against servers and files that behave like a portal's and a node's.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod portal;
mod server;
mod tls;
