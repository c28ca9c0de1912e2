//! `unmasq doctor` in real namespaces. Needs root.

use std::fs;
use std::path::Path;
use std::process::Output;

use assert_cmd::Command;
use serde_json::Value;
use unmasq_lab::{Lab, Node};

fn unmasq() -> Command {
    Command::new(assert_cmd::cargo::cargo_bin!("unmasq"))
}

/// A namespace with the kernel's own settings, which are all wrong.
fn gateway(lab: &Lab) -> Node {
    let node = lab.node("gw").expect("a namespace");
    node.set("net.netfilter.nf_conntrack_events", "2").expect("a setting");
    node.set("net.netfilter.nf_conntrack_timestamp", "0").expect("a setting");
    node.set("net.netfilter.nf_conntrack_acct", "0").expect("a setting");
    node
}

/// Looks at the namespace from outside.
fn doctor(node: &Node, arguments: &[&str]) -> Output {
    unmasq().args(["doctor", "--netns", node.name()]).args(arguments).output().expect("the program runs")
}

fn json(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text} {output:?}"))
}

/// The verdicts of one namespace's checks, by name.
fn verdict(answer: &Value, id: &str) -> String {
    let checks = answer["namespaces"][0]["checks"].as_array().expect("a list of checks");
    let check = checks.iter().find(|check| check["id"] == id).unwrap_or_else(|| panic!("no {id}: {answer}"));
    check["verdict"].as_str().unwrap_or_default().to_owned()
}

fn settings(node: &Node) -> [String; 3] {
    ["events", "timestamp", "acct"]
        .map(|s| node.setting(&format!("net.netfilter.nf_conntrack_{s}")).expect("a setting"))
}

#[test]
fn what_is_wrong_is_said_with_the_command_that_mends_it() {
    let lab = Lab::new().unwrap();
    let node = gateway(&lab);
    let output = doctor(&node, &[]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stdout);
    let command = format!("ip netns exec {} sysctl -w net.netfilter.nf_conntrack_events=1", node.name());
    assert!(text.contains(&command), "{text}");
    assert!(!text.contains('\u{1b}'), "colour without a terminal: {text}");

    let answer = json(&doctor(&node, &["--json"]));
    assert_eq!(verdict(&answer, "events"), "bad");
    assert_eq!(verdict(&answer, "timestamp"), "bad");
    assert_eq!(verdict(&answer, "accounting"), "warn");
    assert_eq!(verdict(&answer, "conntrack-netlink"), "ok");
    assert_eq!(answer["verdict"], "bad");
    assert_eq!(settings(&node), ["2", "0", "0"], "looking changes nothing");

    // The command that is shown is the whole remedy.
    let words: Vec<_> = command.split(' ').skip(4).collect();
    node.exec(&words).unwrap();
    assert_eq!(verdict(&json(&doctor(&node, &["--json"])), "events"), "ok");
}

#[test]
fn fix_mends_the_namespace_and_only_it() {
    let lab = Lab::new().unwrap();
    let node = gateway(&lab);
    let other = lab.node("other").unwrap();
    let before = settings(&other);

    let shown = doctor(&node, &["--fix", "--dry-run"]);
    assert_eq!(shown.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&shown.stdout).contains("nothing was changed"));
    assert_eq!(settings(&node), ["2", "0", "0"]);

    let fixed = doctor(&node, &["--fix", "--yes"]);
    assert_eq!(settings(&node), ["1", "1", "1"]);
    let text = String::from_utf8_lossy(&fixed.stdout);
    assert!(text.contains(&format!("unmasq doctor --netns {} --fix --yes", node.name())), "{text}");
    let answer = json(&doctor(&node, &["--json"]));
    for id in ["events", "timestamp", "accounting"] {
        assert_eq!(verdict(&answer, id), "ok");
    }
    assert_eq!(settings(&other), before);

    let again = json(&doctor(&node, &["--fix", "--yes", "--json"]));
    assert_eq!(again["namespaces"][0]["changes"], Value::Array(Vec::new()), "nothing is left to change");
    assert_eq!(again["namespaces"][0]["changed"], false);
}

#[test]
fn fix_writes_it_down_for_the_next_boot() {
    let lab = Lab::new().unwrap();
    let node = gateway(&lab);
    let root = tempfile::tempdir().unwrap();
    let at = root.path().display().to_string();
    let sysctls = root.path().join("etc/sysctl.d/60-unmasq.conf");
    let modules = root.path().join("etc/modules-load.d/unmasq.conf");

    let shown = doctor(&node, &["--fix", "--dry-run", "--root", &at]);
    let text = String::from_utf8_lossy(&shown.stdout);
    assert!(text.contains("+ net.netfilter.nf_conntrack_events = 1"), "{text}");
    assert!(!Path::new(&sysctls).exists() && !modules.exists());

    doctor(&node, &["--fix", "--yes", "--root", &at]);
    let written = fs::read_to_string(&sysctls).unwrap();
    for setting in ["events", "timestamp", "acct"] {
        assert!(written.contains(&format!("net.netfilter.nf_conntrack_{setting} = 1\n")), "{written}");
    }
    assert!(fs::read_to_string(&modules).unwrap().ends_with("nf_conntrack\nnf_conntrack_netlink\n"));
    assert_eq!(verdict(&json(&doctor(&node, &["--json", "--root", &at])), "boot"), "ok");

    // sysctl itself understands the file, in the namespace that it is applied in.
    node.set("net.netfilter.nf_conntrack_events", "0").unwrap();
    node.exec(&["sysctl", "-q", "-p", &sysctls.display().to_string()]).unwrap();
    assert_eq!(settings(&node), ["1", "1", "1"]);

    let again = json(&doctor(&node, &["--fix", "--yes", "--json", "--root", &at]));
    assert_eq!(again["namespaces"][0]["changes"], Value::Array(Vec::new()));
    assert_eq!(fs::read_to_string(&sysctls).unwrap(), written);
}

#[test]
fn the_firewall_is_read_in_the_namespace() {
    let lab = Lab::new().unwrap();
    let node = gateway(&lab);
    assert_eq!(verdict(&json(&doctor(&node, &["--json"])), "nat"), "warn");
    node.nft(
        "table ip nat {\n\
         chain post { type nat hook postrouting priority srcnat; oifname \"lo\" masquerade; }\n\
         }\n\
         table ip raw {\n\
         chain pre { type filter hook prerouting priority raw; udp dport 53 notrack; }\n\
         }\n",
    )
    .unwrap();
    let answer = json(&doctor(&node, &["--json"]));
    assert_eq!(verdict(&answer, "nat"), "ok");
    assert_eq!(verdict(&answer, "notrack"), "warn");
    assert_eq!(verdict(&answer, "forward-ipv4"), "warn");
    node.set("net.ipv4.ip_forward", "1").unwrap();
    assert_eq!(verdict(&json(&doctor(&node, &["--json"])), "forward-ipv4"), "ok");
    // Its lock is the machine's otherwise, and it waits for it as long as it takes.
    let lock = format!("XTABLES_LOCKFILE={}", lab.scratch().join("xtables.lock").display());
    let rule = ["-t", "nat", "-A", "POSTROUTING", "-j", "MASQUERADE"];
    node.exec(&[&["env", &lock, "iptables-legacy"][..], &rule].concat()).unwrap();
    assert_eq!(verdict(&json(&doctor(&node, &["--json"])), "nat"), "warn");
}

#[test]
fn a_change_is_never_made_without_being_asked_for() {
    let lab = Lab::new().unwrap();
    let node = gateway(&lab);
    for arguments in ["--fix", "--fix-host", "--fix --json", "--fix --yes --dry-run"] {
        let output = doctor(&node, &arguments.split(' ').collect::<Vec<_>>());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(settings(&node), ["2", "0", "0"], "{arguments:?}");
    }
    let none = unmasq().args(["doctor", "--netns", "no-such-namespace"]).output().unwrap();
    assert_eq!(none.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&none.stderr).contains("no-such-namespace"));
}
