//! `str()` and `repr()` of values.

use std::fmt::Write as _;
use std::sync::LazyLock;
use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use regex_syntax::hir::ClassUnicode;
use unmasq_entry::Value;
use unmasq_flow::Timestamp;

use super::float;
use crate::unicode;

/// What Python's `str()` gives for a value; times are shown in `zone`, without naming it.
pub fn python_str(value: Value<'_>, zone: &TimeZone) -> String {
    let mut text = String::new();
    write_str(&mut text, value, zone);
    text
}

// Writing to a string does not fail, so that the results of `write!` are of no interest here.

/// Appends `str()` of a value.
pub(super) fn write_str(out: &mut String, value: Value<'_>, zone: &TimeZone) {
    match value {
        Value::Text(text) => out.push_str(text),
        Value::Time(time) => {
            let local = local(time, zone).civil;
            let _ = write!(out, "{:04}-{:02}-{:02} ", local.year(), local.month(), local.day());
            let _ = write!(out, "{:02}:{:02}:{:02}", local.hour(), local.minute(), local.second());
            write_fraction(out, local.subsec_nanosecond().unsigned_abs() / 1000);
        }
        Value::Span(span) => write_span(out, span),
        Value::Uuid(uuid) => write_uuid(out, uuid),
        other => write_repr(out, other, zone),
    }
}

/// Appends `repr()` of a value.
pub(super) fn write_repr(out: &mut String, value: Value<'_>, zone: &TimeZone) {
    match value {
        Value::Null => out.push_str("None"),
        Value::Bool(value) => out.push_str(if value { "True" } else { "False" }),
        Value::Integer(value) => {
            let _ = write!(out, "{value}");
        }
        Value::Float(value) => float::write_repr(out, value),
        Value::Text(text) => write_quoted(out, text),
        Value::Bytes(bytes) => write_bytes(out, bytes),
        Value::Time(time) => write_time_repr(out, local(time, zone).civil),
        Value::Span(span) => write_span_repr(out, span),
        Value::Monotonic(span, boot) => {
            out.push_str("journal.Monotonic(timestamp=");
            write_span_repr(out, span);
            out.push_str(", bootid=");
            write_repr(out, Value::Uuid(boot), zone);
            out.push(')');
        }
        Value::Uuid(uuid) => {
            out.push_str("UUID('");
            write_uuid(out, uuid);
            out.push_str("')");
        }
        Value::List(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                out.push_str(if i > 0 { ", " } else { "" });
                write_repr(out, item, zone);
            }
            out.push(']');
        }
    }
}

/// Appends a text with an escape for each character that is not ASCII, as `ascii()` has them.
pub(super) fn write_ascii(out: &mut String, text: &str) {
    for c in text.chars() {
        if c.is_ascii() {
            out.push(c);
        } else {
            write_escape(out, c);
        }
    }
}

/// A moment as a clock on the wall shows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Local {
    pub(super) civil: DateTime,
    /// Since 1970 in UTC.
    pub(super) seconds: i64,
}

/// Python's times end at microseconds.
pub(super) fn local(time: Timestamp, zone: &TimeZone) -> Local {
    let micros = time.as_nanos().div_euclid(1000);
    // A 64-bit number of nanoseconds is within the years 1677 to 2262, which jiff has.
    let instant = jiff::Timestamp::from_microsecond(micros).unwrap_or_default();
    Local { civil: zone.to_datetime(instant), seconds: micros.div_euclid(1_000_000) }
}

fn write_fraction(out: &mut String, micros: u32) {
    if micros > 0 {
        let _ = write!(out, ".{micros:06}");
    }
}

fn write_time_repr(out: &mut String, local: DateTime) {
    let _ = write!(out, "datetime.datetime({}, {}, {}", local.year(), local.month(), local.day());
    let _ = write!(out, ", {}, {}", local.hour(), local.minute());
    let micros = local.subsec_nanosecond() / 1000;
    if local.second() > 0 || micros > 0 {
        let _ = write!(out, ", {}", local.second());
    }
    if micros > 0 {
        let _ = write!(out, ", {micros}");
    }
    out.push(')');
}

const DAY: u64 = 86_400;

fn write_span(out: &mut String, span: Duration) {
    let (days, seconds) = (span.as_secs() / DAY, span.as_secs() % DAY);
    match days {
        0 => {}
        1 => out.push_str("1 day, "),
        _ => {
            let _ = write!(out, "{days} days, ");
        }
    }
    let _ = write!(out, "{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    write_fraction(out, span.subsec_micros());
}

fn write_span_repr(out: &mut String, span: Duration) {
    let parts = [
        ("days", span.as_secs() / DAY),
        ("seconds", span.as_secs() % DAY),
        ("microseconds", u64::from(span.subsec_micros())),
    ];
    out.push_str("datetime.timedelta(");
    let mut separator = "";
    for (name, number) in parts.into_iter().filter(|(_, number)| *number > 0) {
        let _ = write!(out, "{separator}{name}={number}");
        separator = ", ";
    }
    out.push_str(if separator.is_empty() { "0)" } else { ")" });
}

fn write_uuid(out: &mut String, uuid: [u8; 16]) {
    for (i, byte) in uuid.iter().enumerate() {
        out.push_str(if matches!(i, 4 | 6 | 8 | 10) { "-" } else { "" });
        let _ = write!(out, "{byte:02x}");
    }
}

/// What `str.isprintable` says no to; the blank is an exception.
static UNPRINTABLE: LazyLock<ClassUnicode> = LazyLock::new(|| unicode::class(r"[\p{C}\p{Z}]"));

fn write_quoted(out: &mut String, text: &str) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str(r"\\"),
            '\t' => out.push_str(r"\t"),
            '\n' => out.push_str(r"\n"),
            '\r' => out.push_str(r"\r"),
            _ if c == quote => out.extend(['\\', c]),
            ' '..='~' => out.push(c),
            _ if unicode::contains(&UNPRINTABLE, c) => write_escape(out, c),
            _ => out.push(c),
        }
    }
    out.push(quote);
}

fn write_escape(out: &mut String, c: char) {
    let code = u32::from(c);
    let _ = match code {
        0..=0xff => write!(out, r"\x{code:02x}"),
        0x100..=0xffff => write!(out, r"\u{code:04x}"),
        _ => write!(out, r"\U{code:08x}"),
    };
}

fn write_bytes(out: &mut String, bytes: &[u8]) {
    let quote = if bytes.contains(&b'\'') && !bytes.contains(&b'"') { '"' } else { '\'' };
    out.extend(['b', quote]);
    for &byte in bytes {
        match byte {
            b'\\' => out.push_str(r"\\"),
            b'\t' => out.push_str(r"\t"),
            b'\n' => out.push_str(r"\n"),
            b'\r' => out.push_str(r"\r"),
            _ if char::from(byte) == quote => out.extend(['\\', quote]),
            b' '..=b'~' => out.push(char::from(byte)),
            _ => {
                let _ = write!(out, r"\x{byte:02x}");
            }
        }
    }
    out.push(quote);
}
