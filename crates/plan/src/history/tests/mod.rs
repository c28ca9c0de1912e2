mod adopt;
mod clocks;
mod damage;

mod folder;
mod model;

mod writing;

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use unmasq_flow::{Period, Protocol, Selector, Timestamp};

use super::*;
use crate::{Allocation, Block, Plan, PortRange, ProtocolSet};

const PUBLIC: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const BOOT: [u8; 16] = [7; 16];
const HOUR: Duration = Duration::from_secs(3600);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

/// The wall clock and, on a machine that booted at its time 0, the boot clock.
fn moment(seconds: i64) -> Moment {
    Moment { wall: at(seconds), boot: Duration::from_secs(seconds as u64), boot_id: BOOT }
}

fn client(n: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, n)
}

/// Ten ports, from ten times that number on.
fn allocation(who: u8, tenth: u16) -> Allocation {
    let ports = PortRange::new(tenth * 10, tenth * 10 + 9).unwrap();
    Allocation {
        client: client(who),
        block: Block { address: PUBLIC, ports },
        protocols: ProtocolSet::TCP_UDP,
    }
}

/// Clients with their blocks.
fn plan(who: &[(u8, u16)]) -> Plan {
    Plan {
        ports_per_client: 10,
        allocations: who.iter().map(|(who, at)| allocation(*who, *at)).collect(),
        ..Plan::default()
    }
}

fn new_revision(plan: &Plan) -> NewRevision<'_> {
    NewRevision {
        plan,
        rules: "these are the rules\n",
        format: Format::Nft,
        keeps_flows: false,
        longest_timeout: Duration::from_secs(100),
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn open(folder: &TempDir) -> HistoryWriter {
    HistoryWriter::open(folder.path()).unwrap()
}

/// Loaded within a second.
fn apply(writer: &mut HistoryWriter, plan: &Plan, seconds: i64) -> u64 {
    let begun = writer.begin(new_revision(plan), moment(seconds)).unwrap();
    writer.applied(begun, moment(seconds + 1)).unwrap();
    begun.number
}

fn held_in(history: &History, port: u16, window: Period) -> Held {
    history.held(PUBLIC, Selector::Port(port), Some(Protocol::TCP), window).unwrap().unwrap()
}

fn held(history: &History, port: u16, seconds: i64) -> Held {
    held_in(history, port, Period::at(at(seconds)))
}

/// Who is named, and how.
fn named(held: &Held) -> Vec<(u8, Holding)> {
    held.holders.iter().map(|holder| (holder.allocation.client.octets()[3], holder.holding)).collect()
}

fn clients(held: &Held) -> BTreeSet<Ipv4Addr> {
    held.holders.iter().map(|holder| holder.allocation.client).collect()
}

fn findings(directory: &Path) -> Vec<String> {
    audit(directory, &mut |_, _| ()).unwrap().findings.into_iter().map(|finding| finding.what).collect()
}
