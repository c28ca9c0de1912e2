//! Any bytes as macros and a ruleset that uses them.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| unmasq_rules::fuzz::macros(bytes));
