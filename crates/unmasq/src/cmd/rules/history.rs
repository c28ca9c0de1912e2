//! `unmasq rules history`: all that was committed.

use std::io::Write;
use std::process::ExitCode;

use serde_json::json;
use unmasq_rules::store::Kept as History;

use crate::failure::{Failure, Outcome};
use crate::rules::place::PlaceArgs;

/// List what was committed: each revision with its time, author and message
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Exit status: 0 done; 1 there is nothing; 2 wrong usage; 5 a file of the history is not as it was written.

Examples:
  unmasq rules history
  unmasq rules history iptables.conf
  unmasq rules history --audit     # every text is compared with its hash")]
pub(crate) struct Args {
    /// Only of this ruleset, by the name of its file
    #[arg(value_name = "RULESET")]
    name: Option<String>,
    /// Read every revision: is each as it was committed?
    #[arg(long)]
    audit: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: PlaceArgs,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Outcome {
    let kept = args.place.open()?;
    let mut rulesets = kept.store.rulesets()?;
    rulesets.retain(|ruleset| args.name.as_ref().is_none_or(|name| name == ruleset.name()));
    if args.audit {
        rulesets.iter().try_for_each(History::audit).map_err(|error| Failure::with_exit(5, error))?;
        if args.json {
            println!("{}", json!({ "audited": rulesets.iter().map(History::name).collect::<Vec<_>>() }));
        } else {
            println!("{} rulesets, all as they were committed", rulesets.len());
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut out = anstream::stdout();
    let mut reports = Vec::new();
    let mut is_empty = true;
    for ruleset in &rulesets {
        let revisions = ruleset.revisions().map_err(|error| Failure::with_exit(5, error))?;
        let Some(newest) = revisions.last() else { continue };
        is_empty = false;
        if args.json {
            let file = newest.file.clone();
            reports.push(json!({ "ruleset": ruleset.name(), "file": file, "form": newest.form, "revisions": revisions }));
            continue;
        }
        writeln!(out, "{} ({})", newest.file.display(), newest.form.word())?;
        writeln!(out, "{:>8}  {:<23}  {:<24}  message", "revision", "committed (UTC)", "author")?;
        for revision in &revisions {
            let time = revision.timestamp().to_millis_text().map(|text| text.to_string()).unwrap_or_default();
            // A terminal would obey what is no text.
            let title =
                revision.message.lines().next().unwrap_or_default().replace(char::is_control, "\u{fffd}");
            writeln!(out, "{:>8}  {time:<23}  {:<24}  {title}", revision.number, revision.author)?;
        }
    }
    if args.json {
        serde_json::to_writer_pretty(&mut out, &json!({ "rulesets": reports }))?;
        writeln!(out)?;
    }
    if is_empty {
        let what = args.name.as_deref().map_or_else(String::new, |name| format!(" of {name}"));
        let place = kept.store.directory().display();
        return Err(Failure::with_exit(
            1,
            anyhow::anyhow!("nothing{what} was committed so far (to {place})"),
        ));
    }
    Ok(ExitCode::SUCCESS)
}
