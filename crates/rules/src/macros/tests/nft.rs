//! Rulesets of nft, with sets.

use super::{MOST_LINES, made};
use crate::Form::Nft;

const VARS: &str = "\
#define OFFICE 192.0.2.1 192.0.2.2
#define ADMINS OFFICE 198.51.100.7
#define ONE 203.0.113.9
#define PORTS 22 80
#define LAN eth0
#define NET 10.0.0.0 10.1.0.0
#define PREFIX \"in drop: \"
#define RATE 10/second
#define CHAIN trusted
#define VERDICT accept
";

/// Without warnings of macros that the ruleset does not use.
fn good(input: &str) -> String {
    made(Nft, VARS, input, MOST_LINES).unwrap().text
}

/// What becomes of a rule.
fn rule(rule: &str) -> String {
    let text = good(&format!("table inet f {{\n chain c {{\n{rule}\n }}\n}}\n"));
    text.lines().rev().nth(2).unwrap().to_owned()
}

fn refused(rule: &str) -> String {
    super::refused(Nft, VARS, rule)
}

#[test]
fn the_example_of_iptables_utils_becomes_one_rule_with_a_set() {
    let vars = "#define SSH_PERMITTED 1.2.3.4 1.2.3.5\n";
    let input =
        "table ip filter {\n\tchain input {\n\t\tip saddr SSH_PERMITTED tcp dport 22 accept\n\t}\n}\n";
    insta::assert_snapshot!(super::good(Nft, vars, input), @r#"
        # Macros of x.var
        define SSH_PERMITTED = { 1.2.3.4, 1.2.3.5 }
        table ip filter {
        	chain input {
        		ip saddr $SSH_PERMITTED tcp dport 22 accept
        	}
        }
        "#);
}

#[test]
fn macros_in_use_are_defined_in_their_order_with_plain_words() {
    let text =
        good("table inet f {\n chain c {\n  tcp dport PORTS ip saddr ADMINS ip daddr ONE accept\n }\n}\n");
    insta::assert_snapshot!(text, @r#"
        # Macros of x.var
        define ADMINS = { 192.0.2.1, 192.0.2.2, 198.51.100.7 }
        define ONE = 203.0.113.9
        define PORTS = { 22, 80 }
        table inet f {
         chain c {
          tcp dport $PORTS ip saddr $ADMINS ip daddr $ONE accept
         }
        }
        "#);
}

#[test]
fn an_element_that_is_named_twice_is_in_the_set_once() {
    let vars = "#define A x B x\n#define B x y\n";
    assert!(super::good(Nft, vars, "ip saddr A\n").contains("define A = { x, y }\n"));
}

#[test]
fn definitions_follow_the_interpreter() {
    let text = good(
        "#!/usr/sbin/nft -f\nflush ruleset\ndefine own = 5\nadd rule ip f c ip saddr ONE tcp dport $own\n",
    );
    insta::assert_snapshot!(text, @r#"
        #!/usr/sbin/nft -f
        # Macros of x.var
        define ONE = 203.0.113.9
        flush ruleset
        define own = 5
        add rule ip f c ip saddr $ONE tcp dport $own
        "#);
    assert_eq!(good("#!/usr/sbin/nft -f"), "#!/usr/sbin/nft -f");
}

#[test]
fn quotes_comments_and_longer_words_stay() {
    for kept in [
        "# OFFICE",
        "log prefix \"OFFICE: \" # ONE",
        "jump OFFICE_IN",
        "jump xOFFICE",
        "iifname \"LAN\" accept",
    ] {
        let input = format!("table inet f {{\n{kept}\n}}\n");
        assert_eq!(good(&input), input);
    }
}

#[test]
fn a_macro_that_is_part_of_a_longer_word_is_written_out() {
    assert_eq!(rule("ip saddr NET/16 accept"), "ip saddr { 10.0.0.0/16, 10.1.0.0/16 } accept");
    assert_eq!(rule("ip saddr { NET/16, ONE } accept"), "ip saddr { 10.0.0.0/16, 10.1.0.0/16, $ONE } accept");
    assert_eq!(rule("ip saddr ONE/32 iifname LAN.100"), "ip saddr 203.0.113.9/32 iifname eth0.100");
    assert_eq!(rule("iifname LAN* accept"), "iifname eth0* accept");
}

#[test]
fn an_element_that_is_more_than_a_name_is_copied_for_every_combination() {
    assert_eq!(
        rule("ip saddr vmap { OFFICE : jump CHAIN, ONE : drop }"),
        "ip saddr vmap { 192.0.2.1 : jump trusted, 192.0.2.2 : jump trusted, $ONE : drop }"
    );
    assert_eq!(
        rule("ip saddr . tcp dport { OFFICE . PORTS, 9.9.9.9 . PORTS } accept"),
        "ip saddr . tcp dport { 192.0.2.1 . 22, 192.0.2.1 . 80, 192.0.2.2 . 22, 192.0.2.2 . 80, 9.9.9.9 . 22, 9.9.9.9 . 80 } accept"
    );
    assert_eq!(
        rule("ip saddr vmap { NET/16 : accept }"),
        "ip saddr vmap { 10.0.0.0/16 : accept, 10.1.0.0/16 : accept }"
    );
    assert_eq!(rule("tcp dport { 1-PORTS, 7 - PORTS }"), "tcp dport { 1-22, 1-80, 7 - 22, 7 - 80 }");
    let lines = "ip saddr { # all of them\n  OFFICE, # table\n  OFFICE # set\n    comment \"OFFICE, }\",\n  { OFFICE : x } }\n";
    let wanted = "ip saddr { # all of them\n  $OFFICE, # table\n  192.0.2.1 # set\n    comment \"OFFICE, }\", 192.0.2.2 # set\n    comment \"OFFICE, }\",\n  \
                  { 192.0.2.1 : x, 192.0.2.2 : x } }\n";
    assert!(good(lines).ends_with(wanted), "{}", good(lines));
    assert_eq!(
        good("ip saddr { OFFICE : x").lines().last(),
        Some("ip saddr { $OFFICE : x"),
        "it is not closed"
    );
}

#[test]
fn braces_of_blocks_are_told_from_those_of_sets() {
    let text = good(
        "table inet f {\n set s {\n  type ipv4_addr; elements = { OFFICE timeout 1h }\n }\n chain c {\n  ip saddr OFFICE\n  tcp dport PORTS\n }\n}\n\
                     add element inet f s { OFFICE timeout 1h }\n",
    );
    insta::assert_snapshot!(text, @r#"
        # Macros of x.var
        define OFFICE = { 192.0.2.1, 192.0.2.2 }
        define PORTS = { 22, 80 }
        table inet f {
         set s {
          type ipv4_addr; elements = { 192.0.2.1 timeout 1h, 192.0.2.2 timeout 1h }
         }
         chain c {
          ip saddr $OFFICE
          tcp dport $PORTS
         }
        }
        add element inet f s { 192.0.2.1 timeout 1h, 192.0.2.2 timeout 1h }
        "#);
}

#[test]
fn where_nft_takes_no_variable_the_only_word_is_written() {
    assert_eq!(rule("log prefix PREFIX"), "log prefix \"in drop: \"");
    assert_eq!(rule("limit rate over RATE"), "limit rate over 10/second");
    assert_eq!(rule("ip saddr OFFICE jump CHAIN"), "ip saddr $OFFICE jump trusted");
    assert_eq!(rule("ip saddr vmap { ONE : goto CHAIN }"), "ip saddr vmap { $ONE : goto trusted }");
    assert_eq!(rule("ip saddr ONE VERDICT"), "ip saddr $ONE accept");
    let head = good("ip saddr ONE VERDICT\n");
    assert_eq!(head, "# Macros of x.var\ndefine ONE = 203.0.113.9\nip saddr $ONE accept\n");
}

#[test]
fn a_variable_that_is_written_as_one_is_defined() {
    assert!(good("ip saddr $OFFICE\n").starts_with("# Macros of x.var\ndefine OFFICE = {"));
    assert_eq!(good("ip saddr $mine\n"), "ip saddr $mine\n");
    assert_eq!(good("ip saddr @mine\n"), "ip saddr @mine\n");
}

#[test]
fn several_words_are_refused_where_one_must_stand() {
    insta::assert_snapshot!(refused("\
table inet f {
\tchain c {
\t\tdnat to OFFICE
\t\tredirect to :PORTS
\t\tip saddr ONE jump OFFICE
\t\tip saddr . tcp dport OFFICE . PORTS accept
\t\ttcp dport 1 - PORTS
\t\tmeta mark set PORTS
\t\tip daddr map { ONE : OFFICE, OFFICE : ONE }
\t\tlimit rate PORTS/second
\t\tip saddr OFFICE/24 tcp dport PORTS icmp type PORTS accept
\t}
}
"), @r#"
        x.in:3:11: OFFICE has 2 words here, and behind `to` only one can stand; to choose between several, use a map (`dnat to jhash ip saddr mod 2 map { 0 : …, 1 : … }`)
          |
        3 | 		dnat to OFFICE
          | 		        ^^^^^^

        x.in:4:16: PORTS has 2 words here, and behind `:` only one can stand; write a rule for each, or a macro with one word
          |
        4 | 		redirect to :PORTS
          | 		             ^^^^^

        x.in:5:21: OFFICE has 2 words here, and behind `jump` only one can stand; write a rule for each, or a `vmap`
          |
        5 | 		ip saddr ONE jump OFFICE
          | 		                  ^^^^^^

        x.in:6:24: OFFICE has 2 words here, and before `.` only one can stand; in braces, as in `ip saddr . tcp dport { NETS . PORTS }`, every pair becomes an element
          |
        6 | 		ip saddr . tcp dport OFFICE . PORTS accept
          | 		                     ^^^^^^

        x.in:6:33: PORTS has 2 words here, and behind `.` only one can stand; in braces, as in `ip saddr . tcp dport { NETS . PORTS }`, every pair becomes an element
          |
        6 | 		ip saddr . tcp dport OFFICE . PORTS accept
          | 		                              ^^^^^

        x.in:7:17: PORTS has 2 words here, and behind `-` only one can stand; write a rule for each, or a macro with one word
          |
        7 | 		tcp dport 1 - PORTS
          | 		              ^^^^^

        x.in:8:17: PORTS has 2 words here, and behind `set` only one can stand; write a rule for each, or a macro with one word
          |
        8 | 		meta mark set PORTS
          | 		              ^^^^^

        x.in:9:24: OFFICE has 2 words here, and behind `:` only one can stand; write a rule for each, or a macro with one word
          |
        9 | 		ip daddr map { ONE : OFFICE, OFFICE : ONE }
          | 		                     ^^^^^^

        x.in:10:14: PORTS/second has 2 words here, and behind `rate` only one can stand; write a rule for each, or a macro with one word
           |
        10 | 		limit rate PORTS/second
           | 		           ^^^^^^^^^^^^
        "#);
}

#[test]
fn names_are_not_replaced_but_refused() {
    insta::assert_snapshot!(refused("\
table inet OFFICE {
\tset ONE { type ipv4_addr; }
\tmap LAN {
\t\ttype ifname : verdict
\t}
\tchain CHAIN {
\t\tjump CHAIN; ip saddr @ONE accept
\t\tmeta mark set ONE
\t}
}
add rule inet OFFICE CHAIN ip saddr OFFICE accept
add element inet f ONE { ONE }
flush chain f CHAIN
"), @r#"
        x.in:1:12: OFFICE is a macro, and in names of tables, chains, sets, maps and flowtables none is replaced: rename one of the two
          |
        1 | table inet OFFICE {
          |            ^^^^^^

        x.in:2:6: ONE is a macro, and in names of tables, chains, sets, maps and flowtables none is replaced: rename one of the two
          |
        2 | 	set ONE { type ipv4_addr; }
          | 	    ^^^

        x.in:3:6: LAN is a macro, and in names of tables, chains, sets, maps and flowtables none is replaced: rename one of the two
          |
        3 | 	map LAN {
          | 	    ^^^

        x.in:6:8: CHAIN is a macro, and in names of tables, chains, sets, maps and flowtables none is replaced: rename one of the two
          |
        6 | 	chain CHAIN {
          | 	      ^^^^^

        x.in:7:25: behind `@` a set's name stands, and ONE is a macro: write ONE without `@`, or rename one of the two
          |
        7 | 		jump CHAIN; ip saddr @ONE accept
          | 		                      ^^^

        x.in:11:15: OFFICE is a macro, and in names of tables, chains, sets, maps and flowtables none is replaced: rename one of the two
           |
        11 | add rule inet OFFICE CHAIN ip saddr OFFICE accept
           |               ^^^^^^

        x.in:11:22: CHAIN is a macro, and in names of tables, chains, sets, maps and flowtables none is replaced: rename one of the two
           |
        11 | add rule inet OFFICE CHAIN ip saddr OFFICE accept
           |                      ^^^^^

        x.in:12:20: ONE is a macro, and in names of tables, chains, sets, maps and flowtables none is replaced: rename one of the two
           |
        12 | add element inet f ONE { ONE }
           |                    ^^^

        x.in:13:15: CHAIN is a macro, and in names of tables, chains, sets, maps and flowtables none is replaced: rename one of the two
           |
        13 | flush chain f CHAIN
           |               ^^^^^
        "#);
}

#[test]
fn definitions_of_the_file_and_of_macros_must_differ() {
    insta::assert_snapshot!(refused("define ONE = 1.1.1.1\nredefine LAN = { $ONE, OFFICE }\ndefine x = OFFICE\n"), @r#"
        x.in:1:8: ONE is a macro, and this file defines it too: take one out
          |
        1 | define ONE = 1.1.1.1
          |        ^^^

        x.in:2:10: LAN is a macro, and this file defines it too: take one out
          |
        2 | redefine LAN = { $ONE, OFFICE }
          |          ^^^
        "#);
}

#[test]
fn what_nft_could_not_take_is_refused_in_the_definitions() {
    let vars = "#define accept a\n#define SET { a, b }\n#define OWN $lan x;\n#define HASH a#b\n#define BACK a\\b\n#define INNER \"a\\\"b\"\n#define GOOD \"{,;\" a\n";
    insta::assert_snapshot!(super::refused(Nft, vars, "ip saddr GOOD # \"\n\"\n"), @r#"
        x.var:1:9: accept is a word of nft's, and a macro would replace it everywhere: call it ACCEPT
          |
        1 | #define accept a
          |         ^^^^^^

        x.var:2:13: `{` cannot be in a word of SET: words are separated by blanks, without braces, commas and semicolons: the set is made of them
          |
        2 | #define SET { a, b }
          |             ^

        x.var:3:13: `$` cannot be in a word of OWN: make a macro of it: nft's own variables are not known yet where macros are defined
          |
        3 | #define OWN $lan x;
          |             ^

        x.var:4:15: `#` cannot be in a word of HASH: put the word in quotes
          |
        4 | #define HASH a#b
          |               ^

        x.var:5:15: `\` cannot be in a word of BACK: put the word in quotes
          |
        5 | #define BACK a\b
          |               ^

        x.var:6:18: `"` cannot be in a word of INNER: in nft, text in quotes cannot contain them
          |
        6 | #define INNER "a\"b"
          |                  ^

        x.in:2:1: this quote is not closed anywhere
          |
        2 | "
          | ^
        "#);
}

#[test]
fn a_statement_goes_on_behind_a_backslash() {
    let text = good("add chain inet \\\n f c\nadd rule inet f \\\nc ip saddr \\\nOFFICE accept\n");
    assert!(text.ends_with("c ip saddr \\\n$OFFICE accept\n"), "{text}");
}

#[test]
fn windows_line_ends_are_kept_and_warned_of() {
    let generated = made(Nft, "#define A a\r\n", "# x\r\nip saddr A\r\n", MOST_LINES).unwrap();
    assert_eq!(generated.text, "# Macros of x.var\r\ndefine A = a\r\n# x\r\nip saddr $A\r\n");
    assert!(
        generated.warnings.to_string().starts_with("x.in:1:4: warning: nft takes no lines that end in CR LF")
    );
}

#[test]
fn words_that_are_written_out_count_as_lines() {
    let vars = "#define A 1 2 3 4\n#define B 1 2 3 4\n";
    insta::assert_snapshot!(made(Nft, vars, "ip saddr A.B.A\n", 15).unwrap_err(), @r#"
        x.in:1:10: this would become 16 elements (4 A × 4 B), and the whole ruleset more than 15 lines: use an ipset or a set of nft
          |
        1 | ip saddr A.B.A
          |          ^^^^^
        "#);
    assert!(made(Nft, vars, "ip saddr A.B.A\n", 16).is_ok());
}
