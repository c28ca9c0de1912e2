//! Any bytes as a profile of a server.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| unmasq_honeypot::fuzz::profile(bytes));
