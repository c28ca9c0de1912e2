//! How long generating a ruleset takes.
//!
//! ```console
//! $ cargo bench -p unmasq-rules --bench generate -- [RULES]
//! ```
//!
//! 10,000 and 100,000 rules if not given, of templates that differ in how much a rule is multiplied; then the same templates in
//! nft's form, where they become sets. Processor time inside one process, files not included. Target: 10,000 rules of macros
//! below 100 ms for the whole command (`make bench BENCH='--only rules'` measures that).

use std::error::Error;
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use unmasq_rules::Form;
use unmasq_rules::macros::{Problems, Source, generate};

type Outcome<T> = Result<T, Box<dyn Error>>;

const ROUNDS: usize = 21;

fn main() -> Outcome<()> {
    let sizes: Vec<usize> = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with('-'))
        .map(|n| n.parse())
        .collect::<Result<_, _>>()?;
    for rules in if sizes.is_empty() { vec![10_000, 100_000] } else { sizes } {
        println!("{rules} rules");
        for (copies, hosts, ports) in [(1, 1, 1), (10, 10, 1), (100, 10, 10), (rules, rules / 10, 10)] {
            show(rules / copies, copies, hosts, ports)?;
        }
    }
    Ok(())
}

/// A template of some rules, each of which is copied for so many hosts and ports.
fn show(written: usize, copies: usize, hosts: usize, ports: usize) -> Outcome<()> {
    let mut vars = "#define HOSTS".to_owned();
    for n in 0..hosts {
        write!(vars, " 10.{}.{}.{}", n >> 16 & 255, n >> 8 & 255, n & 255)?;
    }
    vars.push_str("\n#define PORTS");
    for n in 0..ports {
        write!(vars, " {}", 1000 + n)?;
    }
    vars.push('\n');
    let mut iptables = "*filter\n:INPUT DROP [0:0]\n".to_owned();
    let mut nft = "table ip filter {\n\tchain input {\n".to_owned();
    for n in 0..written {
        let (high, low) = (n >> 8 & 255, n & 255);
        writeln!(
            iptables,
            "-A INPUT -p tcp -m tcp -s HOSTS -d 192.168.{high}.{low} --dport PORTS -j ACCEPT"
        )?;
        writeln!(nft, "\t\tip saddr HOSTS ip daddr 192.168.{high}.{low} tcp dport PORTS accept")?;
    }
    iptables.push_str("COMMIT\n");
    nft.push_str("\t}\n}\n");
    for (form, text) in [(Form::Iptables, iptables), (Form::Nft, nft)] {
        let input = Source { file: Path::new("in"), text: &text };
        let vars = Source { file: Path::new("var"), text: &vars };
        let generated = generate(form, input, vars, u64::MAX)?;
        let lines = generated.text.lines().count();
        let mut times: Vec<Duration> = (0..ROUNDS)
            .map(|_| timed(|| generate(form, input, vars, u64::MAX)))
            .collect::<Result<_, Problems>>()?;
        times.sort_unstable();
        println!(
            "  {:<8} {written:>7} rules × {copies:<7} {lines:>7} lines {:>9} bytes {:>8.2} ms median, {:.2} ms at most",
            form.word(),
            generated.text.len(),
            times[ROUNDS / 2].as_secs_f64() * 1e3,
            times[ROUNDS - 1].as_secs_f64() * 1e3,
        );
    }
    Ok(())
}

/// Processor time of this thread, the kernel's for it included: the machine may have other work.
fn timed<T, E>(action: impl FnOnce() -> Result<T, E>) -> Result<Duration, E> {
    let now = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default();
    let start = now();
    std::hint::black_box(action()?);
    Ok(now().saturating_sub(start))
}
