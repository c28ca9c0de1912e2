//! Entry points for fuzzing: plain functions over any bytes.

use unmasq_flow::Timestamp;

use crate::packet::{Flags, Link, Vlan};
use crate::{Captured, Limits, Sensor, Sighting, craft, packet, pcap};

/// Reads the bytes as a packet of each link, as a capture file, and hands all to a sensor.
///
/// # Panics
///
/// If more is told than was taken.
pub fn packets(bytes: &[u8]) {
    let mut sensor = Sensor::new(Vec::new(), Limits { connections: 4, bytes: 4096, ..Limits::default() });
    let mut told = 0;
    let mut tell = |sighting| told += u64::from(matches!(sighting, Sighting::Whole(_)));
    for link in [Link::Ethernet, Link::Ip, Link::Cooked, Link::Cooked2] {
        if let Ok(segment) = packet::read(link, Vlan::default(), bytes) {
            assert!(segment.payload.len() <= bytes.len());
        }
        sensor.take(&Captured::new(Timestamp::from_seconds(1), link, bytes), &mut tell);
    }
    if let Ok(mut capture) = pcap::Capture::open(bytes) {
        while let Ok(Some((at, link, bytes))) = capture.next_packet() {
            sensor.take(&Captured::new(at, link, bytes), &mut tell);
        }
    }
    sensor.finish(Timestamp::from_seconds(2), &mut tell);
    assert_eq!(sensor.size(), (0, 0));
    assert_eq!(sensor.counts().told, told);
    assert!(told <= sensor.counts().connections);
}

/// Takes the bytes as orders to send pieces of a handshake over a few connections: a byte for whose, flags, place and
/// length each, then as many bytes.
///
/// # Panics
///
/// If a connection is told of twice, or memory is not given back.
pub fn stream(bytes: &[u8]) {
    let limits = Limits { connections: 3, bytes: 100_000, ..Limits::default() };
    let mut sensor = Sensor::new(vec![22], limits);
    let mut told = 0;
    let mut tell = |sighting: Sighting| told += u64::from(matches!(sighting, Sighting::Whole(_)));
    let mut rest = bytes;
    let mut at = 0;
    while let [whose, flags, place, length, more @ ..] = rest {
        let (payload, after) = more.split_at(usize::from(*length).min(more.len()));
        rest = after;
        let client = ([192, 0, 2, whose & 7], 4711).into();
        let server = ([198, 51, 100, 1], 22).into();
        let (from, to) = if whose & 8 == 0 { (client, server) } else { (server, client) };
        let has = |bit: u8| flags & bit != 0;
        let flags = Flags { syn: has(1), ack: has(2), fin: has(4), rst: has(8) };
        let packet = craft::tcp_over(from, to, u32::from(*place), flags, payload);
        at += 1;
        sensor.take(&Captured::new(Timestamp::from_seconds(at), Link::Ip, &packet), &mut tell);
        assert!(sensor.size().0 <= 3 && sensor.size().1 <= 100_000);
        sensor.expire(Timestamp::from_seconds(at), 10, &mut tell);
    }
    sensor.finish(Timestamp::from_seconds(at), &mut tell);
    assert_eq!(sensor.size(), (0, 0));
    assert_eq!(sensor.counts().told, told);
}
