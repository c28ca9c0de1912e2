//! `unmasq plan diff`: what changes between two plans, or between the one in force and what is wanted now.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use serde_json::json;
use unmasq_plan::Plan;
use unmasq_plan::history::History;

use super::show::{AllocationReport, MoveReport};
use super::spec::{SpecArgs, kept, warn};
use super::table;
use super::terms::Terms;
use crate::failure::Outcome;
use crate::plan::wanted::Wanted;

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
    let directory = &wanted.0.history;
    let (before, after) = match args.revisions[..] {
        [one, other] => {
            let history = History::open(directory)?;
            (Side::of_revision(&history, one)?, Side::of_revision(&history, other)?)
        }
        [one] => {
            let before = Side::of_revision(&History::open(directory)?, one)?;
            let after = Side::of_wanted(&wanted, &Side::in_force(&wanted)?, args.renumber)?;
            (before, after)
        }
        _ => {
            let before = Side::in_force(&wanted)?;
            let after = Side::of_wanted(&wanted, &before, args.renumber)?;
            (before, after)
        }
    };
    let changes = before.plan.changes_to(&after.plan);
    let terms =
        before.terms.zip(after.terms).map_or_else(Vec::new, |(before, after)| before.changes_to(&after));
    let mut out = anstream::stdout();
    if args.json {
        let report = json!({
            "added": changes.added.iter().map(AllocationReport::from).collect::<Vec<_>>(),
            "removed": changes.removed.iter().map(AllocationReport::from).collect::<Vec<_>>(),
            "moved": changes.moved.iter().map(MoveReport::from).collect::<Vec<_>>(),
            "unchanged": changes.unchanged,
            "terms": terms,
        });
        serde_json::to_writer_pretty(&mut out, &report)?;
        writeln!(out)?;
    } else {
        writeln!(out, "{}", table::counts(&changes))?;
        table::changes(&mut out, &changes, if args.all { usize::MAX } else { table::MOST_SHOWN })?;
        for term in &terms {
            writeln!(out, "  ~ {term}")?;
        }
    }
    Ok(ExitCode::from(u8::from(!changes.is_empty() || !terms.is_empty())))
}

/// One of the two that are compared.
struct Side {
    plan: Plan,
    /// None where nothing was applied yet.
    terms: Option<Terms>,
}

impl Side {
    fn of_revision(history: &History, number: u64) -> anyhow::Result<Self> {
        let plan = history.plan(number).with_context(|| format!("cannot show revision {number}"))?;
        let terms = Terms::of(history, history.revision(number)?, &plan)?;
        Ok(Self { plan, terms: Some(terms) })
    }

    fn in_force(wanted: &Wanted) -> anyhow::Result<Self> {
        let history = kept(wanted)?;
        match history.as_ref().and_then(|history| Some((history, history.newest_readable()?))) {
            Some((history, newest)) => Self::of_revision(history, newest.number),
            None => Ok(Self { plan: Plan::default(), terms: None }),
        }
    }

    /// What is wanted, which leaves those alone who have ports already.
    fn of_wanted(wanted: &Wanted, former: &Self, renumber: bool) -> anyhow::Result<Self> {
        let (spec, warnings) = wanted.resolve()?;
        warn(&warnings);
        let has_former = former.terms.is_some() && !renumber;
        let plan = wanted.make(&spec, has_former.then_some(&former.plan))?;
        let terms = Terms::new(wanted.kernel(), &plan);
        Ok(Self { plan, terms: Some(terms) })
    }
}
