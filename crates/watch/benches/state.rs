//! What state costs: `cargo bench -p unmasq-watch --bench state`. Prints the time of a raise among 100,000 counters, in
//! memory and saved, of commits, snapshots and starts with 20,000 bans, and the memory that all of it takes.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::{Duration, Instant};

use unmasq_flow::Timestamp;
use unmasq_watch::bans::SetKind;
use unmasq_watch::counters::{CategoryId, Counters, Key, Limits as CounterLimits};
use unmasq_watch::state::{BanRequest, Limits, State};

const KEYS: u32 = 100_000;
const RAISES: u32 = 2_000_000;
const BANS: u32 = 20_000;
const SSHD: CategoryId = CategoryId(0);
const KEEP: Option<Duration> = Some(Duration::from_secs(600));

/// A fixed scattering, so that neighbours in time are no neighbours in memory.
fn scatter(n: u32) -> u32 {
    n.wrapping_mul(0x9e37_79b1) ^ (n >> 7)
}

fn address(n: u32) -> Ipv4Addr {
    Ipv4Addr::from(0x0b00_0000 | (n % KEYS))
}

/// Half a million entries a second.
fn time(n: u32) -> Timestamp {
    Timestamp::from_nanos(1_795_000_000_000_000_000 + i64::from(n) * 2000)
}

fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim_end_matches("kB").trim().parse::<f64>().unwrap_or_default() / 1024.0
}

/// The processor's time and the clock's, at the start of something.
struct Start(Duration, Instant);

impl Start {
    fn now() -> Self {
        Self(processor(), Instant::now())
    }

    fn each(&self, what: &str, count: u32) {
        let each = |time: Duration| time.as_nanos() as f64 / f64::from(count);
        let (own, whole) = (each(processor().saturating_sub(self.0)), each(self.1.elapsed()));
        println!("{what:<44}{own:>10.0} ns    {whole:>8.0} ns by the clock");
    }
}

/// Time that this thread has had a processor: what others do on a busy machine does not count.
fn processor() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn main() {
    let texts: Vec<String> = (0..KEYS).map(|n| address(scatter(n)).to_string()).collect();
    let text = |n: u32| texts[(scatter(n) % KEYS) as usize].as_str();

    let started = Start::now();
    for n in 0..RAISES {
        black_box(Key::text(text(n)));
    }
    started.each("making a key (overhead)", RAISES);

    let before = resident();
    let mut counters = Counters::new(CounterLimits::default());
    for n in 0..KEYS {
        counters.raise(SSHD, &Key::text(&texts[n as usize]), KEEP, time(n));
    }
    let started = Start::now();
    for n in KEYS..RAISES {
        black_box(counters.raise(SSHD, &Key::text(text(n)), KEEP, time(n)));
    }
    started.each("raise, 100,000 live counters", RAISES - KEYS);
    let usage = counters.usage(SSHD);
    println!(
        "{:<44}{:>10.1} MiB counted, {:.1} resident, {} ticks, {} joined",
        "  their memory",
        usage.bytes as f64 / 1_048_576.0,
        resident() - before,
        usage.ticks,
        usage.joined
    );

    let started = Start::now();
    for n in 0..RAISES {
        black_box(counters.raise(SSHD, &Key::text(text(n % 5000)), KEEP, time(RAISES + n)));
    }
    started.each("raise, attack by 5,000 of them", RAISES);
    let started = Start::now();
    for n in 0..RAISES {
        let flood = Ipv4Addr::from(0x6000_0000 | n).to_string();
        black_box(counters.raise(SSHD, &Key::text(&flood), KEEP, time(2 * RAISES + n)));
    }
    started.each("raise, flood of new addresses (evicting)", RAISES);
    println!("{:<44}{:>10.1} MiB", "  their memory", counters.usage(SSHD).bytes as f64 / 1_048_576.0);
    drop(counters);

    let directory = std::env::temp_dir().join(format!("unmasq-bench-{}", std::process::id()));
    saved(&directory, text);
    std::fs::remove_dir_all(&directory).ok();
}

fn saved<'t>(directory: &Path, text: impl Fn(u32) -> &'t str) {
    let before = resident();
    let (mut state, _) = State::open(directory, Limits::default()).expect("a new state");
    state.bind_categories(&["sshd"]);
    let commit = |state: &mut State, n: u32| state.commit(&[("journal", n)], []).expect("there is room");
    let mut next = 0;
    for (batch, raises) in [(1, 100_000), (32, 500_000), (1000, 1_000_000)] {
        let (mut slowest, started) = (Duration::ZERO, Start::now());
        for _ in 0..raises / batch {
            for _ in 0..batch {
                black_box(state.raise(SSHD, &Key::text(text(next)), KEEP, time(next)));
                next += 1;
            }
            let began = Instant::now();
            commit(&mut state, next);
            slowest = slowest.max(began.elapsed());
        }
        started.each(&format!("raise and its part of a commit of {batch}"), raises);
        println!("{:<44}{:>10.1} ms", "  slowest commit", slowest.as_secs_f64() * 1e3);
    }
    for n in 0..BANS {
        let request = BanRequest {
            kind: SetKind::Nft,
            set: "inet filter bans",
            target: IpAddr::from(address(n)).into(),
            port: None,
            duration: Some(Duration::from_secs(86_400)),
            by: "sshd[7]",
        };
        state.ban(&request, None, time(next)).expect("there is room");
    }
    commit(&mut state, next);
    println!("{:<44}{:>10.1} MiB", "resident with 100,000 counters, 20,000 bans", resident() - before);
    let started = Instant::now();
    drop(state);
    println!("{:<44}{:>10.1} ms", "closing it", started.elapsed().as_secs_f64() * 1e3);
    let started = Instant::now();
    let (state, _) = State::open(directory, Limits::default()).expect("the state");
    println!(
        "{:<44}{:>10.1} ms, snapshot included; {} bans",
        "opening it",
        started.elapsed().as_secs_f64() * 1e3,
        state.bans().len()
    );
    let started = Instant::now();
    black_box(state.bans().list(time(next)));
    println!("{:<44}{:>10.1} ms", "listing the bans", started.elapsed().as_secs_f64() * 1e3);
}
