//! A real gateway's journal: 32 failures of sshd and 32 of an XMPP service, by eight clients, all with the
//! gateway's own address. Each has to be counted for the client that it came from.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use unmasq_entry::format::Format;

use crate::harness::Example;

fn journal() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/gateway-1/gateway.journal.json");
    fs::read_to_string(file).expect("the test data")
}

/// How often each client was counted.
fn counted(example: &str) -> BTreeMap<String, usize> {
    let mut example = Example::new(example);
    for line in journal().lines() {
        example.record(Format::JournalJson, line, &[]);
    }
    assert_eq!(example.waiting(), 0, "entries that wait in vain");
    let deeds = example.deeds();
    assert_eq!(deeds.troubles, [""; 0]);
    let mut counts = BTreeMap::new();
    for client in deeds.counted {
        *counts.entry(client).or_default() += 1;
    }
    counts
}

/// Eight clients with so many failures each.
fn eight(failures: usize) -> BTreeMap<String, usize> {
    (5..=12).map(|host| (format!("203.0.113.{host}"), failures)).collect()
}

#[test]
fn each_of_sshds_failures_is_counted_for_its_client() {
    for spelling in ["json", "toml", "yaml"] {
        assert_eq!(counted(&format!("nftables-dnat.{spelling}")), eight(4), "{spelling}");
    }
}

#[test]
fn each_xmpp_failure_waits_for_haproxys_line_and_is_counted_for_its_client() {
    assert_eq!(counted("haproxy-xmpp.toml"), eight(4));
}

#[test]
fn both_at_once() {
    assert_eq!(counted("gateway.toml"), eight(8));
}

/// A session of hours: with `option logasap` the line comes when the connection is made, with a "+" at its
/// time.
#[test]
fn a_long_session_is_known_by_the_line_at_its_start() {
    let mut example = Example::new("haproxy-xmpp.toml");
    example.record(
        Format::Syslog,
        "Nov 21 08:00:00 gw haproxy[1]: 203.0.113.9:40000 [21/Nov/2026:08:00:00.000] xmpp_in \
         xmpp[10.0.0.1:50000]/xmpp 1/0/+4 +11 -- 1/1/0/0/0 0/0",
        &[],
    );
    let failure = "prosody[2]: c2s: Failed authentication attempt (not-authorized) for user a@example.org \
     from IP: 10.0.0.1 port 50000";
    example.record(Format::Syslog, &format!("Nov 21 13:00:00 gw {failure}"), &[]);
    assert_eq!(example.deeds().counted, ["203.0.113.9"]);

    // The port is used again: the newer line counts.
    example.record(
        Format::Syslog,
        "Nov 21 14:00:00 gw haproxy[1]: 203.0.113.7:40001 [21/Nov/2026:14:00:00.000] xmpp_in \
         xmpp[10.0.0.1:50000]/xmpp 1/0/+4 +11 -- 1/1/0/0/0 0/0",
        &[],
    );
    example.record(Format::Syslog, &format!("Nov 21 14:00:01 gw {failure}"), &[]);
    assert_eq!(example.deeds().counted, ["203.0.113.7"]);
}
