//! What hostile texts can do to patterns: cost a bounded number of steps.

use unmasq_dialect::{Captures, Engine, Pattern, PatternRunaway, Template};
use unmasq_entry::Fields;

const LENGTH: usize = 50_000;

fn find(pattern: &str, text: &str) -> Result<bool, PatternRunaway> {
    let pattern = Pattern::new(pattern).expect("a pattern of this file");
    let mut captures = Captures::new(&pattern);
    pattern.find(text, &mut captures)
}

/// Each of these takes Python hours or for ever on one of the texts. (Without limits this test does not end.)
#[test]
fn every_hostile_text_ends() {
    let texts = [
        "a".repeat(LENGTH),
        "aaaaaaaaaaaaaaaaaaaaaaaaaa!".repeat(LENGTH / 27),
        format!("{}!", "a".repeat(1000)).repeat(LENGTH / 1001),
        "ab".repeat(LENGTH / 2),
        format!("{}x", "foo".repeat(LENGTH / 3)),
        "A ".repeat(LENGTH / 2),
        "a".repeat(1000),
        "a".repeat(16_000),
    ];
    for pattern in [
        r"(?=a)(a+)+$(?!x)b?c",
        r"(a|b)*(?=c)",
        r"(a*)*\1b",
        r"(?!z)a*a*a*a*b",
        r"(a|aa)+(?!a)$x",
        r"foo(?=.*x).*(?=.*x)y?z",
        r"(?:\w+\s?)+(?=:)",
        r"(.*)(.*)(.*)\1(?!a)q?$z",
        r"(?=.*a.*a.*a.*b)a",
        r"(a+)(b?)\1\2\1(?=c)",
        r"(?:(?=(a*))\1?a)*(?=b)",
        // These are for an automaton.
        r"(a+)+$",
        r"(?:a|aa)+\b!?$",
        r"(?:\w+\s?)+:",
        r"(a+)+b|(\w)",
    ] {
        for text in &texts {
            let found = find(pattern, text);
            if Pattern::new(pattern).is_ok_and(|pattern| pattern.engine() == Engine::Linear) {
                assert!(found.is_ok(), "{pattern}");
            }
        }
    }
}

#[test]
fn too_many_steps_are_an_error() {
    let text = "a".repeat(LENGTH);
    assert_eq!(find(r"(?:(?=(a*))\1?a)*(?=b)", &text), Err(PatternRunaway { length: LENGTH }));
}

#[test]
fn a_text_that_is_too_long_is_an_error_for_what_backtracks() {
    let text = format!("{}b", "a".repeat(Pattern::LONGEST_BACKTRACKED));
    assert!(find("(a)\\1", &text).is_err());
    assert_eq!(find("c(?=b)", &text), Ok(false), "an automaton sees that there is none");
    assert_eq!(find("ab", &text), Ok(true));
}

#[test]
fn a_long_search_from_one_place_is_still_made() {
    let text = format!("{}c", "ab".repeat(6_000));
    let pattern = Pattern::new("(?:a|b)*(?=c)").expect("a pattern");
    let mut captures = Captures::new(&pattern);
    assert_eq!(pattern.find(&text, &mut captures), Ok(true));
    assert_eq!(captures.get(0), Some(0..12_000));
}

#[test]
fn patterns_that_would_need_much_memory_are_refused() {
    for pattern in
        [r"(?:\w{1000}){1000}", r"((a{1000}){1000}){1000}\1", &"(".repeat(5000), &"(?:".repeat(5000)]
    {
        assert!(Pattern::new(pattern).is_err(), "{}", &pattern[..20]);
    }
}

#[test]
fn errors_point_at_what_is_wrong() {
    for (pattern, offset, words) in [
        ("ab)", 2, "without `(`"),
        ("é(ab", 2, "without its `)`"),
        ("a[b", 1, "without its `]`"),
        ("ab**", 3, "repeated already"),
        (r"a\q", 1, "no meaning"),
        ("a(?<=b*)", 1, "look-behind"),
        ("(?P<a>x)(?P<a>y)", 8, "already has the name"),
        ("a(?i)b", 1, "at its start"),
    ] {
        let error = Pattern::new(pattern).expect_err(pattern);
        assert_eq!(error.offset, offset, "{error}");
        assert!(error.message.contains(words), "{error}");
    }
}

#[test]
fn templates_cannot_eat_memory() {
    let mut fields = Fields::default();
    for (template, offset) in [("{a:999999999d}", 3), ("é{a:.99999f}", 5), ("{a:10001}", 3)] {
        let error = Template::parse(template, &mut fields).expect_err(template);
        assert_eq!(error.offset, offset, "{error}");
        assert!(error.message.contains("10000"), "{error}");
    }
    assert!(Template::parse("{a:10000}", &mut fields).is_ok());
}

#[test]
fn template_errors_point_at_what_is_wrong() {
    let mut fields = Fields::default();
    for (template, offset) in [
        ("a}", 1),
        ("a{", 1),
        ("{a.b}", 1),
        ("{a[0]}", 1),
        ("{}", 1),
        ("{0}", 1),
        ("{a:{b}}", 3),
        ("{a!x}", 2),
    ] {
        let error = Template::parse(template, &mut fields).expect_err(template);
        assert_eq!(error.offset, offset, "{template}: {error}");
    }
}
