//! The commands. Each owns its flags (`Args`), its help and its `run`.

use clap::{Parser, Subcommand};

use crate::failure::Outcome;

mod doctor;
mod ledger;
mod record;
mod trace;

/// Finds the real client behind every NAT and proxy on a Linux gateway.
#[derive(Debug, Parser)]
#[command(name = "unmasq", version, propagate_version = true, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Trace(trace::Args),
    Record(record::Args),
    Ledger(ledger::Args),
    Doctor(doctor::Args),
}

/// Runs the command that was asked for.
pub(crate) fn run(cli: Cli) -> Outcome {
    match cli.command {
        Command::Trace(args) => trace::run(&args),
        Command::Record(args) => record::run(&args),
        Command::Ledger(args) => ledger::run(&args),
        Command::Doctor(args) => doctor::run(&args),
    }
}
