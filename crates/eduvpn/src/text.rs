//! Foreign text in messages.

/// The longest that is shown, in characters.
const SHOWN: usize = 160;

/// A foreign text: quoted, escaped, cut.
pub(crate) fn quoted(text: &str) -> String {
    let shown = cut(text.trim());
    if shown.is_empty() { "nothing".to_owned() } else { format!("{shown:?}") }
}

/// The beginning of a text.
pub(crate) fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_escaped_and_cut() {
        assert_eq!(quoted(" a\u{1b}[2J\" "), r#""a\u{1b}[2J\"""#);
        assert_eq!(quoted(&"é".repeat(500)).chars().count(), SHOWN + 3);
        assert_eq!(quoted("\n"), "nothing");
    }
}
