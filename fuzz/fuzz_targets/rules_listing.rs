//! Any bytes as what nft and iptables-save list.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| unmasq_rules::fuzz::listing(bytes));
