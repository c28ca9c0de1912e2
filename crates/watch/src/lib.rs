//! Chains of filters and actions over log entries.

pub mod client;
pub mod enforce;
pub mod guard;
pub mod journal_log;
pub mod machine;
pub mod mail;
pub mod metrics;
pub mod program;
