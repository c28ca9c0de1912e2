//! Any bytes as rules of iptables-save.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| unmasq_plan::fuzz::rules(bytes));
