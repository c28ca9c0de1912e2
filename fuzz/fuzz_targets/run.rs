//! Any bytes as a run of the ledger.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| unmasq_ledger::run::fuzz_open(bytes));
