//! A history of version 1, which must be readable for ever (`tests/data/README.md`).

use std::fmt::Write;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use unmasq_flow::{Period, Selector, Timestamp};
use unmasq_plan::history::{
    DriftReason, Format, History, HistoryWriter, Moment, NewRevision, Outcome, RulesFolder, audit,
};
use unmasq_plan::{Allocation, Block, Layout, Plan, ProtocolSet};

fn data(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data")).join(name)
}

/// All that a history says.
fn describe(directory: &Path) -> String {
    let history = History::open(directory).unwrap();
    let mut out = String::new();
    for revision in history.revisions() {
        let r = revision;
        let _ = writeln!(out, "revision {} {} {}", r.number, r.layout.word(), r.file_name());
        let _ = writeln!(out, "  begun {}", moment_text(r.begun));
        let _ = match r.outcome {
            Outcome::Applied(moment) => writeln!(out, "  applied {}", moment_text(moment)),
            Outcome::Refused => writeln!(out, "  refused"),
            Outcome::Unknown => writeln!(out, "  unknown"),
        };
        let _ = writeln!(out, "  {} clients of {} ports for {}", r.clients, r.ports_per_client, r.protocols);
        let (timeout, settled) = (r.longest_timeout.as_secs(), r.settled.map(|settled| settled.to_string()));
        let _ = writeln!(out, "  keeps flows {} at most {timeout} s, settled {settled:?}", r.keeps_flows);
        let (adopted, unreadable, other) = (r.is_adopted, r.is_unreadable, r.has_other_rules);
        let _ = writeln!(out, "  adopted {adopted}, unreadable {unreadable}, other rules {other}");
        let _ = writeln!(out, "  rows {} rules {}", r.rows, r.rules);
        if !history.is_pruned(revision.number) {
            let plan = history.plan(revision.number).unwrap();
            let _ = writeln!(out, "  overflow {:?}", plan.overflow.map(|block| block.to_string()));
            for Allocation { client, block, protocols } in plan.allocations {
                let _ = writeln!(out, "  {client} {block} {protocols}");
            }
        }
    }
    for drift in history.drifts() {
        let _ = writeln!(out, "drift {} to {}: {}", drift.period.from, drift.period.to, drift.reason.word());
    }
    for seconds in [900, 1005, 1500, 2500, 3500, 4500, 9000] {
        let window = Period::at(Timestamp::from_seconds(seconds));
        let held =
            history.held(Ipv4Addr::new(192, 0, 2, 1), Selector::Port(1005), None, window).unwrap().unwrap();
        for holder in &held.holders {
            let client = holder.allocation.client;
            let _ = writeln!(out, "at {seconds}: {client} by {}, {:?}", holder.revision, holder.holding);
        }
        for (_, gap) in &held.gaps {
            let _ = writeln!(out, "at {seconds}: {gap:?}");
        }
    }
    let audit = audit(directory, &mut |_, _| ()).unwrap();
    assert_eq!(audit.findings, []);
    let _ = writeln!(out, "head {}", audit.head);
    out
}

fn moment_text(moment: Moment) -> String {
    format!("{} boot {:?} {:?}", moment.wall, moment.boot, moment.boot_id)
}

#[test]
fn version_1_is_read_as_it_was_written() {
    let expected = std::fs::read_to_string(data("history-v1.txt")).unwrap();
    for (found, expected) in describe(&data("history-v1")).lines().zip(expected.lines()) {
        assert_eq!(found, expected);
    }
    assert_eq!(describe(&data("history-v1")), expected);
}

fn plan(who: &[(u8, u16)]) -> Plan {
    let allocation = |&(who, first): &(u8, u16)| Allocation {
        client: Ipv4Addr::new(10, 0, 0, who),
        block: Block {
            address: Ipv4Addr::new(192, 0, 2, 1),
            ports: format!("{first}-{}", first + 9).parse().unwrap(),
        },
        protocols: ProtocolSet::ALL,
    };
    Plan {
        layout: Layout::Even,
        ports_per_client: 10,
        allocations: who.iter().map(allocation).collect(),
        ..Plan::default()
    }
}

/// How `history-v1` was made. Not run again: a later version of the code would write a later version of the format.
#[test]
#[ignore = "wrote tests/data/history-v1, which is never to be touched again"]
fn write_version_1() {
    let directory = data("history-v1");
    let moment = |seconds: u32| Moment {
        wall: Timestamp::from_seconds(seconds.into()),
        boot: Duration::from_secs(seconds.into()),
        boot_id: *b"a boot of a host",
    };
    let mut writer = HistoryWriter::open(&directory).unwrap();
    let script = tempfile::tempdir().unwrap();
    let rules = "*nat\n-A POSTROUTING -s 10.0.0.9 -p tcp -j SNAT --to-source 192.0.2.1:1000-1009\n-A POSTROUTING -j MASQUERADE\nCOMMIT\n";
    std::fs::write(script.path().join("rules.v4.1000"), rules).unwrap();
    std::fs::write(script.path().join("rules.v4.1200"), &rules[..50]).unwrap();
    writer.adopt(&RulesFolder::open(script.path()).unwrap(), Timestamp::from_seconds(2000)).unwrap();
    let mut who: Vec<(u8, u16)> = (1..=10).map(|n| (n, 990 + 10 * u16::from(n))).collect();
    let apply = |writer: &mut HistoryWriter, plan: &Plan, seconds, format, keeps_flows| {
        let new = NewRevision {
            plan,
            rules: &format!("the rules of {seconds}\n"),
            format,
            keeps_flows,
            longest_timeout: Duration::from_secs(432_000),
        };
        writer.begin(new, moment(seconds)).unwrap()
    };
    let begun = apply(&mut writer, &plan(&who), 2000, Format::Nft, false);
    writer.applied(begun, moment(2001)).unwrap();
    writer.drifted(DriftReason::RulesChanged, moment(2400), Timestamp::from_seconds(2600)).unwrap();
    who.swap(0, 1);
    (who[0].0, who[1].0) = (1, 2);
    let overflow = Block { address: Ipv4Addr::new(192, 0, 2, 1), ports: "60000-60999".parse().unwrap() };
    let with = Plan { overflow: Some(overflow), ..plan(&who) };
    let begun = apply(&mut writer, &with, 3000, Format::Nft, true);
    writer.applied(begun, moment(3001)).unwrap();
    writer.settled(begun.number, moment(3900)).unwrap();
    let begun = apply(&mut writer, &plan(&who), 3950, Format::Nft, false);
    writer.refused(begun, moment(3951)).unwrap();
    let _ = apply(&mut writer, &plan(&who[1..]), 4000, Format::Iptables, false);
    writer.prune(Timestamp::from_seconds(1300), moment(5000)).unwrap();
    drop(writer);
    std::fs::remove_file(directory.join("lock")).unwrap();
    std::fs::write(data("history-v1.txt"), describe(&directory)).unwrap();
}
