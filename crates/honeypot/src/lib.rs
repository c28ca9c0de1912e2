//! An SSH server that lets nobody in and writes down what they tried.
//!
//! ```text
//!  a real sshd ──capture──► profile ──┐
//!  host keys ─────────────────────────┤
//!                                     ▼
//!  bytes of a client ──► server::Connection ──► bytes for the client
//!                                     └──► Happening ──► record::Record ──JSON lines──► report
//! ```
//!
//! No sockets, threads or clocks: the binary has those.

pub mod capture;
pub mod client;
#[doc(hidden)]
pub mod fuzz;
pub mod hostkey;
mod kex;
pub mod profile;
pub mod random;
pub mod record;
pub mod report;
pub mod server;
mod transport;
