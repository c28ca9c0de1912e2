//! `unmasq ledger`: everything about the record on disk but asking it, which is `unmasq trace`.

mod export;
mod hold;
mod import;
mod info;
pub(super) mod progress;
mod prune;
mod selection;
mod verify;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use unmasq_ledger::{Ledger, LedgerError};

pub(crate) use self::export::Target;
use crate::failure::{Failure, Outcome};

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
    Verify(verify::Args),
    Info(info::Args),
    Head(info::HeadArgs),
    Hold(hold::Args),
    Prune(prune::Args),
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Outcome {
    match &args.command {
        Command::Import(args) => import::run(args),
        Command::Export(args) => export::run(args),
        Command::Verify(args) => verify::run(args),
        Command::Info(args) => info::run(args),
        Command::Head(args) => info::run_head(args),
        Command::Hold(args) => hold::run(args),
        Command::Prune(args) => prune::run(args),
    }
}

/// Which ledger.
#[derive(Debug, clap::Args)]
struct LedgerArg {
    /// The ledger's directory.
    #[arg(long = "ledger", value_name = "DIR", default_value = super::DEFAULT_LEDGER)]
    directory: PathBuf,
}

impl LedgerArg {
    fn directory(&self) -> &Path {
        &self.directory
    }

    fn open(&self) -> Result<Ledger, Failure> {
        open(&self.directory)
    }
}

/// Opens a ledger. What is none, or a later unmasq's, is a matter of the path and no damage.
pub(super) fn open(directory: &Path) -> Result<Ledger, Failure> {
    Ledger::open(directory).map_err(|error| {
        let is_none = matches!(error, LedgerError::NotALedger { .. } | LedgerError::Version { .. });
        Failure::with_exit(if is_none { 2 } else { 5 }, error)
    })
}

/// Prints a line. An error such as a closed pipe is the caller's to pass on: `println!` would panic.
fn say(line: impl std::fmt::Display) -> io::Result<()> {
    writeln!(anstream::stdout(), "{line}")
}
