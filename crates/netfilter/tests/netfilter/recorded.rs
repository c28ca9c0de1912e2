//! The parser on events that a kernel really sent, whole and as older kernels would have sent them.

use std::sync::LazyLock;

use unmasq_flow::{Bound, Count, Endpoint, Origin, Protocol, Status, Timestamp, Zones};
use unmasq_netfilter::conntrack::{Entry, Event, EventKind, parse};

/// 40,004 datagrams, one event each.
pub(crate) static DATAGRAMS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let compressed = include_bytes!("../data/conntrack-6.18.zst");
    let bytes = zstd::decode_all(&compressed[..]).expect("the recording is whole");
    let mut rest = &bytes[..];
    let mut datagrams = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let (datagram, after) = after.split_at(u32::from_le_bytes(*length) as usize);
        datagrams.push(datagram.to_vec());
        rest = after;
    }
    datagrams
});

/// The one event in a datagram.
pub(crate) fn only_event(datagram: &[u8]) -> Event {
    let mut events = Vec::new();
    let progress = parse(datagram, &mut |event| events.push(event)).expect("well framed");
    assert_eq!(
        (progress.events, progress.damaged, progress.others),
        (1, 0, 0),
        "{:?}",
        progress.first_damage
    );
    events[0]
}

/// The datagram without its top-level attributes of those kinds.
pub(crate) fn without(datagram: &[u8], kinds: &[u16]) -> Vec<u8> {
    let (head, mut rest) = datagram.split_at(20);
    let mut kept = head.to_vec();
    while let [l0, l1, k0, k1, ..] = *rest {
        let length = usize::from(u16::from_le_bytes([l0, l1])).next_multiple_of(4);
        if !kinds.contains(&(u16::from_le_bytes([k0, k1]) & 0x3fff)) {
            kept.extend_from_slice(&rest[..length]);
        }
        rest = &rest[length..];
    }
    let length = u32::try_from(kept.len()).unwrap();
    kept[..4].copy_from_slice(&length.to_le_bytes());
    kept
}

const COUNTERS: [u16; 2] = [9, 10];
const TIMESTAMP: u16 = 20;
const TIMESTAMP_EVENT: u16 = 27;

#[test]
fn every_recorded_event_is_read() {
    let mut by_protocol = [0; 256];
    let (mut begun, mut ended, mut other_ids) = (0, 0, 0);
    for datagram in DATAGRAMS.iter() {
        let Event { kind, entry } = only_event(datagram);
        match kind {
            EventKind::New => begun += 1,
            EventKind::Destroy => ended += 1,
            EventKind::Update | EventKind::Listed => panic!("not in the recording: {entry:?}"),
        }
        by_protocol[usize::from(entry.protocol.0)] += 1;
        other_ids +=
            usize::from(entry.protocol == Protocol::ICMP && entry.client.selector != entry.masked.selector);
        assert!(entry.is_translated() && entry.client != entry.masked, "{entry:?}");
        assert!(entry.event_time.is_some() && entry.id.is_some());
        assert_eq!(entry.start.is_some(), kind == EventKind::Destroy);
        assert_eq!(entry.stop.is_some(), kind == EventKind::Destroy);
        assert_eq!(entry.traffic.is_some(), kind == EventKind::Destroy);
        assert!(entry.timeout.is_some());
        assert!(entry.start <= entry.stop);
    }
    assert_eq!((begun, ended), (20_002, 20_002));
    assert_eq!((by_protocol[1] + by_protocol[6] + by_protocol[17], other_ids), (40_004, 0));
}

#[test]
fn the_first_event_holds_what_its_bytes_say() {
    let expected = Entry {
        protocol: Protocol::UDP,
        client: Endpoint::v4([10, 77, 0, 2], 20_000),
        target: Endpoint::v4([10, 88, 0, 2], 1000),
        server: Endpoint::v4([10, 88, 0, 2], 1000),
        masked: Endpoint::v4([10, 88, 0, 1], 20_000),
        zones: Zones::default(),
        mark: 0,
        status: Some(Status(0x198)),
        id: Some(0xca4d_e4fb),
        event_time: Some(Timestamp::from_nanos(0x18ea_041f_ba82_d63d)),
        start: None,
        stop: None,
        traffic: None,
        timeout: Some(30),
    };
    assert_eq!(only_event(&DATAGRAMS[0]), Event { kind: EventKind::New, entry: expected });
}

#[test]
fn a_kernel_that_sends_less_gives_the_same_flow_with_less_known() {
    // Linux 6.1 and 5.10 have no CTA_TIMESTAMP_EVENT; the others are missing while their sysctl is off.
    let settings: [&[u16]; 4] = [
        &[TIMESTAMP_EVENT],
        &[TIMESTAMP_EVENT, TIMESTAMP],
        &[TIMESTAMP_EVENT, COUNTERS[0], COUNTERS[1]],
        &[TIMESTAMP_EVENT, TIMESTAMP, COUNTERS[0], COUNTERS[1], 12, 3, 7, 8],
    ];
    for (n, datagram) in DATAGRAMS.iter().enumerate() {
        let whole = only_event(datagram);
        let lacking = settings[n % settings.len()];
        let mut expected = whole;
        expected.entry.event_time = None;
        if lacking.contains(&TIMESTAMP) {
            (expected.entry.start, expected.entry.stop) = (None, None);
        }
        if lacking.contains(&COUNTERS[0]) {
            expected.entry.traffic = None;
        }
        if lacking.contains(&12) {
            (expected.entry.id, expected.entry.status, expected.entry.timeout) = (None, None, None);
        }
        assert_eq!(only_event(&without(datagram, lacking)), expected);
        assert!(only_event(&without(datagram, lacking)).entry.is_translated());
    }
}

#[test]
fn the_time_of_reading_is_used_only_where_the_kernel_gave_none() {
    let read_at = Timestamp::from_seconds(2_000_000_000);
    let origin = Origin::new("gw1", "").shared();
    let begun = &DATAGRAMS[0];
    let ended =
        DATAGRAMS.iter().find(|d| only_event(d).kind == EventKind::Destroy).expect("in the recording");
    let bounds = |datagram: &[u8]| {
        let flow = only_event(datagram).flow(origin.clone(), read_at);
        (flow.start, flow.end)
    };
    let event = only_event(begun).entry.event_time.unwrap();
    let Entry { start, stop, event_time, .. } = only_event(ended).entry;
    let before_reading = Bound::Between(Timestamp::MIN, read_at);

    assert_eq!(bounds(begun), (Bound::Exact(event), Bound::Open));
    assert_eq!(bounds(&without(begun, &[TIMESTAMP_EVENT])), (Bound::Read(read_at), Bound::Open));
    assert_eq!(bounds(ended), (Bound::Exact(start.unwrap()), Bound::Exact(stop.unwrap())));
    assert_eq!(bounds(&without(ended, &[TIMESTAMP])), (before_reading, Bound::Exact(event_time.unwrap())));
    assert_eq!(
        bounds(&without(ended, &[TIMESTAMP, TIMESTAMP_EVENT])),
        (before_reading, Bound::Read(read_at))
    );
}

#[test]
fn counters_count_both_directions() {
    let counted = DATAGRAMS.iter().filter_map(|d| only_event(d).entry.traffic);
    let (original, reply) = counted.fold((Count::default(), Count::default()), |(mut o, mut r), traffic| {
        o.packets += traffic.original.packets;
        o.bytes += traffic.original.bytes;
        r.packets += traffic.reply.packets;
        r.bytes += traffic.reply.bytes;
        (o, r)
    });
    assert!(original.packets >= 20_002 && original.bytes > original.packets * 20, "{original:?}");
    assert!(reply.packets > 0 && reply.bytes > reply.packets * 20, "{reply:?}");
}
