//! `unmasq watch divert`, `watch sense` and `unmasq compat dom`, as far as no kernel is needed.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use assert_cmd::Command;
use serde_json::Value;

const CAPTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../sensor/tests/data/handshakes.pcap");
const EVENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/eve");

fn unmasq(words: &[&str]) -> (String, String, i32) {
    let output = Command::cargo_bin("unmasq").unwrap().args(words).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), output.status.code().unwrap())
}

/// Whom these flags would divert, of the events of a file.
fn diverted(flags: &[&str], file: &Path) -> BTreeSet<String> {
    let folder = tempfile::tempdir().unwrap();
    let (chain, said, code) =
        unmasq(&[&["watch", "divert", "--print-chain", "--set", "inet t s"], flags].concat());
    assert_eq!(code, 0, "{said}");
    let config = folder.path().join("chain.toml");
    fs::write(&config, chain).unwrap();
    let config = config.to_str().unwrap();
    assert_eq!(unmasq(&["watch", "check", config]).2, 0);
    let words = ["watch", "test", "--config", config, "--actions", "json", "--format", "json", "--input"];
    let (actions, said, code) = unmasq(&[&words[..], &[file.to_str().unwrap()]].concat());
    assert_eq!(code, 0, "{said}");
    let actions = actions.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let bans = actions.filter(|action| action["action"] == "action_nftBan");
    bans.map(|ban| ban["address"].as_str().unwrap().to_owned()).collect()
}

fn set(addresses: &[&str]) -> BTreeSet<String> {
    addresses.iter().map(|&address| address.to_owned()).collect()
}

#[test]
fn events_of_every_suricata_are_read() {
    for version in ["2.0", "3.2", "4.1", "5.0", "6.0", "7.0", "8.0"] {
        let file = Path::new(EVENTS).join(format!("suricata-{version}.json"));
        let libssh = set(&["203.0.113.5", "2001:db8::5"]);
        assert_eq!(diverted(&["--match", "^libssh"], &file), libssh, "{version}");
        // Who says nothing of himself is no OpenSSH, and none of the others either.
        let no_openssh = set(&["203.0.113.5", "203.0.113.7", "2001:db8::5"]);
        assert_eq!(diverted(&["--match", "^OpenSSH", "--invert"], &file), no_openssh, "{version}");
        let allowed = ["--match", "libssh", "--allow", "203.0.113.0/24"];
        assert_eq!(diverted(&allowed, &file), set(&["2001:db8::5"]), "{version}");
    }
}

#[test]
fn suricatas_own_events_are_read() {
    let file = Path::new(CAPTURE).with_file_name("handshakes.suricata-7.0.10.json");
    assert_eq!(diverted(&["--match", "^libssh"], &file), set(&["192.0.2.7", "2001:db8::7"]));
}

#[test]
fn a_capture_gives_events_and_they_divert_as_suricatas_do() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("eve.json");
    let (out, said, code) =
        unmasq(&["watch", "sense", "--pcap", CAPTURE, "--output", output.to_str().unwrap()]);
    assert_eq!((out.as_str(), code), ("", 0), "{said}");
    assert!(said.contains("247 packets, 11 connections, 11 events; 0 packets lost"), "{said}");
    assert_eq!(diverted(&["--match", "^libssh"], &output), set(&["192.0.2.7", "2001:db8::7"]));
    // Of other ports there is nothing in it.
    let (out, _, code) = unmasq(&["watch", "sense", "--pcap", CAPTURE, "--ports", "2222"]);
    assert_eq!((out.as_str(), code), ("", 0));
}

/// Suricata's etc/schema.json is under the GPL, and not here: name it by UNMASQ_SURICATA_SCHEMA to have this test do anything.
#[test]
fn suricatas_schema_accepts_the_events() {
    let Some(schema) = std::env::var_os("UNMASQ_SURICATA_SCHEMA") else {
        eprintln!("skipped: UNMASQ_SURICATA_SCHEMA names no schema.json of Suricata");
        return;
    };
    let python = std::env::var_os("UNMASQ_TEST_PYTHON").unwrap_or_else(|| "python3".into());
    let events = unmasq(&["watch", "sense", "--pcap", CAPTURE]).0;
    let check = "import json, sys, jsonschema
schema = json.load(open(sys.argv[1]))
check = jsonschema.validators.validator_for(schema)(schema)
events = [json.loads(line) for line in sys.stdin]
assert len(events) == 11, events
for event in events:
    check.validate(event)";
    Command::new(python).arg("-c").arg(check).arg(schema).write_stdin(events).assert().success();
}

#[test]
fn a_capture_that_is_none_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("eve.json");
    fs::write(&file, "{\"event_type\":\"ssh\"}\n").unwrap();
    let (_, said, code) = unmasq(&["watch", "sense", "--pcap", file.to_str().unwrap()]);
    assert_eq!(code, 1);
    assert!(said.contains("is no capture"), "{said}");
    let cut = folder.path().join("cut.pcap");
    fs::write(&cut, &fs::read(CAPTURE).unwrap()[..30_000]).unwrap();
    let (out, said, code) = unmasq(&["watch", "sense", "--pcap", cut.to_str().unwrap()]);
    assert_eq!(code, 1);
    assert!(said.contains("it ends in the middle of a packet") && out.lines().count() >= 4, "{said}");
}

#[test]
fn a_full_disk_is_told_with_the_name_of_the_output() {
    let (_, said, code) = unmasq(&["watch", "sense", "--pcap", CAPTURE, "--output", "/dev/full"]);
    assert_eq!(code, 1);
    assert!(said.contains("cannot write events to /dev/full: No space left"), "{said}");
}

#[test]
fn wrong_flags_are_refused() {
    for words in [
        &["watch", "divert"][..],
        &["watch", "divert", "--set", "a b c d"],
        &["watch", "divert", "--set", "inet t s", "--ipset", "s"],
        &["watch", "divert", "--set", "inet t s", "--sensor", "eth0"],
        &["watch", "divert", "--set", "inet t s", "--sensor", "nflog:70000"],
        &["watch", "divert", "--set", "inet t s", "--sensor", "nflog:5", "--file", "eve.json"],
        &["watch", "divert", "--set", "inet t s", "--timeout", "0s"],
        &["watch", "divert", "--set", "inet t s", "--match", "(", "--print-chain"],
        &["watch", "divert", "--set", "inet t s", "--allow", "a b", "--print-chain"],
        // clap asks for no --sensor where another flag rules it out.
        &["watch", "divert", "--set", "inet t s", "--ports", "22"],
        &["watch", "divert", "--set", "inet t s", "--ports", "22", "--once", "eve.json"],
        &["watch", "divert", "--set", "inet t s", "--ports", "22", "--file", "eve.json"],
        &["watch", "sense"],
        &["watch", "sense", "--nflog", "5", "--interface", "eth0"],
        &["watch", "sense", "--nflog", "5", "--ports", "0"],
        &["compat", "dom", "-n", "inet filter", "-s", "a b"],
        &["compat", "dom", "-m", "(", "-D"],
        &["compat", "dom", "-l", "/no/such/folder/log", "-D"],
    ] {
        let (_, said, code) = unmasq(words);
        assert_eq!(code, 2, "{words:?}: {said}");
    }
}
