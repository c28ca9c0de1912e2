//! Any bytes as a datagram of address changes.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| unmasq_netfilter::fuzz::addresses(bytes));
