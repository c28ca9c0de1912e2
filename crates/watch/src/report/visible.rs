//! Text of which nothing is hidden: controls, and characters that turn or hide others, are shown as such.

use unmasq_diagnostic::is_hidden;

/// Calls `each` with every character as it is to be shown.
pub(super) fn visible(text: &str, mut each: impl FnMut(char)) {
    for character in text.chars() {
        match character {
            // The pictures of controls stand in their order from U+2400.
            '\0'..='\x1f' => each(char::from_u32(0x2400 + character as u32).unwrap_or('\u{fffd}')),
            '\x7f' => each('\u{2421}'),
            _ if is_hidden(character) => {
                for shown in format!("⟨U+{:04X}⟩", character as u32).chars() {
                    each(shown);
                }
            }
            _ => each(character),
        }
    }
}
