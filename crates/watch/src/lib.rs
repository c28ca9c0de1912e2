//! Chains of filters and actions over log entries.

pub mod client;
