//! How small runs are, and how fast they are written, merged and read.
//!
//! ```console
//! $ cargo bench -p unmasq-ledger --bench storage -- [FLOWS] [BLOCK-ROWS] [FOLDER]
//! ```
//!
//! FLOWS is 1,000,000 if not given; the figures of other stores are for 10,000,000. The flows are those of
//! `unmasq_lab::synthetic`: entropy 6.98 bytes a flow. Sealed in runs of 256k rows as a recorder does, then merged.
//! Rates are per second of processor time, look-ups and scans are by the clock on the wall.

use std::error::Error;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{Advice, fadvise};
use rustix::time::{ClockId, clock_gettime};
use unmasq_flow::{Bound, Flow, Period, Timestamp};
use unmasq_lab::synthetic::Flows;
use unmasq_ledger::run::{Builder, Filter, Run, Summary, WriteOptions, merge};

/// Rows of a run as a recorder seals it.
const SEALED: u64 = 1 << 18;
const LOOK_UPS: u64 = 1000;
const SEED: u64 = 42;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let mut args = std::env::args().skip(1).filter(|arg| !arg.starts_with('-'));
    let flows = args.next().map_or(Ok(1_000_000), |n| n.parse())?;
    let options = WriteOptions {
        block_rows: args.next().map_or(Ok(WriteOptions::default().block_rows), |n| n.parse())?,
    };
    let folder = args.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = folder.join(format!("unmasq-bench-{}", std::process::id()));
    fs::create_dir(&folder)?;
    let result = storage(flows, options, &folder);
    fs::remove_dir_all(&folder)?;
    result
}

fn storage(flows: u64, options: WriteOptions, folder: &Path) -> Outcome<()> {
    println!("{flows} flows in blocks of {}", options.block_rows);
    let sealed = seal(Flows::new(SEED, flows), flows, options, folder, "sealed")?;
    let path = folder.join("merged.run");
    let merged = merge_all(&sealed, options, &path)?;
    let runs = sealed.len() as f64;
    drop(sealed);
    let run = Run::open(&path, "gw1")?;
    println!(
        "  {:<22}{:>10.3} B/flow, of {runs} runs",
        "merged, in all",
        merged.bytes as f64 / merged.rows as f64
    );
    for (name, size) in run.sizes()? {
        println!("    {:<20}{:>10.3}", name, size as f64 / merged.rows as f64);
    }
    decode(&run)?;
    let asked = look_ups(flows);
    find(&path, &asked)?;
    clients(&run, flows)?;
    drop(run);
    extras(flows.min(1_000_000), options, folder)
}

/// Processor time of this thread: the machine may have other work.
struct Clock(Duration);

impl Clock {
    fn start() -> Self {
        Self(Self::now())
    }

    fn now() -> Duration {
        Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
    }

    fn elapsed(&self) -> Duration {
        Self::now().saturating_sub(self.0)
    }
}

/// Seals flows in runs; only packing, sorting, encoding and writing into memory is timed.
fn seal(
    flows: impl Iterator<Item = Flow>,
    count: u64,
    options: WriteOptions,
    folder: &Path,
    name: &str,
) -> Outcome<Vec<Run>> {
    let (mut runs, mut time, mut bytes) = (Vec::new(), Duration::ZERO, 0);
    let mut flows = flows.peekable();
    let mut chunk = Vec::with_capacity(SEALED as usize);
    while let Some(first) = flows.peek() {
        let hour = first.start.earliest().hour();
        chunk.clear();
        chunk.extend(flows.by_ref().take(SEALED as usize));
        let mut out = Vec::with_capacity(16 << 20);
        let clock = Clock::start();
        let mut builder = Builder::new(hour, &options);
        for flow in &chunk {
            builder.push(flow, false);
        }
        let summary = builder.finish(&mut out)?;
        time += clock.elapsed();
        bytes += summary.bytes;
        let path = folder.join(format!("{name}-{}.run", runs.len()));
        fs::write(&path, &out)?;
        runs.push(Run::open(&path, "gw1")?);
    }
    println!(
        "  {:<22}{:>10.3} B/flow, {:.2} M flows/s",
        name,
        bytes as f64 / count as f64,
        count as f64 / time.as_secs_f64() / 1e6
    );
    Ok(runs)
}

fn merge_all(inputs: &[Run], options: WriteOptions, path: &Path) -> Outcome<Summary> {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let clock = Clock::start();
    let summary = merge(inputs, &options, &mut out)?;
    out.flush()?;
    let speed = summary.rows as f64 / clock.elapsed().as_secs_f64() / 1e6;
    println!("  {:<22}{speed:>10.2} M rows/s", "merge");
    out.into_inner()?.sync_all()?;
    Ok(summary)
}

fn decode(run: &Run) -> Outcome<()> {
    let clock = Clock::start();
    let mut rows = 0_u64;
    let damage = run.scan(&Filter::default(), &mut |_, _| {
        rows += 1;
        ControlFlow::Continue(())
    });
    none(&damage)?;
    println!(
        "  {:<22}{:>10.2} M rows/s",
        "decode into flows",
        rows as f64 / clock.elapsed().as_secs_f64() / 1e6
    );
    let clock = Clock::start();
    none(&run.verify())?;
    println!("  {:<22}{:>10.2} M rows/s", "verify", rows as f64 / clock.elapsed().as_secs_f64() / 1e6);
    Ok(())
}

fn none(damage: &[unmasq_ledger::run::Damage]) -> Outcome<()> {
    damage.first().map_or(Ok(()), |damage| Err(damage.clone().into()))
}

/// Flows evenly out of all, and an instant at which each was alive.
fn look_ups(flows: u64) -> Vec<(Flow, Timestamp)> {
    let every = (flows / LOOK_UPS).max(1) as usize;
    let alive = |flow: Flow| {
        let (start, end) = (flow.start.earliest(), flow.end.earliest());
        let at = Timestamp::from_millis(i64::midpoint(start.as_millis(), end.as_millis()));
        (flow, at)
    };
    let mut asked: Vec<_> = Flows::new(SEED, flows).step_by(every).map(alive).collect();
    // Not in the order of the file either.
    asked.sort_by_key(|(flow, _)| flow.client.selector.number().map(|n| n.wrapping_mul(40503)));
    asked
}

fn find(path: &Path, asked: &[(Flow, Timestamp)]) -> Outcome<()> {
    let run = Run::open(path, "gw1")?;
    let look_up = |run: &Run, (flow, at): &(Flow, Timestamp)| -> Outcome<(Duration, usize)> {
        let (mut found, mut hits) = (false, 0);
        let clock = Instant::now();
        let damage = run.find(flow.masked, Some(flow.protocol), Period::at(*at), &mut |row, _| {
            found |= row.flow == *flow;
            hits += 1;
        });
        let time = clock.elapsed();
        none(&damage)?;
        if found { Ok((time, hits)) } else { Err(format!("{flow:?} was not found").into()) }
    };
    let mut hits = 0;
    let mut times = Vec::new();
    for one in asked.iter().chain(asked) {
        let (time, found) = look_up(&run, one)?;
        times.push(time);
        hits += found;
    }
    println!(
        "  {:<22}{}, {:.2} rows each",
        "find, warm",
        spread(&mut times[asked.len()..]),
        hits as f64 / times.len() as f64
    );
    let mut times = Vec::new();
    for one in asked.iter().take(200) {
        let file = File::open(path)?;
        fadvise(&file, 0, None, Advice::DontNeed)?;
        drop(file);
        let clock = Instant::now();
        let run = Run::open(path, "gw1")?;
        look_up(&run, one)?;
        times.push(clock.elapsed());
    }
    println!("  {:<22}{}, opening included", "find, cold", spread(&mut times));
    Ok(())
}

fn spread(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let at = |part: f64| times[(times.len() as f64 * part) as usize].as_secs_f64() * 1e6;
    format!("{:>10.0} µs median, {:.0} µs at 99 %", at(0.5), at(0.99))
}

/// All flows of a busy, a rarer and a rare client.
fn clients(run: &Run, flows: u64) -> Outcome<()> {
    for rank in [0, 10, 100, 1000] {
        let client: IpAddr = Flows::new(SEED, flows).client(rank).ok_or("there is no such client")?;
        let (clock, own) = (Instant::now(), Clock::start());
        let (mut rows, mut first) = (0_u64, None);
        let damage = run.scan(&Filter::client(client, Period::ALWAYS), &mut |_, _| {
            first.get_or_insert_with(|| clock.elapsed());
            rows += 1;
            ControlFlow::Continue(())
        });
        none(&damage)?;
        println!(
            "  {:<22}{:>10.1} ms ({:.1} of the processor) for {rows} rows, the first after {:.1} ms",
            format!("client of rank {}", rank + 1),
            clock.elapsed().as_secs_f64() * 1e3,
            own.elapsed().as_secs_f64() * 1e3,
            first.unwrap_or_default().as_secs_f64() * 1e3
        );
    }
    Ok(())
}

/// What the fields that the data set leaves out add.
fn extras(flows: u64, options: WriteOptions, folder: &Path) -> Outcome<()> {
    let plain = bytes(Flows::new(SEED, flows), options)?;
    for (name, with) in [
        ("counters add", bytes(Flows::new(SEED, flows).with_counters(), options)?),
        ("statuses add", bytes(Flows::new(SEED, flows).with_status(), options)?),
    ] {
        println!("  {name:<22}{:>10.3} B/flow, of {flows} flows in one run", (with - plain) / flows as f64);
    }
    // A row in the next hour for each flow that is alive then. Those that are: 5,000 a second, 41 s each on average.
    let hour = Flows::new(SEED, 1).next().map_or(0, |flow| flow.start.earliest().hour());
    let alive = |mut flow: Flow| {
        let back = Duration::from_secs(2_000);
        flow.start = Bound::Exact(flow.start.earliest() - back);
        flow.end = Bound::Open;
        flow
    };
    let carried: Vec<Flow> = Flows::new(SEED, flows.min(205_000)).map(alive).collect();
    let mut builder = Builder::new(hour, &options);
    for flow in &carried {
        builder.push(flow, true);
    }
    let summary = builder.finish(&mut File::create(folder.join("carried.run"))?)?;
    println!("  {:<22}{:>10.3} B each", "carry rows take", summary.bytes as f64 / summary.rows as f64);
    Ok(())
}

fn bytes(flows: impl Iterator<Item = Flow>, options: WriteOptions) -> Outcome<f64> {
    let mut builder = Builder::new(498_611, &options);
    flows.for_each(|flow| builder.push(&flow, false));
    Ok(builder.finish(&mut std::io::sink())?.bytes as f64)
}
