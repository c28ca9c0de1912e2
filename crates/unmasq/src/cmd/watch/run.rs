//! `unmasq watch` itself.

use std::path::PathBuf;
use std::process::ExitCode;

use super::input::FormatArg;
use super::load;
use crate::failure::{Failure, Outcome};
use crate::watch::build::Origin;
use crate::watch::runner::Watch;
use crate::watch::sources::Once;
use crate::wishes::Wishes;

#[derive(Debug, clap::Args)]
pub(super) struct RunArgs {
    /// The configuration: Pyruse's JSON, or TOML or YAML [default: /etc/unmasq/watch.toml, or pyruse.json in Pyruse's
    /// places]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Read this file to its end in place of the configured sources, do what the chains say, and stop
    #[arg(long, value_name = "FILE")]
    once: Option<PathBuf>,
    /// How the file of --once is written
    #[arg(long, value_enum, default_value_t = FormatArg::Auto, requires = "once")]
    format: FormatArg,
}

pub(super) fn run(args: &RunArgs) -> Outcome {
    let file = load::file(args.config.as_deref())?;
    let once = args.once.clone().map(|path| Once { path, format: args.format.format(), containing: None });
    run_watch(Origin::File(file), once)
}

/// Runs what that configuration says until a signal ends it.
pub(crate) fn run_watch(origin: Origin, once: Option<Once>) -> Outcome {
    run_watch_then(origin, once, || Ok(()))
}

/// The same, and calls that when all is open.
pub(crate) fn run_watch_then(
    origin: Origin,
    once: Option<Once>,
    started: impl FnOnce() -> anyhow::Result<()>,
) -> Outcome {
    let wishes = Wishes::of_signals()?;
    let watch = Watch::start(origin, once)?;
    started()?;
    watch.run(&wishes).map_err(|error| Failure::with_exit(1, error))?;
    Ok(ExitCode::SUCCESS)
}
