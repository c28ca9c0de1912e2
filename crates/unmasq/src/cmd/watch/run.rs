//! `unmasq watch` itself.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

use super::input::FormatArg;
use super::load;
use crate::failure::{Failure, Outcome};
use crate::recorder::Wishes;
use crate::watch::runner::Watch;
use crate::watch::sources::Once;

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
    let once = args.once.clone().map(|path| Once { path, format: args.format.format() });
    let wishes = Wishes::default();
    for signal in [SIGTERM, SIGINT] {
        // A second one ends the process at once, should the disk not let us go.
        flag::register_conditional_shutdown(signal, 1, Arc::clone(&wishes.stop))
            .and_then(|_| flag::register(signal, Arc::clone(&wishes.stop)))
            .context("cannot handle signals")?;
    }
    flag::register(SIGHUP, Arc::clone(&wishes.reload)).context("cannot handle signals")?;
    let watch = Watch::start(&file, once)?;
    watch.run(&wishes).map_err(|error| Failure::with_exit(1, error))?;
    Ok(ExitCode::SUCCESS)
}
