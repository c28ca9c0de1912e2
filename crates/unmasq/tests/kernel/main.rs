//! The whole, against the real kernel: `unmasq record` in a lab of network namespaces, and `unmasq trace` compared with
//! what the servers themselves saw. Needs root, and fails without.

mod daemon;
mod gateway;
mod namespaces;
mod outages;
mod remote_book;
mod support;
mod translations;
mod watch_gateway;
mod watch_hostile;
mod watch_remote;
mod watch_state;
mod watching;
