//! Writes made-up attempts at a honeypot, for tests and benches of the report.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use clap::Parser;
use unmasq_lab::attempts::Attempts;

/// Writes attempts to standard output, a JSON object a line, in our form and in pshitt's
#[derive(Debug, Parser)]
#[command(name = "unmasq-lab-attempts", version)]
struct Args {
    /// How many attempts
    #[arg(default_value_t = 100_000)]
    attempts: u64,
    /// The same seed gives the same lines
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// How many different passwords there are at most
    #[arg(long, default_value_t = 1_000_000)]
    passwords: u32,
    /// Over how many days
    #[arg(long, default_value_t = 28)]
    days: u32,
    /// How many of a hundred connections are told in pshitt's form
    #[arg(long, default_value_t = 30)]
    pshitt: u64,
}

fn main() -> ExitCode {
    match write(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("unmasq-lab-attempts: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write(args: &Args) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 18, io::stdout().lock());
    for line in Attempts::new(args.seed, args.attempts, args.passwords, args.days, args.pshitt) {
        out.write_all(line.as_bytes())?;
        out.write_all(b"\n")?;
    }
    out.flush()
}
