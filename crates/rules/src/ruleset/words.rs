//! Words of a line, as iptables-restore(8) takes them apart.

use std::borrow::Cow;
use std::ops::Range;

/// A word and its place in the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) text: String,
    pub(super) span: Range<usize>,
}

/// Takes a line apart. Within double quotes a backslash stands before a quote or itself, and a closing quote ends the word
/// (`add_param_to_argv` of iptables' xshared.c). The place of the quote that is not closed, else.
pub(super) fn split(line: &str) -> Result<Vec<Word>, usize> {
    let mut words = Vec::new();
    let mut chars = line.char_indices().peekable();
    while let Some((start, first)) = chars.next() {
        if first.is_ascii_whitespace() {
            continue;
        }
        let mut text = String::new();
        let mut quote = (first == '"').then_some(start);
        if quote.is_none() {
            text.push(first);
        }
        let mut end = start + first.len_utf8();
        while let Some((at, c)) = chars.next() {
            end = at + c.len_utf8();
            match (quote.is_some(), c) {
                (true, '\\') => text.extend(chars.next().map(|(_, escaped)| escaped)),
                (true, '"') => {
                    quote = None;
                    break;
                }
                (false, '"') => quote = Some(at),
                (false, c) if c.is_ascii_whitespace() => {
                    end = at;
                    break;
                }
                (_, c) => text.push(c),
            }
        }
        if let Some(open) = quote {
            return Err(open);
        }
        words.push(Word { text, span: start..end });
    }
    Ok(words)
}

/// The word so that [`split`] reads it as one.
pub(crate) fn quoted(word: &str) -> Cow<'_, str> {
    let is_plain =
        !word.is_empty() && !word.contains(|c: char| c.is_ascii_whitespace() || matches!(c, '"' | '\\'));
    if is_plain {
        return Cow::Borrowed(word);
    }
    Cow::Owned(format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\"")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(line: &str) -> Vec<String> {
        split(line).unwrap().into_iter().map(|word| word.text).collect()
    }

    #[test]
    fn quotes_keep_a_word_together() {
        assert_eq!(
            texts(r#"-m comment --comment "a \"b\\ c" -j X"#),
            ["-m", "comment", "--comment", r#"a "b\ c"#, "-j", "X"]
        );
        assert_eq!(texts("a\t b"), ["a", "b"]);
        assert_eq!(texts(r#"--x "" y"#), ["--x", "", "y"]);
        assert_eq!(texts(r#""ab"cd"#), ["ab", "cd"], "as iptables does it");
        assert_eq!(split("-A X --comment \"open"), Err(15));
    }

    proptest! {
        #[test]
        fn a_quoted_word_is_read_as_one(words in prop::collection::vec("[ -~\u{e9}]{0,12}", 0..6)) {
            let line = words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
            prop_assert_eq!(texts(&line), words);
        }
    }
}
