//! Our server against clients that others wrote, and beside the server that it imitates. Tests beside sshd need root and fail without it.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, also in its helpers")]

mod capture;
mod clients;
mod probes;
mod server;
mod sshd;
