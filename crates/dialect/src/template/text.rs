//! Text as a specification asks.

use super::spec::{Align, Spec, pad};

/// Appends text.
pub(super) fn write(out: &mut String, text: &str, spec: &Spec) -> Result<(), String> {
    if !matches!(spec.kind, None | Some('s')) {
        return Err(spec.unknown_kind("text"));
    }
    let (fill, align) = spec.padding(Align::Left);
    let is_for_numbers = spec.sign.is_some()
        || spec.positive_zero
        || spec.alternate
        || spec.grouping.is_some()
        || align == Align::Inner;
    if is_for_numbers {
        return Err("sign, `z`, `#`, `,`, `_` and `=` are for numbers, and this is text".into());
    }
    let end = spec.precision.and_then(|most| text.char_indices().nth(most));
    let text = end.map_or(text, |(end, _)| &text[..end]);
    let padding = spec.width.saturating_sub(text.chars().count());
    let before = match align {
        Align::Left | Align::Inner => 0,
        Align::Right => padding,
        Align::Middle => padding / 2,
    };
    pad(out, fill, before);
    out.push_str(text);
    pad(out, fill, padding - before);
    Ok(())
}
