//! `unmasq plan diff`: what changes between two plans, or between the one in force and what is wanted now.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use serde_json::json;
use unmasq_plan::Plan;
use unmasq_plan::history::History;

use super::show::{AllocationReport, MoveReport};
use super::spec::{SpecArgs, in_force, warn};
use super::table;
use crate::failure::Outcome;

/// Show what changes between two revisions, or between the plan in force and what is wanted now
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Exit status: 0 nothing changes; 1 something does; 2 wrong usage or configuration.

Examples:
  unmasq plan diff                       # what `unmasq plan apply` would change
  unmasq plan diff 11 12                 # what revision 12 changed
  unmasq plan diff 12 --network 192.168.101.0/24 --public 203.0.113.1")]
pub(crate) struct Args {
    /// A revision, and another one to compare it with; without them, the one in force and what is wanted
    #[arg(value_name = "REVISION", num_args = 0..=2)]
    revisions: Vec<u64>,
    /// List every client
    #[arg(long)]
    all: bool,
    /// As if nobody had ports yet
    #[arg(long)]
    renumber: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    spec: SpecArgs,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Outcome {
    let wanted = args.spec.wanted()?;
    let revision = |number: u64| -> anyhow::Result<Plan> {
        History::open(&wanted.0.history)?
            .plan(number)
            .with_context(|| format!("cannot show revision {number}"))
    };
    let wants = |former: Option<&Plan>| -> anyhow::Result<Plan> {
        let (spec, warnings) = wanted.resolve()?;
        warn(&warnings);
        wanted.make(&spec, former.filter(|_| !args.renumber))
    };
    let (before, after) = match args.revisions[..] {
        [one, other] => (revision(one)?, revision(other)?),
        [one] => {
            let before = revision(one)?;
            let after = wants(in_force(&wanted)?.as_ref())?;
            (before, after)
        }
        _ => {
            let before = in_force(&wanted)?;
            let after = wants(before.as_ref())?;
            (before.unwrap_or_default(), after)
        }
    };
    let changes = before.changes_to(&after);
    let mut out = anstream::stdout();
    if args.json {
        let report = json!({
            "added": changes.added.iter().map(AllocationReport::from).collect::<Vec<_>>(),
            "removed": changes.removed.iter().map(AllocationReport::from).collect::<Vec<_>>(),
            "moved": changes.moved.iter().map(MoveReport::from).collect::<Vec<_>>(),
            "unchanged": changes.unchanged,
        });
        serde_json::to_writer_pretty(&mut out, &report)?;
        writeln!(out)?;
    } else {
        writeln!(out, "{}", table::counts(&changes))?;
        table::changes(&mut out, &changes, if args.all { usize::MAX } else { table::MOST_SHOWN })?;
    }
    Ok(ExitCode::from(u8::from(!changes.is_empty())))
}
