//! Any bytes as a watch's configuration: read, compiled, drawn and run.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| unmasq_watch::machine::fuzz_program(bytes));
