//! Which ports the machine itself takes: `net.ipv4.ip_local_port_range` and `net.ipv4.ip_local_reserved_ports`
//! (Documentation/networking/ip-sysctl.rst of Linux). They hold for IPv6, too.

use std::fs::File;
use std::io::Read;
use std::ops::RangeInclusive;

use super::{Reading, SettingError};

const LOCAL: &str = "/proc/sys/net/ipv4/ip_local_port_range";
const RESERVED: &str = "/proc/sys/net/ipv4/ip_local_reserved_ports";

/// Longer than every list of ports: 32,768 ranges of one port, each with its comma.
const BUFFER: usize = 256 * 1024;

/// The ports that the kernel picks from for connections of the calling thread's namespace itself.
pub fn local_ports() -> Reading<RangeInclusive<u16>> {
    let text = read(LOCAL)?;
    parse_local(&text).ok_or_else(|| SettingError::value(LOCAL, text.trim(), "the first and the last port"))
}

/// The ports that the kernel never picks by itself in the calling thread's namespace, ascending; mostly none.
pub fn reserved_ports() -> Reading<Vec<RangeInclusive<u16>>> {
    let text = read(RESERVED)?;
    parse_reserved(&text).ok_or_else(|| SettingError::value(RESERVED, text.trim(), "a list of ports"))
}

/// Reads it at once. A list of ports is cut off where the reader's buffer ends, and there is no reading on from there
/// (`proc_do_large_bitmap`): `fs::read_to_string` begins with 32 bytes.
fn read(file: &str) -> Reading<String> {
    let mut buffer = vec![0; BUFFER];
    let length = File::open(file)
        .and_then(|mut opened| opened.read(&mut buffer))
        .map_err(|error| SettingError::file(file, error))?;
    buffer.truncate(length);
    Ok(String::from_utf8_lossy(&buffer).into_owned())
}

/// Two numbers, with a tab between them.
fn parse_local(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.trim().split_once(|c: char| c.is_ascii_whitespace())?;
    range(first, last.trim_start())
}

/// `8080,9148-9150`.
fn parse_reserved(text: &str) -> Option<Vec<RangeInclusive<u16>>> {
    let text = text.trim();
    if text.is_empty() {
        return Some(Vec::new());
    }
    let one = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        range(first, last)
    };
    text.split(',').map(one).collect()
}

fn range(first: &str, last: &str) -> Option<RangeInclusive<u16>> {
    let range = first.parse().ok()?..=last.parse().ok()?;
    (!range.is_empty()).then_some(range)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ports_are_read_as_the_kernel_writes_them() {
        assert_eq!(parse_local("32768\t60999\n"), Some(32768..=60999));
        assert_eq!(parse_reserved("\n"), Some(vec![]));
        assert_eq!(parse_reserved("8080,9148-9150\n"), Some(vec![8080..=8080, 9148..=9150]));
        for text in ["", "32768", "60999\t32768", "1\t65536", "a\tb"] {
            assert_eq!(parse_local(text), None, "{text}");
        }
        for text in [",", "1,", "1-", "9-8", "65536", "1 2"] {
            assert_eq!(parse_reserved(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_list_is_read_as_written(ports in prop::collection::vec(any::<(u16, u16)>(), 0..50)) {
            let ports: Vec<_> = ports.iter().map(|(a, b)| *a.min(b)..=*a.max(b)).collect();
            let text: Vec<_> = ports.iter().map(|ports| format!("{}-{}", ports.start(), ports.end())).collect();
            prop_assert_eq!(parse_reserved(&text.join(",")), Some(ports));
        }

        #[test]
        fn any_text_is_answered(text in "[0-9,\t -]{0,20}|\\PC{0,20}") {
            let _ = (parse_local(&text), parse_reserved(&text));
        }
    }
}
