//! Random files beside an expansion that is made in another way: text by text, by recursion.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::made;
use crate::Form;

/// Names that contain each other.
const NAMES: [&str; 5] = ["A", "AB", "A_B", "B", "SSH_PERMITTED"];

/// Parts of words and rules; each is put beside the next, with a blank or without.
fn piece() -> impl Strategy<Value = String> {
    let name = prop::sample::select(NAMES.to_vec()).prop_map(str::to_owned);
    let other = prop::sample::select(vec![
        "-s", "-A", "--B", "--dport=", "!", "/24", ":", ",", ".", "10.0.0.1", "x", "AA", "A1", "1A",
        "\"A B\"", "\"\"", "[5:3]", "é",
    ]);
    prop_oneof![2 => name, 3 => other.prop_map(str::to_owned)]
}

fn rule() -> impl Strategy<Value = String> {
    prop::collection::vec((piece(), prop::sample::select(vec!["", " ", " ", "\t", "  "])), 1..7)
        .prop_map(|parts| parts.into_iter().map(|(piece, blank)| piece + blank).collect())
}

fn line() -> impl Strategy<Value = String> {
    let kept = prop::sample::select(vec!["# A B", "*A", "COMMIT", "", "  ", " # AB"]);
    let begun = (prop::sample::select(vec!["-A INPUT ", ":", ":A ", ""]), rule());
    prop_oneof![1 => kept.prop_map(str::to_owned), 4 => begun.prop_map(|(begin, rule)| begin.to_owned() + &rule)]
}

/// Macros whose words name only those behind them, so that there is no circle; written in any order.
fn definitions() -> impl Strategy<Value = Vec<(&'static str, Vec<String>)>> {
    let words = prop::collection::vec(rule(), 1..4);
    prop::collection::vec(words, NAMES.len()).prop_map(|all| {
        let each = all.into_iter().enumerate().map(|(nth, words)| {
            // A rule's text becomes a word when its blanks go; names that would make a circle become others.
            let word = |text: String| {
                let text = outside_quotes(&text, &mut |part: &str| part.replace([' ', '\t'], ""));
                replace_words(&text, &|word| {
                    let place = NAMES.iter().position(|name| *name == word);
                    place.filter(|place| *place <= nth).map_or(word.to_owned(), |place| format!("m{place}"))
                })
            };
            (NAMES[nth], words.into_iter().map(word).collect())
        });
        each.collect()
    })
}

/// The same of addresses and names of macros alone, as sets have them.
fn sets() -> impl Strategy<Value = Vec<(&'static str, Vec<String>)>> {
    let words = prop::collection::vec((0usize..12, 0u8..4), 1..4);
    prop::collection::vec(words, NAMES.len()).prop_map(|all| {
        let each = all.into_iter().enumerate().map(|(nth, words)| {
            let word = |(place, last): (usize, u8)| match NAMES.get(place).filter(|_| place > nth) {
                Some(name) => (*name).to_owned(),
                None => format!("10.0.0.{last}"),
            };
            (NAMES[nth], words.into_iter().map(word).collect())
        });
        each.collect()
    })
}

fn nft_rule() -> impl Strategy<Value = String> {
    let name = prop::sample::select(NAMES.to_vec());
    let other = prop::sample::select(vec![
        "ip saddr",
        "AA",
        "1.2.3.4",
        "\"A AB\"",
        "x_A",
        "{ 9.9.9.9, 8.8.8.8 }",
        "# B \"A",
    ]);
    prop::collection::vec(prop_oneof![name, other], 1..6).prop_map(|words| format!("  {}", words.join(" ")))
}

/// Changes a text's parts that are not in quotes.
fn outside_quotes(text: &str, change: &mut dyn FnMut(&str) -> String) -> String {
    let parts = text.split('"').enumerate();
    let changed: Vec<String> =
        parts.map(|(nth, part)| if nth % 2 == 0 { change(part) } else { part.to_owned() }).collect();
    changed.join("\"")
}

/// Changes each word.
fn replace_words(text: &str, change: &dyn Fn(&str) -> String) -> String {
    outside_quotes(text, &mut |part| {
        let mut out = String::new();
        let mut word = String::new();
        for c in part.chars().chain(['\0']) {
            if c == '_' || c.is_alphanumeric() {
                word.push(c);
            } else {
                out.push_str(&change(&word));
                word.clear();
                out.push(c);
            }
        }
        out.trim_end_matches('\0').to_owned()
    })
}

/// The first macro in a text that is a reference: its place and name. Options are told from words by what stands before them.
fn first_reference(text: &str, known: &BTreeMap<&str, Vec<String>>) -> Option<(usize, String)> {
    let is_of_word = |c: char| c == '_' || c.is_alphanumeric();
    for (at, _) in text.char_indices() {
        let (before, rest) = text.split_at(at);
        if before.matches('"').count() % 2 == 1 || before.ends_with(is_of_word) {
            continue;
        }
        // A blank in quotes separates nothing.
        let token = outside_quotes(before, &mut |part| part.replace([' ', '\t'], "\0"));
        let token = token.rsplit('\0').next().unwrap();
        if token.starts_with('-') && !token.contains('=') {
            continue;
        }
        let name: String = rest.chars().take_while(|c| is_of_word(*c)).collect();
        if known.contains_key(name.as_str()) {
            return Some((at, name));
        }
    }
    None
}

/// All that becomes of a text: its first reference is replaced everywhere by a mark that is no word, the rest is expanded,
/// and then each word put in place of the mark.
fn naive(text: &str, known: &BTreeMap<&str, Vec<String>>) -> Vec<String> {
    let Some((_, name)) = first_reference(text, known) else { return vec![text.to_owned()] };
    let mark = char::from_u32(0xe000 + NAMES.iter().position(|n| *n == name).unwrap() as u32).unwrap();
    let mut marked = text.to_owned();
    let alone: BTreeMap<&str, Vec<String>> = BTreeMap::from([(name.as_str(), Vec::new())]);
    while let Some((at, _)) = first_reference(&marked, &alone) {
        marked.replace_range(at..at + name.len(), &mark.to_string());
    }
    let rest = naive(&marked, known);
    let words: Vec<String> = known[name.as_str()].iter().flat_map(|word| naive(word, known)).collect();
    words.iter().flat_map(|word| rest.iter().map(move |copy| copy.replace(mark, word))).collect()
}

proptest! {
    #[test]
    fn rules_are_copied_as_a_plain_expansion_does_it(
        definitions in definitions().prop_shuffle(),
        lines in prop::collection::vec(line(), 1..6),
    ) {
        let is_bad = |word: &String| word.is_empty() || word.starts_with('#');
        prop_assume!(!definitions.iter().any(|(_, words)| words.iter().any(is_bad)));
        let vars: Vec<String> =
            definitions.iter().map(|(name, words)| format!("#define {name} {}\n", words.join(" "))).collect();
        let vars = vars.concat();
        let known: BTreeMap<&str, Vec<String>> = definitions.into_iter().collect();
        let expected: Vec<String> = lines
            .iter()
            .flat_map(|line| match line.trim() {
                "" | "COMMIT" => vec![line.clone()],
                kept if kept.starts_with(['#', '*']) => vec![line.clone()],
                _ => naive(line, &known),
            })
            .collect();
        prop_assume!(expected.len() < 5_000);
        let generated = made(Form::Iptables, &vars, &(lines.join("\n") + "\n"), 1_000_000);
        prop_assert_eq!(generated.map(|g| g.text).map_err(|e| e.to_string()), Ok(expected.join("\n") + "\n"));
    }

    #[test]
    fn sets_have_the_words_of_a_plain_expansion(
        definitions in sets().prop_shuffle(),
        rules in prop::collection::vec(nft_rule(), 1..5),
    ) {
        let vars: Vec<String> =
            definitions.iter().map(|(name, words)| format!("#define {name} {}\n", words.join(" "))).collect();
        let order: Vec<&str> = definitions.iter().map(|(name, _)| *name).collect();
        let known: BTreeMap<&str, Vec<String>> = definitions.into_iter().collect();
        let input = rules.join("\n");
        let (before_comments, mut used) = (input.lines().map(|line| line.split('#').next().unwrap()), BTreeSet::new());
        for line in before_comments {
            outside_quotes(line, &mut |part| {
                used.extend(part.split(' ').filter(|word| known.contains_key(word)).map(str::to_owned));
                part.to_owned()
            });
        }
        let define = |name: &&str| {
            let mut words = naive(name, &known);
            let mut seen = BTreeSet::new();
            words.retain(|word| seen.insert(word.clone()));
            let set = if words.len() == 1 { words.concat() } else { format!("{{ {} }}", words.join(", ")) };
            format!("define {name} = {set}\n")
        };
        let head: String = order.iter().filter(|name| used.contains(**name)).map(define).collect();
        let head = if head.is_empty() { head } else { format!("# Macros of x.var\n{head}") };
        let in_rule = |line: &str| {
            let (rule, comment) = line.split_at(line.find('#').unwrap_or(line.len()));
            let variable = |word: &str| if known.contains_key(word) { format!("${word}") } else { word.to_owned() };
            replace_words(rule, &variable) + comment
        };
        let body: Vec<String> = input.lines().map(in_rule).collect();
        let generated = made(Form::Nft, &vars.concat(), &input, 1_000_000);
        prop_assert_eq!(generated.map(|g| g.text).map_err(|e| e.to_string()), Ok(head + &body.join("\n")));
    }

    #[test]
    fn no_text_panics(vars: String, input: String) {
        for form in Form::ALL {
            let _ = made(form, &vars, &input, 1_000);
        }
    }
}
