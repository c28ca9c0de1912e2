//! `unmasq rules rollback`: an earlier revision is committed again.

use super::commit::{HowArgs, commit};
use crate::failure::Outcome;
use crate::rules::read::Source;

/// Commit an earlier revision again: it is loaded, and becomes the newest
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Exit status: as of `unmasq rules commit`.

Examples:
  unmasq rules rollback 12
  unmasq rules rollback 12 -r iptables.conf -m 'the shop needs its port'")]
pub(crate) struct Args {
    /// Its number
    #[arg(value_name = "REVISION")]
    number: u32,
    /// The ruleset, by the name of its file; may be left out if there is one alone
    #[arg(short = 'r', long = "ruleset", value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    how: HowArgs,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Outcome {
    let kept = args.how.open()?;
    let history = super::revision::find(&kept, args.name.as_deref())?;
    let revision = history.revision(args.number)?;
    let source = Source::of_revision(&revision, history.text(&revision)?);
    let message = format!("rollback to revision {}", revision.number);
    commit(&args.how, &kept, vec![source], args.how.message_or(&message))
}
