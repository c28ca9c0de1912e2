use super::*;

const LOADED: &str = "\
*filter
:INPUT DROP [5:300]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:LOintra - [0:0]
[1:60] -A INPUT -i lo -j ACCEPT
[0:0] -A INPUT -i lan0 -j LOintra
[2:80] -A LOintra -p tcp -m tcp --dport 22 -j ACCEPT
COMMIT
";

fn with_fail2ban() -> String {
    LOADED
        .replace(":LOintra - [0:0]\n", ":LOintra - [0:0]\n:f2b-sshd - [0:0]\n")
        .replace("[1:60] -A INPUT -i lo", "[9:9] -A INPUT -p tcp -m multiport --dports 22 -j f2b-sshd\n[1:60] -A INPUT -i lo")
        .replace("COMMIT", "[3:3] -A f2b-sshd -s 192.0.2.1/32 -j REJECT --reject-with icmp-port-unreachable\n[0:0] -A f2b-sshd -j RETURN\nCOMMIT")
}

const NEXT: &str = "\
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -i lo -j ACCEPT
COMMIT
";

/// What the goal becomes with what others did.
fn with_others(loaded: &Tables, now: &Tables, goal: &str, is_return: bool) -> (String, Vec<String>) {
    let mut goal = parse(goal);
    let lost = add_others(loaded, now, &mut goal, is_return);
    (text(&goal), lost)
}

#[test]
fn what_iptables_prints_is_read() {
    assert_eq!(text(&parse(LOADED)), LOADED);
    assert_eq!(names(LOADED), BTreeSet::from(["filter".to_owned()]));
    assert_eq!(first_other_line(LOADED), None);
    assert_eq!(first_other_line("*filter\n# x\n-P INPUT DROP\nCOMMIT\n"), Some(3));
}

#[test]
fn what_others_put_in_is_put_into_the_next_ruleset_where_it_stood() {
    let (loaded, now) = (parse(LOADED), parse(&with_fail2ban()));
    let expected = "\
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:f2b-sshd - [0:0]
[9:9] -A INPUT -p tcp -m multiport --dports 22 -j f2b-sshd
-A INPUT -i lo -j ACCEPT
[3:3] -A f2b-sshd -s 192.0.2.1/32 -j REJECT --reject-with icmp-port-unreachable
[0:0] -A f2b-sshd -j RETURN
COMMIT
";
    assert_eq!(with_others(&loaded, &now, NEXT, false), (expected.to_owned(), vec![]));
    // Before anything is known to have been loaded, the names of chains tell.
    assert_eq!(with_others(&without_others(&now), &now, NEXT, false), (expected.to_owned(), vec![]));
}

#[test]
fn only_what_is_different_is_touched() {
    let (now, mut goal) = (parse(&with_fail2ban()), parse(NEXT));
    add_others(&parse(LOADED), &now, &mut goal, false);
    let expected = "\
*filter
:INPUT DROP [0:0]
-F INPUT
[9:9] -A INPUT -p tcp -m multiport --dports 22 -j f2b-sshd
-A INPUT -i lo -j ACCEPT
-F LOintra
-X LOintra
COMMIT
";
    assert_eq!(transaction(&now, &goal), expected);
}

#[test]
fn a_return_takes_out_what_others_took_out() {
    let before = with_fail2ban();
    let loaded = parse(&before);
    let mut now = loaded.clone();
    let chain = now.get_mut("filter").unwrap().chains.iter_mut().find(|c| c.name == "f2b-sshd").unwrap();
    chain.rules.remove(0);
    let ban = "-A f2b-sshd -s 192.0.2.1/32";
    assert!(!with_others(&loaded, &now, &before, true).0.contains(ban));
    assert!(with_others(&loaded, &now, &before, false).0.contains(ban));
}

#[test]
fn a_rule_goes_behind_the_one_that_it_stood_behind() {
    let drop = "[0:0] -A INPUT -s 192.0.2.9/32 -j DROP";
    let now = parse(&LOADED.replace("[0:0] -A INPUT -i lan0", &format!("{drop}\n[0:0] -A INPUT -i lan0")));
    let (text, _) = with_others(&parse(LOADED), &now, NEXT, false);
    assert!(text.contains(&format!("-A INPUT -i lo -j ACCEPT\n{drop}\n")), "{text}");
}

#[test]
fn a_rule_in_a_chain_that_is_gone_is_named() {
    let now = parse(&LOADED.replace("COMMIT", "[0:0] -A LOintra -s 192.0.2.9/32 -j DROP\nCOMMIT"));
    let (_, lost) = with_others(&parse(LOADED), &now, NEXT, false);
    assert_eq!(lost, ["[0:0] -A LOintra -s 192.0.2.9/32 -j DROP (table filter: the chain is gone)"]);
}

#[test]
fn a_ruleset_must_load_into_an_empty_kernel() {
    assert!(made_by(Form::Iptables, NEXT).is_ok());
    assert!(matches!(made_by(Form::Iptables, "# nothing\n"), Err(RulesError::Empty)));
    let wrong = NEXT.replace("ACCEPT\nCOMMIT", "NOWHERE\nCOMMIT");
    assert!(matches!(made_by(Form::Iptables, &wrong), Err(RulesError::NotWhole { .. })));
}
