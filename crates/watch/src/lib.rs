//! Chains of filters and actions over log entries.

pub mod bans;
pub mod client;
pub mod config;
pub mod counters;
pub mod enforce;
pub mod guard;
pub mod import;
pub mod journal_log;
pub mod machine;
pub mod mail;
pub mod metrics;
pub mod program;
pub mod report;
pub mod state;
