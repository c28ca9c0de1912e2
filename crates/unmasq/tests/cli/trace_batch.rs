//! `unmasq trace --batch`: the same rows out, with the answer appended.

use std::fmt::Write as _;
use std::fs;

use serde_json::Value;

use crate::support::{at, flow, record, trace, trace_with};

fn ledger() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let mut flows = Vec::new();
    for n in 0..500_i64 {
        let client = format!("10.0.{}.{}:4000", n / 250, n % 250 + 1);
        flows.push(flow(&client, "198.51.100.7:80", &format!("203.0.113.1:{}", 20_000 + n), n, n + 60));
    }
    record(directory.path(), &flows);
    directory
}

fn rows(text: &str) -> Vec<Vec<String>> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
    reader.records().map(|r| r.unwrap().iter().map(str::to_owned).collect()).collect()
}

#[test]
fn rows_come_out_in_their_order_with_the_answer_and_bad_ones_do_not_stop_the_rest() {
    let ledger = ledger();
    let table = "case,ip,port,time,proto\n\
                 a,203.0.113.1,20002,2020-12-26 13:37:50,tcp\n\
                 b,nonsense,1,2020-12-26 13:37:50,\n\
                 c,203.0.113.1,20001,2020-12-26 13:37:50,udp\n\
                 d,203.0.113.1,20001,25:00,\n\
                 \"e, quoted\",203.0.113.1,20000,2020-12-26 13:37:42,\n\
                 f,203.0.113.1\n";
    let path = ledger.path().join("table.csv");
    fs::write(&path, table).unwrap();
    let said = trace(ledger.path(), &["--batch", path.to_str().unwrap(), "--tz", "Europe/Berlin"]);
    assert_eq!(said.status, 0, "{said:?}");
    let rows = rows(&said.out);
    let column = |name: &str| rows[0].iter().position(|n| n == name).unwrap();
    let values = |name: &str| rows[1..].iter().map(|r| r[column(name)].as_str()).collect::<Vec<_>>();
    assert_eq!(values("case"), ["a", "b", "c", "d", "e, quoted", "f"]);
    assert_eq!(values("exit_status"), ["0", "2", "1", "2", "0", "2"]);
    assert_eq!(values("client"), ["10.0.0.3:4000", "", "", "", "10.0.0.1:4000", ""]);
    assert_eq!(values("complete"), ["true", "", "true", "", "true", ""]);
    assert!(values("error")[1].contains("nonsense") && values("error")[3].contains("25:00"), "{said:?}");
    assert!(said.err.contains("3 of 6 rows"), "{said:?}");
}

#[test]
fn json_lines_come_out_as_json_lines() {
    let ledger = ledger();
    let lines = "{\"endpoint\":\"203.0.113.1:20002\",\"at\":1608986270,\"ref\":7}\nnot json\n\n{\"ip\":\"203.0.113.1\",\"at\":1608986270}\n";
    let said = trace_with(ledger.path(), &["--batch", "-"], lines);
    let rows: Vec<Value> = said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 3, "{said:?}");
    assert_eq!(
        (&rows[0]["ref"], &rows[0]["client"], &rows[0]["exit_status"]),
        (&7.into(), &"10.0.0.3:4000".into(), &0.into())
    );
    assert_eq!((&rows[1]["line"], &rows[1]["exit_status"]), (&"not json".into(), &2.into()));
    assert_eq!((&rows[2]["exit_status"], &rows[2]["ambiguous"]), (&3.into(), &true.into()));
}

#[test]
fn a_table_without_the_needed_columns_is_status_2() {
    let ledger = ledger();
    let said = trace_with(ledger.path(), &["--batch", "-"], "name,when\nx,now\n");
    assert_eq!((said.status, said.err.contains("masked address")), (2, true), "{said:?}");
    let said = trace_with(ledger.path(), &["--batch", "-"], "ip,port\n203.0.113.1,20002\n");
    assert_eq!((said.status, said.err.contains("--at")), (2, true), "{said:?}");
    let all_at =
        trace_with(ledger.path(), &["--batch", "-", "--at", "1608986270"], "ip,port\n203.0.113.1,20002\n");
    assert_eq!(rows(&all_at.out)[1][2], "10.0.0.3:4000", "{all_at:?}");
    let missing = trace(ledger.path(), &["--batch", "/nonexistent/table.csv"]);
    assert_eq!(missing.status, 2, "{missing:?}");
}

#[test]
fn columns_of_the_same_name_are_kept_apart_and_other_delimiters_are_kept() {
    let ledger = ledger();
    let table = "client;ip;port;time\nours;203.0.113.1;20002;2020-12-26T12:37:50Z\n";
    let said = trace_with(ledger.path(), &["--batch", "-"], table);
    assert!(said.out.starts_with("client;ip;port;time;answer_client;clients;"), "{said:?}");
    assert!(
        said.out.contains("ours;203.0.113.1;20002;2020-12-26T12:37:50Z;10.0.0.3:4000;10.0.0.3;"),
        "{said:?}"
    );
}

#[test]
fn ten_thousand_rows_are_all_answered_in_order() {
    // More than are in memory at once. Each question costs some milliseconds, so most rows are none.
    const ROWS: usize = 10_050;
    let ledger = ledger();
    let is_question = |n: usize| n.is_multiple_of(10);
    let mut table = String::from("n,masked,time\n");
    for n in 0..ROWS {
        // In no order of time.
        let who = n * 7 % 500;
        let masked =
            if is_question(n) { format!("203.0.113.1:{}", 20_000 + who) } else { "nonsense".to_owned() };
        writeln!(table, "{n},{masked},{}", at(who as i64 + 30)).unwrap();
    }
    let said = trace_with(ledger.path(), &["--batch", "-"], &table);
    let rows = rows(&said.out);
    assert_eq!(rows.len(), 1 + ROWS);
    for (n, row) in rows[1..].iter().enumerate() {
        let who = n * 7 % 500;
        let client = format!("10.0.{}.{}:4000", who / 250, who % 250 + 1);
        let expected = if is_question(n) { client.as_str() } else { "" };
        assert_eq!((row[0].as_str(), row[3].as_str()), (n.to_string().as_str(), expected));
        assert_eq!(row[6] == "2", !is_question(n), "{row:?}");
    }
}
