//! How long a question to a history takes, and how long printing rules does.
//!
//! ```console
//! $ cargo bench -p unmasq-plan --bench history -- [REVISIONS] [CLIENTS] [FOLDER]
//! ```
//!
//! 5,000 revisions of 16,384 clients if not given: once with about 1 % of the clients changed by each, once (a tenth of the
//! revisions) with all of them. Questions are about random ports and times. "Cold" is a history opened for the question,
//! whose files are in the page cache; "warm" asks the same open one again. Targets: a cold question below 1 ms, rules for
//! 65,000 clients below 100 ms.

use std::error::Error;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use unmasq_flow::{Period, Protocol, Selector, Timestamp};
use unmasq_plan::history::{Format, History, HistoryWriter, Moment, NewRevision};
use unmasq_plan::rules::{Header, Iptables, Nft, read};
use unmasq_plan::{Allocation, Block, Layout, Plan, PortRange, ProtocolSet, Spec};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Ports of a client; the public addresses have room for twice the clients.
const SIZE: u32 = 32;
const FIRST: i64 = 1_700_000_000;
/// Seconds from revision to revision.
const APART: i64 = 600;

fn main() -> Outcome<()> {
    let mut args = std::env::args().skip(1).filter(|arg| !arg.starts_with('-'));
    let revisions = args.next().map_or(Ok(5000), |n| n.parse())?;
    let clients = args.next().map_or(Ok(16_384), |n| n.parse())?;
    let folder = args.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = folder.join(format!("unmasq-bench-{}", std::process::id()));
    fs::create_dir(&folder)?;
    let result = questions(&folder.join("few"), revisions, clients, clients / 100)
        .and_then(|()| questions(&folder.join("all"), revisions / 10, clients, clients));
    fs::remove_dir_all(&folder)?;
    result?;
    rules()
}

/// Numbers that look random, the same each time (an LCG of Knuth's).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((u64::from((self.0 >> 32) as u32) * u64::from(limit)) >> 32) as u32
    }
}

fn block(number: u32) -> Block {
    let each = 65_536 / SIZE;
    let first = number % each * SIZE;
    let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(203, 0, 113, 0)) + number / each);
    let ports = PortRange::new(first as u16, (first + SIZE - 1) as u16).unwrap_or(PortRange::ALL);
    Block { address, ports }
}

fn plan(blocks: &[u32]) -> Plan {
    let allocation = |(n, number): (usize, &u32)| Allocation {
        client: Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 8, 0, 0)) + n as u32),
        block: block(*number),
        protocols: ProtocolSet::ALL,
    };
    Plan {
        layout: Layout::Even,
        ports_per_client: SIZE,
        allocations: blocks.iter().enumerate().map(allocation).collect(),
        ..Plan::default()
    }
}

fn moment(revision: u32) -> Moment {
    let seconds = i64::from(revision) * APART;
    Moment {
        wall: Timestamp::from_seconds(FIRST + seconds),
        boot: Duration::from_secs(seconds as u64),
        boot_id: [1; 16],
    }
}

fn write(folder: &Path, revisions: u32, clients: u32, changed: u32) -> Outcome<()> {
    let mut writer = HistoryWriter::open(folder)?;
    let mut numbers = Numbers(1);
    let mut blocks: Vec<u32> = (0..clients).collect();
    let mut free: Vec<u32> = (clients..2 * clients).collect();
    for revision in 0..revisions {
        if changed >= clients {
            std::mem::swap(&mut blocks, &mut free);
        } else {
            for _ in 0..changed {
                let (who, which) = (numbers.below(clients) as usize, numbers.below(clients) as usize);
                std::mem::swap(&mut blocks[who], &mut free[which]);
            }
        }
        let plan = plan(&blocks);
        let new = NewRevision {
            plan: &plan,
            rules: "short\n",
            format: Format::Nft,
            keeps_flows: false,
            longest_timeout: Duration::ZERO,
        };
        let begun = writer.begin(new, moment(revision))?;
        writer.applied(begun, moment(revision))?;
    }
    Ok(())
}

fn questions(folder: &Path, revisions: u32, clients: u32, changed: u32) -> Outcome<()> {
    let start = Instant::now();
    write(folder, revisions, clients, changed)?;
    let each = start.elapsed() / revisions.max(1);
    println!("{revisions} revisions of {clients} clients, {changed} change with each");
    println!("  {:<26}{:>10.2} ms a revision", "written", each.as_secs_f64() * 1e3);
    println!("  {:<26}{:>10.1} MiB", "rows", size(&folder.join("revisions"))? as f64 / f64::from(1 << 20));
    let mut numbers = Numbers(2);
    let asked: Vec<(Block, Period)> = (0..1000)
        .map(|_| {
            let time = FIRST + i64::from(numbers.below(revisions)) * APART + APART / 2;
            (block(numbers.below(2 * clients)), Period::at(Timestamp::from_seconds(time)))
        })
        .collect();
    show("opened", asked.iter().map(|_| timed(|| History::open(folder).map(|h| h.revisions().len()))))?;
    let ask = |history: &History, (block, window): &(Block, Period)| {
        let selector = Selector::Port(block.ports.last());
        history
            .held(block.address, selector, Some(Protocol::TCP), *window)
            .map(|held| held.map_or(0, |h| h.holders.len()))
    };
    show("opened and asked, cold", asked.iter().map(|q| timed(|| ask(&History::open(folder)?, q))))?;
    let history = History::open(folder)?;
    show("asked elsewhere", asked.iter().map(|q| timed(|| ask(&history, q))))?;
    show("asked again, warm", asked.iter().map(|q| ask(&history, q).and_then(|_| timed(|| ask(&history, q)))))
}

/// Processor time of this thread, the kernel's for it included: the machine may have other work.
fn timed<T, E>(action: impl FnOnce() -> Result<T, E>) -> Result<Duration, E> {
    let now = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default();
    let start = now();
    std::hint::black_box(action()?);
    Ok(now().saturating_sub(start))
}

fn show<E: Error + 'static>(what: &str, times: impl Iterator<Item = Result<Duration, E>>) -> Outcome<()> {
    let mut times: Vec<Duration> = times.collect::<Result<_, E>>()?;
    times.sort_unstable();
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e6;
    println!("  {what:<26}{:>10.0} µs median, {:.0} µs of the slowest 1 %", at(0.5), at(0.99));
    Ok(())
}

fn size(folder: &Path) -> Outcome<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        bytes += entry?.metadata()?.len();
    }
    Ok(bytes)
}

fn rules() -> Outcome<()> {
    let spec = Spec {
        layout: Layout::Even,
        public: vec!["203.0.113.0/27".parse()?],
        ..Spec::of_script(vec!["10.8.0.0/16".parse()?], Ipv4Addr::UNSPECIFIED)
    };
    println!("rules of 65,533 clients");
    let twenty = || 0..20;
    show("plan made", twenty().map(|_| timed(|| spec.make(None))))?;
    let plan = spec.make(None)?;
    show("and made from the former", twenty().map(|_| timed(|| spec.make(Some(&plan)))))?;
    let never = |text: String| Ok::<usize, std::convert::Infallible>(text.len());
    let nft = || Nft { plan: &plan, out_interface: Some("wan") }.file("bench");
    show("printed for nft", twenty().map(|_| timed(|| never(nft()))))?;
    let iptables =
        || Iptables { plan: &plan, out_interface: Some("wan") }.file(&Header::Unmasq(String::new()));
    show("printed for iptables", twenty().map(|_| timed(|| never(iptables()))))?;
    let text = iptables();
    show("read from iptables", twenty().map(|_| timed(|| read(text.as_bytes()))))
}
