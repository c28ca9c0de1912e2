//! Any bytes as a template of Python's.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| unmasq_dialect::fuzz_template(bytes));
