//! Any bytes as syslog over TCP, in one piece and in small ones: the same messages. The first byte is the size.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| unmasq_source::fuzz_stream(bytes));
