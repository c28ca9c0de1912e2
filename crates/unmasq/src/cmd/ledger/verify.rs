//! `unmasq ledger verify`: is everything there, unchanged and readable?

use std::io;
use std::process::ExitCode;

use serde_json::json;
use unmasq_flow::Timestamp;
use unmasq_ledger::run::Damage;
use unmasq_ledger::{Hash, HeadCheck, Problem, StreamReport, VerifyOptions, VerifyReport};

use super::{progress, say};
use crate::failure::{Failure, Outcome};
use crate::output::Bytes;

/// Check the whole record: chain, checksums, coverage.
///
/// Every run is read and compared with its checksums and with the chain, in which each run, merge and pruning stands with the hash of
/// the one before. What was pruned is told from what is missing. Damage is named by file, block and byte; the other blocks
/// of that file are still read by every command.
///
/// The head is the last hash of a chain. Keep it elsewhere (`unmasq ledger head`), and --head tells later whether anything that was
/// recorded before was changed since. A recorder may be at work meanwhile.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  unmasq ledger verify
  unmasq ledger verify --head 5d41402abc4b2a76b9719d911017c592ae7f0a2f3c1ffcd63cd5e3a1e9b0b1d2

Exit status:
  0  all is there, unchanged and readable
  2  usage, or there is no ledger that this unmasq reads
  5  something is damaged, missing or changed, or the head given is in no chain")]
pub(crate) struct Args {
    /// A head that was kept elsewhere: 64 hex digits.
    #[arg(long, value_name = "HASH")]
    head: Option<Hash>,

    #[command(flatten)]
    ledger: super::LedgerArg,

    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Outcome {
    let ledger = args.ledger.open()?;
    let bar = progress::steps("runs");
    let report = ledger
        .verify(&VerifyOptions { head: args.head }, &mut |progress| {
            bar.set_length(progress.total);
            bar.set_position(progress.done);
            bar.set_prefix(progress.stream.to_owned());
        })
        .map_err(|error| Failure::with_exit(5, error))?;
    bar.finish_and_clear();
    if args.json {
        print_json(&report)?;
    } else {
        print_text(&report)?;
    }
    Ok(if report.is_sound() { ExitCode::SUCCESS } else { ExitCode::from(5) })
}

fn print_text(report: &VerifyReport) -> io::Result<()> {
    for stream in &report.streams {
        let StreamReport { name, entries, head, runs, rows, bytes, pruned_hours, problems } = stream;
        let verdict =
            if problems.is_empty() { "sound".to_owned() } else { format!("{} problems", problems.len()) };
        say(format_args!("{name}: {verdict}"))?;
        say(format_args!("  runs    {runs} with {rows} rows in {}", Bytes(*bytes)))?;
        say(format_args!("  chain   {entries} entries, {pruned_hours} hours pruned"))?;
        say(format_args!("  head    {head}"))?;
        for problem in problems {
            say(format_args!("  damage  {problem}"))?;
        }
    }
    match &report.head {
        None => {}
        Some(HeadCheck::NotFound) => {
            say("head: in no chain of this ledger; it is another ledger's, or the chain was changed")?;
        }
        Some(HeadCheck::Found { stream, entry, at, runs, merges, prunes }) => {
            // An import states no clock.
            let at = if *at > Timestamp::from_seconds(0) { format!(" of {at}") } else { String::new() };
            say(format_args!(
                "head: entry {entry} of {stream}{at}; since then {runs} runs, {merges} merges, {prunes} prunings"
            ))?;
        }
    }
    if report.streams.is_empty() {
        say("the ledger has no streams")?;
    }
    Ok(())
}

fn print_json(report: &VerifyReport) -> io::Result<()> {
    let streams: Vec<_> = report
        .streams
        .iter()
        .map(|stream| {
            json!({
                "name": stream.name,
                "runs": stream.runs,
                "rows": stream.rows,
                "bytes": stream.bytes,
                "chain_entries": stream.entries,
                "head": stream.head.to_string(),
                "pruned_hours": stream.pruned_hours,
                "problems": stream.problems.iter().map(problem).collect::<Vec<_>>(),
            })
        })
        .collect();
    let head = report.head.as_ref().map(|head| match head {
        HeadCheck::NotFound => json!({ "found": false }),
        HeadCheck::Found { stream, entry, at, runs, merges, prunes } => json!({
            "found": true, "stream": stream, "entry": entry, "at": at.to_string(),
            "runs_since": runs, "merges_since": merges, "prunings_since": prunes,
        }),
    });
    say(json!({ "sound": report.is_sound(), "streams": streams, "head": head }))
}

fn problem(problem: &Problem) -> serde_json::Value {
    let message = problem.to_string();
    match problem {
        Problem::Chain { path, line, .. } => {
            json!({ "kind": "chain", "file": path, "line": line, "message": message })
        }
        Problem::Missing { path, hour } => {
            json!({ "kind": "missing", "file": path, "hour": hour, "message": message })
        }
        Problem::Changed { path } => json!({ "kind": "changed", "file": path, "message": message }),
        Problem::Block(Damage { path, block, offset, length, .. }) => json!({
            "kind": "block", "file": path, "block": block, "offset": offset, "length": length, "message": message,
        }),
        Problem::Unreadable { path, .. } => json!({ "kind": "unreadable", "file": path, "message": message }),
        Problem::Unchained { path } => json!({ "kind": "unchained", "file": path, "message": message }),
        Problem::Damaged { path, from, to } => {
            json!({ "kind": "damaged", "file": path, "offset": from, "length": to - from, "message": message })
        }
        // A kind that this program's own library learnt later: its words say what it is.
        _ => json!({ "kind": "other", "message": message }),
    }
}
