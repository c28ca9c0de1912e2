//! SIGKILL at random moments under load: nothing that was flushed is lost.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use unmasq_flow::Flow;
use unmasq_ledger::run::Filter;
use unmasq_ledger::{Ledger, Writer, WriterOptions};

use crate::common::{alive, all, at, ended, flow, start};

const LEDGER: &str = "UNMASQ_TEST_KILL_LEDGER";
const FIRST: &str = "UNMASQ_TEST_KILL_FIRST";
/// A flow ends when so many have begun after it.
const ALIVE: u64 = 50;

fn options() -> WriterOptions {
    WriterOptions { rotate_records: 300, ..WriterOptions::default() }
}

/// The flow of a number: each has a client endpoint of its own.
fn numbered(number: u64) -> Flow {
    let port = u16::try_from(number % 20_000).unwrap();
    flow(u8::try_from(number / 20_000).unwrap(), port, at(0) + Duration::from_millis(number))
}

fn last(number: u64) -> Flow {
    ended(&numbered(number), at(0) + Duration::from_millis(number + ALIVE))
}

/// The child: writes until it is killed, and says after each flush how far it came. Run by the test below, not by itself.
#[test]
fn child_that_writes_until_it_is_killed() {
    let (Ok(ledger), Ok(first)) = (std::env::var(LEDGER), std::env::var(FIRST)) else { return };
    let first: u64 = first.parse().unwrap();
    let (mut writer, _) = Writer::open(ledger.as_ref(), "gw1", options()).unwrap();
    let mut out = std::io::stdout().lock();
    start(&mut writer, at(0) + Duration::from_millis(first));
    for number in first.. {
        writer.opened(&numbered(number));
        if number >= first + ALIVE {
            writer.ended(&last(number - ALIVE), true);
        }
        if number % 7 == 0 {
            alive(&mut writer, at(0) + Duration::from_millis(number));
            writer.flush().unwrap();
            writeln!(out, "flushed {number}").unwrap();
        }
    }
}

#[test]
fn nothing_flushed_is_lost_by_a_kill_at_any_moment() {
    let directory = tempfile::tempdir().unwrap();
    let mut seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos();
    println!("seed {seed}");
    let mut first = 0;
    let mut flushed: Vec<(u64, u64)> = Vec::new();
    for _ in 0..8 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "kill::child_that_writes_until_it_is_killed",
                "--nocapture",
                "--test-threads=1",
            ])
            .env(LEDGER, directory.path())
            .env(FIRST, first.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let limit = first + 200 + u64::from(seed >> 16) % 3000;
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut reached = first;
        let number_of = |line: String| line.strip_prefix("flushed ").and_then(|n| n.parse::<u64>().ok());
        while reached < limit {
            let line = lines.next().expect("the child writes until it is killed").unwrap();
            reached = number_of(line).unwrap_or(reached);
        }
        child.kill().unwrap();
        // What it had said before it died counts as well.
        for line in lines.map_while(Result::ok) {
            reached = number_of(line).unwrap_or(reached);
        }
        child.wait().unwrap();
        flushed.push((first, reached));
        check(directory.path(), &flushed);
        // The flows that were alive in the last moment are not ended by the next child: they stay open.
        first = reached + 1000;
    }
}

fn check(directory: &std::path::Path, flushed: &[(u64, u64)]) {
    let (writer, recovery) = Writer::open(directory, "gw1", options()).unwrap();
    assert_eq!(recovery.damage, Vec::<String>::new(), "a kill tears at most what was not flushed");
    let ledger = Ledger::open(directory).unwrap();
    let hits = all(&ledger, &Filter::default());
    let found: std::collections::HashMap<_, _> =
        hits.iter().map(|hit| (hit.flow.client, &hit.flow)).collect();
    assert_eq!(found.len(), hits.len(), "a flow twice");
    let open: std::collections::HashSet<_> = recovery.open.iter().map(|flow| flow.client).collect();
    for (first, reached) in flushed {
        for number in *first..=*reached {
            let flow = numbered(number);
            let hit = found.get(&flow.client).unwrap_or_else(|| panic!("flow {number} is lost"));
            if number + ALIVE <= *reached {
                assert_eq!(hit.end, last(number).end, "flow {number}");
            } else if !hit.end.is_closed() {
                assert!(open.contains(&flow.client), "flow {number} is open and was not given back");
            }
        }
    }
    writer.finish().unwrap();
}
