//! What holds of this crate as a whole: the parser on recorded, trimmed, crafted and hostile bytes, and the
//! sockets on a real kernel, in network namespaces of their own. The latter need root and fail without it.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, also in its helpers")]

mod crafted;
mod dump;
mod events;
mod frames;
mod hostile;
mod interfaces;
mod ipsets;
mod listener;
mod losses;
mod maps;
mod namespaces;
mod nflog;
mod oracle;
mod recorded;
mod scope;
mod sets;
mod tap;
