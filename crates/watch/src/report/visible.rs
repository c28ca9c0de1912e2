//! Text of which nothing is hidden: controls, and characters that turn or hide others, are shown as such.

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

/// Controls beyond ASCII, characters without width, and those that change the direction of others (Unicode TR 9, 36).
fn is_hidden(character: char) -> bool {
    matches!(
        character,
        '\u{80}'..='\u{9f}'
            | '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{feff}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}
