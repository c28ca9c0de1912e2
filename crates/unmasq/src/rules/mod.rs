//! Rulesets: where they are kept, and the keeper that tests and commits them.

pub(crate) mod job;
pub(crate) mod keeper;
pub(crate) mod ordered;
pub(crate) mod place;
pub(crate) mod read;
pub(crate) mod session;
