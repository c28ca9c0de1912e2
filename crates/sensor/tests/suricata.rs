//! Event by event as Suricata 7 reads the same capture; see data/README.md.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, also in its helpers")]

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::Value;
use unmasq_sensor::pcap::Capture;
use unmasq_sensor::{Captured, Limits, Sensor, Sighting};

const CAPTURE: &[u8] = include_bytes!("data/handshakes.pcap");
const THEIRS: &str = include_str!("data/handshakes.suricata-7.0.10.json");

/// What both say alike, by the community id.
fn by_community(lines: &[String]) -> BTreeMap<String, Value> {
    let events = lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
    events
        .map(|event| {
            // Suricata writes IPv6 addresses out.
            let address = |name: &str| event[name].as_str().unwrap().parse::<IpAddr>().unwrap().to_string();
            let common = serde_json::json!({
                "from": address("src_ip"), "to": address("dest_ip"), "ports": [event["src_port"], event["dest_port"]],
                "proto": event["proto"], "vlan": event["vlan"], "ssh": event["ssh"], "type": event["event_type"],
            });
            (event["community_id"].as_str().unwrap().to_owned(), common)
        })
        .collect()
}

fn sense(capture: &[u8]) -> (Vec<String>, usize) {
    let mut capture = Capture::open(capture).unwrap();
    let mut sensor = Sensor::new(vec![22], Limits::default());
    let (mut lines, mut early) = (Vec::new(), 0);
    let mut tell = |sighting| match sighting {
        Sighting::Client(_) => early += 1,
        Sighting::Whole(whole) => lines.push(whole.to_eve()),
    };
    let mut last = unmasq_flow::Timestamp::default();
    while let Some((at, link, bytes)) = capture.next_packet().unwrap() {
        last = at;
        sensor.take(&Captured::new(at, link, bytes), &mut tell);
    }
    sensor.finish(last, &mut tell);
    (lines, early)
}

#[test]
fn each_event_is_suricatas() {
    let (lines, early) = sense(CAPTURE);
    let mut ours = by_community(&lines);
    let theirs = by_community(&THEIRS.lines().map(str::to_owned).collect::<Vec<_>>());
    assert_eq!((lines.len(), ours.len(), theirs.len(), early), (11, 11, 10, 9));
    // The one that it takes for HTTP: of the client nothing is known.
    ours.retain(|community, event| {
        let is_known = theirs.contains_key(community);
        assert!(is_known || event["ssh"]["client"].is_null(), "{event}");
        is_known
    });
    assert_eq!(ours, theirs);
}

#[test]
fn a_capture_that_is_cut_anywhere_gives_what_came_before() {
    let (whole, _) = sense(CAPTURE);
    for length in (24..CAPTURE.len()).step_by(997) {
        let mut capture = Capture::open(&CAPTURE[..length]).unwrap();
        let mut sensor = Sensor::new(vec![22], Limits::default());
        let mut lines = Vec::new();
        while let Ok(Some((at, link, bytes))) = capture.next_packet() {
            sensor.take(&Captured::new(at, link, bytes), &mut |sighting| {
                if let Sighting::Whole(seen) = sighting {
                    lines.push(seen.to_eve());
                }
            });
        }
        assert!(whole.starts_with(&lines), "{length}");
    }
}
