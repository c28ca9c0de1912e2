//! Macros and templates.

use std::path::Path;

use crate::Form;
use crate::macros::{Source, generate};

/// Any bytes as macros and a template, one behind the other with a zero between, in every form.
///
/// # Panics
///
/// If something that must always hold does not: a template without macros passes through, what is generated of iptables'
/// rules generates itself, and problems have places in their files.
pub fn macros(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (vars, input) = text.split_once('\0').unwrap_or(("", &text));
    let (no_vars, most_lines) = (Source { file: Path::new("none"), text: "" }, 2_000);
    let vars = Source { file: Path::new("vars"), text: vars };
    let input = Source { file: Path::new("input"), text: input };
    for form in Form::ALL {
        if let Ok(plain) = generate(form, input, no_vars, most_lines) {
            assert_eq!(plain.text, input.text, "without macros, all of it passes through");
        }
        match generate(form, input, vars, most_lines) {
            Ok(generated) => {
                let again = Source { file: Path::new("generated"), text: &generated.text };
                let again = generate(form, again, no_vars, most_lines);
                let again = again.unwrap_or_else(|problems| panic!("{problems}\n{}", generated.text));
                assert_eq!(again.text, generated.text);
            }
            Err(problems) => {
                assert!(problems.places().any(|place| place.is_error), "an error is told");
                for place in problems.places() {
                    let source = if place.file == vars.file { vars } else { input };
                    assert!(place.line <= source.text.split('\n').count(), "{problems}");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn generating_holds_for_what_is_nearly_right(
            text in "(#define |#|A|AB|B|set|table|chain|add rule|\\$|@|\n|\r\n| |\\\\|\"|\0|/|\\.|-|!|:|\\{|\\}|;|,|to|é|1\\.2\\.3\\.4){0,60}",
            bytes in proptest::collection::vec(any::<u8>(), 0..80)
        ) {
            macros(text.as_bytes());
            macros(&bytes);
        }
    }

    #[test]
    fn the_corpus_holds() {
        let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/rules_macros");
        let files: Vec<_> = std::fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(files.len() > 3);
        for file in files {
            macros(&std::fs::read(file).unwrap());
        }
    }
}
