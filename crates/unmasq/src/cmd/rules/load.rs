//! `unmasq rules load`: what is committed is in force again, at boot above all.

use std::io::Write;
use std::process::ExitCode;

use serde_json::json;
use unmasq_rules::commit::Places;
use unmasq_rules::git::Mirror;

use crate::failure::{Failure, Outcome};
use crate::rules::place::PlaceArgs;

/// Load the committed rulesets, as unmasq-rules.service does at boot before the network is up
///
/// Of each, the revision in force; if the kernel does not take it, the newest before it that it takes. A commit that a power cut
/// has interrupted is completed first.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Exit status: 0 all are loaded (or nothing was committed); 1 an earlier revision had to be taken, or none could be loaded; 2 wrong
usage.

Examples:
  unmasq rules load
  unmasq rules load --json")]
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
    let mirror = kept.git.as_deref().map(Mirror::new);
    let lock = kept.lock(mirror.as_ref())?;
    let places = Places { store: &kept.store, run: &kept.run, mirror: mirror.as_ref() };
    let mut all = Vec::new();
    let mut is_good = true;
    for ruleset in kept.store.rulesets()? {
        let name = ruleset.name();
        // That one cannot be read is no reason to leave the machine without the others.
        let (number, refused) = match places.load_newest(&lock, &ruleset) {
            Ok(loaded) => loaded,
            Err(error) => (None, vec![format!("{name}: {error}")]),
        };
        is_good &= refused.is_empty();
        for line in &refused {
            eprintln!("unmasq: not loaded: {line}");
        }
        if !args.json {
            match number {
                Some(number) => println!("{name}: revision {number} is loaded"),
                None => println!("{name}: nothing is loaded"),
            }
        }
        all.push(json!({ "ruleset": name, "revision": number, "refused": refused }));
    }
    if args.json {
        let mut out = anstream::stdout();
        serde_json::to_writer_pretty(&mut out, &json!({ "rulesets": all }))?;
        writeln!(out)?;
    }
    if is_good {
        Ok(ExitCode::SUCCESS)
    } else {
        Err(Failure::with_exit(1, anyhow::anyhow!("not all is loaded as committed")))
    }
}
