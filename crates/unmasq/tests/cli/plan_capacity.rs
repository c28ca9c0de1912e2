//! `unmasq plan capacity` on ledgers made for the purpose.

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use unmasq_flow::{Bound, Destination, Flow};

use super::support::{Said, at, flow, record};

/// Runs it without a configuration file, so that nothing of the machine is in the answer.
fn capacity(folder: &Path, arguments: &[&str]) -> Said {
    let config = folder.join("empty.toml");
    fs::write(&config, "").unwrap();
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("unmasq"));
    command.args(["plan", "capacity", "--exclude", "none", "--config"]).arg(config).args(arguments);
    let output = command.env("NO_COLOR", "1").output().unwrap();
    Said {
        status: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Ten clients: the n-th has 20 n ports at once, a quarter of them toward one server. Then one flow an hour later each.
fn ten_clients() -> Vec<Flow> {
    let mut flows = Vec::new();
    for client in 1..=10_u16 {
        let address = format!("192.168.101.{}:4000", client + 1);
        for port in 0..20 * client {
            let server = format!("198.51.100.{}:443", 1 + port % 4);
            let masked = format!("203.0.113.1:{}", 2000 + port);
            flows.push(flow(&address, &server, &masked, 100 + i64::from(port), 1000));
        }
        flows.push(flow(&address, "198.51.100.1:443", "203.0.113.1:9000", 4600, 4700));
    }
    flows
}

/// A folder with a ledger of these flows in it, and the ledger's path.
fn ledger(flows: &[Flow]) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("ledger");
    record(&ledger, flows);
    let path = ledger.to_str().unwrap().to_owned();
    (folder, path)
}

#[test]
fn the_page_shows_table_usage_recommendation_and_picture() {
    let (folder, ledger) = ledger(&ten_clients());
    let until = at(10_000).to_string();
    let said = capacity(
        folder.path(),
        &["--clients", "10", "--addresses", "1", "--ledger", &ledger, "--until", &until],
    );
    assert_eq!((said.status, said.err.as_str()), (0, ""));
    insta::assert_snapshot!(said.out.replace(&ledger, "LEDGER"));
}

#[test]
fn json_has_every_number() {
    let (folder, ledger) = ledger(&ten_clients());
    let said =
        capacity(folder.path(), &["--clients", "2000", "--addresses", "2,3", "--ledger", &ledger, "--json"]);
    let json = said.json();
    assert_eq!(json["usage"]["any"], serde_json::json!({ "median": 100, "p99": 200, "max": 200 }));
    assert_eq!(json["usage"]["one_server"], serde_json::json!({ "median": 25, "p99": 50, "max": 50 }));
    assert_eq!(json["usage"]["flows"], 1110);
    let top = &json["usage"]["top"][0];
    assert_eq!((top["client"].as_str(), top["ports"].as_u64()), (Some("192.168.101.11"), Some(200)));
    assert_eq!(top["at"], at(299).to_string());
    let advice = serde_json::json!({ "ports_per_client": 250, "public": 10, "given_ports": 258 });
    assert_eq!(json["recommended"], advice);
    let cell = serde_json::json!({ "clients": 2000, "public": 3, "ports_per_client": 77 });
    assert!(json["table"].as_array().unwrap().contains(&cell));
    let over = serde_json::json!({ "ports_per_client": 77, "clients": 7, "clients_toward_one_server": 0 });
    assert!(json["usage"]["exceeding"].as_array().unwrap().contains(&over), "{}", json["usage"]["exceeding"]);
}

#[test]
fn a_period_and_the_networks_of_the_plan_limit_what_is_counted() {
    let (folder, ledger) = ledger(&ten_clients());
    let since = at(4000).to_string();
    let plan = ["--network", "192.168.101.0/29", "--public", "203.0.113.1", "--ledger", &ledger, "--json"];
    let all = capacity(folder.path(), &plan).json();
    assert_eq!((all["clients"].as_u64(), all["public"].as_array().map(Vec::len)), (Some(5), Some(1)));
    // Of 192.168.101.2 to .11, those up to .7 are in the network.
    assert_eq!(all["usage"]["any"]["max"], 120);
    let late = capacity(folder.path(), &[&plan[..], &["--since", &since]].concat()).json();
    assert_eq!(late["usage"]["any"]["max"], 1);
}

#[test]
fn an_open_flow_lasts_until_now_and_a_server_that_was_not_kept_is_told() {
    let mut open = flow("192.168.101.2:1", "198.51.100.1:443", "203.0.113.1:2000", 0, 0);
    (open.end, open.server) = (Bound::Open, Destination::Omitted);
    let mut later = flow("192.168.101.2:2", "198.51.100.1:443", "203.0.113.1:2001", 7000, 7001);
    later.server = Destination::Omitted;
    let (folder, ledger) = ledger(&[open, later]);
    let said = capacity(folder.path(), &["--ledger", &ledger]);
    assert!(said.out.contains("the ledger keeps no servers"), "{}", said.out);
    let json = capacity(folder.path(), &["--ledger", &ledger, "--json"]).json();
    assert_eq!(
        (json["usage"]["any"]["max"].as_u64(), json["usage"]["one_server"].is_null()),
        (Some(2), true)
    );
    assert_eq!(json["clients"], 1, "without a number, the clients that were seen are meant");
}

#[test]
fn the_picture_becomes_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("capacity.svg");
    let path = file.to_str().unwrap();
    let said = capacity(folder.path(), &["--clients", "253", "--addresses", "4", "--svg", path]);
    assert_eq!(said.status, 0, "{said:?}");
    let svg = fs::read_to_string(&file).unwrap();
    assert!(
        svg.starts_with("<svg") && svg.contains(">253 clients</text>") && svg.trim_end().ends_with("</svg>")
    );
    let nowhere = folder.path().join("no/such.svg");
    let said = capacity(folder.path(), &["--clients", "253", "--svg", nowhere.to_str().unwrap()]);
    assert!(said.status == 2 && said.err.contains("cannot write"), "{said:?}");
}

#[test]
fn what_is_wrong_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let said = capacity(folder.path(), &["--ledger", "/nonexistent"]);
    assert!(said.status == 2 && said.err.contains("/nonexistent"), "{said:?}");
    let (_kept, ledger) = ledger(&[]);
    let said = capacity(
        folder.path(),
        &["--ledger", &ledger, "--since", "2026-01-02T00:00Z", "--until", "2026-01-01T00:00Z"],
    );
    assert!(said.status == 2 && said.err.contains("--since"), "{said:?}");
    let said = capacity(folder.path(), &["--clients", "0"]);
    assert_eq!(said.status, 2);
}

#[test]
fn a_ledger_that_is_damaged_is_counted_as_far_as_it_can_be_read() {
    let (folder, ledger) = ledger(&ten_clients());
    let runs = walk(Path::new(&ledger));
    let run = runs.iter().find(|path| path.extension().is_some_and(|e| e == "run")).unwrap();
    fs::write(run, b"no run").unwrap();
    let said = capacity(folder.path(), &["--clients", "10", "--ledger", &ledger]);
    assert_eq!(said.status, 5, "{said:?}");
    assert!(said.err.contains("run") && said.out.contains("CLIENTS"), "{said:?}");
}

fn walk(directory: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}
