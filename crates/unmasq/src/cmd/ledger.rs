//! `unmasq ledger`.

use std::process::ExitCode;

use crate::failure::Outcome;

/// (to be written)
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Runs it.
pub(crate) fn run(_args: &Args) -> Outcome {
    Ok(ExitCode::SUCCESS)
}
