//! Nanoseconds for each recorded event, by this crate's parser and by netlink-packet-netfilter, in one run.
//!
//! `cargo bench -p unmasq-netfilter --bench parse`

use std::hint::black_box;
use std::time::Instant;

use netlink_packet_core::NetlinkMessage;
use netlink_packet_netfilter::NetfilterMessage;
use unmasq_netfilter::conntrack;

/// How often the stream is read; the best pass counts, as the least disturbed one.
const PASSES: usize = 15;

fn main() {
    let compressed = include_bytes!("../tests/data/conntrack-6.18.zst");
    let bytes = zstd::decode_all(&compressed[..]).expect("the recording is whole");
    let mut datagrams = Vec::new();
    let mut rest = &bytes[..];
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let (datagram, after) = after.split_at(u32::from_le_bytes(*length) as usize);
        datagrams.push(datagram);
        rest = after;
    }
    println!("{} events of {} bytes on average", datagrams.len(), (bytes.len() / datagrams.len()) - 4);
    let ours = best(&datagrams, |datagram| {
        let progress = conntrack::parse(datagram, &mut |event| {
            black_box(&event);
        });
        assert!(progress.is_ok_and(|p| p.events == 1));
    });
    println!("unmasq-netfilter           {ours:7.1} ns/event");
    let theirs = best(&datagrams, |datagram| {
        let message = NetlinkMessage::<NetfilterMessage>::deserialize(datagram);
        assert!(black_box(message).is_ok());
    });
    println!("netlink-packet-netfilter   {theirs:7.1} ns/event  ({:.1} times)", theirs / ours);
}

fn best(datagrams: &[&[u8]], read: impl Fn(&[u8])) -> f64 {
    (0..PASSES)
        .map(|_| {
            let start = Instant::now();
            for datagram in datagrams {
                read(datagram);
            }
            start.elapsed().as_nanos() as f64 / datagrams.len() as f64
        })
        .fold(f64::INFINITY, f64::min)
}
