//! Any bytes as one record of each format that log entries are written in.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| unmasq_entry::format::fuzz_format(bytes));
