//! Any bytes as a snapshot and as a transaction of a watch's log.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| unmasq_watch::state::fuzz_state(bytes));
