//! Any bytes as a watch's configuration, in each spelling.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| unmasq_watch::config::fuzz_config(bytes));
