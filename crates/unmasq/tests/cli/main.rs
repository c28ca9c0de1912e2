//! The commands as a user runs them: arguments in, text and exit status out, on ledgers made for the purpose.

#![allow(clippy::unwrap_used, reason = "a test whose preparations fail has failed")]

mod compat_natfw;
mod config;
mod divert;
mod doctor;
mod export;
mod honeypot_report;
mod import;
mod ledger;
mod plan;
mod plan_capacity;
// The portal that the tests of crates/eduvpn ask.
#[path = "../../../eduvpn/tests/eduvpn/server.rs"]
mod portal;
mod rules_check;
mod rules_gen;
mod rules_zones;
mod support;
mod trace;
mod trace_batch;
mod verify;
