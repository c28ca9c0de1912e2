//! `unmasq rules blame`: who brought each rule in.

use std::io::Write;
use std::process::ExitCode;

use serde_json::json;
use unmasq_rules::compare::blame;
use unmasq_rules::ruleset::Ruleset;

use super::revision::RulesetArgs;
use crate::failure::Outcome;

/// Show for each rule in force which revision brought it in, when, and whose it was
///
/// A rule that was moved within its chain, or written in another way, keeps its origin.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Exit status: 0 done; 2 wrong usage, or nothing was committed.

Examples:
  unmasq rules blame
  unmasq rules blame -r iptables.conf --json")]
pub(crate) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    ruleset: RulesetArgs,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Outcome {
    let (_, history) = args.ruleset.open()?;
    let revisions = history.revisions()?;
    let texts = revisions.iter().map(|revision| history.text(revision)).collect::<Result<Vec<_>, _>>()?;
    let Some(newest) = revisions.last() else { return Ok(ExitCode::SUCCESS) };
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let understood = Ruleset::normalise_all(newest.form, &texts)?;
    let blamed = blame(&understood);
    let mut out = anstream::stdout();
    if args.json {
        let rules: Vec<_> = blamed
            .iter()
            .map(|b| {
                let revision = &revisions[b.revision];
                json!({ "family": b.family, "table": b.table, "chain": b.chain, "rule": b.rule.text, "revision": revision.number,
                    "time": revision.timestamp().to_string(), "author": revision.author, "message": revision.message })
            })
            .collect();
        serde_json::to_writer_pretty(&mut out, &json!({ "rules": rules }))?;
        writeln!(out)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut chain = None;
    for rule in &blamed {
        if chain != Some((rule.family, rule.table, rule.chain)) {
            writeln!(out, "table {} {}, chain {}", rule.family, rule.table, rule.chain)?;
            chain = Some((rule.family, rule.table, rule.chain));
        }
        let revision = &revisions[rule.revision];
        let day: String = revision.timestamp().to_string().chars().take(10).collect();
        let author = revision.author.split('<').next().unwrap_or_default().trim();
        writeln!(out, "{:>6}  {day}  {author:<16}  {}", revision.number, rule.rule.text)?;
    }
    Ok(ExitCode::SUCCESS)
}
