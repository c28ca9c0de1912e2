//! ipset: the kernel's older sets, which iptables' rules use (`hash:ip`, `hash:net` and `hash:ip,port`).
//!
//! As [`crate::sets`], with two differences. There are no transactions: what a set does not take says which element it
//! is about, and the others are put. And an addition replaces the time of an element that is there.

mod connection;
mod encode;
pub(crate) mod fuzz;
mod info;
mod kernel;
mod name;

pub use connection::{Ipsets, error_text};
pub use encode::LONGEST_TIMEOUT;
pub use info::{SetInfo, SetType};
pub use name::{Name, NameError};
