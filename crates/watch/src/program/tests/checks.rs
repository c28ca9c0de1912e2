//! What is wrong is said with its place; what is right is not complained of.

use super::*;

/// What is said of one step, without the places.
fn of_step(step: &str) -> Vec<String> {
    let all = said(&format!("{{\"actions\": {{\"c\": [{step}]}}}}"), Spelling::Json);
    all.into_iter().map(|line| line.splitn(3, ':').nth(2).unwrap_or_default().trim().to_owned()).collect()
}

fn of_args(name: &str, args: &str) -> Vec<String> {
    let kind = name.split('_').next().unwrap_or_default();
    of_step(&format!(r#"{{"{kind}": "{name}", "args": {args}}}"#))
}

#[test]
fn a_wrong_argument_is_said_with_its_remedy() {
    for (name, args, expected) in [
        ("filter_equal", "{}", "there is no filter \"filter_equal\"; did you mean \"filter_equals\"?"),
        ("filter_equals", r#"{"value": 1}"#, "filter_equals needs the argument \"field\""),
        ("filter_equals", r#"{"field": 1, "value": 1}"#, "field is the number 1, not text"),
        (
            "filter_lowerOrEquals",
            r#"{"field": "MESSAGE", "value": null}"#,
            "value is null, not a value that others can be above or below",
        ),
        ("filter_in", r#"{"field": "MESSAGE", "values": 1}"#, "values is the number 1, not a list"),
        (
            "filter_inNetworks",
            r#"{"field": "MESSAGE", "nets": "10.0.0.0/8"}"#,
            "nets is a text, not a list of networks",
        ),
        (
            "filter_inNetworks",
            r#"{"field": "MESSAGE", "nets": ["10.0.0.0/33"]}"#,
            "not a network: \"33\" is not a number of bits from 0 to 32",
        ),
        (
            "filter_inNetworks",
            r#"{"field": "MESSAGE", "nets": ["host"]}"#,
            "not a network: \"host\" is not an IP address",
        ),
        (
            "filter_pcre",
            r#"{"field": "MESSAGE", "re": "(a)", "save": ["a", "b"]}"#,
            "save names 2 fields, but the expression has 1 group",
        ),
        (
            "filter_pcre",
            r#"{"field": "MESSAGE", "re": "a", "save": "ip"}"#,
            "save is a text, not a list of fields",
        ),
        (
            "filter_pcreAny",
            r#"{"field": "MESSAGE", "re": "a"}"#,
            "re is a text, not a list of regular expressions",
        ),
        (
            "action_counterRaise",
            r#"{"counter": "c", "for": "MESSAGE", "keepSeconds": -1}"#,
            "keepSeconds is the number -1, but a time is from 0 to 3162240000 seconds",
        ),
        (
            "action_counterRaise",
            r#"{"counter": "c", "for": "MESSAGE", "keepSeconds": "1h"}"#,
            "keepSeconds is a text, not a number of seconds",
        ),
        (
            "action_dnatCapture",
            r#"{"saddr": "MESSAGE", "addrValue": "10.0.0.1", "keepSeconds": -5}"#,
            "keepSeconds is the number -5, but a time is from 0 to 3162240000 seconds",
        ),
        (
            "action_dnatCapture",
            r#"{"saddr": "MESSAGE"}"#,
            "action_dnatCapture needs \"addr\" or \"addrValue\": the address that hides the client",
        ),
        (
            "action_dnatReplace",
            r#"{"saddrInto": "ip"}"#,
            "action_dnatReplace needs at least one of \"addr\", \"port\", \"daddr\", \"dport\" to compare",
        ),
        (
            "action_dnatReplace",
            r#"{"addr": "MESSAGE"}"#,
            "action_dnatReplace needs \"saddrInto\", \"sportInto\" or both: where the client goes",
        ),
        (
            "action_log",
            r#"{"message": "a", "level": "WARN"}"#,
            "level \"WARN\" is unknown; it is one of EMERG, ALERT, CRIT, ERR, WARNING, NOTICE, INFO, DEBUG",
        ),
        (
            "action_log",
            r#"{"message": "a", "level": "INF"}"#,
            "level \"INF\" is unknown; did you mean \"INFO\"?",
        ),
        (
            "action_nftBan",
            r#"{"IP": "MESSAGE", "nftSetIPv6": "ip6 a b"}"#,
            "action_nftBan needs the argument \"nftSetIPv4\"",
        ),
        (
            "action_nftBan",
            r#"{"IP": "MESSAGE", "nftSetIPv4": "ip a b", "nftSetIPv6": "ip6 a b", "prefix": {"ipv5": 1}}"#,
            "prefix has ipv4 and ipv6, not \"ipv5\"",
        ),
        (
            "action_nftBan",
            r#"{"IP": "MESSAGE", "nftSetIPv4": "ip a b", "nftSetIPv6": "ip6 a b", "ifShared": "port"}"#,
            "ifShared = \"port\" needs \"port\", \"nftSetIPv4Port\" and \"nftSetIPv6Port\"",
        ),
    ] {
        let said = of_args(name, args);
        assert!(said.iter().any(|line| line == expected), "{name} {args}: {said:#?}");
    }
    assert!(
        !of_args("action_nftBan", r#"{"IP": "MESSAGE", "nftSetIPv4": "a;b", "nftSetIPv6": "ip6 a b"}"#)
            .is_empty()
    );
    assert!(!of_args("action_log", r#"{"message": "{0}"}"#).is_empty());
    assert_eq!(
        of_step(r#"{"filter": "action_log"}"#),
        ["action_log is of the kind \"action\", not \"filter\""]
    );
}

#[test]
fn what_pyruse_takes_is_at_most_warned_of() {
    for (name, args, expected) in [
        ("filter_equals", r#"{"field": "MESSAGE", "value": {"a": 1}}"#, None),
        (
            "filter_in",
            r#"{"field": "MESSAGE", "values": []}"#,
            Some("warning: values is empty: the filter never passes"),
        ),
        (
            "filter_in",
            r#"{"field": "MESSAGE", "values": "a"}"#,
            Some(
                "warning: values is a text, not a list: the filter passes if the field's text is a part of it",
            ),
        ),
        (
            "filter_pcreAny",
            r#"{"field": "MESSAGE", "re": ["a"], "save": ["b"]}"#,
            Some(
                "warning: filter_pcreAny has no \"save\", as the order of groups can differ; name them: (?P<name>…)",
            ),
        ),
        (
            "action_dailyReport",
            r#"{"level": "Warn", "message": "a"}"#,
            Some(
                "warning: level \"Warn\" is unknown: it is one of WARN, INFO or OTHER; it is taken for OTHER",
            ),
        ),
        (
            "action_dailyReport",
            r#"{"level": "WARN", "message": "a", "details": "all"}"#,
            Some(
                "warning: details \"all\" is unknown: it is one of NONE, FIRST, LAST, FIRSTLAST, ALL; it is taken for ALL",
            ),
        ),
        ("action_counterRaise", r#"{"counter": "c", "for": "MESSAGE", "keepSeconds": 0, "save": ""}"#, None),
        (
            "action_noop",
            r#"{"x": 1}"#,
            Some("warning: action_noop has no argument \"x\"; it takes none; it is ignored"),
        ),
        ("action_noop", "null", None),
        (
            "action_counterRaise",
            r#"{"counter": "c", "for": "MESSAGE", "keepSecond": 5}"#,
            Some(
                "warning: action_counterRaise has no argument \"keepSecond\"; did you mean \"keepSeconds\"?; it is ignored",
            ),
        ),
        ("filter_userExists", r#"{"field": "user"}"#, Some("warning: nothing sets the field \"user\"")),
        (
            "filter_equals",
            r#"{"field": "_HOSTNAM", "value": 1}"#,
            Some("warning: nothing sets the field \"_HOSTNAM\"; did you mean \"_HOSTNAME\"?"),
        ),
    ] {
        let said = of_args(name, args);
        assert_eq!(said, expected.into_iter().collect::<Vec<_>>(), "{name} {args}");
    }
}

#[test]
fn our_own_spellings_refuse_unknown_arguments() {
    let text = "[[actions.c]]\naction = \"action_log\"\nargs = { message = \"a\", levl = \"ERR\" }\n";
    assert_eq!(
        said(text, Spelling::Toml),
        ["3:25: action_log has no argument \"levl\"; did you mean \"level\"?"]
    );
}

#[test]
fn places_within_expressions_and_templates_are_exact() {
    let said = said(
        "{\"actions\": {\"c\": [\n {\"filter\": \"filter_pcre\", \"args\": {\"field\": \"MESSAGE\", \"re\": \"\\\\[a(b\"}},\n \
         {\"action\": \"action_log\", \"args\": {\"message\": \"caf\\u00e9 {0}\"}}]}}",
        Spelling::Json,
    );
    assert_eq!(said.len(), 2, "{said:#?}");
    assert!(said[0].starts_with("2:68: regular expression: "), "{said:#?}");
    assert!(said[1].starts_with("3:59: message: "), "{said:#?}");
}

#[test]
fn unknown_labels_and_loops_are_errors() {
    assert_eq!(
        said(
            r#"{"actions": {"one": [{"action": "action_noop", "then": "tow"}], "two": []}}"#,
            Spelling::Json
        ),
        [
            "1:56: there is no chain \"tow\"; did you mean \"two\"?",
            "1:65: warning: chain \"two\" is empty: an entry that comes to it goes no further"
        ]
    );
    let looped = r#"{"actions": {"a": [{"action": "action_noop", "then": "b"}],
        "b": [{"filter": "filter_equals", "args": {"field": "MESSAGE", "value": ""}, "else": "a"}]}}"#;
    assert_eq!(
        said(looped, Spelling::Json),
        ["2:94: a loop: \"a\" → \"b\" → \"a\"; an entry would never end"]
    );
}

#[test]
fn what_cannot_be_reached_is_warned_of() {
    let text = r#"{"actions": {
"first": [{"action": "action_noop", "then": "end"}, {"action": "action_noop"}, {"action": "action_none"}],
"second": [{"filter": "filter_equals", "args": {"field": "MESSAGE", "value": ""}, "then": "aside"}],
"aside": [{"action": "action_noop"}],
"end": [{"action": "action_noop"}]}}"#;
    assert_eq!(
        said(text, Spelling::Json),
        [
            "2:53: warning: this step and the 1 after it never run: the step before goes elsewhere by its \"then\"",
            "3:1: warning: chain \"second\" is never reached: every entry that comes to \"first\" ends there",
            "4:1: warning: chain \"aside\" is never reached: all that name it are never reached themselves",
        ]
    );
    let empty = r#"{"actions": {
"a": [{"filter": "filter_equals", "args": {"field": "MESSAGE", "value": ""}}],
"b": [],
"c": [{"action": "action_noop"}]}}"#;
    assert_eq!(
        said(empty, Spelling::Json),
        [
            "3:1: warning: chain \"b\" is empty: an entry that comes to it goes no further",
            "4:1: warning: chain \"c\" is never reached: the chain \"b\" before it is empty and stops every entry",
        ]
    );
}

#[test]
fn a_field_must_be_set_before_it_is_used() {
    let text = r#"{"actions": {
"a": [{"filter": "filter_equals", "args": {"field": "ip", "value": ""}, "else": "b"},
      {"filter": "filter_pcre", "args": {"field": "MESSAGE", "re": "(?P<ip>.)(.)", "save": ["user"]}}],
"b": [{"action": "action_log", "args": {"message": "{user} {ip} {what}"}}]}}"#;
    assert_eq!(
        said(text, Spelling::Json),
        [
            "2:53: warning: the field \"ip\" is set by steps, but by none before this one",
            "4:52: warning: the field \"user\" is set by steps, but by none before this one",
            "4:52: warning: nothing sets the field \"what\"",
        ]
    );
}

#[test]
fn a_constant_of_another_type_than_the_field_is_warned_of() {
    let warns = |name: &str, args: &str| !of_args(name, args).is_empty();
    assert_eq!(
        of_args("filter_equals", r#"{"field": "PRIORITY", "value": "4"}"#),
        ["warning: PRIORITY is an integer and nothing is converted: this filter_equals never passes"]
    );
    assert!(warns("filter_pcre", r#"{"field": "_BOOT_ID", "re": "a"}"#));
    assert!(warns("filter_greaterOrEquals", r#"{"field": "MESSAGE", "value": 4}"#));
    assert!(warns("filter_in", r#"{"field": "_UID", "values": ["root"]}"#));
    assert!(!warns("filter_in", r#"{"field": "_UID", "values": ["root", 0]}"#));
    assert!(!warns("filter_greaterOrEquals", r#"{"field": "PRIORITY", "value": 4.5}"#));
    assert!(!warns("filter_pcre", r#"{"field": "_HOSTNAME", "re": "a"}"#));
}

#[test]
fn json_lines_can_bring_any_field_and_plain_lines_hardly_any() {
    let text = |source: &str| {
        format!(
            r#"{{"sources": [{source}], "actions": {{"c": [
               {{"filter": "filter_equals", "args": {{"field": "ssh.client", "value": ""}}}}]}}}}"#
        )
    };
    assert_eq!(said(&text(r#"{"file": "/x", "format": "json"}"#), Spelling::Json), [""; 0]);
    assert_eq!(said(&text(r#"{"file": "/x", "format": "plain"}"#), Spelling::Json).len(), 1);
}

#[test]
fn a_diamond_is_not_multiplied() {
    let filter = |then: &str| {
        format!(
            r#"{{"filter": "filter_equals", "args": {{"field": "MESSAGE", "value": ""}}, "then": "{then}", "else": "{then}"}}"#
        )
    };
    let chains: Vec<String> =
        (0..40).map(|n| format!(r#""{n}": [{}]"#, filter(&(n + 1).to_string()))).collect();
    let compiled = compile(&format!(
        r#"{{{}, "40": [{{"filter": "filter_equals", "args": {{"field": "MESSAGE", "value": ""}}}}]}}"#,
        chains.join(", ")
    ));
    assert_eq!(compiled.program.steps().len(), 41);
}

#[test]
fn the_graph_shows_chains_links_and_what_is_never_reached() {
    let compiled = compile(
        r#"{"say \"hi\"": [{"filter": "filter_equals", "args": {"field": "MESSAGE", "value": "a\\b"}, "else": "jump"},
                            {"action": "action_noop", "then": "end"}, {"action": "action_noop"}],
            "jump": [{"filter": "filter_userExists", "args": {"field": "MESSAGE"}, "then": "end"}],
            "next": [{"action": "action_noop"}], "lost": [{"action": "action_noop"}], "end": [{"action": "action_noop"}]}"#,
    );
    let dot = compiled.program.dot();
    for line in [
        r#"label="say \"hi\"";"#,
        r#"s0 [label="filter_equals\nMESSAGE\na\\b", shape=diamond];"#,
        r#"s0 -> s1 [weight=2, label="then"];"#,
        r#"s0 -> s2 [weight=2, label="else", style=dashed];"#,
        r#"s2 -> s3 [color=blue, label="else", style=dashed];"#,
        "s1 -> s5 [weight=2];",
        r#"s4 [label="action_noop", shape=box, color=grey, fontcolor=grey];"#,
        r#"d0_2 [label="action_noop", color=grey, fontcolor=grey, style=dotted];"#,
        "start -> s0;",
        "s3 -> stop [weight=0];",
    ] {
        assert!(dot.contains(line), "{line}\n{dot}");
    }
    assert_eq!(dot.matches('{').count(), dot.matches('}').count());
}
