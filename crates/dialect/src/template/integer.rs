//! Whole numbers as a specification asks.

use super::float;
use super::spec::{Number, Spec};

/// Appends a whole number.
pub(super) fn write(out: &mut String, value: i64, spec: &Spec) -> Result<(), String> {
    let kind = spec.kind.unwrap_or('d');
    if matches!(kind, 'e' | 'E' | 'f' | 'F' | 'g' | 'G' | '%') {
        return float::write(out, value as f64, spec);
    }
    if !matches!(kind, 'b' | 'c' | 'd' | 'n' | 'o' | 'x' | 'X') {
        return Err(spec.unknown_kind("a whole number"));
    }
    if spec.precision.is_some() {
        return Err("a whole number has no precision".into());
    }
    if spec.positive_zero {
        return Err("`z` is for numbers with a fraction".into());
    }
    if kind == 'c' {
        return character(out, value, spec);
    }
    let size = value.unsigned_abs();
    let (digits, prefix, group) = match kind {
        'b' => (format!("{size:b}"), "0b", 4),
        'o' => (format!("{size:o}"), "0o", 4),
        'x' => (format!("{size:x}"), "0x", 4),
        'X' => (format!("{size:X}"), "0X", 4),
        _ => (size.to_string(), "", 3),
    };
    let prefix = if spec.alternate { prefix } else { "" };
    let number = Number { is_negative: value < 0, prefix, digits: &digits, rest: "", group };
    number.write(out, spec);
    Ok(())
}

fn character(out: &mut String, value: i64, spec: &Spec) -> Result<(), String> {
    if spec.sign.is_some() || spec.alternate {
        return Err("a character has no sign and no `#`".into());
    }
    let c = u32::try_from(value).ok().and_then(char::from_u32);
    let c = c.ok_or_else(|| format!("{value} is not the number of a character"))?;
    let mut buffer = [0; 4];
    let rest = &*c.encode_utf8(&mut buffer);
    let number = Number { is_negative: false, prefix: "", digits: "", rest, group: 3 };
    number.write(out, spec);
    Ok(())
}
