//! Rulesets of nftables and iptables: generated, checked, tested with a way back, committed and kept.

pub mod commit;
pub mod compare;
mod error;
mod form;
#[doc(hidden)]
pub mod fuzz;
pub mod git;
mod ipv6;
pub mod lint;
pub mod live;
pub mod macros;
pub mod nflog;
pub mod piece;
pub mod program;
pub mod ruleset;
pub mod run;
pub mod store;
pub mod trial;
pub mod value;
pub mod whole_file;
pub mod zones;

pub use error::RulesError;
pub use form::Form;
