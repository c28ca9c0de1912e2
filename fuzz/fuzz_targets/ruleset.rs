//! Any bytes as a ruleset of iptables-save, as a file of nft and as nft's JSON.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| unmasq_rules::fuzz::ruleset(bytes));
