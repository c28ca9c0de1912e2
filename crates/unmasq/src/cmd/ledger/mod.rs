//! `unmasq ledger`: everything about the record on disk but asking it, which is `unmasq trace`.

mod export;
mod hold;
mod import;
mod progress;
mod selection;

use std::path::{Path, PathBuf};

use clap::Subcommand;

use crate::failure::Outcome;

/// Look after the record: import, export, verify, hold, prune.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Import(import::Args),
    Export(export::Args),
    Hold(hold::Args),
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Outcome {
    match &args.command {
        Command::Import(args) => import::run(args),
        Command::Export(args) => export::run(args),
        Command::Hold(args) => hold::run(args),
    }
}

/// Which ledger.
#[derive(Debug, clap::Args)]
struct LedgerArg {
    /// The ledger's directory.
    #[arg(long = "ledger", value_name = "DIR", default_value = "/var/lib/unmasq/ledger")]
    directory: PathBuf,
}

impl LedgerArg {
    fn directory(&self) -> &Path {
        &self.directory
    }
}
