//! The whole, against the real kernel: `unmasq record` in a lab of network namespaces, and `unmasq trace` compared with
//! what the servers themselves saw. Needs root, and fails without.

mod daemon;
mod divert;
mod gateway;
mod honeypot;
mod namespaces;
mod outages;
mod plan_changes;
mod plan_crash;
mod plan_formats;
mod plan_gateway;
mod plan_guard;
mod remote_book;
mod rules_check;
mod rules_commit;
mod rules_machine;
mod rules_pieces;
mod rules_place;
mod rules_sets;
mod rules_ssh;
mod rules_test;
mod rules_zones;
mod support;
mod translations;
mod watch_gateway;
mod watch_hostile;
mod watch_remote;
mod watch_state;
mod watching;
