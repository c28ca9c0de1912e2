//! `unmasq daemon`: the supervisor.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::config::DEFAULT_FILE;
use crate::daemon::Supervisor;
use crate::failure::{Failure, Outcome};

/// Run everything that the configuration asks for, and keep it running
///
/// Starts the recorder, and the guard of the port plan if there is one, as processes of their own and starts them again should one ever
/// end. SIGTERM stops everything;
/// SIGHUP reads the configuration anew: a file with errors is reported and changes nothing.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Exit status: 0 stopped as asked; 1 a worker could not be kept running; 2 wrong usage or configuration.

Examples:
  unmasq config example | sudo tee /etc/unmasq/unmasq.toml
  unmasq config check /etc/unmasq/unmasq.toml
  unmasq daemon")]
pub(crate) struct Args {
    /// Configuration file
    #[arg(long, value_name = "FILE", default_value = DEFAULT_FILE)]
    config: PathBuf,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Outcome {
    let supervisor = Supervisor::start(&args.config)?;
    supervisor.run().map_err(|error| Failure::with_exit(1, error))?;
    Ok(ExitCode::SUCCESS)
}
