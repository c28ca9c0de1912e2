//! Messages that the recording has none of: IPv6, GRE, zones, old counters, dumps, refusals.

use std::net::IpAddr;

use unmasq_flow::{Count, Endpoint, Protocol, Selector, Traffic, Zones};
use unmasq_netfilter::conntrack::{Event, EventKind, ParseError, parse};

use crate::recorded::only_event;

pub(crate) const NEW: u16 = 0x0100;
pub(crate) const DESTROY: u16 = 0x0102;

/// An attribute with its padding.
pub(crate) fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = u16::try_from(value.len() + 4).unwrap().to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// A nest.
pub(crate) fn nest(kind: u16, parts: &[Vec<u8>]) -> Vec<u8> {
    attribute(kind | 0x8000, &parts.concat())
}

/// A message of any kind.
pub(crate) fn message(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(16 + body.len()).unwrap().to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend(body);
    bytes
}

/// A conntrack message.
pub(crate) fn conntrack(kind: u16, flags: u16, attributes: &[Vec<u8>]) -> Vec<u8> {
    message(kind, flags, &[vec![2, 0, 0, 0], attributes.concat()].concat())
}

pub(crate) fn addresses(source: &str, destination: &str) -> Vec<u8> {
    let one = |text: &str, v4, v6| match text.parse().unwrap() {
        IpAddr::V4(ip) => attribute(v4, &ip.octets()),
        IpAddr::V6(ip) => attribute(v6, &ip.octets()),
    };
    nest(1, &[one(source, 1, 3), one(destination, 2, 4)])
}

pub(crate) fn ports(protocol: u8, source: u16, destination: u16) -> Vec<u8> {
    nest(
        2,
        &[
            attribute(1, &[protocol]),
            attribute(2, &source.to_be_bytes()),
            attribute(3, &destination.to_be_bytes()),
        ],
    )
}

fn original(source: &str, destination: &str, selectors: Vec<u8>) -> Vec<u8> {
    nest(1, &[addresses(source, destination), selectors])
}

fn reply(source: &str, destination: &str, selectors: Vec<u8>) -> Vec<u8> {
    nest(2, &[addresses(source, destination), selectors])
}

/// A masqueraded TCP connection.
pub(crate) fn tcp() -> [Vec<u8>; 2] {
    [
        original("192.168.101.2", "198.51.100.7", ports(6, 47244, 80)),
        reply("198.51.100.7", "203.0.113.1", ports(6, 80, 61002)),
    ]
}

fn endpoint(text: &str) -> Endpoint {
    text.parse().unwrap()
}

fn first_damage(datagram: &[u8]) -> Option<ParseError> {
    parse(datagram, &mut |event| panic!("{event:?}")).expect("well framed").first_damage
}

#[test]
fn the_flags_tell_a_beginning_from_a_change_and_a_dump() {
    let (create, exclusive, multi) = (0x400, 0x200, 0x2);
    for (kind, flags, expected) in [
        (NEW, create | exclusive, EventKind::New),
        (NEW, 0, EventKind::Update),
        (NEW, multi, EventKind::Listed),
        (DESTROY, 0, EventKind::Destroy),
    ] {
        assert_eq!(only_event(&conntrack(kind, flags, &tcp())).kind, expected);
    }
}

#[test]
fn an_icmp_id_belongs_to_the_one_who_asks_and_each_direction_has_its_own() {
    for (protocol, id_kind, v6) in [(Protocol::ICMP, 4, false), (Protocol::ICMPV6, 7, true)] {
        let (client, server, masked) = if v6 {
            ("fd00::2", "2001:db8::7", "2001:db8::1")
        } else {
            ("10.0.0.2", "198.51.100.7", "203.0.113.1")
        };
        let query = |id: u16, kind: u8| {
            nest(
                2,
                &[
                    attribute(1, &[protocol.0]),
                    attribute(id_kind, &id.to_be_bytes()),
                    attribute(id_kind + 1, &[kind]),
                    attribute(id_kind + 2, &[0]),
                ],
            )
        };
        let Event { entry, .. } = only_event(&conntrack(
            NEW,
            0x400,
            &[original(client, server, query(777, 8)), reply(server, masked, query(45643, 0))],
        ));
        assert_eq!(entry.protocol, protocol);
        assert_eq!(entry.client, Endpoint::new(client.parse().unwrap(), Selector::Id(777)));
        assert_eq!(entry.masked, Endpoint::new(masked.parse().unwrap(), Selector::Id(45643)));
        assert_eq!(entry.target, endpoint(server));
        assert_eq!(entry.server, endpoint(server));
    }
}

#[test]
fn a_gre_key_comes_as_a_port_and_is_an_id() {
    let Event { entry, .. } = only_event(&conntrack(
        NEW,
        0x400,
        &[
            original("10.0.0.2", "198.51.100.7", ports(47, 17, 4711)),
            reply("198.51.100.7", "203.0.113.1", ports(47, 4711, 18)),
        ],
    ));
    assert_eq!((entry.client, entry.target), (endpoint("10.0.0.2#17"), endpoint("198.51.100.7#4711")));
    assert_eq!((entry.server, entry.masked), (endpoint("198.51.100.7#4711"), endpoint("203.0.113.1#18")));
}

#[test]
fn a_protocol_that_is_not_tracked_by_name_has_no_selectors() {
    let number = |n: u8| nest(2, &[attribute(1, &[n])]);
    let Event { entry, .. } = only_event(&conntrack(
        NEW,
        0x400,
        &[original("10.0.0.2", "198.51.100.7", number(50)), reply("198.51.100.7", "203.0.113.1", number(50))],
    ));
    assert_eq!((entry.protocol, entry.masked), (Protocol(50), endpoint("203.0.113.1")));
}

#[test]
fn the_two_tuples_need_not_be_of_one_family() {
    let Event { entry, .. } = only_event(&conntrack(
        NEW,
        0x400,
        &[
            original("2001:db8::2", "64:ff9b::c633:6407", ports(6, 47244, 80)),
            reply("198.51.100.7", "203.0.113.1", ports(6, 80, 61002)),
        ],
    ));
    assert_eq!(
        (entry.client, entry.masked),
        (endpoint("[2001:db8::2]:47244"), endpoint("203.0.113.1:61002"))
    );
}

#[test]
fn a_zone_is_of_both_directions_or_of_one() {
    let [original_tuple, reply_tuple] = tcp();
    let both = attribute(18, &7_u16.to_be_bytes());
    let Event { entry, .. } =
        only_event(&conntrack(NEW, 0x400, &[original_tuple.clone(), reply_tuple.clone(), both]));
    assert_eq!(entry.zones, Zones { original: 7, reply: 7 });

    let one = |which: u16, zone: u16| {
        nest(
            which,
            &[addresses("10.0.0.2", "198.51.100.7"), ports(6, 1, 2), attribute(3, &zone.to_be_bytes())],
        )
    };
    let Event { entry, .. } = only_event(&conntrack(NEW, 0x400, &[one(1, 3), reply_tuple]));
    assert_eq!(entry.zones, Zones { original: 3, reply: 0 });
    let Event { entry, .. } = only_event(&conntrack(NEW, 0x400, &[original_tuple, one(2, 4)]));
    assert_eq!(entry.zones, Zones { original: 0, reply: 4 });
}

#[test]
fn counters_of_32_bits_count_too() {
    let [a, b] = tcp();
    let counters = nest(10, &[attribute(3, &5_u32.to_be_bytes()), attribute(4, &260_u32.to_be_bytes())]);
    let Event { entry, .. } = only_event(&conntrack(DESTROY, 0, &[a, b, counters]));
    let expected = Traffic { original: Count::default(), reply: Count { packets: 5, bytes: 260 } };
    assert_eq!(entry.traffic, Some(expected));
}

#[test]
fn unknown_attributes_are_skipped() {
    let [a, b] = tcp();
    let whole = only_event(&conntrack(NEW, 0x400, &[a.clone(), b.clone()]));
    let strange = attribute(0x3abc, b"from a later kernel");
    assert_eq!(only_event(&conntrack(NEW, 0x400, &[strange.clone(), a, strange.clone(), b, strange])), whole);
}

#[test]
fn a_damaged_message_is_counted_and_the_next_is_read() {
    let [a, b] = tcp();
    let cut_port =
        nest(1, &[addresses("10.0.0.2", "10.0.0.3"), nest(2, &[attribute(1, &[6]), attribute(2, &[1])])]);
    let damaged = [
        (conntrack(NEW, 0, std::slice::from_ref(&a)), ParseError::Missing("CTA_TUPLE_REPLY")),
        (
            conntrack(NEW, 0, &[a.clone(), b.clone(), attribute(3, &[1, 2])]),
            ParseError::Size { name: "CTA_STATUS", length: 2, expected: 4 },
        ),
        (
            conntrack(NEW, 0, &[cut_port]),
            ParseError::Size { name: "CTA_PROTO_SRC_PORT", length: 1, expected: 2 },
        ),
        (
            conntrack(NEW, 0, &[a.clone(), b.clone(), vec![200, 0, 3, 0]]),
            ParseError::Attribute { kind: 3, length: 200 },
        ),
        (
            conntrack(NEW, 0, &[a.clone(), b.clone(), vec![3, 0, 3, 0]]),
            ParseError::Attribute { kind: 3, length: 3 },
        ),
        (message(DESTROY, 0, &[2, 0]), ParseError::Short { kind: DESTROY, length: 2 }),
    ];
    for (bytes, damage) in damaged {
        assert_eq!(first_damage(&bytes), Some(damage));
        let mut datagram = bytes.clone();
        datagram.resize(datagram.len().next_multiple_of(4), 0);
        datagram.extend(conntrack(NEW, 0x400, &tcp()));
        let mut events = 0;
        let progress = parse(&datagram, &mut |_| events += 1).unwrap();
        assert_eq!((progress.events, progress.damaged, events), (1, 1, 1), "{damage}");
    }
}

#[test]
fn broken_framing_ends_the_datagram_after_what_was_whole() {
    let whole = conntrack(NEW, 0x400, &tcp());
    for (tail, length) in [(vec![7_u8; 5], 0), (message(NEW, 0, &[0; 4])[..18].to_vec(), 20)] {
        let datagram = [whole.clone(), tail.clone()].concat();
        let mut events = 0;
        let error = parse(&datagram, &mut |_| events += 1).unwrap_err();
        assert_eq!(error, ParseError::Frame { offset: whole.len(), length, available: tail.len() });
        assert_eq!(events, 1);
    }
}

#[test]
fn the_end_of_a_dump_a_refusal_and_an_interruption_are_told() {
    let done = message(3, 2, &0_i32.to_ne_bytes());
    let progress = parse(&done, &mut |_| {}).unwrap();
    assert!(progress.is_done && progress.answer.is_none() && !progress.is_interrupted);

    let interrupted = conntrack(NEW, 0x2 | 0x10, &tcp());
    assert!(parse(&interrupted, &mut |_| {}).unwrap().is_interrupted);

    let refused = message(2, 0, &[(-1_i32).to_ne_bytes().to_vec(), vec![0; 16]].concat());
    assert_eq!(parse(&refused, &mut |_| {}).unwrap().answer, Some(1));
    let failed = message(3, 2, &(-105_i32).to_ne_bytes());
    assert_eq!(parse(&failed, &mut |_| {}).unwrap().answer, Some(105));

    let other = message(0x0201, 0, &[0; 8]);
    assert_eq!(parse(&other, &mut |_| {}).unwrap().others, 1);
}
