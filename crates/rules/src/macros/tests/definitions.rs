//! What a file of macros may say.

use super::{good, refused, warned};
use crate::Form::Iptables;

/// The words of a macro X.
fn words(vars: &str) -> Vec<String> {
    good(Iptables, vars, "X").lines().map(str::to_owned).collect()
}

#[test]
fn other_lines_with_a_hash_and_blank_lines_are_comments() {
    let vars = "# networks\n\n  # define your networks here\n#defined X b\n#\n#if-up\n  #define X a\n";
    assert_eq!(words(vars), ["a"]);
}

#[test]
fn a_definition_goes_on_behind_a_backslash() {
    assert_eq!(words("#define X a \\\n  b\\\n c\n"), ["a", "b", "c"]);
    assert_eq!(
        words("#define \\\n X\\\n\ta \\ \t\n b \\\n\n"),
        ["a", "b"],
        "blanks behind it cannot be seen"
    );
    assert_eq!(words("#define X a \\\r\n b\r\n"), ["a", "b"]);
    assert_eq!(words("#define X a\\"), ["a"]);
    assert_eq!(words("#define X a\\b \\c"), ["a\\b", "\\c"], "elsewhere it is a character");
}

#[test]
fn a_comment_goes_on_too_but_never_over_a_definition() {
    assert_eq!(words("##define Y b \\\n  c\n#define X a\n"), ["a"]);
    assert_eq!(words("# ends so \\\n#define X a\n"), ["a"]);
}

#[test]
fn quotes_keep_words_together() {
    assert_eq!(words("#define X \"a b\" c\" d \"e \"\\\" f\"\n"), ["\"a b\"", "c\" d \"e", "\"\\\" f\""]);
    assert_eq!(words("#define X \"# a\" b#c\n"), ["\"# a\"", "b#c"]);
}

#[test]
fn windows_files_are_read() {
    assert_eq!(words("\u{feff}#define X a\tb\r\n\r\n# c\r\n"), ["a", "b"]);
}

#[test]
fn all_that_is_wrong_is_shown_at_once() {
    let vars = "\
#define
#define EMPTY
#define 1ST a
#define SSH-PORT 22
#define F(x) x
#define TWICE a
  #define TWICE b
#define QUOTE a \"b c
#define OPEN \"a \\
b\"
#include<other.var>
#ifdef X
#undef X
#endif
#Define SMALL a
#define NET 10.0.0.0/8 # the office
#define C 10.0.0.0/8 // the office
#define GOES_ON a \\
#define NEXT b
  10.0.0.0/8
#define \"Q\" a
";
    insta::assert_snapshot!(refused(Iptables, vars, "-s NET -d TWICE --comment \"\n"), @r#"
        x.var:1:1: a name and its words are missing: `#define NAME word …`
          |
        1 | #define
          | ^^^^^^^

        x.var:2:9: EMPTY has no words, so each rule that uses it would vanish: give it one, or take it out with the rules that use it
          |
        2 | #define EMPTY
          |         ^^^^^

        x.var:3:9: "1ST" cannot be a macro's name: it has letters, digits and `_` only, and begins with none of the digits
          |
        3 | #define 1ST a
          |         ^^^

        x.var:4:9: "SSH-PORT" cannot be a macro's name: it has letters, digits and `_` only, and begins with none of the digits
          |
        4 | #define SSH-PORT 22
          |         ^^^^^^^^

        x.var:5:10: macros have no arguments
          |
        5 | #define F(x) x
          |          ^^^

        x.var:7:11: TWICE is defined already, at x.var:6:9; write all its words there, or give this one another name
          |
        7 |   #define TWICE b
          |           ^^^^^

        x.var:8:17: this quote is not closed in its line
          |
        8 | #define QUOTE a "b c
          |                 ^

        x.var:9:14: this quote is not closed in its line
          |
        9 | #define OPEN "a \
          |              ^

        x.var:11:1: `#include` is not understood here, only `#define` is; for a comment, put a blank behind the `#`
           |
        11 | #include<other.var>
           | ^^^^^^^^

        x.var:12:1: `#ifdef` is not understood here, only `#define` is; for a comment, put a blank behind the `#`
           |
        12 | #ifdef X
           | ^^^^^^

        x.var:13:1: `#undef` is not understood here, only `#define` is; for a comment, put a blank behind the `#`
           |
        13 | #undef X
           | ^^^^^^

        x.var:14:1: `#endif` is not understood here, only `#define` is; for a comment, put a blank behind the `#`
           |
        14 | #endif
           | ^^^^^^

        x.var:15:1: write `#define`, in small letters
           |
        15 | #Define SMALL a
           | ^^^^^^^

        x.var:16:24: a comment stands in a line of its own, behind a `#`; to have this as a word of the macro, put it in quotes. Is there a backslash too many at the end of the line above?
           |
        16 | #define NET 10.0.0.0/8 # the office
           |                        ^

        x.var:17:22: a comment stands in a line of its own, behind a `#`; to have this as a word of the macro, put it in quotes. Is there a backslash too many at the end of the line above?
           |
        17 | #define C 10.0.0.0/8 // the office
           |                      ^^

        x.var:19:1: a comment stands in a line of its own, behind a `#`; to have this as a word of the macro, put it in quotes. Is there a backslash too many at the end of the line above?
           |
        19 | #define NEXT b
           | ^^^^^^^

        x.var:20:3: this is no definition and no comment: write `#define NAME word …`, or `#` before a comment; a definition goes on only behind a backslash at the end of its line
           |
        20 |   10.0.0.0/8
           |   ^^^^^^^^^^

        x.var:21:9: "\"Q\"" cannot be a macro's name: it has letters, digits and `_` only, and begins with none of the digits
           |
        21 | #define "Q" a
           |         ^^^

        x.in:1:27: this quote is not closed in its line
          |
        1 | -s NET -d TWICE --comment "
          |                           ^
        "#);
}

#[test]
fn a_circle_is_shown_whole() {
    let vars = "#define A x B\n#define B C/24\n#define C \"A\" y:A\n#define SELF SELF\n#define INTO A\n#define GOOD a\n";
    insta::assert_snapshot!(refused(Iptables, vars, "-s INTO -d GOOD -p SELF\n"), @r#"
        x.var:3:17: macros name each other in a circle: A -> B -> C -> A; one of them must do without the next
          |
        3 | #define C "A" y:A
          |                 ^

        x.var:4:14: macros name each other in a circle: SELF -> SELF; one of them must do without the next
          |
        4 | #define SELF SELF
          |              ^^^^
        "#);
}

#[test]
fn a_deep_chain_of_macros_needs_no_stack() {
    use std::fmt::Write;
    let mut vars = String::new();
    for nth in 0..50_000 {
        writeln!(vars, "#define A{nth} A{}", nth + 1).unwrap();
    }
    let circle = format!("{vars}#define A50000 A0\n");
    vars.push_str("#define A50000 end\n");
    assert_eq!(good(Iptables, &vars, "A0"), "end");
    assert!(refused(Iptables, &circle, "").contains("A0 -> A1 -> "));
}

#[test]
fn macros_that_nothing_uses_are_warned_of() {
    let vars = "#define USED INNER\n#define INNER a\n#define IDLE DEEPER\n#define DEEPER b\n# define OFF c\n";
    insta::assert_snapshot!(warned(Iptables, vars, "-s USED --comment \"IDLE\"\n"), @r#"
        x.var:3:9: warning: IDLE is not used by any rule
          |
        3 | #define IDLE DEEPER
          |         ^^^^

        x.var:4:9: warning: DEEPER is not used by any rule
          |
        4 | #define DEEPER b
          |         ^^^^^^

        x.var:5:1: warning: this is a comment: to define a macro, write `#define` without a blank
          |
        5 | # define OFF c
          | ^
        "#);
}

#[test]
fn of_very_many_problems_the_first_are_shown() {
    let said = refused(Iptables, &"x\n".repeat(1_000), "");
    assert_eq!(said.matches("this is no definition").count(), 50);
    assert!(said.ends_with("\nand 950 more\n"), "{said}");
}

#[test]
fn many_warnings_are_no_error() {
    let input = "-A INPUT ! -s N\n".repeat(100);
    assert!(warned(Iptables, "#define N a b\n", &input).ends_with("and 50 more\n"));
}
