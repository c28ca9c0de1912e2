//! `unmasq ledger info` and `unmasq ledger head`: what there is, at a glance.

use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;
use unmasq_flow::{Period, Timestamp};
use unmasq_ledger::run::Run;
use unmasq_ledger::{Hash, LedgerError, StreamInfo};

use super::say;
use crate::failure::{Failure, Outcome};
use crate::output::Bytes;

/// Show what the ledger has: streams, their period, size and coverage.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Exit status:
  0  shown
  2  usage, or there is no ledger that this unmasq reads
  5  a part of the ledger is damaged or unreadable")]
pub(crate) struct Args {
    #[command(flatten)]
    ledger: super::LedgerArg,

    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Print the head of each stream's chain, to be kept elsewhere.
///
/// Who keeps it can later prove with `unmasq ledger verify --head` that nothing that was recorded before was changed.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  unmasq ledger head | ssh notary 'cat >> heads'

Exit status:
  0  printed
  2  usage, or there is no ledger that this unmasq reads
  5  a part of the ledger is damaged or unreadable")]
pub(crate) struct HeadArgs {
    #[command(flatten)]
    ledger: super::LedgerArg,

    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What a stream has.
#[derive(Debug, Serialize)]
struct Shown {
    name: String,
    /// `recorder` or `import`.
    kind: &'static str,
    /// What is kept of destinations: `keep`, `hash` or `drop`.
    destinations: &'static str,
    runs: u64,
    /// Rows of the runs. A flow that crosses hours has several.
    rows: u64,
    run_bytes: u64,
    bytes_a_row: Option<f64>,
    /// Bytes that are not in runs yet.
    journal_bytes: u64,
    /// Start of the earliest and of the latest flow in the runs.
    first: Option<String>,
    last: Option<String>,
    /// Seconds for which the record is complete for its scope.
    covered_seconds: u64,
    /// Stretches in which it is not, from the first statement about coverage to the last.
    gaps: usize,
    holds: usize,
    /// The last hash of the chain.
    head: Option<String>,
    /// Files that could not be read.
    damage: Vec<String>,
}

/// Runs `info`.
pub(crate) fn run(args: &Args) -> Outcome {
    let shown =
        args.ledger.open()?.streams().iter().map(show).collect::<Result<Vec<_>, _>>().map_err(damaged)?;
    if args.json {
        say(serde_json::json!({ "streams": shown }))?;
    } else {
        print_text(&shown)?;
    }
    let is_whole = shown.iter().all(|stream| stream.damage.is_empty());
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::from(5) })
}

/// Runs `head`.
pub(crate) fn run_head(args: &HeadArgs) -> Outcome {
    for stream in args.ledger.open()?.streams() {
        let head = head(stream.path()).map_err(|error| Failure::with_exit(5, error))?;
        let text = head.map_or("-".to_owned(), |head| head.to_string());
        if args.json {
            say(serde_json::json!({ "stream": stream.name(), "head": head.map(|h| h.to_string()) }))?;
        } else {
            say(format_args!("{text} {}", stream.name()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn damaged(error: LedgerError) -> Failure {
    Failure::with_exit(5, error)
}

/// The last word of the chain's last whole line (`docs/ledger-format.md`). `None` if nothing was sealed yet.
fn head(stream: &Path) -> anyhow::Result<Option<Hash>> {
    let path = stream.join("chain");
    let chain = match fs::read_to_string(&path) {
        Ok(chain) => chain,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(anyhow::Error::from(error).context(format!("cannot read {}", path.display())));
        }
    };
    // What follows the last line feed was cut off by a power cut; a writer will drop it.
    let Some((whole, _)) = chain.rsplit_once('\n') else { return Ok(None) };
    let last = whole.rsplit('\n').next().and_then(|line| line.rsplit(' ').next()).unwrap_or_default();
    let hash = last.parse().map_err(|what: String| anyhow::anyhow!("{}: {what}", path.display()))?;
    Ok(Some(hash))
}

fn show(stream: &StreamInfo) -> Result<Shown, LedgerError> {
    let kind = stream.kind();
    let mut shown = Shown {
        name: stream.name().to_owned(),
        kind: if kind.is_import { "import" } else { "recorder" },
        destinations: kind.destinations.word(),
        runs: 0,
        rows: 0,
        run_bytes: 0,
        bytes_a_row: None,
        journal_bytes: 0,
        first: None,
        last: None,
        covered_seconds: 0,
        gaps: 0,
        holds: stream.holds()?.len(),
        head: None,
        damage: Vec::new(),
    };
    match head(stream.path()) {
        Ok(head) => shown.head = head.map(|head| head.to_string()),
        Err(error) => shown.damage.push(error.to_string()),
    }
    let mut starts: Option<Period> = None;
    add_files(stream, stream.path(), &mut shown, &mut starts);
    shown.bytes_a_row = (shown.rows > 0).then(|| shown.run_bytes as f64 / shown.rows as f64);
    let text = |time: Timestamp| time.is_finite().then(|| time.to_string());
    shown.first = starts.and_then(|starts| text(starts.from));
    shown.last = starts.and_then(|starts| text(starts.to));

    let coverage = stream.coverage(Period::ALWAYS)?;
    let seconds = coverage.covered.iter().map(|(period, _)| period.to.since(period.from).as_secs());
    shown.covered_seconds = seconds.sum();
    // Before the first and after the last statement is no gap, but time that nobody spoke of.
    shown.gaps =
        coverage.gaps.iter().filter(|gap| gap.period.from.is_finite() && gap.period.to.is_finite()).count();
    Ok(shown)
}

/// Adds up runs and journals below a directory. One that vanishes meanwhile was merged or pruned.
fn add_files(stream: &StreamInfo, directory: &Path, shown: &mut Shown, starts: &mut Option<Period>) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for path in entries.filter_map(Result::ok).map(|entry| entry.path()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            if name.bytes().all(|b| b.is_ascii_digit()) {
                add_files(stream, &path, shown, starts);
            }
        } else if name.starts_with("journal.") {
            shown.journal_bytes += path.metadata().map_or(0, |metadata| metadata.len());
        } else if path.extension().is_some_and(|e| e == "run") {
            match Run::open(&path, stream.name()) {
                Ok(run) => {
                    let header = run.header();
                    shown.runs += 1;
                    shown.rows += header.rows;
                    shown.run_bytes += header.bytes;
                    if header.rows > 0 {
                        let (from, to) =
                            starts.map_or((header.min_start, header.max_start), |p| (p.from, p.to));
                        *starts =
                            Some(Period { from: from.min(header.min_start), to: to.max(header.max_start) });
                    }
                }
                Err(_) if !path.exists() => {}
                Err(error) => shown.damage.push(error.to_string()),
            }
        }
    }
}

fn print_text(streams: &[Shown]) -> io::Result<()> {
    for shown in streams {
        say(format_args!("{} ({}, destinations: {})", shown.name, shown.kind, shown.destinations))?;
        if let (Some(first), Some(last)) = (&shown.first, &shown.last) {
            say(format_args!("  flows     began {first} to {last}"))?;
        }
        let each = shown.bytes_a_row.map_or(String::new(), |bytes| format!(", {bytes:.1} bytes a row"));
        let (runs, rows) = (shown.runs, shown.rows);
        say(format_args!("  runs      {runs} with {rows} rows in {}{each}", Bytes(shown.run_bytes)))?;
        say(format_args!("  journal   {}", Bytes(shown.journal_bytes)))?;
        if shown.kind == "import" {
            say("  coverage  none: a log that was imported cannot say what it lacks")?;
        } else {
            say(format_args!("  coverage  {} s, with {} gaps", shown.covered_seconds, shown.gaps))?;
        }
        if shown.holds > 0 {
            say(format_args!("  holds     {} (unmasq ledger hold list)", shown.holds))?;
        }
        if let Some(head) = &shown.head {
            say(format_args!("  head      {head}"))?;
        }
        for what in &shown.damage {
            say(format_args!("  damage    {what}"))?;
        }
    }
    if streams.is_empty() {
        say("the ledger has no streams")?;
    }
    Ok(())
}
