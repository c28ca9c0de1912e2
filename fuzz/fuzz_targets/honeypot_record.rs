//! Any bytes as lines of attempts, counted and printed.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| unmasq_honeypot::report::fuzz(bytes));
