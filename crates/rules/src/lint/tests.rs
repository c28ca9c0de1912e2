use super::*;

const LOGGERS: &str = " 2 nf_log_ipv4 (nf_log_ipv4,nfnetlink_log)\n10 NONE ()\n";

fn surroundings(session: &str) -> Surroundings {
    let mut session: Session = session.parse().unwrap();
    session.interface.get_or_insert_with(|| "eth0".to_owned());
    Surroundings { session: Some(session), loggers: Some(Loggers::of(LOGGERS)) }
}

/// The codes and lines, of a text that the kernel has read.
fn warned(form: Form, text: &str) -> Vec<(&'static str, Option<usize>)> {
    let ruleset = Ruleset::normalise(form, text).unwrap();
    codes(&ruleset, text)
}

fn codes(ruleset: &Ruleset, text: &str) -> Vec<(&'static str, Option<usize>)> {
    let warnings = lint(ruleset, text, &surroundings("10.9.0.2 50022 10.9.0.1 22"));
    warnings.iter().map(|warning| (warning.code, warning.line)).collect()
}

fn chain(rules: &str) -> String {
    format!(
        "table inet t {{\n chain sub {{\n  drop\n }}\n chain c {{\n  type filter hook forward priority 0;\n{rules}\n }}\n}}\n"
    )
}

#[test]
fn usual_rulesets_are_not_warned_about() {
    for (name, text) in [
        ("tproxy.nft", include_str!("../../tests/data/rulesets/tproxy.nft")),
        ("docker.v4", include_str!("../../tests/data/rulesets/docker.v4")),
        ("firewalld.nft", include_str!("../../tests/data/rulesets/firewalld.nft")),
        ("fail2ban.nft", include_str!("../../tests/data/rulesets/fail2ban.nft")),
        ("fail2ban.v4", include_str!("../../tests/data/rulesets/fail2ban.v4")),
        ("eduvpn.v4", include_str!("../../tests/data/rulesets/eduvpn.v4")),
        ("ufw.v4", include_str!("../../tests/data/rulesets/ufw.v4")),
        ("libvirt.v4", include_str!("../../tests/data/rulesets/libvirt.v4")),
        ("ips.nft", include_str!("../../tests/data/rulesets/ips.nft")),
    ] {
        let form = Form::of(name.as_ref(), text);
        // This kernel may not know nft's queue: then the text is judged.
        let ruleset = Ruleset::normalise(form, text).unwrap_or_else(|_| Ruleset::of_nft_source(text));
        for session in ["10.9.0.2 50022 10.9.0.1 22", "2001:db8::2 50022 2001:db8::1 22"] {
            let surroundings = surroundings(session);
            assert_eq!(lint(&ruleset, text, &surroundings), [], "{name}");
            // No answer is as good as one, but these are easy enough.
            let prospects = surroundings.session.unwrap().under(&ruleset);
            let is_v6_of_firewalld = name == "firewalld.nft" && session.starts_with("2001");
            if name != "ips.nft" && !is_v6_of_firewalld {
                assert_eq!(prospects.established, Fate::Accepted, "{name}, {session}");
            }
        }
    }
}

#[test]
fn a_rule_behind_one_that_takes_all_its_packets_is_unreachable() {
    let nft = |rules: &str| warned(Form::Nft, &chain(rules));
    assert_eq!(nft("accept\ntcp dport 22 accept\nudp dport 53 accept"), [("unreachable-rule", Some(8))]);
    assert_eq!(
        nft("tcp dport 22 accept\nip saddr 10.0.0.0/8 tcp dport 22 drop"),
        [("unreachable-rule", Some(8))]
    );
    assert_eq!(nft("jump sub\naccept"), [("unreachable-rule", Some(8))], "nothing comes back from sub");
    for fine in [
        "tcp dport 22 limit rate 5/second accept\ntcp dport 22 drop",
        "tcp dport 22 log\ntcp dport 22 drop",
        "ip saddr 10.0.0.0/8 tcp dport 22 accept\ntcp dport 22 drop",
        "tcp dport 22 jump sub\naccept",
        "meta mark 5 accept\nmeta mark set 5\nmeta mark 5 accept",
        "tcp dport { 22, 80 } accept\ntcp dport { 22, 443 } drop",
    ] {
        let found: Vec<_> = nft(fine).into_iter().filter(|(code, _)| *code != "log-without-logger").collect();
        assert_eq!(found, [], "{fine}");
    }
    let iptables = "*filter\n:sub - [0:0]\n-A INPUT -p tcp -m comment --comment a -m tcp --dport 22 -j ACCEPT\n\
        -A INPUT -s 10.0.0.0/8 -p tcp -m tcp --dport 22 -m comment --comment b -j DROP\n-A INPUT -g sub\n-A INPUT -j LOG\n\
        -A sub -m limit --limit 5/sec -j ACCEPT\n-A sub -j DROP\nCOMMIT\n";
    assert_eq!(
        warned(Form::Iptables, iptables),
        [("unreachable-rule", Some(4)), ("unreachable-rule", Some(6))]
    );
}

#[test]
fn a_log_that_nobody_takes_is_warned_about() {
    assert_eq!(
        warned(Form::Nft, &chain("log prefix \"x\"\nlog group 2")),
        [("log-without-logger", Some(7)), ("log-without-logger", Some(8)),]
    );
    let text = "*filter\n-A FORWARD -j LOG\n-A FORWARD -j NFLOG --nflog-group 2\nCOMMIT\n";
    assert_eq!(warned(Form::Iptables, text), [], "IPv4 has one here");
    assert_eq!(warned(Form::Ip6tables, text).len(), 2);
}

#[test]
fn a_queue_without_bypass_is_warned_about() {
    let text = "*filter\n-A FORWARD -i a -j NFQUEUE --queue-num 1\n-A FORWARD -j NFQUEUE --queue-balance 0:3 --queue-bypass\nCOMMIT\n";
    assert_eq!(warned(Form::Iptables, text), [("queue-without-bypass", Some(2))]);
    let text = chain("tcp dport 22 queue to 1\nqueue flags bypass,fanout to 0-3");
    assert_eq!(codes(&Ruleset::of_nft_source(&text), &text), [("queue-without-bypass", Some(7))]);
    let json = r#"{"nftables":[{"rule":{"family":"ip","table":"t","chain":"c","handle":1,"expr":[{"queue":{"num":1}}]}},
        {"rule":{"family":"ip","table":"t","chain":"d","handle":2,"expr":[{"queue":{"num":1,"flags":["bypass","fanout"]}}]}}]}"#;
    assert_eq!(codes(&Ruleset::of_nft_json(json).unwrap(), ""), [("queue-without-bypass", None)]);
}

#[test]
fn a_jump_to_a_chain_that_is_not_there_is_warned_about() {
    let text = "*filter\n:there - [0:0]\n-A INPUT -j there\n-A INPUT -j LOintra\n-A INPUT -s 192.0.2.1 -j DROP\nCOMMIT\n";
    assert_eq!(warned(Form::Iptables, text), [("jump-to-nothing", Some(4))]);
}

#[test]
fn a_proxy_that_lets_pass_is_warned_about() {
    let pre = |rules: &str| {
        format!(
            "table inet t {{\n chain c {{\n  type filter hook prerouting priority mangle;\n{rules}\n }}\n}}\n"
        )
    };
    let open = "iifname \"a\" tcp dport 80 tproxy ip to 127.0.0.1:3129 meta mark set 1 accept";
    assert_eq!(warned(Form::Nft, &pre(open)), [("tproxy-fails-open", Some(4))]);
    let text = pre(&format!("{open}\niifname \"a\" accept\niifname \"a\" tcp dport 80 drop"));
    let tproxy = warned(Form::Nft, &text);
    assert!(tproxy.contains(&("tproxy-fails-open", Some(4))), "{tproxy:?}");
    for closed in [
        &format!("{open}\niifname \"a\" tcp dport 80 drop"),
        &format!("{open}\niifname \"b\" accept\ntcp dport 80 reject"),
        "tcp dport 80 meta mark set 1 tproxy ip to 127.0.0.1:3129 accept",
    ] {
        assert_eq!(warned(Form::Nft, &pre(closed)), [], "{closed}");
        let text = pre(closed);
        assert_eq!(codes(&Ruleset::of_nft_source(&text), &text), [], "{closed}, as written");
    }
    let text = pre(open);
    assert_eq!(codes(&Ruleset::of_nft_source(&text), &text), [("tproxy-fails-open", Some(4))]);
}

#[test]
fn a_flush_of_everything_and_a_session_that_is_cut_are_told() {
    let text = "flush ruleset\ntable inet t {\n chain c {\n  type filter hook input priority 0; policy drop;\n }\n}\n";
    assert_eq!(warned(Form::Nft, text), [("cuts-session", None), ("flush-ruleset", Some(1))]);
    let warnings = lint(
        &Ruleset::normalise(Form::Nft, text).unwrap(),
        text,
        &surroundings("10.9.0.2 50022 10.9.0.1 22"),
    );
    assert_eq!(
        warnings[0].message,
        "the session from 10.9.0.2 to 10.9.0.1:22 would be cut off: its packets are dropped"
    );
}

#[test]
fn every_code_is_listed() {
    let mut listed: Vec<&str> = CODES.iter().map(|(code, _)| *code).collect();
    listed.sort_unstable();
    listed.dedup();
    assert_eq!(listed.len(), CODES.len());
}
