//! Text that is not UTF-8: the encoding that it is then taken for.

/// An encoding of one or more bytes a character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encoding(Scheme);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    /// Each byte is the character of its number. The web's standard has windows-1252 under this name, Python has not.
    Latin1,
    Other(&'static encoding_rs::Encoding),
}

impl Default for Encoding {
    /// ISO 8859-1, as Pyruse has it: every byte is a character.
    fn default() -> Self {
        Self(Scheme::Latin1)
    }
}

impl Encoding {
    /// The encoding of that name, in Python's spellings or the web's: `iso-8859-15`, `latin_1`, `cp1252`, `utf-8`.
    pub fn named(name: &str) -> Option<Self> {
        let plain = name.trim().to_ascii_lowercase().replace('_', "-");
        if matches!(
            plain.as_str(),
            "iso-8859-1" | "iso8859-1" | "8859" | "latin-1" | "latin1" | "latin" | "l1" | "cp819"
        ) {
            return Some(Self::default());
        }
        let label = match plain.as_str() {
            "latin-9" | "latin9" => "iso-8859-15",
            "utf8" | "u8" => "utf-8",
            "mbcs" | "windows1252" => "windows-1252",
            other => other,
        };
        let found = encoding_rs::Encoding::for_label_no_replacement(label.as_bytes())?;
        // Two bytes a character: no log line is written so, and each would come out as another script.
        let is_wide = found == encoding_rs::UTF_16LE || found == encoding_rs::UTF_16BE;
        (!is_wide).then_some(Self(Scheme::Other(found)))
    }

    /// The text; what the encoding does not know becomes U+FFFD.
    pub fn decode(self, bytes: &[u8]) -> String {
        let mut text = String::new();
        self.decode_into(bytes, &mut text);
        text
    }

    /// As [`Encoding::decode`], at the end of `text`.
    pub(crate) fn decode_into(self, bytes: &[u8], text: &mut String) {
        match self.0 {
            Scheme::Latin1 => text.extend(bytes.iter().copied().map(char::from)),
            Scheme::Other(encoding) => text.push_str(&encoding.decode_without_bom_handling(bytes).0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_pythons_and_the_webs() {
        for (name, text) in [
            ("iso-8859-1", "caf\u{e9} \u{a4} \u{80}"),
            ("Latin_1", "caf\u{e9} \u{a4} \u{80}"),
            ("iso-8859-15", "caf\u{e9} \u{20ac} \u{80}"),
            ("ISO8859-15", "caf\u{e9} \u{20ac} \u{80}"),
            ("cp1252", "caf\u{e9} \u{a4} \u{20ac}"),
            ("utf-8", "caf\u{fffd} \u{fffd} \u{fffd}"),
        ] {
            let encoding = Encoding::named(name).unwrap();
            assert_eq!(encoding.decode(b"caf\xe9 \xa4 \x80"), text, "{name}");
        }
        assert_eq!(Encoding::named("klingon"), None);
        assert_eq!(Encoding::named("utf-16"), None);
    }
}
