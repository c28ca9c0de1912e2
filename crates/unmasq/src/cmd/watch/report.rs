//! `unmasq watch report --now`.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use unmasq_control::watch::{DEFAULT_SOCKET, WatchAsk, WatchReply};

use crate::failure::Outcome;

/// Send the daily report now
///
/// What it holds will not be in the next one.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Exit status: 0 it is on its way; 1 it could not be queued; 2 wrong usage, or no watch answers.

Examples:
  unmasq watch report --now")]
pub(super) struct Args {
    /// Now, and not at the configured hour
    #[arg(long, required = true)]
    now: bool,
    /// The watch's control socket
    #[arg(long, value_name = "SOCKET", default_value = DEFAULT_SOCKET)]
    control: PathBuf,
}

pub(super) fn run(args: &Args) -> Outcome {
    let mut done = None;
    super::asked(&args.control, WatchAsk::Report, |reply| {
        if let WatchReply::Done(text) = reply {
            done = Some(text);
        }
    })?;
    writeln!(anstream::stdout(), "{}", done.unwrap_or_default())?;
    Ok(ExitCode::SUCCESS)
}
