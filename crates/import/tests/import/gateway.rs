//! A real gateway's 96 flows, of which three programs wrote three logs: all must tell the same mapping.

use std::collections::BTreeSet;

use unmasq_flow::{Bound, Flow};

use super::*;

fn flows(format: Format, file: &str, settings: Settings) -> Vec<Flow> {
    let (paired, refused) = read(format, &bytes(&format!("gateway-1/{file}.zst")), settings, 1000);
    assert_eq!(refused, BTreeMap::new());
    paired.into_iter().map(|p| p.flow).collect()
}

fn conntrack() -> Vec<Flow> {
    flows(Format::Conntrack, "conntrack-events.txt", Settings::default())
}

fn mapping(flows: &[Flow]) -> BTreeSet<String> {
    flows
        .iter()
        .map(|f| format!("{} {} {} {} {}", f.protocol, f.client, f.target, f.masked, f.server))
        .collect()
}

#[test]
fn every_format_tells_the_same_96_flows() {
    let conntrack = conntrack();
    let json = flows(Format::UlogdJson, "ulogd_nfct.json", Settings::default());
    let emu = flows(Format::UlogdEmu, "ulogd_nfct.log", settings(Some("UTC"), Some(2026)));
    assert_eq!([conntrack.len(), json.len(), emu.len()], [96; 3]);
    assert_eq!(mapping(&conntrack).len(), 96);
    assert_eq!(mapping(&conntrack), mapping(&json));
    assert_eq!(mapping(&conntrack), mapping(&emu));
}

#[test]
fn the_times_of_conntrack_hold_those_that_ulogd_had_from_the_kernel() {
    let json = flows(Format::UlogdJson, "ulogd_nfct.json", Settings::default());
    for flow in conntrack() {
        let other = json.iter().find(|f| f.kernel_id == flow.kernel_id && f.client == flow.client).unwrap();
        // Exact, or as read where it was written within the second of the end.
        let (Bound::Between(..), Bound::Exact(end) | Bound::Read(end)) = (flow.end, other.end) else {
            panic!("{flow:?} {other:?}")
        };
        assert!(flow.end.range().contains(end), "{:?} {end}", flow.end);
        assert!(flow.start.range().contains(other.start.latest()), "{:?} {:?}", flow.start, other.start);
        assert_eq!(flow.traffic, other.traffic);
    }
}

#[test]
fn a_zone_that_is_given_agrees_with_the_one_that_the_lines_tell() {
    let given = flows(Format::Conntrack, "conntrack-events.txt", settings(Some("UTC"), None));
    assert_eq!(given, conntrack());
    let log = bytes("gateway-1/conntrack-events.txt.zst");
    let (_, refused) = read(Format::Conntrack, &log, settings(Some("America/New_York"), None), 1000);
    assert_eq!(refused.values().sum::<u32>(), 96, "{refused:?}");
    assert!(refused.keys().next().unwrap().contains("--tz"));
}

#[test]
fn a_log_of_starts_only_leaves_open_candidates() {
    for flow in flows(Format::UlogdEmu, "ulogd_nfct.log", settings(Some("UTC"), Some(2026))) {
        assert_eq!(flow.end, Bound::Unknown, "no port was used twice");
    }
}

#[test]
fn packets_are_refused_as_such() {
    for (format, file) in
        [(Format::UlogdJson, "gateway-1/ulogd.json"), (Format::UlogdEmu, "gateway-1/ulogd_pkt.log")]
    {
        let (flows, refused) = read(format, &bytes(file), settings(Some("UTC"), Some(2026)), 1000);
        assert!(flows.is_empty());
        assert_eq!(refused, BTreeMap::from([(Refusal::Packet.to_string(), 2)]), "{file}");
    }
}

#[test]
fn a_format_is_known_by_its_lines() {
    for (format, file) in [
        (Format::Conntrack, "gateway-1/conntrack-events.txt.zst"),
        (Format::UlogdJson, "gateway-1/ulogd_nfct.json.zst"),
        (Format::UlogdEmu, "gateway-1/ulogd_nfct.log.zst"),
        (Format::Natlog, "all-protocols/natlog-local.txt"),
        (Format::Natlog, "all-protocols/natlog.csv"),
        (Format::Conntrack, "all-protocols/conntrack-list.txt"),
    ] {
        let bytes = bytes(file);
        let lines: Vec<&[u8]> = bytes.split(|b| *b == b'\n').take(20).collect();
        assert_eq!(Format::of_lines(&lines), Some(format), "{file}");
    }
    assert_eq!(Format::of_lines(&["what is this", ""]), None);
}
