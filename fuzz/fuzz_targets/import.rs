//! Any bytes as a line of another program's log; the first byte chooses the program.
#![no_main]

use unmasq_import::{Format, fuzz_line};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Some((choice, line)) = bytes.split_first() {
        fuzz_line(Format::ALL[usize::from(*choice) % Format::ALL.len()], line);
    }
});
