//! Rules of iptables, copied.

use super::{MOST_LINES, made};
use crate::Form::{Ip6tables, Iptables};

fn good(vars: &str, input: &str) -> String {
    super::good(Iptables, vars, input)
}

/// Of a rule alone.
fn rules(vars: &str, rule: &str) -> Vec<String> {
    good(vars, rule).lines().map(str::to_owned).collect()
}

#[test]
fn the_example_of_iptables_utils_comes_out_as_it_says() {
    let vars = "#define SSH_PERMITTED 1.2.3.4 1.2.3.5\n";
    let input = "-A INPUT -p tcp -m tcp -s SSH_PERMITTED --dport 22 -j ACCEPT\n";
    let wanted = "-A INPUT -p tcp -m tcp -s 1.2.3.4 --dport 22 -j ACCEPT\n\
                  -A INPUT -p tcp -m tcp -s 1.2.3.5 --dport 22 -j ACCEPT\n";
    assert_eq!(good(vars, input), wanted);
    assert_eq!(super::good(Ip6tables, vars, input), wanted);
}

#[test]
fn several_macros_give_every_combination_and_the_leftmost_varies_slowest() {
    let vars = "#define NET a b\n#define PORT 1 2 3\n";
    let wanted = ["-s a -p 1", "-s a -p 2", "-s a -p 3", "-s b -p 1", "-s b -p 2", "-s b -p 3"];
    assert_eq!(rules(vars, "-s NET -p PORT"), wanted);
    assert_eq!(rules(vars, "-p PORT -s NET")[..2], ["-p 1 -s a", "-p 1 -s b"]);
}

#[test]
fn the_same_macro_twice_in_a_rule_is_the_same_word_both_times() {
    assert_eq!(rules("#define ZONE intra dmz\n", "-i ZONE -j ZONE"), ["-i intra -j intra", "-i dmz -j dmz"]);
}

#[test]
fn macros_in_macros_multiply() {
    let vars =
        "#define ALL OFFICE/32 9.9.9.9\n#define OFFICE 1.1.1.1 PARTNERS\n#define PARTNERS 2.2.2.2 3.3.3.3\n";
    assert_eq!(rules(vars, "-s ALL"), ["-s 1.1.1.1/32", "-s 2.2.2.2/32", "-s 3.3.3.3/32", "-s 9.9.9.9"]);
    let vars = "#define ENDS HOST:PORT\n#define HOST a b\n#define PORT 1 2\n";
    assert_eq!(rules(vars, "ENDS"), ["a:1", "a:2", "b:1", "b:2"]);
}

#[test]
fn a_macro_and_one_that_it_uses_are_chosen_apart() {
    let vars = "#define ALL SOME c\n#define SOME a b\n";
    assert_eq!(
        rules(vars, "ALL SOME"),
        ["a a", "a b", "b a", "b b", "c a", "c b"],
        "ALL is a list of its own once it is made"
    );
}

#[test]
fn only_whole_words_are_replaced() {
    let vars = "#define SSH x\n#define LO y\n#define A z\n";
    let rule = "-A LOintra -s SSH_PERMITTED -j LO -m SSH2 --SSH 1 -SSH A,SSH\n";
    assert_eq!(good(vars, rule), "-A LOintra -s SSH_PERMITTED -j y -m SSH2 --SSH 1 -SSH z,x\n");
}

#[test]
fn a_word_ends_at_any_other_sign() {
    let vars = "#define N 10.0.0.0\n#define P 22\n#define Q 80\n#define I eth0\n";
    let rule = "-s N/24 -d N,N --dports P,Q:Q --src-range N-N -i I.100 --to N:P --dport=P -m !N";
    let wanted = "-s 10.0.0.0/24 -d 10.0.0.0,10.0.0.0 --dports 22,80:80 --src-range 10.0.0.0-10.0.0.0 -i eth0.100 --to 10.0.0.0:22 --dport=22 -m !10.0.0.0";
    assert_eq!(good(vars, rule), wanted);
}

#[test]
fn text_in_quotes_and_comments_stays() {
    let vars = "#define SSH a b\n";
    let kept = "# SSH is permitted\n   # SSH\n-A INPUT --comment \"SSH \\\" SSH\" -j ACCEPT # SSH\n";
    let input = format!("{kept}-s SSH --comment \"SSH\"\n");
    assert_eq!(good(vars, &input), format!("{kept}-s a --comment \"SSH\"\n-s b --comment \"SSH\"\n"));
}

#[test]
fn a_word_in_quotes_is_one_word_with_its_quotes() {
    let vars = "#define PREFIX \"in drop: \" x\" y\"\n";
    assert_eq!(rules(vars, "--log-prefix PREFIX"), ["--log-prefix \"in drop: \"", "--log-prefix x\" y\""]);
}

#[test]
fn what_names_no_macro_passes_byte_for_byte_with_its_line_ends() {
    let input = "# Generated\r\n*filter\r\n:INPUT DROP [0:0]\n\n  \t \n-A INPUT  -j\tDROP \r\n*LO\n COMMIT \nCOMMIT\r\n# LO\n\r\nend\r";
    let generated = made(Iptables, "#define LO a b\n#define COMMIT c d\n", input, MOST_LINES).unwrap();
    assert_eq!(generated.text, input);
}

#[test]
fn copies_end_as_their_rule_does() {
    assert_eq!(good("#define A 1 2\n", "A\r\nx\r\nA"), "1\r\n2\r\nx\r\n1\r\n2");
    assert_eq!(good("#define A 1 2\r\n", "A"), "1\n2");
}

#[test]
fn chains_are_declared_for_every_word_and_counters_stay() {
    let input = ":LOZONES - [0:0]\n:ZONES - [0:0]\n[5:300] -A INPUT -i eth0 -j ZONES\n";
    assert_eq!(
        good("#define ZONES LOintra LOdmz\n", input),
        ":LOZONES - [0:0]\n:LOintra - [0:0]\n:LOdmz - [0:0]\n[5:300] -A INPUT -i eth0 -j LOintra\n[5:300] -A INPUT -i eth0 -j LOdmz\n"
    );
}

#[test]
fn a_negation_of_several_words_is_warned_of() {
    insta::assert_snapshot!(super::warned(
        Iptables,
        "#define NETS 10.0.0.0/8 192.168.0.0/16\n#define ONE 1.1.1.1\n",
        "-A INPUT -i eth0 ! -s NETS -d NETS -j DROP\n-A INPUT ! -s ONE -j DROP\n"
    ), @r#"
        x.in:1:23: warning: `! NETS` with 2 words makes 2 rules, and each matches what the others exclude, so together they match everything: for "none of them", let rules with NETS return first, or use an ipset
          |
        1 | -A INPUT -i eth0 ! -s NETS -d NETS -j DROP
          |                       ^^^^
        "#);
}

#[test]
fn a_definition_in_the_ruleset_is_none_and_warned_of() {
    let input = "#define SSH 2.2.2.2\n-A INPUT -s SSH\n";
    assert_eq!(
        made(Iptables, "#define SSH 1.1.1.1\n", input, MOST_LINES).unwrap().text,
        "#define SSH 2.2.2.2\n-A INPUT -s 1.1.1.1\n"
    );
    insta::assert_snapshot!(super::warned(Iptables, "#define SSH 1.1.1.1\n", input), @r#"
        x.in:1:1: warning: this is a comment here: macros are defined in x.var
          |
        1 | #define SSH 2.2.2.2
          | ^^^^^^^
        "#);
}

#[test]
fn a_ruleset_that_would_become_too_large_names_the_rule_and_its_copies() {
    let vars = "#define A 1 2 3 4\n#define B A A A A A A A A A A\n#define C 1 2\n";
    let input = "-s C -d C\n-s A -d A -p B -j C\n-A INPUT -s B -d C\n";
    insta::assert_snapshot!(made(Iptables, vars, input, 100).unwrap_err(), @r#"
        x.in:2:1: this would become 320 rules (4 A × 40 B × 2 C), and the whole ruleset more than 100 lines: use an ipset or a set of nft
          |
        2 | -s A -d A -p B -j C
          | ^^^^^^^^^^^^^^^^^^^
        "#);
    assert_eq!(made(Iptables, vars, "-s C -d A\n", 100).unwrap().text.lines().count(), 8);
}

#[test]
fn the_cap_is_met_before_anything_is_made() {
    use std::fmt::Write;
    let mut vars = "#define A0 1 2\n".to_owned();
    for nth in 1..64 {
        writeln!(vars, "#define A{nth} A{0} A{0}", nth - 1).unwrap();
    }
    let said = super::refused(Iptables, &vars, "-s A63\n");
    assert!(said.starts_with("x.var:19:9: A18 would have 524288 words or more"), "{said}");
    let words = "x ".repeat(2_000);
    let vars = format!(
        "#define M {words}\n#define N {words}\n#define O {words}\n#define P {words}\n#define Q {words}\n#define R {words}\n"
    );
    let said = super::refused(Iptables, &vars, "M N O P Q R\n");
    assert!(said.contains("this would become 18446744073709551615 rules"), "{said}");
}

#[test]
fn a_quote_that_is_not_closed_is_an_error() {
    insta::assert_snapshot!(super::refused(Iptables, "#define A 1\n", "-A x\n-A --comment \"A -s A\n"), @r#"
        x.in:2:14: this quote is not closed in its line
          |
        2 | -A --comment "A -s A
          |              ^
        "#);
}
