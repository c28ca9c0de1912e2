//! Any bytes as what Pyruse saved.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| unmasq_watch::import::fuzz_import(bytes));
