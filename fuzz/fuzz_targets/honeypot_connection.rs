//! Any bytes as what a client sends to the honeypot, in clear text and under keys.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| unmasq_honeypot::fuzz::connection(bytes));
