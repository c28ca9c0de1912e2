//! Readers of rulesets, the diff and the lint.

use crate::Form;
use crate::compare::{blame, differences, print};
use crate::lint::{Loggers, Surroundings, lint};
use crate::ruleset::{Ruleset, flushes};

/// Any bytes as a ruleset: of iptables-save, as a file of nft, as nft's JSON with itself for a text; what could be read is judged
/// and compared.
///
/// # Panics
///
/// If a rule of iptables, printed, does not read as itself, or a ruleset is different from itself.
pub fn ruleset(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let session = "10.9.0.2 50022 10.9.0.1 22".parse().ok();
    let surroundings = Surroundings { session, loggers: Some(Loggers::of(&text)) };
    let read = [
        Ruleset::of_iptables(Form::Iptables, &text).ok(),
        Some(Ruleset::of_nft_source(&text)),
        Ruleset::of_nft(&text, &text).ok(),
    ];
    if let Some(ruleset) = &read[0] {
        for (_, chain) in ruleset.chains() {
            for rule in &chain.rules {
                let again = format!("*t\n-A c {}\nCOMMIT\n", rule.text);
                let again =
                    Ruleset::of_iptables(Form::Iptables, &again).expect("what was printed can be read");
                assert_eq!(again.tables[0].chains[0].rules[0].body, rule.body, "{}", rule.text);
            }
        }
    }
    for ruleset in read.iter().flatten() {
        assert_eq!(differences(ruleset, ruleset), [], "to itself");
        print(&differences(&Ruleset::empty(ruleset.form), ruleset));
        assert_eq!(blame(std::slice::from_ref(ruleset)).len(), ruleset.rule_count());
        lint(ruleset, &text, &surroundings);
    }
    flushes(&text);
    // An error is a right answer to most texts.
    let _ = text.parse::<crate::lint::Session>();
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    const SAMPLES: [&str; 5] = [
        include_str!("../../tests/data/listing.nft"),
        include_str!("../../tests/data/listing.json"),
        include_str!("../../tests/data/rulesets/tproxy.nft"),
        include_str!("../../tests/data/rulesets/docker.v4"),
        include_str!("../../tests/data/rulesets/eduvpn.v4"),
    ];

    #[test]
    fn what_a_run_has_found_is_found_no_more() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/ruleset");
        for entry in std::fs::read_dir(folder).unwrap() {
            super::ruleset(&std::fs::read(entry.unwrap().path()).unwrap());
        }
        for sample in SAMPLES {
            super::ruleset(sample.as_bytes());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_text_panics(text in "[\\PC\n\t]{0,200}") {
            super::ruleset(text.as_bytes());
        }

        #[test]
        fn no_change_of_a_sample_panics(
            sample in 0..SAMPLES.len(),
            changes in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(b"{}\"\\;\n:*-A [],@#0x\xff".to_vec())), 1..8),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut bytes = SAMPLES[sample].as_bytes().to_vec();
            for (place, byte) in changes {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
            super::ruleset(&bytes[..cut.index(bytes.len())]);
            super::ruleset(&bytes);
        }
    }
}
