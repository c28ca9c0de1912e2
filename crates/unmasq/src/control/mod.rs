//! How a running recorder is asked, in the language of `unmasq-control`: by commands on its control socket, and by
//! other hosts over TLS.

pub(crate) mod book;
pub(crate) mod client;
pub(crate) mod server;
pub(crate) mod tls;
