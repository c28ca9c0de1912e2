//! Any bytes as a packet, as a capture file, and what a sensor makes of them.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| unmasq_sensor::fuzz::packets(bytes));
