//! The names of characters that `\N{…}` takes here: of ASCII, and of what typists put in its place. The whole
//! table of Unicode is not worth its half megabyte.

const NAMED: [(&str, char); 62] = [
    ("SPACE", ' '),
    ("EXCLAMATION MARK", '!'),
    ("QUOTATION MARK", '"'),
    ("NUMBER SIGN", '#'),
    ("DOLLAR SIGN", '$'),
    ("PERCENT SIGN", '%'),
    ("AMPERSAND", '&'),
    ("APOSTROPHE", '\''),
    ("LEFT PARENTHESIS", '('),
    ("RIGHT PARENTHESIS", ')'),
    ("ASTERISK", '*'),
    ("PLUS SIGN", '+'),
    ("COMMA", ','),
    ("HYPHEN-MINUS", '-'),
    ("FULL STOP", '.'),
    ("SOLIDUS", '/'),
    ("DIGIT ZERO", '0'),
    ("DIGIT ONE", '1'),
    ("DIGIT TWO", '2'),
    ("DIGIT THREE", '3'),
    ("DIGIT FOUR", '4'),
    ("DIGIT FIVE", '5'),
    ("DIGIT SIX", '6'),
    ("DIGIT SEVEN", '7'),
    ("DIGIT EIGHT", '8'),
    ("DIGIT NINE", '9'),
    ("COLON", ':'),
    ("SEMICOLON", ';'),
    ("LESS-THAN SIGN", '<'),
    ("EQUALS SIGN", '='),
    ("GREATER-THAN SIGN", '>'),
    ("QUESTION MARK", '?'),
    ("COMMERCIAL AT", '@'),
    ("LEFT SQUARE BRACKET", '['),
    ("REVERSE SOLIDUS", '\\'),
    ("RIGHT SQUARE BRACKET", ']'),
    ("CIRCUMFLEX ACCENT", '^'),
    ("LOW LINE", '_'),
    ("GRAVE ACCENT", '`'),
    ("LEFT CURLY BRACKET", '{'),
    ("VERTICAL LINE", '|'),
    ("RIGHT CURLY BRACKET", '}'),
    ("TILDE", '~'),
    ("NO-BREAK SPACE", '\u{a0}'),
    ("SECTION SIGN", '§'),
    ("COPYRIGHT SIGN", '©'),
    ("LEFT-POINTING DOUBLE ANGLE QUOTATION MARK", '«'),
    ("RIGHT-POINTING DOUBLE ANGLE QUOTATION MARK", '»'),
    ("DEGREE SIGN", '°'),
    ("MIDDLE DOT", '·'),
    ("LATIN SMALL LETTER SHARP S", 'ß'),
    ("ZERO WIDTH SPACE", '\u{200b}'),
    ("EN DASH", '–'),
    ("EM DASH", '—'),
    ("LEFT SINGLE QUOTATION MARK", '‘'),
    ("RIGHT SINGLE QUOTATION MARK", '’'),
    ("LEFT DOUBLE QUOTATION MARK", '“'),
    ("RIGHT DOUBLE QUOTATION MARK", '”'),
    ("BULLET", '•'),
    ("HORIZONTAL ELLIPSIS", '…'),
    ("EURO SIGN", '€'),
    ("REPLACEMENT CHARACTER", '\u{fffd}'),
];

/// The character of a name; case does not matter, as in Python.
pub(super) fn find(name: &str) -> Option<char> {
    let name = name.to_ascii_uppercase();
    for (start, letters) in [("LATIN CAPITAL LETTER ", 'A'..='Z'), ("LATIN SMALL LETTER ", 'a'..='z')] {
        if let Some(letter) = name.strip_prefix(start)
            && letter.len() == 1
        {
            return letters.into_iter().find(|c| letter.starts_with(c.to_ascii_uppercase()));
        }
    }
    NAMED.iter().find(|(known, _)| *known == name).map(|(_, c)| *c)
}
