//! How ports are given out.

mod eduvpn;
mod even;

pub(crate) use eduvpn::eduvpn;
pub(crate) use even::{even, largest, with_reserve};

#[cfg(test)]
mod tests;
