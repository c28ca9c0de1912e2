//! ledger
pub mod run;
