//! `unmasq plan apply`: load a plan and keep it.

use std::io::Write;
use std::process::ExitCode;

use serde_json::json;
use unmasq_plan::SpecError;

use super::show::MoveReport;
use super::spec::{SpecArgs, warn};
use super::table;
use crate::failure::{Failure, Outcome};
use crate::plan::apply::{Applied, Manner, apply};

/// Load the plan into the kernel and keep it; who is not changed is not disturbed
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
The rules are checked first (nft -c, iptables-restore --test) and loaded in one transaction; only what changes is loaded. The live connections of clients whose ports change are flushed, so that none leaves by \
a port that is another's by now; with --keep-flows they are left alone, and a trace names both the old and the new holder of a port \
until they are over. The first plan changes everybody. Without a change, nothing is done; rules that were lost are loaded again.

Exit status: 0 the plan is in force; 1 the kernel refused it, or it cannot be kept (a full disk): the plan before is still in force; 2 wrong usage or configuration, \
or the plan does not fit; 3 clients would get other ports, and --renumber was not given.

Examples:
  unmasq plan apply --network 192.168.101.0/24 --public 203.0.113.1
  unmasq plan apply                         # what [plan] in /etc/unmasq/unmasq.toml says
  unmasq plan apply --renumber --keep-flows")]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct Args {
    /// Let clients get other ports than they have
    #[arg(long)]
    renumber: bool,
    /// Leave the live connections of clients whose ports change alone
    #[arg(long)]
    keep_flows: bool,
    /// List every client that changes
    #[arg(long)]
    all: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    spec: SpecArgs,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Outcome {
    let wanted = args.spec.wanted()?;
    let (spec, warnings) = wanted.resolve()?;
    warn(&warnings);
    let manner = Manner { renumber: args.renumber, keep_flows: args.keep_flows || wanted.0.keep_flows };
    let applied = apply(&wanted, &spec, manner).map_err(|error| {
        // A plan that does not fit is a matter of the configuration, not of the kernel.
        let exit = if error.is::<SpecError>() { 2 } else { 1 };
        Failure::with_exit(exit, error)
    })?;
    let mut out = anstream::stdout();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &report(&applied))?;
        writeln!(out)?;
    } else {
        print(&mut out, &applied, if args.all { usize::MAX } else { table::MOST_SHOWN })?;
    }
    Ok(ExitCode::from(if matches!(applied, Applied::WouldMove(_)) { 3 } else { 0 }))
}

fn print(out: &mut impl Write, applied: &Applied, most: usize) -> std::io::Result<()> {
    match applied {
        Applied::Unchanged { revision } => writeln!(out, "revision {revision} is in force; nothing to do"),
        Applied::Restored { revision, difference, since, flows } => {
            writeln!(out, "the rules of revision {revision} are loaded again: {}", difference.what)?;
            writeln!(out, "they may have been amiss since {since}; a trace of that time says so")?;
            if flows.ended > 0 {
                writeln!(out, "{} connections that had begun meanwhile were ended", flows.ended)?;
            }
            if flows.kept > 0 {
                writeln!(
                    out,
                    "{} connections that began meanwhile still leave by ports that are not their client's",
                    flows.kept
                )?;
            }
            Ok(())
        }
        Applied::New { revision, changes, flows } => {
            writeln!(out, "revision {revision} is in force: {}", table::counts(changes))?;
            table::changes(out, changes, most)?;
            if flows.ended > 0 {
                writeln!(
                    out,
                    "{} connections of these clients were ended, to begin anew from their new ports",
                    flows.ended
                )?;
            }
            if flows.kept > 0 {
                writeln!(
                    out,
                    "{} connections still leave by ports of the plan before; until they are over, a trace names both",
                    flows.kept
                )?;
            }
            Ok(())
        }
        Applied::WouldMove(changes) => {
            writeln!(out, "not applied: {} clients would get other ports", changes.moved.len())?;
            table::changes(out, changes, most)?;
            writeln!(
                out,
                "the growth reserve is used up, or the public addresses or ports have changed; to do it all the same: --renumber"
            )
        }
    }
}

fn report(applied: &Applied) -> serde_json::Value {
    match applied {
        Applied::Unchanged { revision } => json!({ "outcome": "unchanged", "revision": revision }),
        Applied::Restored { revision, difference, since, flows } => json!({
            "outcome": "restored", "revision": revision, "difference": difference.what, "since": since.to_string(),
            "flows_ended": flows.ended, "flows_kept": flows.kept,
        }),
        Applied::New { revision, changes, flows } => json!({
            "outcome": "applied", "revision": revision, "added": changes.added.len(), "moved": changes.moved.len(),
            "removed": changes.removed.len(), "unchanged": changes.unchanged, "flows_ended": flows.ended, "flows_kept": flows.kept,
        }),
        Applied::WouldMove(changes) => json!({
            "outcome": "would-move",
            "moved": changes.moved.iter().map(MoveReport::from).collect::<Vec<_>>(),
        }),
    }
}
