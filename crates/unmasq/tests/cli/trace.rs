//! `unmasq trace`: each exit status, each form of the answer.

use std::fs;
use std::path::{Path, PathBuf};

use unmasq_flow::{
    Bound, Destination, DestinationPolicy, Gap, GapReason, Origin, Period, Protocol, Scope, ScopeKind,
};
use unmasq_ledger::{CoverageEvent, Writer, WriterOptions};

use crate::support::{at, clock, flow, record, record_as, scope, trace};

const M: &str = "203.0.113.1:61002";
const A: &str = "192.168.101.2:47244";
const B: &str = "192.168.101.3:50000";
const S: &str = "198.51.100.7:80";
const T: &str = "198.51.100.9:443";
/// [`support::T0`](crate::support::T0).
const WHEN: &str = "2020-12-26T12:37:42Z";

fn ledger() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    record(
        directory.path(),
        &[
            flow(A, S, M, -20, 100),
            flow(B, T, "203.0.113.1:61003", -20, 100),
            flow(A, S, "203.0.113.1:61003", -20, 100),
            flow(A, S, "203.0.113.1:61004", -200, -100),
            flow(B, S, "203.0.113.1:61004", 100, 200),
        ],
    );
    directory
}

#[test]
fn one_client_is_status_0_and_json_says_all_of_it() {
    let ledger = ledger();
    let said = trace(ledger.path(), &[M, "--at", WHEN, "--json"]);
    assert_eq!(said.status, 0, "{said:?}");
    let json = said.json();
    assert_eq!((&json["complete"], &json["ambiguous"]), (&true.into(), &false.into()));
    assert_eq!(json["window"][0]["from"], "2020-12-26T12:37:37Z");
    assert_eq!(json["window"][0]["to"], "2020-12-26T12:37:47.999999999Z");
    let candidate = &json["candidates"][0];
    for (field, value) in [
        ("client", A),
        ("masked", M),
        ("target", S),
        ("server", S),
        ("protocol", "tcp"),
        ("start", "2020-12-26T12:37:22Z"),
        ("end", "2020-12-26T12:39:22Z"),
        ("end_bound", "exact"),
        ("certainty", "sure"),
        ("conversation", "assured"),
    ] {
        assert_eq!(candidate[field], value, "{field}");
    }
    assert_eq!(candidate["origin"]["stream"], "gw1");
    assert_eq!(candidate["evidence"][0]["witness"], "ledger");
    assert!(
        candidate["evidence"][0]["place"].as_str().unwrap().contains("/gw1/2020/12/26/12/"),
        "{candidate}"
    );
}

#[test]
fn nobody_is_status_1_with_the_nearest_flows() {
    let ledger = ledger();
    let said = trace(ledger.path(), &["203.0.113.1:61004", "--at", WHEN, "--json"]);
    assert_eq!(said.status, 1, "{said:?}");
    let near = &said.json()["neighbours"];
    assert_eq!((&near["before"]["client"], &near["after"]["client"]), (&A.into(), &B.into()));
    // An address that masks nobody is not an address that nobody used.
    let unknown = trace(ledger.path(), &["203.0.113.99:61004", "--at", WHEN, "--json"]);
    assert_eq!(unknown.status, 4, "{unknown:?}");
    assert_eq!(unknown.json()["gaps"][0]["kind"], "unknown-address");
}

#[test]
fn wrong_usage_is_status_2_and_says_what_to_write() {
    let ledger = ledger();
    for (arguments, part) in [
        (&[M, "--at", "2020-12-26 12:37:42"][..], "--tz Europe/Berlin"),
        (&[M, "--at", "2020-12-26 12:37:42 CST"], "Asia/Shanghai"),
        (&[M, "--at", WHEN, "--tz", "EST"], "America/New_York"),
        (&[M, "--at", "2026-03-29 02:30", "--tz", "Europe/Berlin"], "2026-03-29T03:30:00+02:00"),
        (&["203.0.113.1:70000", "--at", WHEN], "70000"),
        (&[M, "--at", WHEN, "--proto", "tpc"], "tpc"),
        (&[M, "--since", "12:00 UTC", "--until", "2020-12-26T00:00Z"], "before"),
        (&[], "required"),
        (&[M, "--client", "192.168.101.2"], "cannot be used with"),
    ] {
        let said = trace(ledger.path(), arguments);
        assert_eq!(said.status, 2, "{said:?}");
        assert!(said.err.contains(part) && said.out.is_empty(), "{said:?}");
    }
    let missing = trace(&ledger.path().join("nowhere"), &[M, "--at", WHEN]);
    assert_eq!((missing.status, missing.err.contains("there is no ledger")), (2, true), "{missing:?}");
    let empty = tempfile::tempdir().unwrap();
    assert_eq!(trace(empty.path(), &[M, "--at", WHEN]).status, 2);
}

#[test]
fn several_clients_are_status_3_and_the_destination_decides() {
    let ledger = ledger();
    let said = trace(ledger.path(), &["203.0.113.1:61003", "--at", WHEN, "--json"]);
    assert_eq!(said.status, 3, "{said:?}");
    let json = said.json();
    assert_eq!((&json["ambiguous"], &json["decide"][0]), (&true.into(), &"destination".into()));
    let one = trace(ledger.path(), &["203.0.113.1:61003", "--at", WHEN, "--to", T, "--json"]);
    assert_eq!((one.status, &one.json()["candidates"][0]["client"]), (0, &B.into()));
    let address =
        trace(ledger.path(), &["203.0.113.1:61003", "--at", WHEN, "--to", "198.51.100.7", "--json"]);
    assert_eq!((address.status, &address.json()["candidates"][0]["client"]), (0, &A.into()));
}

#[test]
fn an_incomplete_record_is_status_4() {
    let directory = tempfile::tempdir().unwrap();
    let (mut writer, _) = Writer::open(directory.path(), "gw1", WriterOptions::default()).unwrap();
    writer.cover(CoverageEvent::Started { scope: scope(""), clock: clock(-100) });
    writer.ended(&flow(A, S, M, -20, 30), false);
    let reason = GapReason::Overrun { lost: Some(312) };
    writer.cover(CoverageEvent::Gap(Gap {
        period: Period { from: at(2), to: at(3) },
        namespace: None,
        reason,
    }));
    writer.cover(CoverageEvent::Alive { clock: clock(1_000) });
    writer.finish().unwrap();
    let found = trace(directory.path(), &[M, "--at", WHEN, "--json"]);
    assert_eq!((found.status, &found.json()["candidates"][0]["client"]), (4, &A.into()));
    assert!(found.json()["gaps"][0]["reason"].as_str().unwrap().contains("312"), "{found:?}");
    assert_eq!(trace(directory.path(), &[M, "--at", WHEN, "--window", "1s"]).status, 0);
    // The recorder died at 1000 s and never came back.
    let later = trace(directory.path(), &[M, "--at", "2020-12-27T00:00:00Z"]);
    assert_eq!(later.status, 4, "{later:?}");
    assert!(later.out.contains("not known") && later.out.contains("no recorder was running"), "{later:?}");
    let future = trace(directory.path(), &[M, "--at", "2199-01-01T00:00:00Z", "--json"]);
    assert_eq!((future.status, &future.json()["gaps"][0]["kind"]), (4, &"future".into()));
}

fn runs(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            found.extend(runs(&entry.path()));
        } else if entry.path().extension().is_some_and(|ending| ending == "run") {
            found.push(entry.path());
        }
    }
    found
}

#[test]
fn a_damaged_file_is_status_5_only_where_the_answer_needs_it() {
    let directory = tempfile::tempdir().unwrap();
    record(directory.path(), &[flow(A, S, M, -20, 100), flow(B, S, M, 7_200, 7_210)]);
    let damaged =
        runs(directory.path()).into_iter().find(|run| run.to_string_lossy().contains("/12/26/12/")).unwrap();
    let mut bytes = fs::read(&damaged).unwrap();
    bytes.truncate(bytes.len() / 2);
    fs::write(&damaged, bytes).unwrap();
    let said = trace(directory.path(), &[M, "--at", WHEN, "--json"]);
    assert_eq!(said.status, 5, "{said:?}");
    let json = said.json();
    assert!(json["damage"][0].as_str().unwrap().contains(".run"), "{json}");
    assert_eq!(json["complete"], false);
}

#[test]
fn the_page_shows_what_a_person_needs() {
    let ledger = ledger();
    let said =
        trace(ledger.path(), &["203.0.113.1:61003", "--at", "2020/12/26 13:37:42", "--tz", "Europe/Berlin"]);
    let directory = ledger.path().display().to_string();
    insta::assert_snapshot!(said.out.replace(&directory, "LEDGER"));
}

#[test]
fn a_local_time_that_occurred_twice_is_asked_for_both() {
    let directory = tempfile::tempdir().unwrap();
    // 02:30 in Berlin on 2020-10-25 was 00:30 and 01:30 UTC.
    let hour = 3_600;
    let first = 1_603_585_800 - crate::support::T0;
    let flows = [flow(A, S, M, first, first + 5), flow(B, S, M, first + hour, first + hour + 5)];
    record(directory.path(), &flows);
    let said =
        trace(directory.path(), &[M, "--at", "2020-10-25 02:30:00", "--tz", "Europe/Berlin", "--json"]);
    assert_eq!(said.status, 3, "{said:?}");
    let json = said.json();
    assert_eq!(json["window"].as_array().unwrap().len(), 2);
    assert!(json["notes"][0].as_str().unwrap().contains("twice"), "{json}");
    let one =
        trace(directory.path(), &[M, "--at", "2020-10-25 02:30:00 CET", "--tz", "Europe/Berlin", "--json"]);
    assert_eq!(one.json()["clients"][0], "192.168.101.3");
}

#[test]
fn hashed_destinations_check_a_given_one_and_dropped_ones_cannot() {
    for (policy, to_same, to_other) in
        [(DestinationPolicy::Hash, (0, "same-hash"), 1), (DestinationPolicy::Drop, (0, "undecided"), 0)]
    {
        let directory = tempfile::tempdir().unwrap();
        let scope = Scope { destinations: policy, ..scope("") };
        let options = WriterOptions { destinations: policy, ..WriterOptions::default() };
        record_as(directory.path(), &[scope], options, &[flow(A, S, M, -20, 100)]);
        let same = trace(directory.path(), &[M, "--at", WHEN, "--to", S, "--json"]);
        let json = same.json();
        let check = json["candidates"][0]["server_check"].as_str().unwrap();
        assert_eq!((same.status, check), to_same, "{policy:?} {same:?}");
        assert_eq!(json["candidates"][0]["server"], serde_json::Value::Null);
        assert_eq!(trace(directory.path(), &[M, "--at", WHEN, "--to", T]).status, to_other, "{policy:?}");
    }
}

#[test]
fn a_namespace_behind_a_namespace_is_followed_to_the_client() {
    let directory = tempfile::tempdir().unwrap();
    let mut inner = flow(A, S, "10.9.0.2:40000", -20, 100);
    inner.origin = Origin::new("gw1", "vpn0").shared();
    let outer = flow("10.9.0.2:40000", S, M, -20, 100);
    record_as(directory.path(), &[scope(""), scope("vpn0")], WriterOptions::default(), &[inner, outer]);
    let said = trace(directory.path(), &[M, "--at", WHEN, "--json"]);
    assert_eq!(said.status, 0, "{said:?}");
    let candidate = &said.json()["candidates"][0];
    assert_eq!((&candidate["client"], &candidate["masked"]), (&A.into(), &M.into()));
    assert_eq!(candidate["steps"][1]["masked"], "10.9.0.2:40000");
    assert_eq!(candidate["steps"][1]["origin"]["namespace"], "vpn0");
}

#[test]
fn the_same_addresses_in_two_namespaces_are_two_clients() {
    let directory = tempfile::tempdir().unwrap();
    let within = |namespace: &str, server: &str| {
        let mut flow = flow(A, server, M, -20, 100);
        flow.origin = Origin::new("gw1", namespace).shared();
        flow
    };
    let flows = [within("red", S), within("blue", T)];
    record_as(directory.path(), &[scope("red"), scope("blue")], WriterOptions::default(), &flows);
    let said = trace(directory.path(), &[M, "--at", WHEN]);
    assert_eq!(said.status, 3, "{said:?}");
    assert!(said.out.contains("gw1/red") && said.out.contains("gw1/blue"), "{said:?}");
}

#[test]
fn a_flow_that_lasted_for_hours_is_found_in_each_of_them() {
    let directory = tempfile::tempdir().unwrap();
    let long = flow(A, S, M, -20, 9_000);
    let (mut writer, _) = Writer::open(directory.path(), "gw1", WriterOptions::default()).unwrap();
    writer.cover(CoverageEvent::Started { scope: scope(""), clock: clock(-3_600) });
    writer.opened(&long);
    for hour in 1..=3 {
        let mut open = long.clone();
        open.end = Bound::Open;
        writer.carry(at(3_600 * hour).hour(), std::iter::once(&open)).unwrap();
    }
    writer.ended(&long, true);
    writer.cover(CoverageEvent::Alive { clock: clock(10_800) });
    writer.finish_sealed().unwrap();
    for seconds in [0, 3_000, 6_000, 8_990] {
        let when = at(seconds).to_string();
        let said = trace(directory.path(), &[M, "--at", &when, "--json"]);
        assert_eq!(said.status, 0, "{seconds} {said:?}");
        assert_eq!(said.json()["candidates"][0]["end"], at(9_000).to_string());
    }
    assert_eq!(trace(directory.path(), &[M, "--at", &at(9_100).to_string()]).status, 1);
}

#[test]
fn an_icmp_id_and_an_ipv6_port_are_endpoints_too() {
    let directory = tempfile::tempdir().unwrap();
    let mut ping = flow("192.168.101.2#777", "198.51.100.7#777", "203.0.113.1#45643", -20, 100);
    ping.protocol = Protocol::ICMP;
    let six = flow("[fd00::2]:47244", "[2001:db8::7]:443", "[2001:db8::1]:53500", -20, 100);
    record(directory.path(), &[ping, six]);
    let said = trace(directory.path(), &["203.0.113.1#45643", "--at", WHEN, "--proto", "icmp", "--json"]);
    assert_eq!(
        (said.status, &said.json()["candidates"][0]["client"]),
        (0, &"192.168.101.2#777".into()),
        "{said:?}"
    );
    let said = trace(directory.path(), &["[2001:db8::1]:53500", "--at", WHEN, "--json"]);
    assert_eq!(
        (said.status, &said.json()["candidates"][0]["client"]),
        (0, &"[fd00::2]:47244".into()),
        "{said:?}"
    );
}

#[test]
fn an_address_alone_is_summed_up_by_client() {
    let ledger = ledger();
    let said = trace(ledger.path(), &["203.0.113.1", "--at", WHEN, "--json"]);
    assert_eq!(said.status, 3, "{said:?}");
    let json = said.json();
    assert_eq!(
        (&json["summary"][0]["client"], &json["summary"][0]["flows"]),
        (&"192.168.101.2".into(), &2.into())
    );
    assert_eq!(json["summary"][1]["flows"], 1);
    let page = trace(
        ledger.path(),
        &["203.0.113.1", "--since", "2020-12-26T12:00Z", "--until", "2020-12-26T13:00Z"],
    );
    assert!(page.out.contains("2 clients, 5 flows; the record is complete"), "{page:?}");
}

#[test]
fn all_that_a_client_did_is_listed_once() {
    let ledger = ledger();
    let period = ["--since", "2020-12-26T12:00Z", "--until", "2020-12-26T13:00Z"];
    let said = trace(ledger.path(), &[&["--client", "192.168.101.2"], &period[..]].concat());
    assert_eq!(said.status, 0, "{said:?}");
    assert_eq!(said.out.matches("192.168.101.2:47244").count(), 3, "{said:?}");
    assert!(said.out.contains("3 flows; the record is complete"), "{said:?}");
    let json = trace(ledger.path(), &[&["--client", "192.168.101.2", "--json"], &period[..]].concat());
    let lines: Vec<serde_json::Value> =
        json.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((lines.len(), &lines[3]["end"]["flows"], &lines[0]["client"]), (4, &3.into(), &A.into()));
    let idle = trace(ledger.path(), &[&["--client", "192.168.101.99"], &period[..]].concat());
    assert_eq!(idle.status, 1, "{idle:?}");
    let toward =
        trace(ledger.path(), &[&["--client", "192.168.101.3", "--to", T, "--json"], &period[..]].concat());
    assert_eq!(toward.out.lines().count(), 2, "{toward:?}");
}

#[test]
fn a_scope_that_leaves_kinds_out_is_never_silent_about_it() {
    let directory = tempfile::tempdir().unwrap();
    let translated = Scope { kind: ScopeKind::Translated, ..scope("") };
    record_as(directory.path(), &[translated], WriterOptions::default(), &[flow(A, S, M, -20, 100)]);
    let none = trace(directory.path(), &["203.0.113.1:5", "--at", WHEN]);
    assert_eq!((none.status, none.out.contains("the gateway itself")), (4, true), "{none:?}");
    let whole = trace(directory.path(), &[M, "--at", WHEN, "--proto", "tcp", "--to", S]);
    assert_eq!(whole.status, 0, "{whole:?}");
}

#[test]
fn destinations_that_were_not_kept_are_null() {
    let directory = tempfile::tempdir().unwrap();
    let mut dropped = flow(A, S, M, -20, 100);
    (dropped.target, dropped.server) = (Destination::Omitted, Destination::Omitted);
    record(directory.path(), &[dropped]);
    let said = trace(directory.path(), &[M, "--at", WHEN]);
    assert!(said.out.contains("(not kept)"), "{said:?}");
}
