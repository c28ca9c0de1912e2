//! Whole connections through a sensor.

use std::net::SocketAddr;
use std::time::Duration;

use proptest::prelude::*;
use unmasq_flow::Timestamp;
use unmasq_ssh::{KexInit, frame};

use crate::craft::Craft;
use crate::packet::{Flags, Link};
use crate::{Captured, Handshake, Limits, Sensor, Sighting, fuzz};

const ACK: Flags = Flags { syn: false, ack: true, fin: false, rst: false };

/// A sensor with what it told.
struct Watched {
    sensor: Sensor,
    first: Vec<Handshake>,
    whole: Vec<Handshake>,
    now: i64,
}

impl Watched {
    fn new(limits: Limits) -> Self {
        Self {
            sensor: Sensor::new(vec![22], limits),
            first: Vec::new(),
            whole: Vec::new(),
            now: 1_795_251_448,
        }
    }

    fn see(&mut self, from: SocketAddr, to: SocketAddr, sequence: u32, flags: Flags, payload: &[u8]) {
        self.see_frame(&Craft::new(from, to).frame(sequence, flags, payload));
    }

    fn see_frame(&mut self, frame: &[u8]) {
        let (first, whole) = (&mut self.first, &mut self.whole);
        let captured = Captured::new(Timestamp::from_seconds(self.now), Link::Ethernet, frame);
        self.sensor.take(&captured, &mut |sighting| match sighting {
            Sighting::Client(handshake) => first.push(handshake),
            Sighting::Whole(handshake) => whole.push(handshake),
        });
    }

    fn wait(&mut self, seconds: i64) {
        self.now += seconds;
        let (first, whole) = (&mut self.first, &mut self.whole);
        self.sensor.expire(Timestamp::from_seconds(self.now), usize::MAX, &mut |sighting| match sighting {
            Sighting::Client(handshake) => first.push(handshake),
            Sighting::Whole(handshake) => whole.push(handshake),
        });
    }

    fn begin(&mut self, client: SocketAddr, server: SocketAddr) {
        self.see(client, server, 99, Flags { syn: true, ..Flags::default() }, b"");
        self.see(server, client, 499, Flags { syn: true, ack: true, ..Flags::default() }, b"");
    }
}

fn kexinit(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let lists = [name, "", "c2s", "s2c", "m1", "m2", "none", "zlib", "", ""].map(str::to_owned);
    frame::write(
        &KexInit { cookie: [1; 16], lists, first_kex_packet_follows: false }.to_payload(),
        &mut bytes,
    );
    bytes
}

fn ends() -> (SocketAddr, SocketAddr) {
    (([192, 0, 2, 7], 47244).into(), ([198, 51, 100, 9], 22).into())
}

const CLIENT: &[u8] = b"SSH-2.0-libssh_0.10.6\r\n";
const SERVER: &[u8] = b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n";

/// Both sides' identifications and lists, the server first.
fn handshake(watched: &mut Watched, client: SocketAddr, server: SocketAddr) {
    watched.see(server, client, 500, ACK, SERVER);
    watched.see(client, server, 100, ACK, CLIENT);
    watched.see(server, client, 500 + SERVER.len() as u32, ACK, &kexinit("s"));
    watched.see(client, server, 100 + CLIENT.len() as u32, ACK, &kexinit("c"));
}

#[test]
fn the_client_is_told_at_once_and_the_whole_once() {
    let (client, server) = ends();
    let mut watched = Watched::new(Limits::default());
    watched.begin(client, server);
    watched.see(client, server, 100, ACK, CLIENT);
    assert_eq!(watched.first.len(), 1);
    assert_eq!(watched.first[0].client.as_ref().unwrap().software(), "libssh_0.10.6");
    handshake(&mut watched, client, server);
    // Everything once more, and the end.
    handshake(&mut watched, client, server);
    watched.see(client, server, 9999, Flags { fin: true, ..ACK }, b"");
    watched.see(server, client, 9999, Flags { fin: true, ..ACK }, b"");
    watched.wait(100);
    assert_eq!((watched.first.len(), watched.whole.len()), (1, 1));
    let whole = &watched.whole[0];
    assert_eq!((whole.tuple.source, whole.tuple.destination), (client, server));
    assert_eq!(whole.client_hassh.as_ref().unwrap().string, "c;c2s;m1;none");
    assert_eq!(whole.server_hassh.as_ref().unwrap().string, "s;s2c;m2;zlib");
    assert_eq!(watched.sensor.size(), (0, 0));
    assert!(
        whole.to_eve().contains(r#""event_type":"ssh","src_ip":"192.0.2.7","src_port":47244"#),
        "{}",
        whole.to_eve()
    );
}

#[test]
fn a_sensor_that_begins_late_knows_sides_by_the_servers_port() {
    let (client, server) = ends();
    let mut watched = Watched::new(Limits::default());
    // An older connection's packets say nothing.
    watched.see(server, client, 7, ACK, b"\x00\x01\x02encrypted");
    assert_eq!(watched.sensor.size().0, 0);
    handshake(&mut watched, client, server);
    assert_eq!(watched.whole.len(), 1);
    assert_eq!(watched.whole[0].tuple.source, client);
}

#[test]
fn what_was_seen_is_told_at_a_reset_at_both_ends_and_at_age() {
    let (client, server) = ends();
    for how in 0..3 {
        let mut watched = Watched::new(Limits::default());
        watched.begin(client, server);
        watched.see(client, server, 100, ACK, CLIENT);
        match how {
            0 => watched.see(server, client, 500, Flags { rst: true, ..ACK }, b""),
            1 => {
                watched.see(client, server, 200, Flags { fin: true, ..ACK }, b"");
                assert!(watched.whole.is_empty());
                watched.see(server, client, 500, Flags { fin: true, ..ACK }, b"");
            }
            _ => {
                watched.wait(29);
                assert!(watched.whole.is_empty());
                watched.wait(1);
            }
        }
        assert_eq!((watched.first.len(), watched.whole.len()), (1, 1), "{how}");
        assert!(watched.whole[0].server.is_none() && watched.whole[0].client_hassh.is_none());
    }
    let mut silent = Watched::new(Limits::default());
    silent.begin(client, server);
    silent.wait(60);
    assert!(silent.whole.is_empty() && silent.sensor.size() == (0, 0));
}

#[test]
fn a_forged_reset_does_not_hide_the_client() {
    let (client, server) = ends();
    let mut watched = Watched::new(Limits::default());
    watched.begin(client, server);
    watched.see(client, server, 12345, Flags { rst: true, ..ACK }, b"");
    watched.see(client, server, 100, ACK, CLIENT);
    assert_eq!(watched.first.len(), 1);
}

#[test]
fn the_same_ends_again_are_another_connection() {
    let (client, server) = ends();
    let mut watched = Watched::new(Limits::default());
    for _ in 0..3 {
        watched.begin(client, server);
        handshake(&mut watched, client, server);
    }
    assert_eq!((watched.first.len(), watched.whole.len()), (3, 3));
    // A SYN that is sent again begins nothing.
    watched.begin(client, server);
    watched.begin(client, server);
    handshake(&mut watched, client, server);
    assert_eq!(watched.sensor.counts().connections, 4);
}

#[test]
fn tags_tell_connections_apart() {
    let (client, server) = ends();
    let mut watched = Watched::new(Limits::default());
    for tags in [&[10][..], &[20][..]] {
        for (from, to, text) in [(client, server, CLIENT), (server, client, SERVER)] {
            watched.see_frame(&Craft { tags, ..Craft::new(from, to) }.frame(1, ACK, text));
        }
    }
    watched.wait(60);
    let tags: Vec<_> = watched.whole.iter().map(|seen| seen.vlan.ids().to_vec()).collect();
    assert_eq!(tags, [[10], [20]]);
    assert!(watched.whole[1].to_eve().contains(r#""vlan":[20],"#));
}

#[test]
fn the_oldest_is_told_when_there_are_too_many() {
    let (_, server) = ends();
    let mut watched = Watched::new(Limits { connections: 10, ..Limits::default() });
    for port in 1000..1100 {
        let client = ([192, 0, 2, 7], port).into();
        watched.begin(client, server);
        watched.see(client, server, 100, ACK, CLIENT);
        assert!(watched.sensor.size().0 <= 10);
    }
    assert_eq!((watched.first.len(), watched.whole.len()), (100, 90));
    assert_eq!(watched.sensor.counts().evicted, 90);
}

#[test]
fn bytes_that_wait_are_bounded_over_all_connections() {
    let (_, server) = ends();
    let limits = Limits { bytes: 100_000, age: Duration::from_secs(10), ..Limits::default() };
    let mut watched = Watched::new(limits);
    for port in 1000..2000 {
        let client = ([192, 0, 2, 7], port).into();
        watched.begin(client, server);
        // After a hole that is never filled.
        watched.see(client, server, 1000, ACK, &[b'x'; 1400]);
        assert!(watched.sensor.size().1 <= 100_000);
    }
    assert!(watched.sensor.counts().evicted > 900);
    watched.wait(10);
    assert_eq!(watched.sensor.size(), (0, 0));
}

#[test]
fn the_corpus_is_answered() {
    for (target, run) in [("sensor_packets", fuzz::packets as fn(&[u8])), ("sensor_stream", fuzz::stream)] {
        let folder = format!("{}/../../fuzz/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
        let files: Vec<_> = std::fs::read_dir(folder).unwrap().collect();
        assert!(!files.is_empty(), "{target}");
        for file in files {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            for length in 0..=bytes.len() {
                run(&bytes[..length]);
            }
        }
    }
}

proptest! {
    #[test]
    fn any_orders_are_carried_out(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        fuzz::stream(&bytes);
    }

    #[test]
    fn any_bytes_are_packets_or_not(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        fuzz::packets(&bytes);
    }

    #[test]
    fn random_bytes_after_the_identification_change_nothing_of_it(
        segments in prop::collection::vec((any::<bool>(), 0u32..70_000, prop::collection::vec(any::<u8>(), 0..100)), 0..40),
    ) {
        let (client, server) = ends();
        let mut watched = Watched::new(Limits::default());
        watched.begin(client, server);
        watched.see(client, server, 100, ACK, CLIENT);
        for (is_client, at, bytes) in segments {
            let (from, to) = if is_client { (client, server) } else { (server, client) };
            watched.see(from, to, 100 + at, ACK, &bytes);
        }
        watched.wait(60);
        prop_assert_eq!((watched.first.len(), watched.whole.len()), (1, 1));
        prop_assert_eq!(watched.whole[0].client.as_ref().unwrap().software(), "libssh_0.10.6");
    }
}
