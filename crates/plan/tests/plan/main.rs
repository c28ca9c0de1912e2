//! What holds of this crate as a whole: its rules in a real kernel (which needs root, and fails without it), and
//! histories that outlive kills and versions.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, also in its helpers")]

mod golden;
mod iptables;
mod kill;
mod nft;
