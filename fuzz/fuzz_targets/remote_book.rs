//! Any bytes as what a recorder answers to a watch.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| unmasq_watch::client::remote::fuzz_replies(bytes));
