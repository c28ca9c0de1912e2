//! `unmasq rules diff`: what is different between two revisions.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use serde_json::json;
use unmasq_rules::compare::{LineKind, differences, print};
use unmasq_rules::ruleset::Ruleset;

use super::revision::{RulesetArgs, pick};
use crate::failure::Outcome;
use crate::rules::read::Source;

/// Show what is different between two revisions: rules added, removed and moved; counters and handles do not count
///
/// Rules are compared as the kernel understands them: two ways to write the same are no difference.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Exit status: 0 no difference; 1 there are some; 2 wrong usage, or there is no such revision.

Examples:
  unmasq rules diff 11 12
  unmasq rules diff 12                          # to the one in force
  unmasq rules diff --with iptables.conf.new    # from the one in force to a file
  unmasq rules diff --kernel                    # from the one in force to what is loaded")]
pub(crate) struct Args {
    /// From this revision; the one in force if left out
    #[arg(value_name = "FROM")]
    from: Option<u32>,
    /// To this revision; the one in force if left out
    #[arg(value_name = "TO", conflicts_with_all = ["with", "kernel"])]
    to: Option<u32>,
    /// To a file
    #[arg(long, value_name = "FILE", conflicts_with = "kernel")]
    with: Option<PathBuf>,
    /// To the rules that are loaded
    #[arg(long)]
    kernel: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    ruleset: RulesetArgs,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Outcome {
    let (_, history) = args.ruleset.open()?;
    let from = pick(&history, args.from)?;
    let old = history.text(&from)?;
    let (old, new) = if args.kernel {
        let old = Ruleset::normalise(from.form, &old)?;
        let loaded = old.loaded_now()?;
        (old, loaded)
    } else {
        let new = match &args.with {
            Some(file) => Source::read(file, true)?.text,
            None => history.text(&pick(&history, args.to)?)?,
        };
        Ruleset::normalise_both(from.form, &old, &new)?
    };
    let found = differences(&old, &new);
    let mut out = anstream::stdout();
    if args.json {
        let lines: Vec<_> = print(&found).iter().map(ToString::to_string).collect();
        serde_json::to_writer_pretty(&mut out, &json!({ "differences": lines }))?;
        writeln!(out)?;
    } else {
        for line in print(&found) {
            let style = style(line.kind);
            writeln!(out, "{style}{line}{style:#}")?;
        }
    }
    Ok(ExitCode::from(u8::from(!found.is_empty())))
}

fn style(kind: LineKind) -> Style {
    let colour = match kind {
        LineKind::Header => AnsiColor::Cyan,
        LineKind::Added => AnsiColor::Green,
        LineKind::Removed => AnsiColor::Red,
        LineKind::Moved => AnsiColor::Yellow,
    };
    colour.on_default()
}
