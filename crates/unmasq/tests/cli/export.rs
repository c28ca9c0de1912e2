//! Exports, opened by other programs.

#![allow(clippy::unwrap_used, reason = "a test that lacks what it needs fails")]

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::tempdir;
use unmasq_flow::{Bound, Count, Endpoint, Flow, Protocol, Selector, Traffic};

use crate::ledger::ledger;
use crate::support::{at, flow, record};

/// Python with duckdb, pandas and pyarrow: `make test` makes it.
fn python() -> PathBuf {
    let python = std::env::var_os("UNMASQ_TEST_PYTHON").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/venv/bin/python"),
        PathBuf::from,
    );
    assert!(
        python.exists(),
        "{} is not there: run the tests by `make test`, or name a Python with duckdb, pandas and pyarrow by UNMASQ_TEST_PYTHON",
        python.display()
    );
    python
}

/// What a Python program prints as JSON about a file.
fn ask(program: &str, file: &Path) -> Value {
    let output = Command::new(python()).args(["-c", program]).arg(file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A conversation within an hour, one through three hours, a ping, one still open, and one over IPv6.
fn flows() -> Vec<Flow> {
    let mut short = flow("192.168.101.2:1000", "198.51.100.7:443", "203.0.113.1:2000", 0, 10);
    short.traffic = Some(Traffic {
        original: Count { packets: 3, bytes: u64::MAX },
        reply: Count { packets: 2, bytes: 120 },
    });
    short.mark = u32::MAX;
    let long = flow("192.168.101.3:1001", "198.51.100.7:443", "203.0.113.1:2001", 5, 9_000);
    let id = |address: &str, id| Endpoint::new(address.parse().unwrap(), Selector::Id(id));
    let mut ping = flow("192.168.101.2", "198.51.100.7", "203.0.113.1", 20, 25);
    ping.protocol = Protocol::ICMP;
    (ping.client, ping.masked) = (id("192.168.101.2", 777), id("203.0.113.1", 45_643));
    ping.start = Bound::Between(at(20), at(21));
    let mut open = flow("192.168.101.4:1002", "198.51.100.8:80", "203.0.113.1:2002", 30, 40);
    open.end = Bound::Open;
    let v6 = flow("[fd00::2]:1003", "[2001:db8::7]:443", "[2001:db8::1]:65535", 50, 60);
    vec![short, long, ping, open, v6]
}

const COLUMNS: &str = "client_address, client_port, client_id, masked_address, masked_port, masked_id, server_address, server_port, \
                       protocol, start_bound, end_bound, epoch_ms(start), epoch_ms(start_latest), epoch_ms(\"end\"), mark, bytes_original";

fn duckdb(file: &Path, reader: &str) -> Value {
    let program = format!(
        "import duckdb, json, sys\n\
         rows = duckdb.execute('select {columns} from {reader}(?) order by start', [sys.argv[1]]).fetchall()\n\
         print(json.dumps(rows))",
        columns = COLUMNS.replace('\'', "\\'")
    );
    ask(&program, file)
}

#[test]
fn duckdb_reads_the_same_from_parquet_and_csv() {
    let folder = tempdir().unwrap();
    let place = folder.path().join("ledger");
    record(&place, &flows());
    let millis = |seconds: i64| at(seconds).as_millis();
    let (no, v4) = (Value::Null, "203.0.113.1");
    let expected = json!([
        [
            "192.168.101.2",
            1000,
            no,
            v4,
            2000,
            no,
            "198.51.100.7",
            443,
            "tcp",
            "exact",
            "exact",
            millis(0),
            no,
            millis(10),
            u32::MAX,
            u64::MAX
        ],
        [
            "192.168.101.3",
            1001,
            no,
            v4,
            2001,
            no,
            "198.51.100.7",
            443,
            "tcp",
            "exact",
            "exact",
            millis(5),
            no,
            millis(9000),
            0,
            no
        ],
        [
            "192.168.101.2",
            no,
            777,
            v4,
            no,
            45_643,
            "198.51.100.7",
            no,
            "icmp",
            "between",
            "exact",
            millis(20),
            millis(21),
            millis(25),
            0,
            no
        ],
        [
            "192.168.101.4",
            1002,
            no,
            v4,
            2002,
            no,
            "198.51.100.8",
            80,
            "tcp",
            "exact",
            "open",
            millis(30),
            no,
            no,
            0,
            no
        ],
        [
            "fd00::2",
            1003,
            no,
            "2001:db8::1",
            65_535,
            no,
            "2001:db8::7",
            443,
            "tcp",
            "exact",
            "exact",
            millis(50),
            no,
            millis(60),
            0,
            no
        ],
    ]);
    for (form, reader) in [("parquet", "read_parquet"), ("csv", "read_csv")] {
        let file = folder.path().join(form);
        let said = ledger(&place, &["export", "--format", form, "-o", file.to_str().unwrap(), "--json"]);
        assert_eq!((said.status, said.err.as_str()), (0, ""));
        assert_eq!(said.json()["flows"], 5);
        assert_eq!(duckdb(&file, reader), expected, "{form}");
    }
}

#[test]
fn pandas_reads_parquet_with_its_types() {
    let folder = tempdir().unwrap();
    let place = folder.path().join("ledger");
    record(&place, &flows());
    let file = folder.path().join("flows.parquet");
    ledger(&place, &["export", "--format", "parquet", "-o", file.to_str().unwrap()]);
    let program = "import json, pandas, sys\n\
        table = pandas.read_parquet(sys.argv[1])\n\
        print(json.dumps([len(table), str(table['start'].dtype), sorted(table['client_address']), int(table['masked_port'].max()),\n\
          int(table['mark'].max()), table.groupby('protocol').size().to_dict(), table['start'].min().isoformat()]))";
    let answer = ask(program, &file);
    assert_eq!(answer[0], 5);
    assert!(answer[1].as_str().unwrap().contains("UTC"), "{answer}");
    assert_eq!(answer[2][4], "fd00::2");
    assert_eq!((&answer[3], &answer[4]), (&65_535.into(), &u32::MAX.into()));
    assert_eq!(answer[5], json!({ "icmp": 1, "tcp": 4 }));
    assert_eq!(answer[6], "2020-12-26T12:37:42+00:00");
}

fn clients(place: &Path, filters: &[&str]) -> Vec<String> {
    let said = ledger(place, &[&["export", "--format", "json"], filters].concat());
    assert_eq!((said.status, said.err.as_str()), (0, ""), "{filters:?}");
    let client =
        |line: &str| serde_json::from_str::<Value>(line).unwrap()["client"].as_str().unwrap().to_owned();
    let mut clients: Vec<String> = said.out.lines().map(client).collect();
    clients.sort();
    clients
}

#[test]
fn filters_choose_flows_each_once() {
    let folder = tempdir().unwrap();
    let place = folder.path().join("ledger");
    record(&place, &flows());
    let (short, long, ping, open, v6) = (
        "192.168.101.2:1000",
        "192.168.101.3:1001",
        "192.168.101.2#777",
        "192.168.101.4:1002",
        "[fd00::2]:1003",
    );
    for (filters, expected) in [
        (&["--client", "192.168.101.2"][..], &[ping, short][..]),
        (&["--client", "192.168.101.2:1000"], &[short]),
        (&["--client", "fd00::/8"], &[v6]),
        (&["--masked", "203.0.113.1#45643"], &[ping]),
        (&["--masked", "203.0.113.0/31", "--proto", "tcp"], &[short, long, open]),
        (&["--server", "198.51.100.7:443"], &[short, long]),
        (&["--at", "2020-12-26T13:37:42Z"], &[long, open]),
        (&["--until", "2020-12-26T12:37:47Z"], &[short, long]),
        (&["--since", "2020-12-26T15:30:00Z"], &[open]),
        (&["--at", "26 Dec 2020 13:37:55", "--tz", "Europe/Berlin", "--proto", "icmp"], &[]),
        (&["--stream", "gw1", "--proto", "icmp"], &[ping]),
    ] {
        assert_eq!(clients(&place, filters), expected, "{filters:?}");
    }
    for filters in [
        ["--stream", "gw2"],
        ["--at", "12:00"],
        ["--client", "192.168.101.2/33"],
        ["--since", "2020-12-26T13:37:42"],
    ] {
        let said = ledger(&place, &[&["export", "--format", "json"], &filters[..]].concat());
        assert_eq!((said.status, said.out.as_str()), (2, ""), "{filters:?}");
    }
}

#[test]
fn an_output_that_cannot_be_written_leaves_nothing() {
    let folder = tempdir().unwrap();
    let place = folder.path().join("ledger");
    record(&place, &flows());
    let said = ledger(&place, &["export", "--format", "csv", "-o", folder.path().to_str().unwrap()]);
    assert_eq!(said.status, 2);
    assert!(said.err.contains("is a directory"), "{}", said.err);
    let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(names.len(), 1, "{names:?}");
}
