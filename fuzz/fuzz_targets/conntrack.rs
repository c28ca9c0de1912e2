//! Any bytes as a datagram of conntrack messages.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| unmasq_netfilter::fuzz::conntrack(bytes));
