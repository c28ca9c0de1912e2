//! The types that the journal's fields have for Pyruse: python-systemd's table of converters.
//!
//! A value that its converter refuses stays as bytes, as it does there. A field without a converter is text, or
//! bytes where it is not UTF-8; `MESSAGE` alone is then decoded with the configured 8-bit encoding.

use std::time::Duration;

use unmasq_flow::Timestamp;

use crate::format::Encoding;
use crate::{Entry, Slot, Value};

/// What a journal field is converted to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `MESSAGE`: text, whatever its bytes.
    Message,
    /// Text, or bytes where it is not UTF-8.
    Text,
    /// A whole number.
    Integer,
    /// A 128-bit identifier.
    Uuid,
    /// Microseconds since the Unix epoch.
    Time,
    /// Microseconds.
    Span,
    /// Microseconds of the monotonic clock; the boot is another field.
    Monotonic,
    /// As it is.
    Bytes,
}

/// The kind of a field.
pub fn kind(name: &str) -> Kind {
    match name {
        "MESSAGE" => Kind::Message,
        "PRIORITY" | "LEADER" | "SESSION_ID" | "USERSPACE_USEC" | "INITRD_USEC" | "KERNEL_USEC" | "_UID"
        | "_GID" | "_PID" | "SYSLOG_FACILITY" | "SYSLOG_PID" | "_AUDIT_SESSION" | "_AUDIT_LOGINUID"
        | "_SYSTEMD_SESSION" | "_SYSTEMD_OWNER_UID" | "CODE_LINE" | "ERRNO" | "EXIT_STATUS"
        | "COREDUMP_PID" | "COREDUMP_UID" | "COREDUMP_GID" | "COREDUMP_SESSION" | "COREDUMP_SIGNAL" => {
            Kind::Integer
        }
        "MESSAGE_ID" | "_MACHINE_ID" | "_BOOT_ID" => Kind::Uuid,
        "__REALTIME_TIMESTAMP" | "_SOURCE_REALTIME_TIMESTAMP" | "COREDUMP_TIMESTAMP" => Kind::Time,
        "_SOURCE_MONOTONIC_TIMESTAMP" => Kind::Span,
        "__MONOTONIC_TIMESTAMP" => Kind::Monotonic,
        "COREDUMP" => Kind::Bytes,
        _ => Kind::Text,
    }
}

/// Adds a value, as the journal has it, to a field of an entry. Hot: once for each field that chains use.
#[inline]
pub fn push(entry: &mut Entry, slot: Slot, kind: Kind, raw: &[u8], encoding: Encoding) {
    match (kind, str::from_utf8(raw)) {
        (Kind::Message | Kind::Text, Ok(text)) => entry.push(slot, Value::Text(text)),
        (Kind::Message, Err(_)) => entry.push(slot, Value::Text(&encoding.decode(raw))),
        (kind, _) => entry.push(slot, convert(kind, raw).unwrap_or(Value::Bytes(raw))),
    }
}

/// The value that the converter of `kind` makes; `None` if it refuses. [`Value::Monotonic`] is given boot 0.
fn convert(kind: Kind, raw: &[u8]) -> Option<Value<'_>> {
    match kind {
        Kind::Message | Kind::Text | Kind::Bytes => None,
        Kind::Integer => integer(raw).map(Value::Integer),
        Kind::Uuid => uuid(raw).map(Value::Uuid),
        Kind::Time => time(raw).map(Value::Time),
        Kind::Span => micros(raw).map(Value::Span),
        Kind::Monotonic => micros(raw).map(|since| Value::Monotonic(since, [0; 16])),
    }
}

/// As Python's `int()`: blanks around it, a sign, single underscores between digits.
fn integer(raw: &[u8]) -> Option<i64> {
    let text = raw.trim_ascii();
    let (is_negative, digits) = match text.first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let mut value = 0i64;
    let mut may_be_underscore = false;
    for &byte in digits {
        if byte == b'_' && may_be_underscore {
            may_be_underscore = false;
            continue;
        }
        let digit = i64::from(byte.is_ascii_digit().then(|| byte - b'0')?);
        // Downwards, as the smallest number has no positive twin.
        value = value.checked_mul(10)?.checked_sub(digit)?;
        may_be_underscore = true;
    }
    // No digit at all, or an underscore at the end.
    if !may_be_underscore {
        return None;
    }
    if is_negative { Some(value) } else { value.checked_neg() }
}

/// A moment in microseconds since the Unix epoch.
pub(crate) fn time(raw: &[u8]) -> Option<Timestamp> {
    integer(raw)?.checked_mul(1000).map(Timestamp::from_nanos)
}

/// A length of time in microseconds.
pub(crate) fn micros(raw: &[u8]) -> Option<Duration> {
    integer(raw).and_then(|micros| u64::try_from(micros).ok()).map(Duration::from_micros)
}

/// 32 hexadecimal digits, with or without hyphens and what Python's `UUID()` takes around them.
pub(crate) fn uuid(raw: &[u8]) -> Option<[u8; 16]> {
    // As journald writes it.
    if let Ok(digits) = <&[u8; 32]>::try_from(raw) {
        let mut value = [0; 16];
        let mut is_good = true;
        for (place, pair) in value.iter_mut().zip(digits.chunks_exact(2)) {
            let [high, low] = [digit(pair[0]), digit(pair[1])];
            is_good &= high < 16 && low < 16;
            *place = high << 4 | (low & 15);
        }
        if is_good {
            return Some(value);
        }
    }
    let mut value = [0; 16];
    let mut digits = 0;
    let raw = raw.strip_prefix(b"urn:").unwrap_or(raw);
    let raw = raw.strip_prefix(b"uuid:").unwrap_or(raw);
    for &byte in raw.iter().filter(|byte| !matches!(byte, b'-' | b'{' | b'}')) {
        let place: &mut u8 = value.get_mut(digits / 2)?;
        *place = *place << 4 | Some(digit(byte)).filter(|digit| *digit < 16)?;
        digits += 1;
    }
    (digits == 32).then_some(value)
}

/// The value of a hexadecimal digit; 16 or more for another byte.
const fn digit(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => byte - b'0',
        b'a'..=b'f' => byte - b'a' + 10,
        b'A'..=b'F' => byte - b'A' + 10,
        _ => 0xff,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_read_as_python_reads_them() {
        for (text, value) in [
            ("22", Some(22)),
            (" -7\n", Some(-7)),
            ("+1_000", Some(1000)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("", None),
            ("-", None),
            ("1__0", None),
            ("_1", None),
            ("1_", None),
            ("0x10", None),
        ] {
            assert_eq!(integer(text.as_bytes()), value, "{text:?}");
        }
    }

    #[test]
    fn what_a_converter_refuses_stays_as_bytes() {
        let mut fields = crate::Fields::default();
        let priority = fields.slot("PRIORITY");
        let mut entry = Entry::new(&fields);
        push(&mut entry, priority, Kind::Integer, b"high", Encoding::default());
        assert_eq!(entry.get(priority), Some(Value::Bytes(b"high")));
    }

    #[test]
    fn identifiers_are_read_in_all_their_spellings() {
        let value = Some(0x3d12_19c7_c4c5_404a_aa1f_6d2a_48ad_fda4u128.to_be_bytes());
        for text in [
            "3d1219c7c4c5404aaa1f6d2a48adfda4",
            "3D1219C7-c4c5-404a-aa1f-6d2a48adfda4",
            "{3d1219c7c4c5404aaa1f6d2a48adfda4}",
        ] {
            assert_eq!(uuid(text.as_bytes()), value, "{text}");
        }
        assert_eq!(uuid(b"3d1219c7c4c5404aaa1f6d2a48adfda"), None);
        assert_eq!(uuid(b"3d1219c7c4c5404aaa1f6d2a48adfda45"), None);
    }
}
