//! What the fuzz targets call: any bytes as a pattern or a template. They must not panic, and not take for
//! ever.

use jiff::tz::TimeZone;
use unmasq_entry::{Entry, Fields, Value};
use unmasq_flow::Timestamp;

use crate::{Captures, Hits, Pattern, PatternSet, Template};

/// A pattern, up to the first zero byte, and the text after it. What is found lies within the text, and a set
/// does not overlook it.
///
/// # Panics
/// If one of these does not hold.
pub fn fuzz_pattern(bytes: &[u8]) {
    let input = String::from_utf8_lossy(bytes);
    let (pattern, text) = input.split_once('\0').unwrap_or((&input, "a b\n"));
    let pattern = match Pattern::new(pattern) {
        Ok(pattern) => pattern,
        Err(error) => {
            assert!(error.offset <= input.len() && !error.message.is_empty());
            return;
        }
    };
    let mut captures = Captures::new(&pattern);
    let Ok(found) = pattern.find(text, &mut captures) else { return };
    let set = PatternSet::new([&pattern]);
    let mut hits = Hits::new(&set);
    set.matches(text, &mut hits);
    assert!(hits.contains(0) || !found);
    if found {
        for group in (0..=pattern.groups()).filter_map(|group| captures.get(group)) {
            assert!(text.get(group).is_some());
        }
    }
}

/// A template, rendered with values of every kind under the names `a` to `k`. An error leaves nothing behind.
///
/// # Panics
/// If it does, or points beside the template.
pub fn fuzz_template(bytes: &[u8]) {
    let input = String::from_utf8_lossy(bytes);
    let mut fields = Fields::default();
    let slots: Vec<_> = ('a'..='k').map(|name| fields.slot(name.encode_utf8(&mut [0; 4]))).collect();
    let template = match Template::parse(&input, &mut fields) {
        Ok(template) => template,
        Err(error) => {
            assert!(error.offset <= input.len() && !error.message.is_empty());
            return;
        }
    };
    let mut entry = Entry::new(&fields);
    let mut first_byte = [0; 16];
    first_byte[0] = bytes.first().copied().unwrap_or(0);
    let nanos = i64::from_ne_bytes([first_byte[0]; 8]);
    let span = std::time::Duration::from_micros(nanos.unsigned_abs());
    let values = [
        Value::Null,
        Value::Bool(true),
        Value::Integer(nanos),
        Value::Float(f64::from_bits(nanos as u64)),
        Value::Text(&input),
        Value::Bytes(bytes),
        Value::Time(Timestamp::from_nanos(nanos)),
        Value::Span(span),
        Value::Monotonic(span, first_byte),
        Value::Uuid(first_byte),
    ];
    for (slot, value) in slots.iter().zip(values) {
        entry.set(*slot, value);
    }
    entry.push(slots[10], Value::Text(&input));
    entry.push(slots[10], Value::Bytes(bytes));
    let mut out = String::new();
    if template.render(&entry, &TimeZone::UTC, &mut out).is_err() {
        assert!(out.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_pattern_ends_well(input in r"[\\()\[\]{}|?*+^$.:<>=!P#a-c1-3ix\-,é\x00]{0,30}") {
            fuzz_pattern(input.as_bytes());
        }

        #[test]
        fn any_template_ends_well(
            input in r"(\{[a-k](![rsa])?(:[<>=^*+\-z#0-9,_.bcdefgnosxX%éYaBs]{0,9})?\}|[ -~é]){0,6}"
        ) {
            fuzz_template(input.as_bytes());
        }

        #[test]
        fn any_bytes_end_well(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            fuzz_pattern(&bytes);
            fuzz_template(&bytes);
        }
    }
}
