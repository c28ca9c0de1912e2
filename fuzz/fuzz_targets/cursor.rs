//! Any bytes as the cursor of a journal.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| unmasq_journal::fuzz_cursor(bytes));
