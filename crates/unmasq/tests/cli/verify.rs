//! Verifying, showing, holding and pruning a ledger.

#![allow(clippy::unwrap_used, reason = "a test that lacks what it needs fails")]

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::tempdir;

use crate::ledger::{ledger, log};
use crate::support::{flow, record};

fn recorded(place: &Path) {
    record(
        place,
        &[
            flow("192.168.101.2:1000", "198.51.100.7:443", "203.0.113.1:2000", 0, 10),
            flow("192.168.101.3:1001", "198.51.100.7:443", "203.0.113.1:2001", 5, 9_000),
        ],
    );
}

fn runs(place: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![place.to_owned()];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "run") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn a_sound_ledger_verifies_also_with_imports_in_it() {
    let place = tempdir().unwrap();
    recorded(place.path());
    ledger(
        place.path(),
        &["import", "--format", "conntrack", log("all-protocols/conntrack-id.txt").to_str().unwrap()],
    );
    let said = ledger(place.path(), &["verify", "--json"]);
    assert_eq!((said.status, said.err.as_str()), (0, ""));
    let report = said.json();
    assert_eq!(report["sound"], true, "{report}");
    assert_eq!(report["streams"].as_array().unwrap().len(), 2);
    let said = ledger(place.path(), &["verify"]);
    assert!(said.out.contains("gw1: sound"), "{}", said.out);
}

#[test]
fn one_bad_byte_is_named_by_file_and_place() {
    let place = tempdir().unwrap();
    recorded(place.path());
    let run = runs(place.path()).remove(0);
    let mut bytes = fs::read(&run).unwrap();
    bytes[40] ^= 0x10;
    fs::write(&run, bytes).unwrap();
    let said = ledger(place.path(), &["verify", "--json"]);
    assert_eq!(said.status, 5);
    let problem = said.json()["streams"][0]["problems"][0].clone();
    assert_eq!(problem["file"], run.to_str().unwrap(), "{problem}");
    assert!(problem["offset"].is_u64(), "{problem}");

    fs::remove_file(&run).unwrap();
    let said = ledger(place.path(), &["verify"]);
    assert_eq!(said.status, 5);
    assert!(said.out.contains("missing, and not pruned"), "{}", said.out);
}

#[test]
fn a_head_that_was_kept_proves_what_came_before_it() {
    let place = tempdir().unwrap();
    recorded(place.path());
    let said = ledger(place.path(), &["head"]);
    let (head, stream) = said.out.trim().split_once(' ').unwrap();
    assert_eq!((said.status, stream, head.len()), (0, "gw1", 64));
    let said = ledger(place.path(), &["verify", "--head", head, "--json"]);
    assert_eq!((said.status, &said.json()["head"]["found"]), (0, &true.into()));
    let other = head.replace(|c: char| c.is_ascii_digit(), "0");
    let said = ledger(place.path(), &["verify", "--head", &other]);
    assert_eq!(said.status, 5);
    assert!(said.out.contains("in no chain"), "{}", said.out);
    assert_eq!(ledger(place.path(), &["verify", "--head", "abc"]).status, 2);
}

#[test]
fn a_hold_keeps_its_hours_from_pruning() {
    let place = tempdir().unwrap();
    recorded(place.path());
    let before = runs(place.path()).len();
    let period = ["--from", "2020-12-26T12:00:00Z", "--to", "2020-12-26T12:59:59Z"];
    let said = ledger(
        place.path(),
        &[&["hold", "add", "case-7", "--reason", "court order", "--who", "legal"], &period[..]].concat(),
    );
    assert_eq!((said.status, said.err.as_str()), (0, ""));
    let said = ledger(place.path(), &["hold", "list", "--json"]);
    assert_eq!((&said.json()["name"], &said.json()["stream"]), (&"case-7".into(), &"gw1".into()));

    let said = ledger(place.path(), &["prune", "--stream", "gw1", "--keep", "24h", "--json"]);
    assert_eq!((said.status, said.err.as_str()), (0, ""));
    assert!(said.json()["pruned_hours"].as_u64().unwrap() > 0);
    assert_eq!(runs(place.path()).len(), 1, "of {before}: the held hour");
    assert_eq!(ledger(place.path(), &["verify"]).status, 0, "pruned is not damaged");

    assert_eq!(ledger(place.path(), &["hold", "remove", "case-7"]).status, 0);
    assert_eq!(ledger(place.path(), &["hold", "remove", "case-7"]).status, 2, "there is none any more");
    ledger(place.path(), &["prune", "--stream", "gw1", "--keep", "24h"]);
    assert_eq!(runs(place.path()), Vec::<PathBuf>::new());
}

#[test]
fn info_shows_what_there_is() {
    let place = tempdir().unwrap();
    recorded(place.path());
    let said = ledger(place.path(), &["info", "--json"]);
    let stream = &said.json()["streams"][0];
    assert_eq!((said.status, &stream["name"], &stream["kind"]), (0, &"gw1".into(), &"recorder".into()));
    assert_eq!(stream["first"], "2020-12-26T12:37:42Z");
    assert_eq!(stream["covered_seconds"], 14_400);
    assert!(stream["rows"].as_u64().unwrap() >= 2);
    assert!(ledger(place.path(), &["info"]).out.contains("gw1 (recorder"));
}

#[test]
fn what_is_no_ledger_is_refused_and_not_called_damaged() {
    let place = tempdir().unwrap();
    for command in [&["verify"][..], &["info"], &["head"], &["export", "--format", "csv"], &["hold", "list"]]
    {
        let said = ledger(place.path(), command);
        assert_eq!(said.status, 2, "{command:?}");
        assert!(said.err.contains("not a ledger"), "{}", said.err);
    }
    fs::write(place.path().join("ledger.toml"), "format = ").unwrap();
    assert_eq!(ledger(place.path(), &["verify"]).status, 5, "that is one, and damaged");
}
