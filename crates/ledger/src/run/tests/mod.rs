//! What holds for runs as files.

mod damage;
mod generate;
mod merging;
mod reading;
