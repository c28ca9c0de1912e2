//! `unmasq rules set` on a kernel's sets, maps and ipsets.

#![allow(clippy::unwrap_used, reason = "a test whose preparations fail has failed")]

use serde_json::{Value, json};
use unmasq_lab::{Lab, Node};

use crate::support::PROGRAM;

const TABLES: &str = "table inet filter {
	set admins {
		type ipv4_addr
		flags interval
	}
	set bans {
		type ipv4_addr
		flags timeout
	}
	set hosts {
		type ipv6_addr . inet_service
	}
	set ports {
		type inet_service
		flags interval
	}
	map jump_map {
		type ifname : verdict
		elements = { \"eth1\" : drop }
	}
	map names {
		type ipv4_addr : ipv4_addr
	}
	chain LOintra {
	}
	chain LOdmz {
	}
}
table ip other {
}
table ip6 other {
}
";

fn gate(lab: &Lab) -> Node {
    let node = lab.node("gate").unwrap();
    node.nft(TABLES).unwrap();
    node
}

/// `unmasq rules set` there: what it printed, what it complained about, its exit status.
fn set(node: &Node, words: &[&str]) -> (String, String, i32) {
    let output =
        node.command(PROGRAM).args(["rules", "set"]).args(words).env("NO_COLOR", "1").output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), output.status.code().unwrap())
}

fn listed(node: &Node, table: &str, name: &str) -> Vec<Value> {
    let (out, err, status) = set(node, &["list", table, name, "--json"]);
    assert_eq!(status, 0, "{err}");
    serde_json::from_str(&out).unwrap()
}

fn elements(node: &Node, table: &str, name: &str) -> Vec<String> {
    let text = |held: &Value| {
        let value = held["value"].as_str().map_or(String::new(), |value| format!(" : {value}"));
        format!("{}{value}", held["element"].as_str().unwrap())
    };
    listed(node, table, name).iter().map(text).collect()
}

#[test]
fn addresses_networks_and_ranges_come_and_go() {
    let lab = Lab::new().unwrap();
    let node = gate(&lab);
    let (out, err, status) =
        set(&node, &["add", "inet:filter", "admins", "192.0.2.7", "198.51.100.0/24", "10.0.0.1-10.0.0.9"]);
    assert_eq!((status, err.as_str()), (0, ""));
    assert_eq!(out.lines().next(), Some("192.0.2.7: added to inet filter admins"));
    assert_eq!(elements(&node, "filter", "admins"), ["10.0.0.1-10.0.0.9", "192.0.2.7", "198.51.100.0/24"]);
    let nft = node.exec(&["nft", "list", "set", "inet", "filter", "admins"]).unwrap();
    assert!(nft.contains("10.0.0.1-10.0.0.9, 192.0.2.7,"), "{nft}");
    // Done again, it is as wanted.
    let (out, _, status) = set(&node, &["add", "inet filter", "admins", "192.0.2.7", "--json"]);
    let outcome: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((status, outcome), (0, json!([{ "element": "192.0.2.7", "outcome": "was-there" }])));
    let (out, _, status) = set(&node, &["remove", "filter", "admins", "192.0.2.7", "192.0.2.8"]);
    assert_eq!(status, 0);
    assert_eq!(out, "192.0.2.7: removed from inet filter admins\n192.0.2.8: was not in inet filter admins\n");
    let (_, err, status) = set(&node, &["add", "filter", "admins", "198.51.100.128/25"]);
    assert_eq!(status, 1, "{err}");
    assert!(err.contains("refused by inet filter admins"), "{err}");
    set(&node, &["add", "filter", "hosts", "[2001:db8::1]:443", "2001:db8::2 . 22"]);
    assert_eq!(elements(&node, "filter", "hosts"), ["2001:db8::1 . 443", "2001:db8::2 . 22"]);
}

#[test]
fn a_wrong_element_changes_nothing() {
    let lab = Lab::new().unwrap();
    let node = gate(&lab);
    for (words, needle) in [
        (&["add", "filter", "admins", "192.0.2.1", "2001:db8::1"][..], "not an IPv4 address"),
        (&["add", "filter", "bans", "192.0.2.1", "192.0.2.0/24"], "`flags interval`"),
        (&["add", "filter", "admins", "192.0.2.1", "--timeout", "1h"], "`flags timeout`"),
        (&["add", "filter", "bans", "192.0.2.1", "--timeout", "0s"], "cannot be there for no time"),
        (&["add", "filter", "ports", "80", "http"], "not a port"),
        (&["add", "filter", "jump_map", "eth0:jump LOnone"], "no chain \"LOnone\""),
        (&["add", "filter", "nothing", "192.0.2.1"], "there is: admins, bans"),
        (&["add", "filtre", "admins", "192.0.2.1"], "there is no table filtre"),
        (&["add", "other", "admins", "192.0.2.1"], "a table other in ip and ip6"),
        (&["add", "inet", "filter", "admins"], "write inet:NAME"),
        (&["add", "ipset", "nothing", "192.0.2.1"], "no ipset \"nothing\""),
    ] {
        let (_, err, status) = set(&node, words);
        assert_eq!(status, 2, "{words:?}: {err}");
        assert!(err.contains(needle), "{words:?}: {err}");
    }
    for name in ["admins", "bans", "ports"] {
        assert_eq!(elements(&node, "filter", name), [""; 0]);
    }
}

#[test]
fn an_element_can_have_a_time() {
    let lab = Lab::new().unwrap();
    let node = gate(&lab);
    assert_eq!(set(&node, &["add", "filter", "bans", "192.0.2.1", "--timeout", "1h"]).2, 0);
    assert_eq!(set(&node, &["add", "filter", "bans", "192.0.2.2"]).2, 0);
    let held = listed(&node, "filter", "bans");
    let left = held[0]["expires_seconds"].as_u64().unwrap();
    assert!((3_000..=3_600).contains(&left), "{left}");
    assert_eq!(held[1], json!({ "element": "192.0.2.2" }));
    let (out, ..) = set(&node, &["list", "filter", "bans"]);
    assert!(out.starts_with("192.0.2.1    for ") && out.ends_with("192.0.2.2\n"), "{out:?}");
    // A longer time counts from now.
    assert_eq!(set(&node, &["add", "filter", "bans", "192.0.2.1", "--timeout", "2h"]).2, 0);
    let left = listed(&node, "filter", "bans")[0]["expires_seconds"].as_u64().unwrap();
    assert!(left > 3_600, "{left}");
}

#[test]
fn maps_and_sets_of_other_types_come_and_go() {
    let lab = Lab::new().unwrap();
    let node = gate(&lab);
    let (out, err, status) =
        set(&node, &["add", "inet:filter", "jump_map", "eth0:jump LOintra", "eth1 : goto LOdmz"]);
    assert_eq!((status, err.as_str()), (0, ""));
    assert_eq!(out, "eth0: added to inet filter jump_map\neth1: changed in inet filter jump_map\n");
    assert_eq!(elements(&node, "filter", "jump_map"), ["eth0 : jump LOintra", "eth1 : goto LOdmz"]);
    let (out, ..) = set(&node, &["list", "filter", "jump_map"]);
    assert_eq!(out, "eth0  jump LOintra\neth1  goto LOdmz\n");
    let (out, _, status) = set(&node, &["remove", "filter", "jump_map", "eth0", "eth1:drop", "eth2"]);
    assert_eq!(status, 0);
    assert!(
        out.contains("eth0: removed") && out.contains("eth1: was not in") && out.contains("eth2: was not in"),
        "{out}"
    );
    assert_eq!(
        elements(&node, "filter", "jump_map"),
        ["eth1 : goto LOdmz"],
        "it gives something else than drop"
    );
    assert_eq!(set(&node, &["add", "filter", "ports", "443", "8000-8099"]).2, 0);
    assert_eq!(elements(&node, "filter", "ports"), ["443", "8000-8099"]);
    assert_eq!(set(&node, &["add", "filter", "names", "192.0.2.1:10.0.0.1"]).2, 0);
    assert_eq!(elements(&node, "filter", "names"), ["192.0.2.1 : 10.0.0.1"]);
}

#[test]
fn ipsets_are_changed_the_same_way() {
    let lab = Lab::new().unwrap();
    let node = gate(&lab);
    node.exec(&["ipset", "create", "f2b-sshd", "hash:ip", "timeout", "600"]).unwrap();
    let (out, err, status) = set(&node, &["add", "ipset", "f2b-sshd", "192.0.2.1", "--timeout", "1h"]);
    assert_eq!((status, err.as_str()), (0, ""));
    assert_eq!(out, "192.0.2.1: added to ipset f2b-sshd\n");
    assert!(node.exec(&["ipset", "test", "f2b-sshd", "192.0.2.1"]).is_ok());
    let (_, err, status) = set(&node, &["add", "ipset", "f2b-sshd", "192.0.2.1", "--timeout", "30d"]);
    assert!(status == 2 && err.contains("no element for longer than 24d20h31m23s"), "{err}");
    assert_eq!(elements(&node, "ipset", "f2b-sshd"), ["192.0.2.1"]);
    assert_eq!(set(&node, &["add", "ipset", "f2b-sshd", "192.0.2.0/24"]).2, 2);
    let (out, ..) = set(&node, &["remove", "ipset", "f2b-sshd", "192.0.2.1", "192.0.2.2"]);
    assert_eq!(out, "192.0.2.1: removed from ipset f2b-sshd\n192.0.2.2: was not in ipset f2b-sshd\n");
}
