//! Which characters hide something from who reads them.

use unicode_width::UnicodeWidthChar as _;

/// Controls, what has no width of its own (combining marks and joiners, variation selectors), what looks like a blank and is
/// none, and what turns text around (Unicode Standard Annex 9, Technical Report 36). Text that strangers may have written
/// is shown with these as their numbers.
///
/// ```
/// use unmasq_diagnostic::is_hidden;
///
/// assert!(['\x1b', '\u{202e}', '\u{200b}', '\u{301}'].into_iter().all(is_hidden));
/// assert!(!"pässwörd 密码".chars().any(is_hidden));
/// ```
pub fn is_hidden(character: char) -> bool {
    character.width().is_none_or(|width| width == 0)
        || character.is_control()
        || (character.is_whitespace() && character != ' ')
        || matches!(
            character,
            '\u{ad}'
                | '\u{34f}'
                | '\u{61c}'
                | '\u{115f}'..='\u{1160}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{2800}'
                | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{e000}'..='\u{f8ff}'
                | '\u{fff0}'..='\u{fffd}'
                | '\u{e0000}'..='\u{10ffff}'
        )
}
