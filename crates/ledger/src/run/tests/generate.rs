//! Rows of every kind, and the files that hold them.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use proptest::prelude::*;
use tempfile::TempDir;
use unmasq_flow::{
    Bound, Count, Destination, Endpoint, Flow, Origin, Protocol, Selector, Status, Timestamp, Traffic, Zones,
};

use crate::run::{Row, Run, Summary, WriteOptions, write};

/// 2026-11-18T11:00Z, the hour of the generated rows.
pub(super) const HOUR: i64 = 498_611;

/// A folder with runs in it, and their paths.
pub(super) struct Files {
    folder: TempDir,
    count: usize,
}

impl Files {
    pub(super) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), count: 0 }
    }

    pub(super) fn path(&mut self) -> PathBuf {
        self.count += 1;
        self.folder.path().join(format!("{}.run", self.count))
    }

    pub(super) fn write(&mut self, rows: &[Row], block_rows: usize) -> (Run, Summary) {
        let path = self.path();
        let mut bytes = Vec::new();
        let summary = write(rows.iter().cloned(), HOUR, &WriteOptions { block_rows }, &mut bytes).unwrap();
        assert_eq!(summary.bytes, bytes.len() as u64);
        std::fs::write(&path, bytes).unwrap();
        (Run::open(&path, "gw1").unwrap(), summary)
    }
}

/// Mostly a few addresses, sometimes any.
fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        6 => (0_u8..6).prop_map(|n| IpAddr::from([100, 64, 0, n])),
        2 => (0_u16..4).prop_map(|n| IpAddr::from([0x2001, 0xDB8, 0, 0, 0, 0, 0, n])),
        1 => any::<IpAddr>().prop_map(|a| a.to_canonical()),
    ]
}

fn selector() -> impl Strategy<Value = Selector> {
    prop_oneof![
        1 => Just(Selector::None),
        6 => (4000_u16..4004).prop_map(Selector::Port),
        1 => any::<u16>().prop_map(Selector::Port),
        1 => any::<u16>().prop_map(Selector::Id),
    ]
}

fn endpoint() -> BoxedStrategy<Endpoint> {
    (address(), selector()).prop_map(|(address, selector)| Endpoint { address, selector }).boxed()
}

fn destination() -> BoxedStrategy<Destination> {
    prop_oneof![
        8 => endpoint().prop_map(Destination::Kept),
        1 => any::<u16>().prop_map(Destination::Hashed),
        1 => Just(Destination::Omitted),
    ]
    .boxed()
}

/// Mostly within the hour; sometimes days away, any time, or the ends of time.
fn time() -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        8 => (0_i64..3_600_000).prop_map(|ms| Timestamp::from_millis(HOUR * 3_600_000 + ms)),
        2 => (-500_000_000_i64..500_000_000).prop_map(|ms| Timestamp::from_millis(HOUR * 3_600_000 + ms)),
        1 => any::<i64>().prop_map(Timestamp::from_nanos),
        1 => Just(Timestamp::MIN),
        1 => Just(Timestamp::MAX),
    ]
}

fn bound() -> BoxedStrategy<Bound> {
    prop_oneof![
        6 => time().prop_map(Bound::Exact),
        2 => time().prop_map(Bound::Read),
        2 => (time(), time()).prop_map(|(a, b)| Bound::Between(a, b)),
        1 => Just(Bound::Open),
        1 => Just(Bound::Unknown),
    ]
    .boxed()
}

fn origin() -> impl Strategy<Value = Arc<Origin>> {
    (prop_oneof![Just(""), Just("vpn0")], 0_u16..2, 0_u16..2)
        .prop_map(|(n, original, reply)| Origin::new("gw1", n).with_zones(Zones { original, reply }).shared())
}

fn traffic() -> impl Strategy<Value = Option<Traffic>> {
    prop::option::weighted(
        0.2,
        any::<[u32; 4]>().prop_map(|[a, b, c, d]| Traffic {
            original: Count { packets: a.into(), bytes: u64::from(b) << 20 },
            reply: Count { packets: c.into(), bytes: d.into() },
        }),
    )
}

/// Any row, as it comes back from a run.
pub(super) fn row() -> BoxedStrategy<Row> {
    let protocol = prop_oneof![4 => Just(6_u8), 4 => Just(17), 1 => any::<u8>()].prop_map(Protocol);
    let ends = (endpoint(), prop::option::weighted(0.2, destination()), destination(), endpoint());
    let rest = (0_u32..3, prop_oneof![Just(0x18E), any::<u32>()], traffic(), prop::bool::weighted(0.1));
    (origin(), protocol, ends, (bound(), bound()), rest)
        .prop_map(
            |(
                origin,
                protocol,
                (client, target, server, masked),
                (start, end),
                (mark, status, traffic, continues),
            )| {
                let status = Status(status);
                let target = target.unwrap_or(server);
                let kernel_id = None;
                let flow = Flow {
                    origin,
                    protocol,
                    client,
                    target,
                    server,
                    masked,
                    mark,
                    status,
                    start,
                    end,
                    traffic,
                    kernel_id,
                };
                Row { flow, continues }.as_stored()
            },
        )
        .boxed()
}

/// The order of a run, and of equal keys any order that two lists of the same rows share.
pub(super) fn sorted(mut rows: Vec<Row>) -> Vec<Row> {
    rows.sort_by_cached_key(|r| {
        (r.flow.masked.address, r.flow.protocol, r.flow.masked.selector, format!("{r:?}"))
    });
    rows
}
