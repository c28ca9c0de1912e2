//! The control socket: how a command asks a running recorder, in the language of `unmasq-control`.

pub(crate) mod book;
pub(crate) mod client;
pub(crate) mod server;
