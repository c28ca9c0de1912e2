//! What nft's definitions can hold, and how they are written.

use std::borrow::Cow;

use crate::macros::definitions::{Definition, Word};
use crate::macros::keywords::is_of_nft;
use crate::macros::problems::Findings;
use crate::macros::words::end_of_quote;

/// Words that do something, which no definition can contain.
const DOING: [&str; 9] =
    ["accept", "continue", "counter", "drop", "masquerade", "notrack", "queue", "redirect", "return"];

/// Finds what nft would not take in definitions.
pub(in crate::macros) fn check(definitions: &[Definition<'_>], findings: &mut Findings) {
    for definition in definitions {
        let name = definition.name;
        if is_of_nft(name) {
            findings.error(definition.span.clone(), || {
                let capitals = name.to_ascii_uppercase();
                format!(
                    "{name} is a word of nft's, and a macro would replace it everywhere: call it {capitals}"
                )
            });
        }
        let foreign = |word: &Word<'_>| foreign_sign(word.text).map(|(at, sign)| (word.start + at, sign));
        if let Some((at, sign)) = definition.words.iter().find_map(foreign) {
            findings.error(at..at + 1, || {
                let remedy = match sign {
                    '$' => "make a macro of it: nft's own variables are not known yet where macros are defined",
                    '"' => "in nft, text in quotes cannot contain them",
                    '#' | '\\' => "put the word in quotes",
                    _ => "words are separated by blanks, without braces, commas and semicolons: the set is made of them",
                };
                format!("`{sign}` cannot be in a word of {name}: {remedy}")
            });
        }
    }
}

/// The first sign outside of quotes that would end a definition, or mean something else in it.
fn foreign_sign(word: &str) -> Option<(usize, char)> {
    let bytes = word.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                let end = end_of_quote(bytes, at)?;
                // nft knows no way to have one there.
                if let Some(inner) = word[at + 1..end - 1].find('"') {
                    return Some((at + 1 + inner, '"'));
                }
                at = end;
            }
            sign @ (b'{' | b'}' | b',' | b';' | b'$' | b'#' | b'\\') => return Some((at, char::from(sign))),
            _ => at += 1,
        }
    }
    None
}

/// Is it a word that does something, which no definition can contain?
pub(super) fn is_doing(word: &str) -> bool {
    DOING.contains(&word)
}

/// Writes nft's definition of a macro.
pub(super) fn define(out: &mut String, name: &str, words: &[Cow<'_, str>]) {
    out.push_str("define ");
    out.push_str(name);
    out.push_str(" = ");
    if let [only] = words {
        out.push_str(only);
        return;
    }
    let mut between = "{ ";
    for word in words {
        out.push_str(between);
        out.push_str(word);
        between = ", ";
    }
    out.push_str(" }");
}
