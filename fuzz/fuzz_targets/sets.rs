//! Any bytes as what nftables and ipset say of sets.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| unmasq_netfilter::fuzz::fuzz_sets(bytes));
