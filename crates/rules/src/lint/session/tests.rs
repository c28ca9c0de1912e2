use super::*;
use crate::Form;

fn session() -> Session {
    let mut session: Session = "10.9.0.2 50022 10.9.0.1 22".parse().unwrap();
    session.interface = Some("eth0".to_owned());
    session
}

fn iptables(rules: &str) -> (Fate, Fate) {
    let text = format!("*filter\n{rules}\nCOMMIT\n");
    let prospects = session().under(&Ruleset::of_iptables(Form::Iptables, &text).unwrap());
    (prospects.established, prospects.new)
}

/// By way of the kernel.
fn nft(rules: &str) -> (Fate, Fate) {
    let text = format!("table inet t {{\n{rules}\n}}\n");
    let prospects = session().under(&Ruleset::normalise(Form::Nft, &text).unwrap());
    (prospects.established, prospects.new)
}

const INPUT: &str = "chain input {\n type filter hook input priority 0; policy drop;\n";

use Fate::{Accepted, Dropped, Unknown};

#[test]
fn a_session_is_read_as_sshd_writes_it_and_by_its_ends() {
    let of = |text: &str| text.parse::<Session>();
    assert_eq!(of("10.9.0.2 50022 10.9.0.1 22"), of("10.9.0.2:50022,10.9.0.1:22"));
    assert_eq!(of("2001:db8::2 50022 2001:db8::1 22"), of("[2001:db8::2]:50022,[2001:db8::1]:22"));
    assert_eq!(of("fe80::2%eth0 1 fe80::1%eth0 22").unwrap().interface.as_deref(), Some("eth0"));
    assert_eq!(of("::ffff:10.9.0.2 50022 ::ffff:10.9.0.1 22"), of("10.9.0.2:50022,10.9.0.1:22"));
    for text in ["", "10.9.0.2", "10.9.0.2:1", "10.9.0.2:1,::1:2", "10.9.0.2 1 10.9.0.1 99999", "a:1,b:2"] {
        assert!(of(text).is_err(), "{text:?}");
    }
}

#[test]
fn policies_and_plain_rules_decide() {
    assert_eq!(iptables(":INPUT ACCEPT [0:0]"), (Accepted, Accepted));
    assert_eq!(iptables(":INPUT DROP [0:0]"), (Dropped, Dropped));
    assert_eq!(iptables(":OUTPUT DROP [0:0]"), (Dropped, Dropped));
    let stateful = ":INPUT DROP [0:0]\n-A INPUT -m state --state ESTABLISHED,RELATED -j ACCEPT\n";
    assert_eq!(iptables(stateful), (Accepted, Dropped));
    assert_eq!(
        iptables(&format!("{stateful}-A INPUT -s 10.9.0.0/24 -p tcp --dport 22 -j ACCEPT")),
        (Accepted, Accepted)
    );
    assert_eq!(
        iptables(&format!("{stateful}-A INPUT ! -s 10.9.0.0/24 -p tcp --dport 22 -j ACCEPT")),
        (Accepted, Dropped)
    );
    assert_eq!(nft(&format!("{INPUT} ct state established,related accept\n }}")), (Accepted, Dropped));
    assert_eq!(
        nft(&format!("{INPUT} ct state established accept\n tcp dport ssh accept\n }}")),
        (Accepted, Accepted)
    );
    assert_eq!(nft(&format!("{INPUT} ip6 saddr ::/0 accept\n }}")), (Dropped, Dropped));
}

#[test]
fn chains_maps_and_sets_are_followed() {
    let zones = "set admins {\n type ipv4_addr\n flags interval\n elements = { 10.9.0.0/28 }\n }\n\
        map zones {\n type ifname : verdict\n elements = { \"eth0\" : jump lo, \"eth1\" : drop }\n }\n\
        chain lo {\n ip saddr @admins tcp dport 22 accept\n }\n";
    let vmap = format!(
        "{zones}{INPUT} ct state vmap {{ established : accept, invalid : drop }}\n iifname vmap @zones\n }}"
    );
    assert_eq!(nft(&vmap), (Accepted, Accepted));
    assert_eq!(nft(&vmap.replace("10.9.0.0/28", "10.9.1.0/28")), (Accepted, Dropped));
    assert_eq!(nft(&vmap.replace("\"eth0\" : jump lo, ", "")), (Accepted, Dropped));
    let bans = "set bans {\n type ipv4_addr\n flags timeout\n }\n";
    let with_bans = format!("{bans}{INPUT} ip saddr @bans drop\n tcp dport 22 accept\n }}");
    assert_eq!(nft(&with_bans), (Unknown, Unknown), "who is banned next is not known");
    let jumps = ":INPUT DROP [0:0]\n:a - [0:0]\n:b - [0:0]\n-A INPUT -j a\n-A a -i eth+ -g b\n-A a -j ACCEPT\n-A b -j RETURN\n";
    assert_eq!(iptables(jumps), (Dropped, Dropped), "from a chain gone to, one comes back behind the jump");
}

#[test]
fn what_is_not_understood_is_unknown_unless_it_cannot_matter() {
    assert_eq!(
        iptables("-A INPUT -m recent --update --seconds 60 --name x --rsource -j DROP"),
        (Unknown, Unknown)
    );
    assert_eq!(iptables("-A INPUT -m recent --set --name x --rsource\n-A INPUT -j DROP"), (Dropped, Dropped));
    assert_eq!(iptables("-A INPUT -p udp -m recent --update --name x -j DROP"), (Accepted, Accepted));
    assert_eq!(iptables("-A INPUT -p tcp ! --syn -m state --state NEW -j DROP"), (Accepted, Accepted));
    assert_eq!(iptables("-A INPUT -i tun0 -j DROP"), (Accepted, Accepted));
    assert_eq!(iptables("-A INPUT -p tcp -j TARPIT"), (Unknown, Unknown));
    assert_eq!(
        iptables("-A INPUT -p tcp --sport 50022 -j DROP"),
        (Dropped, Dropped),
        "without this one, another is nothing"
    );
    assert_eq!(iptables("-A INPUT -p tcp --sport 50023 -j DROP"), (Accepted, Unknown));
    assert_eq!(nft(&format!("{INPUT} limit rate 5/second accept\n }}")), (Unknown, Unknown));
    assert_eq!(nft(&format!("{INPUT} meta mark 7 log prefix \"x\"\n accept\n }}")), (Accepted, Accepted));
    let mut session = session();
    session.interface = None;
    let text = "*filter\n:INPUT DROP [0:0]\n-A INPUT -i eth0 -j ACCEPT\nCOMMIT\n";
    let prospects = session.under(&Ruleset::of_iptables(Form::Iptables, text).unwrap());
    assert_eq!(prospects.established, Unknown);
}

#[test]
fn a_new_connection_that_is_translated_is_not_judged() {
    let nat = "table ip n {\n chain p {\n type nat hook prerouting priority -100;\n tcp dport 22 redirect to :2222\n }\n}\n";
    let text = format!(
        "{nat}table inet t {{\n{INPUT} ct state established accept\n tcp dport 2222 accept\n }}\n}}\n"
    );
    let prospects = session().under(&Ruleset::normalise(Form::Nft, &text).unwrap());
    assert_eq!((prospects.established, prospects.new), (Accepted, Unknown));
}

#[test]
fn what_hides_from_connection_tracking_leaves_states_unknown() {
    let raw = "*raw\n-A PREROUTING -p tcp --dport 22 -j CT --notrack\nCOMMIT\n";
    let text =
        format!("{raw}*filter\n:INPUT DROP [0:0]\n-A INPUT -m state --state ESTABLISHED -j ACCEPT\nCOMMIT\n");
    let prospects = session().under(&Ruleset::of_iptables(Form::Iptables, &text).unwrap());
    assert_eq!(prospects.established, Unknown);
}
