//! Holds a firing range for as long as its standard input is open: benches that are not written in Rust use
//! it.

use std::io::Read;
use std::process::ExitCode;

use clap::Parser;
use unmasq_lab::{ConntrackMax, Lab, LabError, Range};

/// Builds a source, a masquerading gateway and a void, prints the names of their namespaces, and removes them
/// when its standard input closes
#[derive(Debug, Parser)]
#[command(name = "unmasq-lab-range", version)]
struct Args {
    /// Raises the host's `nf_conntrack_max` to this while the range is held
    #[arg(long, value_name = "ENTRIES")]
    conntrack_max: Option<u64>,
}

fn main() -> ExitCode {
    match hold(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("unmasq-lab-range: {error}");
            ExitCode::FAILURE
        }
    }
}

fn hold(args: &Args) -> Result<(), LabError> {
    let lab = Lab::new()?;
    let _raised = args.conntrack_max.map(ConntrackMax::raise).transpose()?;
    let range = Range::build(&lab)?;
    println!("source {}", range.source.name());
    println!("gateway {}", range.gateway.name());
    println!("void {}", range.void.name());
    println!("scratch {}", lab.scratch().display());
    // Whatever closes or breaks the pipe ends the range.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    Ok(())
}
