//! Any bytes as pieces of SSH connections, in any order.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| unmasq_sensor::fuzz::stream(bytes));
