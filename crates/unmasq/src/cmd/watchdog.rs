//! `unmasq watchdog`: started by a recorder, for itself. See `crate::recorder::watchdog`.

use std::process::ExitCode;

use anyhow::Context;

use crate::failure::Outcome;
use crate::recorder;

/// Keeps reliable mode from costing users their connections (started by a recorder)
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Runs it.
pub(crate) fn run(_: &Args) -> Outcome {
    recorder::watchdog::run().context("the watchdog, which only a recorder can start, failed")?;
    Ok(ExitCode::SUCCESS)
}
