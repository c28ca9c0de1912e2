//! The commands as a user runs them: arguments in, text and exit status out, on ledgers made for the purpose.

#![allow(clippy::unwrap_used, reason = "a test whose preparations fail has failed")]

mod config;
mod doctor;
mod export;
mod import;
mod ledger;
mod support;
mod trace;
mod trace_batch;
mod verify;
