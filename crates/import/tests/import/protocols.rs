//! Every kind of flow that the lab could make, as each program wrote it. What is read is kept in `snapshots/`.

use super::*;

fn snapshot(name: &str, format: Format, settings: Settings) -> Vec<Paired> {
    let (flows, refused) = read(format, &bytes(&format!("all-protocols/{name}")), settings, 1000);
    insta::assert_snapshot!(name.replace('.', "-"), format!("{}\nrefused: {refused:?}", table(&flows)));
    flows
}

fn mapping(flows: &[Paired]) -> Vec<String> {
    let mut mapping: Vec<String> =
        flows.iter().map(|p| row(&p.flow).split(" mark").next().unwrap_or_default().to_owned()).collect();
    mapping.sort();
    mapping
}

#[test]
fn conntrack_with_every_mixture_of_options() {
    let plain = snapshot("conntrack-id.txt", Format::Conntrack, Settings::default());
    let with_times = snapshot("conntrack-id-ktimestamp.txt", Format::Conntrack, Settings::default());
    let new_york = snapshot("conntrack-ktimestamp-new-york.txt", Format::Conntrack, Settings::default());
    let extended = snapshot("conntrack-extended.txt", Format::Conntrack, Settings::default());
    for other in [&with_times, &new_york, &extended] {
        assert_eq!(mapping(&plain), mapping(other));
    }
    for (a, b) in with_times.iter().zip(&new_york) {
        assert_eq!(a.flow.end.earliest(), b.flow.end.earliest(), "the zone is told by the line itself");
    }
    snapshot("conntrack-no-timestamps.txt", Format::Conntrack, Settings::default());
}

#[test]
fn conntrack_without_the_time_of_reading_needs_a_zone() {
    snapshot("conntrack-ktimestamp-only.txt", Format::Conntrack, settings(Some("UTC"), None));
    let (flows, refused) = read(
        Format::Conntrack,
        &bytes("all-protocols/conntrack-ktimestamp-only.txt"),
        Settings::default(),
        1000,
    );
    assert!(flows.is_empty());
    assert_eq!(refused.keys().collect::<Vec<_>>(), [&Refusal::NoZone.to_string()]);
}

#[test]
fn conntrack_dumps_need_a_time() {
    snapshot("conntrack-list-extended.txt", Format::Conntrack, settings(Some("UTC"), None));
    let seen = Settings { seen_at: Some(Timestamp::from_seconds(1_795_259_953)), ..Settings::default() };
    snapshot("conntrack-list.txt", Format::Conntrack, seen);
    let (flows, refused) =
        read(Format::Conntrack, &bytes("all-protocols/conntrack-list.txt"), Settings::default(), 1000);
    assert!(flows.is_empty());
    assert_eq!(refused, BTreeMap::from([(Refusal::NoTime.to_string(), 14)]));
}

#[test]
fn ulogd_json_with_and_without_hash_and_kernel_times() {
    let events = snapshot("ulogd-events.json", Format::UlogdJson, Settings::default());
    let new_york = snapshot("ulogd-new-york.json", Format::UlogdJson, Settings::default());
    let hash = snapshot("ulogd-hash.json", Format::UlogdJson, Settings::default());
    assert_eq!(mapping(&events), mapping(&new_york));
    assert_eq!(mapping(&events), mapping(&hash));
    snapshot("ulogd-no-timestamps.json", Format::UlogdJson, Settings::default());
}

#[test]
fn ulogd_printflow_in_two_zones() {
    let utc = snapshot("ulogd-printflow.log", Format::UlogdEmu, settings(Some("UTC"), Some(2026)));
    let new_york = snapshot(
        "ulogd-printflow-new-york.log",
        Format::UlogdEmu,
        settings(Some("America/New_York"), Some(2026)),
    );
    assert_eq!(table(&utc), table(&new_york));
    for (zone, year, reason) in [(None, Some(2026), Refusal::NoZone), (Some("UTC"), None, Refusal::NoYear)] {
        let log = bytes("all-protocols/ulogd-printflow.log");
        let (flows, refused) = read(Format::UlogdEmu, &log, settings(zone, year), 1000);
        assert!(flows.is_empty());
        assert_eq!(refused.keys().collect::<Vec<_>>(), [&reason.to_string()]);
    }
}

#[test]
fn natlog_in_all_its_forms() {
    let raw = snapshot("natlog-raw.txt", Format::Natlog, Settings::default());
    let utc = snapshot("natlog-utc.txt", Format::Natlog, settings(None, Some(2026)));
    let local = snapshot("natlog-local.txt", Format::Natlog, settings(Some("UTC"), Some(2026)));
    let table = snapshot("natlog.csv", Format::Natlog, Settings::default());
    assert_eq!(mapping(&raw), mapping(&utc));
    assert_eq!(mapping(&raw), mapping(&local));
    assert!(mapping(&table).iter().any(|row| mapping(&raw).contains(row)));
    snapshot("natlog-udp.txt", Format::Natlog, Settings::default());
    snapshot("natlog-icmp.txt", Format::Natlog, Settings::default());
}

#[test]
fn natlog_that_did_not_see_the_end_or_the_translation_says_so() {
    let line = |rest: &str| {
        format!(
            "Nov 21 10:00:00 gw NATLOG: from 1795252004:209201 thru 1795252006:288342:  tcp 192.168.101.002,37497 {rest}"
        )
    };
    let log = [
        line("(via: 192.000.002.001,40088) to 192.000.002.080,8080;  sent:  1, received: 2 (EOP)"),
        line("(via: 192.000.002.001,40089)"),
        line("to 192.000.002.080,8080;  sent:  1, received: 2"),
    ]
    .join("\n");
    let (flows, refused) = read(Format::Natlog, log.as_bytes(), Settings::default(), 1000);
    assert_eq!(refused, BTreeMap::from([(Refusal::NoVia.to_string(), 1)]));
    assert_eq!(flows[0].flow.end, Bound::Unknown);
    assert_eq!(flows[0].flow.traffic.map(|t| t.reply.bytes), Some(2));
    assert_eq!(flows[1].flow.server, unmasq_flow::Destination::Omitted);
}
