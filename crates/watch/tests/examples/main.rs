//! The shipped `examples/`, on real log lines: whom they attribute a failure to, and whom they ban.
//!
//! The labelled lines are those of the installed Debian package `fail2ban` (`scripts/setup test` installs
//! it).

mod forged;
mod gateway;
mod harness;
mod labelled;
mod shipped;
