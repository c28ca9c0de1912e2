//! Writes the synthetic flows for programs that are not written in Rust: other stores, and our own import.

mod columns;
mod events;

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, ValueEnum};
use unmasq_lab::synthetic::Flows;

/// Writes made-up flows, the same for the same seed
#[derive(Debug, Parser)]
#[command(name = "unmasq-lab-flows", version)]
struct Args {
    /// How many flows
    #[arg(long)]
    count: u64,
    /// Seed
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// What to write
    #[arg(long, value_enum)]
    format: Format,
    /// Folder for `columns`; the others go to standard output
    #[arg(long, value_name = "DIR", required_if_eq("format", "columns"))]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// Nothing: says how fast they are made
    None,
    /// A `NumPy` array for each column: start and dur (milliseconds), proto, client, cport, pubip, pubport, dst, dport
    Columns,
    /// The lines of `conntrack -E -o timestamp,id -e NEW,DESTROY`, in the order of the events
    Conntrack,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let flows = Flows::new(args.seed, args.count);
    let written = match (args.format, &args.out) {
        (Format::Columns, Some(folder)) => columns::write(flows, args.count, folder),
        (Format::Conntrack, _) => {
            let mut out = BufWriter::with_capacity(1 << 20, io::stdout().lock());
            events::write(flows, &mut out).and_then(|()| out.flush())
        }
        (Format::None | Format::Columns, _) => {
            count(flows);
            Ok(())
        }
    };
    match written {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads has had enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("unmasq-lab-flows: {error}");
            ExitCode::FAILURE
        }
    }
}

fn count(flows: Flows) {
    let began = Instant::now();
    let count = flows.map(std::hint::black_box).count();
    println!("{count} flows, {:.0} a second", count as f64 / began.elapsed().as_secs_f64());
}
