//! What accepting, journaling and sealing cost: `cargo run --release -p unmasq-ledger --example accept [FLOWS]`.
//!
//! Prints CPU time a record for each part, on synthetic flows. Process CPU time, so that the threads count too.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use unmasq_flow::{Bound, ClockReading, Flow, Timestamp};
use unmasq_lab::synthetic::Flows;
use unmasq_ledger::{CoverageEvent, Writer, WriterOptions};

fn cpu(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn main() -> Result<(), unmasq_ledger::LedgerError> {
    let count = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    let directory = std::env::temp_dir().join(format!("unmasq-accept-{}", std::process::id()));
    let flows: Vec<Flow> = Flows::new(1, count).collect();
    let mut events: Vec<(Timestamp, usize, bool)> = Vec::with_capacity(flows.len() * 2);
    for (number, flow) in flows.iter().enumerate() {
        events.push((flow.start.earliest(), number, true));
        events.push((flow.end.latest(), number, false));
    }
    events.sort_unstable();
    let opened: Vec<Flow> =
        flows.iter().map(|flow| Flow { end: Bound::Open, traffic: None, ..flow.clone() }).collect();
    let (mut writer, _) = Writer::open(&directory, "gw1", WriterOptions::default())?;
    let (begun, whole) = (Instant::now(), cpu(ClockId::ProcessCPUTime));
    let mut accepted = Duration::ZERO;
    let mut flushed = Timestamp::MIN;
    for some in events.chunks(256) {
        // A recorder has just made the flow that it hands over: here, too, it comes from the cache and not from memory.
        for (_, number, is_start) in some {
            std::hint::black_box(if *is_start { &opened[*number] } else { &flows[*number] }.clone());
        }
        let mine = cpu(ClockId::ThreadCPUTime);
        for (time, number, is_start) in some {
            if *is_start {
                writer.opened(&opened[*number]);
            } else {
                writer.ended(&flows[*number], true);
            }
            if time.since(flushed) > Duration::from_millis(100) {
                flushed = *time;
                let boot = Duration::from_nanos(u64::try_from(time.as_nanos()).unwrap_or(0));
                let clock = ClockReading { wall: *time, boot, is_synchronised: true };
                writer.cover(CoverageEvent::Alive { clock });
                writer.flush()?;
            }
        }
        accepted += cpu(ClockId::ThreadCPUTime).saturating_sub(mine);
    }
    let records = events.len() as f64;
    println!("accept and flush: {:.0} ns a record", accepted.as_nanos() as f64 / records);
    writer.seal_all()?;
    let sealed = cpu(ClockId::ProcessCPUTime).saturating_sub(whole);
    println!("with journals sealed and merged: {:.0} ns a record", sealed.as_nanos() as f64 / records);
    println!("in {:.2} s; {:?}", begun.elapsed().as_secs_f64(), writer.stats());
    writer.finish()?;
    std::fs::remove_dir_all(&directory).map_err(|source| unmasq_ledger::LedgerError::Io {
        doing: "remove",
        path: directory,
        source,
    })
}
