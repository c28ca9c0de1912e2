//! Logs of other programs, imported and asked.

#![allow(clippy::unwrap_used, reason = "a test that lacks what it needs fails")]

use std::fs;
use std::io::Write;
use std::path::Path;

use serde_json::Value;
use tempfile::{TempDir, tempdir};

use crate::ledger::{ledger, log, log_text};
use crate::support::{Said, trace};

fn import(place: &Path, arguments: &[&str], file: &Path) -> Said {
    let mut all = vec!["import", "--json", "--format"];
    all.extend(arguments);
    all.push(file.to_str().unwrap());
    ledger(place, &all)
}

/// A summary of an import that took every line.
fn imported(said: &Said) -> Value {
    assert_eq!((said.status, said.err.as_str()), (0, ""), "{said:?}");
    said.json()
}

/// The only client that a trace finds.
fn client(ledger: &Path, question: &[&str]) -> String {
    let said = trace(ledger, &[question, &["--json"]].concat());
    let answer = said.json();
    let candidates = answer["candidates"].as_array().unwrap();
    assert_eq!(
        (said.status, candidates.len()),
        (4, 1),
        "one client, and no import is a complete record: {answer}"
    );
    candidates[0]["client"].as_str().unwrap().to_owned()
}

fn exported(place: &Path) -> Vec<Value> {
    let said = ledger(place, &["export", "--format", "json"]);
    assert_eq!((said.status, said.err.as_str()), (0, ""));
    said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_real_gateways_connections_are_traced_from_each_of_its_logs() {
    for (arguments, file) in [
        (&["conntrack"][..], "gateway-1/conntrack-events.txt.zst"),
        (&["ulogd-json"], "gateway-1/ulogd_nfct.json.zst"),
        (&["ulogd-emu", "--tz", "UTC", "--year", "2026"], "gateway-1/ulogd_nfct.log.zst"),
    ] {
        let place = tempdir().unwrap();
        let summary = imported(&import(place.path(), arguments, &log(file)));
        assert_eq!(summary["flows"], 96, "{file}");
        // 10.0.0.1:37959 is what the SSH server logged; the kernel's own line says who it was.
        let at = ["10.0.0.1:37959", "--to", "10.0.0.2:22", "--proto", "tcp", "--at", "2026-11-21T08:57:28Z"];
        assert_eq!(client(place.path(), &at), "203.0.113.5:37959", "{file}");
        assert_eq!(exported(place.path()).len(), 96, "{file}");
    }
}

#[test]
fn natlog_and_conntrack_tell_the_same_client() {
    for (arguments, file, masked) in [
        (
            &["natlog", "--tz", "UTC", "--year", "2026"][..],
            "all-protocols/natlog-local.txt",
            "203.0.113.1:30109",
        ),
        (&["natlog"], "all-protocols/natlog-raw.txt", "203.0.113.1:30109"),
        (&["conntrack"], "all-protocols/conntrack-id.txt", "203.0.113.1:59933"),
    ] {
        let place = tempdir().unwrap();
        import(place.path(), arguments, &log(file));
        let time = if arguments[0] == "natlog" { "2026-11-21T11:22:36Z" } else { "2026-11-21T11:19:11Z" };
        assert_eq!(client(place.path(), &[masked, "--at", time]), "192.168.101.3:40001", "{file}");
    }
}

#[test]
fn a_ping_is_traced_by_the_id_that_the_far_side_saw() {
    let place = tempdir().unwrap();
    imported(&import(place.path(), &["conntrack"], &log("all-protocols/conntrack-id-ktimestamp.txt")));
    let at = ["203.0.113.1#42239", "--at", "2026-11-21T11:19:12Z"];
    assert_eq!(client(place.path(), &at), "192.168.101.3#777");
}

#[test]
fn the_same_log_again_adds_nothing_whatever_its_name_and_compression() {
    let place = tempdir().unwrap();
    let compressed = log("gateway-1/conntrack-events.txt.zst");
    let first = imported(&import(place.path(), &["conntrack"], &compressed));
    let before = exported(place.path());
    let other = place.path().join("../").join(format!("{}.txt", place.path().file_name().unwrap().display()));
    fs::write(&other, log_text("gateway-1/conntrack-events.txt.zst")).unwrap();
    let again = imported(&import(place.path(), &["conntrack"], &other));
    fs::remove_file(&other).unwrap();
    assert_eq!(
        (&again["stream"], &again["log"], &again["flows"]),
        (&first["stream"], &"same".into(), &0.into())
    );
    assert_eq!(exported(place.path()), before);
}

/// A folder with a log in it, and a ledger beside it.
struct Grown {
    folder: TempDir,
}

impl Grown {
    fn new() -> Self {
        Self { folder: tempdir().unwrap() }
    }

    fn ledger(&self) -> std::path::PathBuf {
        self.folder.path().join("ledger")
    }

    fn import(&self, text: &str) -> Said {
        let path = self.folder.path().join("log");
        fs::write(&path, text).unwrap();
        import(&self.ledger(), &["conntrack"], &path)
    }
}

#[test]
fn a_log_that_grows_ends_as_if_it_had_been_imported_at_once() {
    let text = log_text("gateway-1/conntrack-events.txt.zst");
    let whole = Grown::new();
    imported(&whole.import(&text));

    let grown = Grown::new();
    // Cut within a line, among connections that have begun and not ended.
    let cut = text.len() * 2 / 5;
    grown.import(&text[..cut]);
    let rest = imported(&grown.import(&text));
    assert_eq!(rest["log"], "grown");
    let strip = |flows: Vec<Value>| {
        let mut lines: Vec<String> = flows
            .into_iter()
            .map(|mut flow| {
                flow["origin"] = Value::Null;
                flow.to_string()
            })
            .collect();
        lines.sort();
        lines
    };
    assert_eq!(strip(exported(&grown.ledger())), strip(exported(&whole.ledger())));
}

#[test]
fn a_log_that_was_changed_within_is_refused() {
    let text = log_text("all-protocols/conntrack-id.txt");
    let log = Grown::new();
    imported(&log.import(&text));
    let said = log.import(&text.replace("192.168.101.3", "192.168.101.9"));
    assert_eq!(said.status, 2);
    assert!(said.err.contains("differs") && said.err.contains("--stream"), "{}", said.err);
}

#[test]
fn what_is_missing_is_asked_for_and_nothing_is_made() {
    let place = tempdir().unwrap();
    let target = place.path().join("ledger");
    for (arguments, file, word) in [
        (&["ulogd-emu", "--year", "2026"][..], "gateway-1/ulogd_nfct.log.zst", "--tz"),
        (&["ulogd-emu", "--tz", "UTC"], "gateway-1/ulogd_nfct.log.zst", "--year"),
        (&["ulogd-emu", "--tz", "CST", "--year", "2026"], "gateway-1/ulogd_nfct.log.zst", "America/Chicago"),
        (&["conntrack"], "all-protocols/conntrack-list.txt", "--seen-at"),
        (&["conntrack"], "all-protocols/conntrack-ktimestamp-only.txt", "--tz"),
        (&["natlog"], "gateway-1/ulogd_nfct.json.zst", "--format ulogd-json"),
        (&["ulogd-json"], "gateway-1/ulogd.json", "packet"),
        (&["conntrack"], "README.md", "conntrack"),
        (&["conntrack"], "no such file", "no such file"),
    ] {
        let said = import(&target, arguments, &log(file));
        assert_eq!(said.status, 2, "{file}: {said:?}");
        assert!(said.err.contains(word), "{file}: {} lacks {word}", said.err);
        assert!(!target.exists(), "{file}");
    }
}

#[test]
fn lines_that_are_refused_are_counted_with_their_reasons_and_places() {
    let log = Grown::new();
    let mut lines: Vec<String> =
        log_text("all-protocols/conntrack-id.txt").lines().map(str::to_owned).collect();
    lines.insert(3, "WARNING: We have hit ENOBUFS! We are losing events.".to_owned());
    lines[7] = lines[7].replace("dport=", "dport=7");
    lines[9] = lines[9].replace("dport=", "dport=7");
    let said = log.import(&lines.join("\n"));
    assert_eq!(said.status, 1);
    let refused = said.json()["refused"].clone();
    assert_eq!(refused[0]["examples"], serde_json::json!([8, 10]), "{refused}");
    assert!(refused[0]["reason"].as_str().unwrap().contains("dport="));
    assert!(refused[1]["reason"].as_str().unwrap().contains("lost"));
}

/// Like `conntrack -E -o timestamp`, of a connection from this client.
fn new_line(seconds: i64, client: &str, port: u16) -> String {
    format!(
        "[{seconds}.000000]\t    [NEW] tcp      6 120 SYN_SENT src={client} dst=198.51.100.7 sport=40000 dport=443 [UNREPLIED] \
         src=198.51.100.7 dst=203.0.113.1 sport=443 dport={port}\n"
    )
}

#[test]
fn a_connection_without_an_end_is_a_candidate_until_its_ports_are_seen_again() {
    const MIDNIGHT: i64 = 1_608_940_800;
    let hour = |n: i64| MIDNIGHT + n * 3600 + 10;
    let at = |n: i64| format!("{}", MIDNIGHT + n * 3600 + 1800);
    let log = Grown::new();
    // The first connection's port is taken by another client nine hours later; the log goes on for a day.
    let mut text = new_line(hour(0), "192.168.101.2", 5000);
    for n in 1..24 {
        let (client, port) =
            if n == 9 { ("192.168.101.3", 5000) } else { ("192.168.101.4", 6000 + n as u16) };
        text += &new_line(hour(n), client, port);
    }
    imported(&log.import(&text));
    for (n, expected) in [
        (0, "192.168.101.2"),
        (1, "192.168.101.2"),
        (8, "192.168.101.2"),
        (9, "192.168.101.3"),
        (23, "192.168.101.3"),
    ] {
        let found = client(&log.ledger(), &["203.0.113.1:5000", "--at", &at(n)]);
        assert_eq!(found, format!("{expected}:40000"), "hour {n}");
    }
    // Long after the log it may still be open: nobody saw it end.
    assert_eq!(client(&log.ledger(), &["203.0.113.1:5000", "--at", &at(40)]), "192.168.101.3:40000");
    assert_eq!(exported(&log.ledger()).len(), 24, "each flow once, whatever hours it was carried through");
}

#[test]
fn a_log_that_grows_over_hours_ends_what_was_open_before() {
    const NOON: i64 = 1_608_984_000;
    let log = Grown::new();
    let begun = new_line(NOON, "192.168.101.2", 5000) + &new_line(NOON + 3700, "192.168.101.3", 5001);
    imported(&log.import(&begun));
    let end = new_line(NOON + 8000, "192.168.101.2", 5000).replace("    [NEW]", "[DESTROY]");
    assert_eq!(imported(&log.import(&(begun + &end)))["flows"], 1, "the other one is there already");
    let flows = exported(&log.ledger());
    let ends: Vec<&str> = flows.iter().map(|flow| flow["end_bound"].as_str().unwrap()).collect();
    assert_eq!(ends, ["read", "unknown"], "{flows:?}");
    let later = trace(&log.ledger(), &["203.0.113.1:5000", "--json", "--at", &(NOON + 9000).to_string()]);
    assert_eq!(later.json()["candidates"], serde_json::json!([]), "it is over by then");
    assert_eq!(
        client(&log.ledger(), &["203.0.113.1:5000", "--at", &(NOON + 5000).to_string()]),
        "192.168.101.2:40000"
    );
}

#[test]
fn a_ledger_may_be_named_from_where_one_stands() {
    let folder = tempdir().unwrap();
    let mut command = assert_cmd::Command::new(assert_cmd::cargo::cargo_bin!("unmasq"));
    let arguments = ["ledger", "import", "--format", "conntrack", "--ledger", "here"];
    command
        .current_dir(folder.path())
        .args(arguments)
        .arg(log("all-protocols/conntrack-id.txt"))
        .assert()
        .success();
    assert_eq!(exported(&folder.path().join("here")).len(), 18);
}

#[test]
fn several_files_are_one_log() {
    let text = log_text("all-protocols/conntrack-id.txt");
    let folder = tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let cut = text[..text.len() / 2].rfind('\n').unwrap() + 1;
    let mut old = flate2::write::GzEncoder::new(
        fs::File::create(path("log.1.gz")).unwrap(),
        flate2::Compression::fast(),
    );
    old.write_all(&text.as_bytes()[..cut]).unwrap();
    old.finish().unwrap();
    fs::write(path("log"), &text[cut..]).unwrap();
    let place = folder.path().join("ledger");
    let said =
        ledger(&place, &["import", "--json", "--format", "conntrack", &path("log.1.gz"), &path("log")]);
    assert_eq!(imported(&said)["flows"], 18);
    assert_eq!(imported(&said)["flows_without_end"], 0);
}
