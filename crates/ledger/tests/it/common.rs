//! Flows and clocks for the tests.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use unmasq_flow::{Bound, ClockReading, DestinationPolicy, Endpoint, Flow, Origin, Period, Protocol, Scope};
use unmasq_flow::{ScopeKind, Timestamp};
use unmasq_ledger::run::Filter;
use unmasq_ledger::{CoverageEvent, Hit, Ledger, Query, Writer};

/// 2026-11-21T08:00:00Z.
pub(crate) const EIGHT: i64 = 1_795_248_000;

/// A directory in memory, if the machine has one: for tests that open a ledger a thousand times and ask nothing of a disk.
pub(crate) fn directory_in_memory() -> tempfile::TempDir {
    let memory = std::path::Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

/// Seconds after eight o'clock.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(EIGHT + seconds)
}

pub(crate) fn clock(wall: Timestamp) -> ClockReading {
    let boot = Duration::from_nanos(u64::try_from(wall.as_nanos()).unwrap());
    ClockReading { wall, boot, is_synchronised: true }
}

pub(crate) fn origin() -> Arc<Origin> {
    Origin::new("gw1", "").shared()
}

/// A TCP flow of a client (the last byte of its address) from a port, on masked port + 20,000, that began then.
pub(crate) fn flow(client: u8, port: u16, start: Timestamp) -> Flow {
    let server = Endpoint::v4([198, 51, 100, 7], 443);
    let client = Endpoint::v4([10, 0, 0, client], port);
    let mut flow = Flow::new(origin(), Protocol::TCP, (client, server), (server, masked(port)));
    flow.start = Bound::Exact(start);
    flow.end = Bound::Open;
    flow
}

pub(crate) fn masked(port: u16) -> Endpoint {
    Endpoint::v4([203, 0, 113, 1], port + 20_000)
}

pub(crate) fn ended(flow: &Flow, end: Timestamp) -> Flow {
    Flow { end: Bound::Exact(end), ..flow.clone() }
}

pub(crate) fn start(writer: &mut Writer, now: Timestamp) {
    let scope = Scope {
        namespace: "".into(),
        kind: ScopeKind::TranslatedLocal,
        destinations: DestinationPolicy::Keep,
    };
    writer.cover(CoverageEvent::Started { scope, clock: clock(now) });
}

pub(crate) fn alive(writer: &mut Writer, now: Timestamp) {
    writer.cover(CoverageEvent::Alive { clock: clock(now) });
}

pub(crate) fn find(ledger: &Ledger, masked: Endpoint, period: Period) -> unmasq_ledger::Found {
    ledger.find(&Query { masked, protocol: None, period }).unwrap()
}

pub(crate) fn all(ledger: &Ledger, filter: &Filter) -> Vec<Hit> {
    let mut hits = Vec::new();
    let damage = ledger
        .flows(filter, &mut |hit| {
            hits.push(hit);
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(damage, Vec::<String>::new());
    hits
}
