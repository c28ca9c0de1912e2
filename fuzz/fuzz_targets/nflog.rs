//! Any bytes as what the kernel says of logged packets.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| unmasq_netfilter::fuzz::nflog(bytes));
