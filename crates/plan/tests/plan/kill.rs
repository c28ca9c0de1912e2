//! SIGKILL at random moments: nothing that was acknowledged is lost, and the chain is whole.

use std::io::{BufRead, BufReader, Write};
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use unmasq_flow::{Period, Selector, Timestamp};
use unmasq_plan::history::{Format, History, HistoryWriter, Holding, Moment, NewRevision, Outcome, audit};
use unmasq_plan::{Allocation, Block, Plan, PortRange, ProtocolSet};

const FOLDER: &str = "UNMASQ_TEST_PLAN_FOLDER";
const PUBLIC: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// The plan of a revision: two hundred clients, of which one moves each time.
fn plan(number: u64) -> Plan {
    let allocation = |n: u16| {
        // The block that a client has after so many moves.
        let moves = (number + 200 - u64::from(n)) / 200;
        let first = 1000 + (n * 2 + u16::try_from(moves % 2).unwrap()) * 10;
        let ports = PortRange::new(first, first + 9).unwrap();
        let client = Ipv4Addr::from(0x0a00_0001 + u32::from(n));
        Allocation { client, block: Block { address: PUBLIC, ports }, protocols: ProtocolSet::TCP_UDP }
    };
    Plan { ports_per_client: 10, allocations: (0..200).map(allocation).collect(), ..Plan::default() }
}

fn moment(number: u64) -> Moment {
    Moment {
        wall: Timestamp::from_seconds(1_000_000 + 10 * i64::try_from(number).unwrap()),
        boot: Duration::from_secs(10 * number),
        boot_id: [1; 16],
    }
}

/// The child: writes until it is killed, and says what is done. Run by the test below, not by itself.
#[test]
fn child_that_writes_until_it_is_killed() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let mut writer = HistoryWriter::open(Path::new(&folder)).unwrap();
    let mut out = std::io::stdout().lock();
    let next = writer.history().revisions().last().map_or(1, |last| last.number + 1);
    for number in next.. {
        let plan = plan(number);
        let rules = format!("the rules of {number}\n");
        let new = NewRevision {
            plan: &plan,
            rules: &rules,
            format: Format::Nft,
            keeps_flows: false,
            longest_timeout: Duration::ZERO,
        };
        let begun = writer.begin(new, moment(number)).unwrap();
        assert_eq!(begun.number, number);
        writeln!(out, "begun {number}").unwrap();
        writer.applied(begun, moment(number)).unwrap();
        writeln!(out, "applied {number}").unwrap();
        if number % 40 == 0 {
            writer.prune(moment(number - 30).wall, moment(number)).unwrap();
            writeln!(out, "pruned {}", number - 30).unwrap();
        }
    }
}

/// The last numbers that were begun, applied and pruned up to.
#[derive(Clone, Copy, Debug, Default)]
struct Said {
    begun: u64,
    applied: u64,
    pruned: u64,
}

impl Said {
    fn hear(&mut self, line: &str) {
        let Some((word, Ok(number))) = line.split_once(' ').map(|(word, n)| (word, n.parse())) else {
            return;
        };
        match word {
            "begun" => self.begun = number,
            "applied" => self.applied = number,
            "pruned" => self.pruned = number,
            _ => {}
        }
    }
}

#[test]
fn nothing_acknowledged_is_lost_by_a_kill_at_any_moment() {
    let folder = tempfile::tempdir().unwrap();
    let mut seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos();
    println!("seed {seed}");
    let mut said = Said::default();
    for _ in 0..20 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "kill::child_that_writes_until_it_is_killed",
                "--nocapture",
                "--test-threads=1",
            ])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let limit = said.begun + 1 + u64::from(seed >> 16) % 30;
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        while said.begun < limit {
            said.hear(&lines.next().expect("the child writes until it is killed").unwrap());
        }
        // At some moment of what comes next.
        for _ in 0..(seed >> 8) % 200_000 {
            std::hint::spin_loop();
        }
        child.kill().unwrap();
        for line in lines.map_while(Result::ok) {
            said.hear(&line);
        }
        child.wait().unwrap();
        check(folder.path(), said);
    }
    assert!(said.pruned > 0 && said.applied > 20, "{said:?}");
}

fn check(folder: &Path, said: Said) {
    // As whoever comes next finds it: a reader first.
    History::open(folder).unwrap();
    drop(HistoryWriter::open(folder).unwrap());
    let history = History::open(folder).unwrap();
    assert_eq!(audit(folder, &mut |_, _| ()).unwrap().findings, []);
    assert!(history.revisions().len() as u64 >= said.begun, "{said:?}");
    for revision in history.revisions() {
        let number = revision.number;
        if number <= said.applied {
            assert!(
                matches!(revision.outcome, Outcome::Applied(_)) || number != said.applied,
                "{number} of {said:?}"
            );
        }
        if history.is_pruned(number) {
            continue;
        }
        let mut expected = plan(number).allocations;
        expected.sort_unstable();
        assert_eq!(history.plan(number).unwrap().allocations, expected);
        let rules = std::fs::read_to_string(history.rules_file(revision)).unwrap();
        assert_eq!(rules, format!("the rules of {number}\n"));
        // The client that moved with it: of a revision of which nobody wrote what became, both blocks are possible.
        let moved = usize::try_from(number % 200).unwrap();
        let port = plan(number).allocations[moved].block.ports.first();
        let window = Period::at(revision.since().wall + Duration::from_secs(5));
        let held = history.held(PUBLIC, Selector::Port(port), None, window).unwrap().unwrap();
        let named: Vec<Holding> = held.holders.iter().map(|holder| holder.holding).collect();
        let holding = match revision.outcome {
            Outcome::Applied(_) => Holding::InForce,
            Outcome::Unknown | Outcome::Refused => Holding::Unconfirmed,
        };
        assert!(named.contains(&holding), "{number}: {held:?}");
    }
    assert!(said.pruned == 0 || history.is_pruned(1), "{said:?}");
}
