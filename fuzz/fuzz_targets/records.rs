//! Any bytes as lines and as journal records, in one piece and in small ones: the same records. The first byte is the size.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| unmasq_source::fuzz_records(bytes));
