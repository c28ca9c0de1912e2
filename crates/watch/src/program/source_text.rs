//! Where a part of a text value stands in the file that it was written in.

use std::ops::Range;

/// The place of the byte `offset` of a text value, of which the literal stands at `span` in `file`.
///
/// Quotes and escapes of JSON, TOML and YAML are understood. Where the literal is of another kind (a folded block of
/// YAML), the whole literal is the place.
pub(crate) fn place_within(file: &str, span: &Range<usize>, offset: usize) -> Range<usize> {
    let Some(literal) = file.get(span.clone()) else { return span.clone() };
    let inner = match literal.as_bytes() {
        [b'"', b'"', b'"', ..] | [b'\'', b'\'', b'\'', ..] => {
            3 + usize::from(literal[3..].starts_with('\n'))
                + 2 * usize::from(literal[3..].starts_with("\r\n"))
        }
        [b'"' | b'\'', ..] => 1,
        [b'|' | b'>', ..] => return span.clone(),
        _ => 0,
    };
    let has_escapes = literal.starts_with('"');
    let mut decoded = 0;
    let mut rest = &literal[inner.min(literal.len())..];
    while let Some(c) = rest.chars().next() {
        let (written, meant) = match rest.as_bytes() {
            [b'\\', b'u', digits @ ..] if has_escapes => unicode(digits, 4),
            [b'\\', b'U', digits @ ..] if has_escapes => unicode(digits, 8),
            [b'\\', b'x', digits @ ..] if has_escapes => unicode(digits, 2),
            [b'\\', _, ..] if has_escapes => (1 + rest[1..].chars().next().map_or(0, char::len_utf8), 1),
            [b'\'', b'\'', ..] if literal.starts_with('\'') && inner == 1 => (2, 1),
            _ => (c.len_utf8(), c.len_utf8()),
        };
        if decoded + meant > offset {
            let start = span.end - rest.len();
            return start..(start + written).min(span.end);
        }
        decoded += meant;
        rest = rest.get(written..).unwrap_or_default();
    }
    let end = span.end.saturating_sub(usize::from(inner > 0));
    end.max(span.start)..span.end.max(span.start + 1)
}

/// How many bytes an escape of hexadecimal digits takes in the file, and in the text.
fn unicode(digits: &[u8], count: usize) -> (usize, usize) {
    let code = |digits: &[u8]| {
        let text = digits.get(..count).and_then(|digits| str::from_utf8(digits).ok())?;
        u32::from_str_radix(text, 16).ok()
    };
    let written = (2 + count).min(2 + digits.len());
    let Some(first) = code(digits) else { return (written, 1) };
    match char::from_u32(first) {
        Some(c) => (written, c.len_utf8()),
        // The first of two halves; both together make a character of four bytes.
        None => (if digits.get(count) == Some(&b'\\') { written + 6 } else { written }, 4),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(file: &str, offset: usize) -> &str {
        &file[place_within(file, &(0..file.len()), offset)]
    }

    #[test]
    fn escapes_are_counted_as_what_they_mean() {
        let file = r#""^\\[x\u00e9\ud83d\ude00]\t(""#;
        assert_eq!(found(file, 0), "^");
        assert_eq!(found(file, 1), r"\\");
        assert_eq!(found(file, 2), "[");
        assert_eq!(found(file, 4), r"\u00e9");
        assert_eq!(found(file, 6), r"\ud83d\ude00");
        assert_eq!(found(file, 10), "]");
        assert_eq!(found(file, 12), "(");
        assert_eq!(found(file, 99), "\"");
    }

    #[test]
    fn literal_texts_have_no_escapes() {
        assert_eq!(found(r"'a\(b'", 2), "(");
        assert_eq!(found("'''\na('''", 1), "(");
        assert_eq!(found("'it''s ('", 5), "(");
        assert_eq!(found("plain (", 6), "(");
        assert_eq!(found("|\n  block (", 6), "|\n  block (");
    }

    proptest! {
        #[test]
        fn no_literal_panics(file in "[\"'|]?[\\PC\\\\]{0,40}", from in 0usize..50, to in 0usize..60, offset in 0usize..60) {
            let place = place_within(&file, &(from.min(to)..to), offset);
            prop_assert!(place.start <= place.end);
        }
    }
}
