//! `unmasq rules status`: what is in force, and is a test under way?

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use serde_json::json;

use super::confirm::ask;
use crate::failure::Outcome;
use crate::rules::job::{Answer, Event};
use crate::rules::place::PlaceArgs;

/// Show what is committed and loaded, whether a test is under way, and how the last one went
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Exit status: 0 done; 2 wrong usage.

Examples:
  unmasq rules status")]
pub(crate) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: PlaceArgs,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Outcome {
    let kept = args.place.open()?;
    let left = match UnixStream::connect(kept.run.socket())
        .ok()
        .map(|stream| ask(stream, Answer::Status))
        .transpose()?
    {
        Some(Some(Event::Loaded { millis, .. })) => Some(millis),
        _ => None,
    };
    // Also right after a test began or ended this can be seen, for a moment.
    let is_cut_short = left.is_none() && kept.run.has_trial();
    let last = kept.run.last()?;
    let mut rulesets = Vec::new();
    for ruleset in kept.store.rulesets()? {
        rulesets.push((
            ruleset.name().to_owned(),
            ruleset.head()?,
            kept.run.loaded(ruleset.name())?.is_some(),
        ));
    }
    let mut out = anstream::stdout();
    if args.json {
        let report = json!({
            "test_millis_left": left,
            "test_cut_short": is_cut_short,
            "last_test": last.map(|(at, what)| json!({ "at": at.to_string(), "what": what })),
            "rulesets": rulesets.iter()
                .map(|(name, head, is_loaded)| json!({ "ruleset": name, "revision": head, "loaded": is_loaded }))
                .collect::<Vec<_>>(),
        });
        serde_json::to_writer_pretty(&mut out, &report)?;
        writeln!(out)?;
        return Ok(ExitCode::SUCCESS);
    }
    match left {
        Some(millis) => {
            writeln!(out, "a test is under way, for {} s more: unmasq rules confirm", millis.div_ceil(1000))?;
        }
        None if is_cut_short => {
            writeln!(out, "a test was cut short, and its rules are still in force: unmasq rules mend")?;
        }
        None => writeln!(out, "no test is under way")?,
    }
    if let Some((at, what)) = last {
        writeln!(out, "the last: {at}: {what}")?;
    }
    for (name, head, is_loaded) in rulesets {
        let loaded = if is_loaded {
            "loaded since the machine started"
        } else {
            "not loaded since the machine started"
        };
        match head {
            Some(head) => writeln!(out, "{name}: revision {head}, {loaded}")?,
            None => writeln!(out, "{name}: nothing is committed")?,
        }
    }
    Ok(ExitCode::SUCCESS)
}
