//! ipset: what the kernel's older sets hold.

mod name;

pub use name::{Name, NameError};
