//! Any bytes as what an eduVPN gateway's networks are read from.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| unmasq_eduvpn::fuzz::texts(bytes));
