//! Quoted-printable (RFC 2045, section 6.7), a little stricter than it asks.

/// Longest line, its soft break included.
const LONGEST: usize = 76;

/// Encodes a text; its line breaks become CRLF.
///
/// No line of the result begins with a dot (the end of a message), `--` (a boundary), `~` (an escape of mail programs)
/// or `From ` (mbox): these are encoded, so that whatever handles the message has nothing to take for its own.
pub(super) fn encode(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + text.len() / 16);
    for (number, line) in text.split('\n').enumerate() {
        if number > 0 {
            out.extend_from_slice(b"\r\n");
        }
        encode_line(&mut out, line.strip_suffix('\r').unwrap_or(line).as_bytes());
    }
    out
}

fn encode_line(out: &mut Vec<u8>, line: &[u8]) {
    let mut column = 0;
    for (index, &byte) in line.iter().enumerate() {
        let is_last = index + 1 == line.len();
        let is_blank = matches!(byte, b' ' | b'\t');
        let is_plain = matches!(byte, b'!'..=b'<' | b'>'..=b'~') || (is_blank && !is_last);
        let starts = |column: usize| {
            column == 0 && (matches!(byte, b'.' | b'-' | b'~') || line[index..].starts_with(b"From "))
        };
        let mut is_encoded = !is_plain || starts(column);
        let width = if is_encoded { 3 } else { 1 };
        // The last column is for the `=` of a soft break, which the end of the line does not need.
        if column + width > LONGEST - usize::from(!is_last) {
            out.extend_from_slice(b"=\r\n");
            column = 0;
            is_encoded = !is_plain || starts(0);
        }
        if is_encoded {
            out.push(b'=');
            out.push(HEX[usize::from(byte >> 4)]);
            out.push(HEX[usize::from(byte & 15)]);
            column += 3;
        } else {
            out.push(byte);
            column += 1;
        }
    }
}

const HEX: &[u8; 16] = b"0123456789ABCDEF";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A decoder of its own, as plain as the RFC puts it.
    fn decode(encoded: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut rest = encoded;
        while let Some((&byte, tail)) = rest.split_first() {
            rest = tail;
            if byte != b'=' {
                out.push(byte);
            } else if let Some(after) = rest.strip_prefix(b"\r\n") {
                rest = after;
            } else {
                let digits = std::str::from_utf8(&rest[..2]).unwrap();
                out.push(u8::from_str_radix(digits, 16).unwrap());
                rest = &rest[2..];
            }
        }
        out
    }

    #[test]
    fn what_others_could_take_for_theirs_is_encoded() {
        let encoded = encode(".\n~!id\n--boundary\nFrom here\nFromage a=b \nété");
        let text = "=2E\r\n=7E!id\r\n=2D-boundary\r\n=46rom here\r\nFromage a=3Db=20\r\n=C3=A9t=C3=A9";
        assert_eq!(String::from_utf8(encoded).unwrap(), text);
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes_to_the_same(text in "([\\PC\n\t .~=é-]|From ){0,200}", long in "[a.]{0,300}") {
            let text = format!("{text}{long}");
            let encoded = encode(&text);
            prop_assert_eq!(decode(&encoded), text.replace('\n', "\r\n").into_bytes());
            for line in encoded.split(|byte| *byte == b'\n') {
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                prop_assert!(line.len() <= LONGEST && line.is_ascii());
                let forbidden: [&[u8]; 4] = [b".", b"~", b"--", b"From "];
                prop_assert!(!forbidden.iter().any(|start| line.starts_with(start)));
                prop_assert!(!line.ends_with(b" ") && !line.ends_with(b"\t"));
            }
        }
    }
}
