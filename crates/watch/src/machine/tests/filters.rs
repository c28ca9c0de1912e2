//! Each filter, to the letter.

use proptest::prelude::*;

use super::*;

/// Does the filter pass? Or what went wrong.
fn passes(filter: &str, args: &str, value: Option<Value<'_>>) -> Result<bool, String> {
    let chain = format!(
        r#"{{"c": [{{"filter": "{filter}", "args": {args}, "then": "yes"}}], "yes": [{{"action": "action_noop"}}]}}"#
    );
    let mut machine = machine(&chain);
    let mut world = Pretended::default();
    let values: Vec<_> = value.map(|value| ("F", value)).into_iter().collect();
    // The entry ends in the chain that `then` names, or, as there is no other, at once.
    run(&mut machine, &mut world, &values);
    match world.troubles.pop() {
        Some((_, trouble)) => {
            assert_eq!(world.acts, Vec::<String>::new(), "a filter that failed does not pass");
            Err(trouble)
        }
        None => Ok(world.acts == ["noop"]),
    }
}

const NONE: Option<Value<'_>> = None;

#[expect(clippy::unnecessary_wraps, reason = "the cases mix present and missing values")]
fn text(text: &str) -> Option<Value<'_>> {
    Some(Value::Text(text))
}

#[test]
fn equals_compares_as_python_does() {
    let equals = |value: &str, given| {
        passes("filter_equals", &format!(r#"{{"field": "F", "value": {value}}}"#), given)
    };
    assert_eq!(equals("\"a\"", text("a")), Ok(true));
    assert_eq!(equals("\"a\"", text("A")), Ok(false));
    assert_eq!(equals("1", Some(Value::Integer(1))), Ok(true));
    assert_eq!(equals("1.0", Some(Value::Integer(1))), Ok(true));
    assert_eq!(equals("true", Some(Value::Integer(1))), Ok(true));
    assert_eq!(equals("1", text("1")), Ok(false));
    assert_eq!(equals("\"1\"", Some(Value::Integer(1))), Ok(false));
    assert_eq!(equals("null", NONE), Ok(false), "a missing field is not null");
    assert_eq!(equals("null", Some(Value::Null)), Ok(true));
    assert_eq!(equals("\"a\"", Some(Value::Bytes(b"a"))), Ok(false));
    assert_eq!(equals("\"a\"", Some(Value::Uuid([0; 16]))), Ok(false));
}

#[test]
fn order_is_of_one_type_or_an_error() {
    for (filter, below, equal, above) in
        [("filter_lowerOrEquals", true, true, false), ("filter_greaterOrEquals", false, true, true)]
    {
        let order =
            |value: &str, given| passes(filter, &format!(r#"{{"field": "F", "value": {value}}}"#), given);
        for (number, expected) in [(3, below), (4, equal), (5, above)] {
            assert_eq!(order("4", Some(Value::Integer(number))), Ok(expected), "{filter} {number}");
            assert_eq!(order("4.0", Some(Value::Integer(number))), Ok(expected), "{filter} {number}");
        }
        assert_eq!(order("\"b\"", text("a")), Ok(below));
        assert_eq!(order("\"b\"", text("c")), Ok(above));
        assert_eq!(order("4", NONE), Ok(false));
        assert_eq!(order("4", text("4")), Err("text cannot be compared with an integer".to_owned()));
        assert!(order("4", Some(Value::Null)).is_err());
        assert!(order("\"b\"", Some(Value::Bytes(b"a"))).is_err());
    }
}

#[test]
fn in_looks_through_a_list_and_null_stands_for_a_missing_field() {
    let is_in =
        |values: &str, given| passes("filter_in", &format!(r#"{{"field": "F", "values": {values}}}"#), given);
    let list = r#"["sshd", "su", 2, 3.0, "", "sudo"]"#;
    for given in ["sshd", "su", "", "sudo"] {
        assert_eq!(is_in(list, text(given)), Ok(true), "{given:?}");
    }
    assert_eq!(is_in(list, Some(Value::Integer(3))), Ok(true));
    assert_eq!(is_in(list, Some(Value::Float(2.0))), Ok(true));
    assert_eq!(is_in(list, text("2")), Ok(false));
    assert_eq!(is_in(list, text("ssh")), Ok(false));
    assert_eq!(is_in(list, NONE), Ok(false));
    assert_eq!(is_in(list, Some(Value::Null)), Ok(false));
    assert_eq!(is_in("[null]", NONE), Ok(true));
    assert_eq!(is_in("[null]", Some(Value::Null)), Ok(true));
    assert_eq!(is_in("[]", text("a")), Ok(false));
    assert_eq!(is_in("[0]", Some(Value::Bool(false))), Ok(true));
}

#[test]
fn in_with_a_text_looks_for_a_part_of_it() {
    let is_in = |given| passes("filter_in", r#"{"field": "F", "values": "sshd-session"}"#, given);
    assert_eq!(is_in(text("sshd")), Ok(true));
    assert_eq!(is_in(text("")), Ok(true));
    assert_eq!(is_in(text("sshx")), Ok(false));
    assert!(is_in(NONE).is_err());
    assert!(is_in(Some(Value::Integer(1))).is_err());
}

#[test]
fn in_networks_reads_addresses_and_nothing_else() {
    let nets = r#"{"field": "F", "nets": ["10.0.0.0/8", "192.0.2.7", "fd00::/8"]}"#;
    let within = |given| passes("filter_inNetworks", nets, given);
    for (given, expected) in [
        ("10.255.0.1", true),
        ("11.0.0.1", false),
        ("192.0.2.7", true),
        ("192.0.2.8", false),
        ("fd12::1", true),
        ("FD12:0::1", true),
        ("fe80::1", false),
        ("::ffff:10.0.0.1", true),
    ] {
        assert_eq!(within(text(given)), Ok(expected), "{given}");
    }
    assert_eq!(within(NONE), Ok(false));
    for given in ["", "host", "fe80::1%eth0", "10.0.0.1 ", "10.0.0.0/8", "010.0.0.1", "10.1", "x\0"] {
        assert!(within(text(given)).is_err(), "{given:?}");
    }
    assert!(within(Some(Value::Integer(1))).is_err());
    assert!(within(Some(Value::Null)).is_err());
    // A value is read only if there are networks of its family.
    let only_ipv6 = r#"{"field": "F", "nets": ["::1"]}"#;
    assert_eq!(passes("filter_inNetworks", only_ipv6, text("host")), Ok(false));
    assert!(passes("filter_inNetworks", only_ipv6, text("::host")).is_err());
    assert_eq!(passes("filter_inNetworks", r#"{"field": "F", "nets": []}"#, text("10.0.0.1")), Ok(false));
}

#[test]
fn pcre_searches_anywhere_and_a_missing_field_is_empty() {
    let finds = |re: &str, given| passes("filter_pcre", &format!(r#"{{"field": "F", "re": "{re}"}}"#), given);
    assert_eq!(finds("b", text("abc")), Ok(true));
    assert_eq!(finds("^b", text("abc")), Ok(false));
    assert_eq!(finds(".*", NONE), Ok(true));
    assert_eq!(finds(".", NONE), Ok(false));
    assert!(finds("a", Some(Value::Integer(1))).is_err());
    assert!(finds("a", Some(Value::Null)).is_err());
    assert!(finds("a", Some(Value::Bytes(b"a"))).is_err());
    assert!(finds("a", Some(Value::Uuid([0; 16]))).is_err());
}

#[test]
fn a_repeated_address_is_read_only_where_a_network_could_hold_it() {
    let mut machine = machine(
        r#"{"c": [{"filter": "filter_inNetworks", "args": {"field": "F", "nets": ["::1"]}},
                  {"filter": "filter_inNetworks", "args": {"field": "F", "nets": ["10.0.0.0/8"]}}],
            "d": [{"filter": "filter_inNetworks", "args": {"field": "F", "nets": ["10.0.0.0/8"]}}]}"#,
    );
    let mut world = Pretended::default();
    let mut entry = entry(&machine, &[]);
    let slot = machine.program().fields().find("F").expect("F is used");
    entry.push(slot, Value::Text("10.0.0.1"));
    entry.push(slot, Value::Text("10.0.0.2"));
    machine.run(&mut entry, &mut world);
    let steps: Vec<usize> = world.troubles.iter().map(|(step, _)| step.index()).collect();
    assert_eq!(steps, [2], "the first has no network of IPv4");
}

/// What a search of "alice from 192.0.2.7" leaves in the fields `a`, `b` and F.
fn saved(args: &str) -> [String; 3] {
    let mut machine = machine(&format!(
        r#"{{"c": [{{"filter": "filter_pcre", "args": {args}}},
                   {{"action": "action_log", "args": {{"message": "{{a}}{{b}}{{F}}"}}}}]}}"#
    ));
    let (_, entry) =
        run(&mut machine, &mut Pretended::default(), &[("F", Value::Text("alice from 192.0.2.7"))]);
    ["a", "b", "F"].map(|field| shown(&machine, &entry, field))
}

#[test]
fn groups_are_saved_by_number_then_by_name() {
    assert_eq!(
        saved(r#"{"field": "F", "re": "(\\w+) from (\\S+)", "save": ["a", "b"]}"#),
        ["\"alice\"", "\"192.0.2.7\"", "\"alice from 192.0.2.7\""]
    );
    assert_eq!(
        saved(r#"{"field": "F", "re": "(\\w+) from (?P<a>\\S+)", "save": ["a"]}"#)[0],
        "\"192.0.2.7\"",
        "the name wins over the number"
    );
    assert_eq!(
        saved(r#"{"field": "F", "re": "(\\w+) from (?P<a>\\S+)", "save": [null, "b"]}"#)[..2],
        ["\"192.0.2.7\"", "\"192.0.2.7\""],
    );
    assert_eq!(
        saved(r#"{"field": "F", "re": "(alice)|(bob)", "save": ["a", "b"]}"#)[..2],
        ["\"alice\"", "Null"]
    );
    assert_eq!(saved(r#"{"field": "F", "re": "(nobody)", "save": ["a"]}"#)[0], "missing");
    assert_eq!(
        saved(r#"{"field": "F", "re": "(\\w+) from (\\S+)", "save": ["F", "b"]}"#),
        ["missing", "\"192.0.2.7\"", "\"alice\""],
        "the searched field can be saved to, too"
    );
}

#[test]
fn a_group_of_a_missing_field_is_empty() {
    let mut machine = machine(
        r#"{"c": [{"filter": "filter_pcre", "args": {"field": "F", "re": "(.*)(x)?", "save": ["a", "b"]}},
                  {"action": "action_log", "args": {"message": "{a}{b}"}}]}"#,
    );
    let (_, entry) = run(&mut machine, &mut Pretended::default(), &[]);
    assert_eq!([shown(&machine, &entry, "a"), shown(&machine, &entry, "b")], ["\"\"", "Null"]);
}

#[test]
fn the_first_expression_that_matches_gives_its_names() {
    let mut machine = machine(
        r#"{"c": [{"filter": "filter_pcreAny", "args": {"field": "F", "re": [
                    "nothing (?P<ip>.*)", "from (?P<ip>\\S+)", "(?P<ip>al)(?P<user>ice)"]}},
                  {"action": "action_log", "args": {"message": "{ip} {user}"}}]}"#,
    );
    let mut world = Pretended::default();
    run(&mut machine, &mut world, &[("F", Value::Text("alice from 192.0.2.7"))]);
    run(&mut machine, &mut world, &[("F", Value::Text("alice"))]);
    run(&mut machine, &mut world, &[("F", Value::Text("bob"))]);
    assert_eq!(world.acts, ["log Info 192.0.2.7 None", "log Info al ice"]);
    run(&mut machine, &mut world, &[("F", Value::Integer(1))]);
    assert_eq!(world.troubles.len(), 1);
}

#[test]
fn a_user_exists_or_not() {
    let exists = |given| passes("filter_userExists", r#"{"field": "F"}"#, given);
    assert_eq!(exists(text("root")), Ok(true));
    assert_eq!(exists(text("nobody-here")), Ok(false));
    assert_eq!(exists(text("")), Ok(false));
    assert_eq!(exists(NONE), Ok(false));
    assert!(exists(text("root\0")).is_err());
    assert!(exists(Some(Value::Integer(0))).is_err());
    assert!(exists(Some(Value::Null)).is_err());
}

#[test]
fn a_value_in_a_message_is_cut_and_escaped() {
    let long = format!("\u{1b}[2J\n{}", "x".repeat(10_000));
    let trouble = passes("filter_inNetworks", r#"{"field": "F", "nets": ["10.0.0.0/8"]}"#, text(&long));
    let trouble = trouble.expect_err("no address");
    assert!(trouble.len() < 200 && !trouble.contains(['\u{1b}', '\n']), "{trouble}");
}

proptest! {
    #[test]
    fn no_text_panics(value in "\\PC{0,60}|[0-9a-f:.%/]{0,40}") {
        for (filter, args) in [
            ("filter_inNetworks", r#"{"field": "F", "nets": ["10.0.0.0/8", "fd00::/8"]}"#),
            ("filter_pcre", r#"{"field": "F", "re": "(\\S*) (\\S*)", "save": ["a", "F"]}"#),
            ("filter_in", r#"{"field": "F", "values": ["a", "bb", ""]}"#),
            ("filter_userExists", r#"{"field": "F"}"#),
        ] {
            let _ = passes(filter, args, text(&value));
        }
    }
}
