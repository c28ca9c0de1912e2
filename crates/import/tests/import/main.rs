//! The formats against logs of the real programs, the pairing, and properties that hold for any bytes.

#![allow(clippy::unwrap_used, reason = "a test that cannot read its data fails")]

mod gateway;
mod pairing;
mod properties;
mod protocols;

use std::collections::BTreeMap;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use unmasq_flow::{Bound, Flow, Origin, Timestamp};
use unmasq_import::{Format, Line, Lines, Paired, Pairer, Parser, Refusal, Settings};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn bytes(name: &str) -> Vec<u8> {
    let bytes = std::fs::read(data(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
    if Path::new(name).extension().is_some_and(|e| e == "zst") {
        zstd::decode_all(&*bytes).unwrap()
    } else {
        bytes
    }
}

fn settings(zone: Option<&str>, year: Option<i16>) -> Settings {
    Settings { zone: zone.map(|z| jiff::tz::TimeZone::get(z).unwrap()), year, seen_at: None }
}

/// Flows in the order in which they are given out, and the refusals.
fn read(
    format: Format,
    log: &[u8],
    settings: Settings,
    max_open: usize,
) -> (Vec<Paired>, BTreeMap<String, u32>) {
    let mut parser = Parser::new(format, settings);
    let mut pairer = Pairer::new(Origin::new("import-test", ""), max_open);
    let mut flows = Vec::new();
    let mut refused = BTreeMap::new();
    let mut lines = Lines::new(BufReader::new(log));
    let mut refuse = |reason: Refusal| *refused.entry(reason.to_string()).or_insert(0) += 1;
    while let Some(line) = lines.next_line().unwrap() {
        let Line::Whole(line) = line else {
            refuse(Refusal::TooLong);
            continue;
        };
        match parser.line(line) {
            Ok(Some(sighting)) => pairer.push(&sighting, &mut |paired| flows.push(paired)),
            Ok(None) => {}
            Err(reason) => refuse(reason),
        }
    }
    pairer.finish(&mut |paired| flows.push(paired));
    (flows, refused)
}

fn bound(bound: Bound) -> String {
    let time = |t: Timestamp| if t.is_finite() { t.to_string()[11..].to_owned() } else { t.to_string() };
    match bound {
        Bound::Exact(t) => format!("= {}", time(t)),
        Bound::Read(t) => format!("<= {}", time(t)),
        Bound::Between(a, b) => format!("{}..{}", time(a), time(b)),
        Bound::Open | Bound::Unknown => bound.kind().to_owned(),
    }
}

/// One line a flow, sorted, for snapshots.
fn table(flows: &[Paired]) -> String {
    let mut lines: Vec<String> = flows.iter().map(|p| row(&p.flow)).collect();
    lines.sort();
    lines.join("\n")
}

fn row(flow: &Flow) -> String {
    let traffic = flow.traffic.map_or("-".to_owned(), |t| {
        format!("{}/{} {}/{}", t.original.packets, t.original.bytes, t.reply.packets, t.reply.bytes)
    });
    format!(
        "{} {} -> {} as {} <- {} zones {},{} mark {} status {:#x} from {} to {} traffic {}",
        flow.protocol,
        flow.client,
        flow.target,
        flow.masked,
        flow.server,
        flow.origin.zones.original,
        flow.origin.zones.reply,
        flow.mark,
        flow.status.0,
        bound(flow.start),
        bound(flow.end),
        traffic
    )
}
