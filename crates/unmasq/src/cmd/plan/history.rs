//! `unmasq plan history`: every plan that was applied.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::json;
use unmasq_flow::Timestamp;
use unmasq_plan::history::{History, HistoryWriter, Outcome as Became, Revision, audit};

use super::show::AllocationReport;
use super::spec::PlaceArgs;
use super::table;
use super::terms::TermChange;
use crate::config::units::parse_duration;
use crate::failure::Outcome;
use crate::plan::kernel::Kernel;
use crate::plan::moment;

/// List the plans that were applied, show one, check them all, or prune old ones
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Exit status: 0 done; 2 wrong usage, or there is no history; 5 --audit found damage.

Examples:
  unmasq plan history
  unmasq plan history 12               # who had what in revision 12
  unmasq plan history --audit          # every hash is computed again
  unmasq plan history --prune 3650d    # remove plans that have not been in force for ten years")]
pub(crate) struct Args {
    /// Show this revision
    #[arg(value_name = "REVISION", conflicts_with_all = ["audit", "prune"])]
    revision: Option<u64>,
    /// Compute every hash again: is each plan as it was written?
    #[arg(long, conflicts_with = "prune")]
    audit: bool,
    /// Remove the files of plans that have not been in force for so long; the one in force stays
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    prune: Option<Duration>,
    /// List every client
    #[arg(long)]
    all: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: PlaceArgs,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Outcome {
    let history = args.place.open()?;
    if args.audit {
        return check(args, &history);
    }
    if let Some(age) = args.prune {
        let now = moment::now();
        let mut writer = HistoryWriter::open(history.directory())?;
        let gone = writer.prune(now.wall - age, now)?;
        println!("{gone} revisions removed");
        return Ok(ExitCode::SUCCESS);
    }
    match args.revision {
        Some(number) => one(args, &history, number),
        None => list(args, &history),
    }
}

fn list(args: &Args, history: &History) -> Outcome {
    let mut out = anstream::stdout();
    if args.json {
        let all: Vec<_> = history.revisions().iter().map(|r| report(history, r)).collect();
        let drifts: Vec<_> = history
            .drifts()
            .iter()
            .map(|d| json!({ "from": d.period.from.to_string(), "to": finite(d.period.to), "reason": d.reason.word() }))
            .collect();
        let document = json!({ "directory": history.directory(), "revisions": all, "drifts": drifts });
        serde_json::to_writer_pretty(&mut out, &document)?;
        writeln!(out)?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(
        out,
        "{:>8}  {:<23}  {:<8}  {:>7}  {:>6}  {:<8}  file",
        "revision", "in force since (UTC)", "layout", "clients", "ports", "form"
    )?;
    let mut before: Option<&Revision> = None;
    for revision in history.revisions() {
        let since = revision.since().wall.to_millis_text().map(|t| t.to_string()).unwrap_or_default();
        let ports = if revision.ports_per_client == 0 {
            "differ".to_owned()
        } else {
            revision.ports_per_client.to_string()
        };
        writeln!(
            out,
            "{:>8}  {since:<23}  {:<8}  {:>7}  {ports:>6}  {:<8}  {}{}",
            revision.number,
            revision.layout.word(),
            revision.clients,
            revision.format.word(),
            revision.file_name(),
            remarks(history, revision, before)
        )?;
        before = Some(revision).filter(|revision| revision.was_in_force()).or(before);
    }
    for (index, drift) in history.drifts().iter().enumerate() {
        if index == 0 {
            writeln!(out, "\nnot in force as planned")?;
        }
        let to = if drift.period.to.is_finite() { drift.period.to.to_string() } else { "now".to_owned() };
        writeln!(out, "  {} to {to}: {}", drift.period.from, drift.reason)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What is to be known of a revision, and what its columns do not show of its difference from the one before.
fn remarks(history: &History, revision: &Revision, before: Option<&Revision>) -> String {
    let remarks = [
        (matches!(revision.outcome, Became::Refused), "the kernel refused it"),
        (matches!(revision.outcome, Became::Unknown), "not known whether the kernel took it"),
        (revision.is_adopted, "adopted"),
        (revision.is_unreadable, "cannot be read"),
        (revision.keeps_flows && revision.settled.is_none(), "flows of the plan before were kept"),
        (history.is_pruned(revision.number), "pruned"),
    ];
    let mut said: Vec<String> =
        remarks.into_iter().filter(|(holds, _)| *holds).map(|(_, text)| text.to_owned()).collect();
    // Where the ranges differ too, `unmasq plan diff` has more to say than there is room for.
    if let Some(before) = before.filter(|before| before.rows == revision.rows) {
        let kernels = (Kernel::of(history, before), Kernel::of(history, revision));
        if let (Ok(before), Ok(after)) = kernels {
            let change = TermChange::of_out(before.out_interface, after.out_interface);
            said.extend(change.map(|change| change.to_string()));
        }
    }
    if said.is_empty() { String::new() } else { format!("  ({})", said.join("; ")) }
}

fn report(history: &History, revision: &Revision) -> serde_json::Value {
    json!({
        "revision": revision.number,
        "since": revision.since().wall.to_string(),
        "until": history.ended(revision.number).map(|t| t.to_string()),
        "outcome": match revision.outcome {
            Became::Applied(_) => "applied",
            Became::Refused => "refused",
            Became::Unknown => "unknown",
        },
        "layout": revision.layout.word(),
        "format": revision.format.word(),
        "clients": revision.clients,
        "ports_per_client": revision.ports_per_client,
        "protocols": revision.protocols.iter().map(|p| p.to_string()).collect::<Vec<_>>(),
        "adopted": revision.is_adopted,
        "unreadable": revision.is_unreadable,
        "pruned": history.is_pruned(revision.number),
        "keeps_flows": revision.keeps_flows,
        "settled": revision.settled.map(|t| t.to_string()),
        "file": history.rules_file(revision),
        "rows_sha256": revision.rows.to_string(),
        "rules_sha256": revision.rules.to_string(),
    })
}

fn finite(time: Timestamp) -> Option<String> {
    time.is_finite().then(|| time.to_string())
}

fn one(args: &Args, history: &History, number: u64) -> Outcome {
    let revision = history.revision(number)?;
    let plan = history.plan(number)?;
    let mut out = anstream::stdout();
    if args.json {
        let mut document = report(history, revision);
        document["allocations"] =
            json!(plan.allocations.iter().map(AllocationReport::from).collect::<Vec<_>>());
        serde_json::to_writer_pretty(&mut out, &document)?;
        writeln!(out)?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(
        out,
        "revision {number}, in force since {}{}",
        revision.since().wall,
        remarks(history, revision, None)
    )?;
    writeln!(out, "rules in {}\n", history.rules_file(revision).display())?;
    let most = if args.all { usize::MAX } else { table::MOST_SHOWN };
    table::allocations(&mut out, &plan.allocations, most)?;
    Ok(ExitCode::SUCCESS)
}

fn check(args: &Args, history: &History) -> Outcome {
    let audit = audit(history.directory(), &mut |_, _| {})?;
    let mut out = anstream::stdout();
    if args.json {
        let report = json!({
            "revisions": audit.revisions,
            "head": audit.head.to_string(),
            "findings": audit.findings.iter()
                .map(|f| json!({ "revision": f.revision, "what": f.what })).collect::<Vec<_>>(),
        });
        serde_json::to_writer_pretty(&mut out, &report)?;
        writeln!(out)?;
    } else {
        for finding in &audit.findings {
            match finding.revision {
                Some(number) => writeln!(out, "revision {number}: {}", finding.what)?,
                None => writeln!(out, "{}", finding.what)?,
            }
        }
        writeln!(
            out,
            "{} revisions checked: {}\nhead of the chain: {}",
            audit.revisions,
            if audit.findings.is_empty() {
                "all are as they were written"
            } else {
                "not all are as they were written"
            },
            audit.head
        )?;
    }
    Ok(if audit.findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(5) })
}
