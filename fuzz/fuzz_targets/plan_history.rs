//! Any bytes as the index and as the rows of a history of plans.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| unmasq_plan::fuzz::history(bytes));
