//! `unmasq rules confirm`: the rules under test stay.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use anyhow::Context;

use crate::failure::{Failure, Outcome};
use crate::rules::job::{Answer, Event};
use crate::rules::place::PlaceArgs;

/// Confirm the rules under test, from a connection that was made under them; they stay until the machine restarts
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Exit status: 0 they stay; 1 there is no test under way; 2 wrong usage; 3 refused: this connection is older than the rules, or the
one that the test was started from, so that it proves nothing.

Examples:
  unmasq rules confirm
  unmasq rules confirm --no     # the rules before come back now")]
pub(crate) struct Args {
    /// Let the rules before come back now, from wherever
    #[arg(long)]
    no: bool,
    #[command(flatten)]
    place: PlaceArgs,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Outcome {
    let kept = args.place.open()?;
    let answer = if args.no { Answer::Return } else { Answer::Confirm };
    let said = match UnixStream::connect(kept.run.socket()) {
        Ok(stream) => ask(stream, answer)?,
        Err(_) => None,
    };
    match said {
        Some(Event::Done { .. }) if args.no => println!("The rules before are coming back."),
        Some(Event::Done { .. }) => {
            println!(
                "Confirmed: the new rules stay until the machine restarts. `unmasq rules commit` keeps them."
            );
        }
        Some(Event::Refused { why }) => return Err(Failure::with_exit(3, anyhow::anyhow!(why))),
        Some(other) => {
            return Err(anyhow::anyhow!("the keeper of the rules says something odd: {other:?}").into());
        }
        None => {
            let last =
                kept.run.last()?.map(|(at, what)| format!("; the last: {at}: {what}")).unwrap_or_default();
            return Err(Failure::with_exit(1, anyhow::anyhow!("there is no test under way{last}")));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Asks the keeper of a test; `None` if it ends meanwhile.
pub(super) fn ask(mut stream: UnixStream, answer: Answer) -> anyhow::Result<Option<Event>> {
    let line = serde_json::to_string(&answer)? + "\n";
    if stream.write_all(line.as_bytes()).is_err() {
        return Ok(None);
    }
    let mut line = String::new();
    match BufReader::new(stream).read_line(&mut line) {
        Ok(0) | Err(_) => Ok(None),
        Ok(_) => Ok(Some(serde_json::from_str(&line).context("the keeper of the rules says something odd")?)),
    }
}
