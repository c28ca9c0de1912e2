//! `unmasq rules keeper`: started by other commands of `unmasq rules`, for themselves. See `crate::rules::keeper`.

use std::process::ExitCode;

use crate::failure::Outcome;
use crate::rules::keeper;

/// Tests and commits rules whatever happens to the command that asked (started by other commands)
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Runs it.
pub(crate) fn run(_: &Args) -> Outcome {
    keeper::run()?;
    Ok(ExitCode::SUCCESS)
}
