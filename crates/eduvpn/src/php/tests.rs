use proptest::prelude::*;

use super::*;

fn read(literal: &str) -> Result<Value, PhpError> {
    parse(format!("<?php return {literal};").as_bytes())
}

fn printed(literal: &str) -> String {
    match read(literal) {
        Ok(value) => value.to_string(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_nodes_file_is_read_with_its_comments() {
    let text = b"<?php\n\n# one\nreturn [ // two\n    /* three ' */ 'vpnUser' => 'openvpn',\n    \"apiUri\" => \"http://localhost/vpn-server-api/api.php\",\n    'profileList' => array('office', 'internet',),\n    'useVpnDaemon' => FALSE,\n];\n";
    assert_eq!(
        parse(text).unwrap().to_string(),
        "['vpnUser' => 'openvpn', 'apiUri' => 'http://localhost/vpn-server-api/api.php', \
         'profileList' => [0 => 'office', 1 => 'internet'], 'useVpnDaemon' => false]"
    );
}

#[test]
fn what_var_export_writes_is_read() {
    let text =
        b"<?php return array (\n  'a' => \n  array (\n    0 => 'x',\n    1 => -1,\n  ),\n  'b' => NULL,\n);";
    assert_eq!(parse(text).unwrap().to_string(), "['a' => [0 => 'x', 1 => -1], 'b' => null]");
}

#[test]
fn a_declaration_and_a_closing_tag_are_passed_over() {
    assert!(parse(b"<?php\ndeclare(strict_types=1);\nreturn [];\n").is_ok());
    assert!(parse(b"<?php return [] // no semicolon ?>\n").is_ok());
    assert!(parse(b"<?php return []; ?>\n").is_ok());
    assert!(parse(b"<?php return []; ?>\n\n<html>").is_err());
}

#[test]
fn strings_have_phps_escapes() {
    for (literal, text) in [
        (r"'a\'b\\c\n'", r"a'b\c\n"),
        (r#""a\"b\\c\$d\te""#, "a\"b\\c$d\te"),
        (r#""\x41\101\u{20ac}\q\x""#, r"AA€\q\x"),
        (r#""\xe2\x82\xac""#, "€"),
        (r#""5 $ and { $1""#, "5 $ and { $1"),
        ("'// no # comment'", "// no # comment"),
    ] {
        assert_eq!(read(literal), Ok(Value::String(text.to_owned())), "{literal}");
    }
}

#[test]
fn numbers_are_phps() {
    for (literal, value) in [
        ("0", Value::Int(0)),
        ("-7", Value::Int(-7)),
        ("0x1F", Value::Int(31)),
        ("017", Value::Int(15)),
        ("0o17", Value::Int(15)),
        ("0b101", Value::Int(5)),
        ("1_000", Value::Int(1000)),
        ("1.5", Value::Float(1.5)),
        (".5", Value::Float(0.5)),
        ("6.", Value::Float(6.0)),
        ("1E+3", Value::Float(1000.0)),
        ("-1e999", Value::Float(f64::NEG_INFINITY)),
        ("9223372036854775808", Value::Float(9_223_372_036_854_775_808.0)),
    ] {
        assert_eq!(read(literal), Ok(value), "{literal}");
    }
    for literal in ["08", "1__0", "1_", "0x_1", "0_x1", "1_.5", "1._5", "0x", "1e", "12abc", "1.2.3"] {
        assert!(read(literal).is_err(), "{literal}");
    }
}

#[test]
fn keys_count_on_and_overwrite_as_in_php() {
    assert_eq!(
        printed("['a', 5 => 'b', 'c', '7' => 'd', '07' => 'e', 0 => 'f', 'x' => 1, 'x' => 2, 'g']"),
        "[0 => 'f', 5 => 'b', 6 => 'c', 7 => 'd', '07' => 'e', 'x' => 2, 8 => 'g']"
    );
}

#[test]
fn numbers_of_keys_can_run_out() {
    let error = read("[9223372036854775807 => 'a', 3 => 'b', 'c']").unwrap_err();
    assert!(error.message.contains("run out"), "{error}");
    assert_eq!(printed("[-7 => 'a', 'b', 'x' => 'c']"), "[-7 => 'a', -6 => 'b', 'x' => 'c']");
}

#[test]
fn what_would_have_to_be_evaluated_is_an_error_at_its_place() {
    for (literal, at, message) in [
        ("['a' => getenv('A')]", 21, "function call"),
        ("['a' => PHP_INT_MAX]", 21, "constant"),
        ("['a' => 'b'.'c']", 24, "not evaluated"),
        ("['a' => $b]", 21, "variable"),
        ("['a' => \"x$b\"]", 23, "variable in a string"),
        ("['a' => 'b', 'c' => 1 + 1]", 35, "not evaluated"),
        ("['a' => 'b'", 24, "expected , or the array's end"),
        ("['a' => 'b", 21, "no end"),
        ("['a' => /* b", 21, "no end"),
        ("[1.5 => 'b']", 14, "a key is"),
        ("[...['a']]", 14, "expected a string"),
        ("[#[A] 'a']", 14, "expected a string"),
    ] {
        let error = read(literal).unwrap_err();
        assert_eq!((error.at, error.message.contains(message)), (at, true), "{literal}: {error}");
    }
    for text in ["", "return [];", "<?phpreturn [];", "<?php $a = 1; return [];", "<?php return []; $b = 2;"]
    {
        assert!(parse(text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn deep_nesting_is_an_error() {
    assert!(read(&"[".repeat(100_000)).unwrap_err().message.contains("nested"));
}

fn key() -> impl Strategy<Value = Key> {
    prop_oneof![any::<i64>().prop_map(Key::Int), "\\PC{0,8}".prop_map(Key::of)]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        (i64::MIN + 1..=i64::MAX).prop_map(Value::Int),
        (-1e300..1e300_f64).prop_map(Value::Float),
        Just(Value::Float(f64::INFINITY)),
        Just(Value::Float(f64::NEG_INFINITY)),
        "(\\PC|[\n\t'\"\\\\$]){0,12}".prop_map(Value::String),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        proptest::collection::vec((key(), inner), 0..6).prop_map(|pairs| {
            let mut seen = std::collections::HashSet::new();
            let entries = pairs
                .into_iter()
                .filter(|(key, _)| seen.insert(key.clone()))
                .map(|(key, value)| Entry { key, value, at: 0 })
                .collect();
            Value::Array(Array { entries })
        })
    })
}

proptest! {
    #[test]
    fn what_is_printed_is_read_as_the_same(value in value()) {
        prop_assert_eq!(read(&value.to_string()), Ok(value));
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&bytes);
        let mut file = b"<?php return ".to_vec();
        file.extend(&bytes);
        let _ = parse(&file);
    }

    #[test]
    fn no_near_php_panics(text in "<\\?php return ([\\[\\]()=>,;'\"\\\\$ux{}a-f0-9._#/*? \n-]|array|=>){0,60}") {
        let _ = parse(text.as_bytes());
    }
}
