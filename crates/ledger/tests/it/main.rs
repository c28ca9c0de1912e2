//! The streams of a ledger as a whole: what is accepted can be read, whatever happens in between.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod common;
mod damage;
mod full_disk;
mod golden;
mod kill;
mod live;
mod model;
mod power_cut;
mod retention;
