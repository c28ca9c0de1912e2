//! `unmasq rules show`: a revision as it was committed.

use std::io::Write;
use std::process::ExitCode;

use super::revision::{RulesetArgs, pick};
use crate::failure::Outcome;

/// Print a revision, exactly as it was committed
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Exit status: 0 done; 2 wrong usage, or there is no such revision.

Examples:
  unmasq rules show            # the one in force
  unmasq rules show 12 -r iptables.conf > iptables.conf.new")]
pub(crate) struct Args {
    /// Its number; the one in force if left out
    #[arg(value_name = "REVISION")]
    number: Option<u32>,
    #[command(flatten)]
    ruleset: RulesetArgs,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Outcome {
    let (_, history) = args.ruleset.open()?;
    let text = history.text(&pick(&history, args.number)?)?;
    anstream::stdout().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
