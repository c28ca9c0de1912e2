//! Puts elements into the kernel's sets and keeps them there.

mod element;
mod enforcer;
mod failure;
mod kernel;
mod name;
mod wanted;
mod worker;

pub use element::{Element, Report, around, canonical, single};
pub use enforcer::{Enforcer, Options};
pub use failure::Failure;
pub use name::{SetKind, SetName, SetNameError};
