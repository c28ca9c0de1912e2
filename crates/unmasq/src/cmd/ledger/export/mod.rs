//! `unmasq ledger export`: the flows for other programs, each once.

mod columns;
mod parquet;
mod target;
mod writer;

use std::io::{IsTerminal, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use unmasq_flow::Bound;

pub(crate) use self::target::Target;
use self::writer::{FlowWriter, Form};
use super::selection::Selection;
use super::{progress, say};
use crate::failure::{Failure, Outcome};

/// Flows between two moves of the progress bar.
const FLOWS_PER_TICK: u64 = 16 * 1024;

/// Export flows as Parquet, CSV or JSON lines, each flow once.
///
/// The columns of Parquet and CSV are the same. start and end are the earliest that they can be, start_latest and end_latest the
/// latest (empty unless the bound is `between`), start_bound and end_bound say how they are known: exact, read, between, open,
/// unknown. Addresses are text; a port, an ICMP id or a number that there is not is empty. JSON lines are as those of
/// `unmasq trace --json`.
///
/// The file appears under its name only when it is whole.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  unmasq ledger export --format parquet -o november.parquet --since 2026-11-01T00:00:00Z --until 2026-11-30T23:59:59Z
      duckdb -c \"select client_address, count(*) from 'november.parquet' group by 1 order by 2 desc\"
  unmasq ledger export --format csv --masked 203.0.113.1:53500 --at 2026-11-21T08:57:28Z
  unmasq ledger export --format json --client 192.168.101.0/24 --since '1 Nov 2026 00:00' --tz Europe/Berlin | jq .server

Exit status:
  0  exported
  2  usage, no ledger is there, or the output cannot be written
  5  a part of the ledger is damaged or unreadable: what could be read was exported")]
pub(crate) struct Args {
    /// The form.
    #[arg(long, value_enum, value_name = "FORM")]
    format: Form,

    /// The file to write; standard output if it is not given or is -.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,

    #[command(flatten)]
    selection: Selection,

    #[command(flatten)]
    ledger: super::LedgerArg,

    /// Print what was exported as JSON (with --output).
    #[arg(long)]
    json: bool,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Outcome {
    let is_file = args.output.as_deref().is_some_and(|path| path != Path::new("-"));
    if args.format == Form::Parquet && !is_file && std::io::stdout().is_terminal() {
        return Err(anyhow!("Parquet is not for a terminal; name a file with --output FILE").into());
    }
    let ledger = args.ledger.open()?;
    let streams: Vec<String> = ledger.streams().iter().map(|stream| stream.name().to_owned()).collect();
    let chosen = args.selection.choose(&streams)?;
    let mut out = FlowWriter::new(args.format, Target::open(args.output.as_deref())?)?;
    let bar = progress::count("exported");
    let mut flows = 0_u64;
    let mut failed = None;
    let damage = ledger
        .flows(&chosen.filter, &mut |mut hit| {
            // A log that was imported says nothing of what came after it; only a recorder can say that a flow is still open.
            if hit.is_import && hit.flow.end == Bound::Open {
                hit.flow.end = Bound::Unknown;
            }
            if !chosen.admits(&hit.flow) {
                return ControlFlow::Continue(());
            }
            flows += 1;
            if flows.is_multiple_of(FLOWS_PER_TICK) {
                bar.set_position(flows);
            }
            match out.write(&hit.flow) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            }
        })
        .map_err(|error| Failure::with_exit(5, error))?;
    if let Some(error) = failed {
        return Err(error.into());
    }
    out.finish().and_then(Target::finish).context("cannot finish the export")?;
    bar.finish_and_clear();
    for what in &damage {
        // Nothing is left to tell if standard error is gone too.
        let _ = writeln!(anstream::stderr(), "unmasq: {what}");
    }
    if is_file {
        report(args, flows, damage.len())?;
    }
    Ok(if damage.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(5) })
}

fn report(args: &Args, flows: u64, damaged: usize) -> std::io::Result<()> {
    let path = args.output.as_deref().unwrap_or(Path::new("-"));
    let bytes = path.metadata().map_or(0, |metadata| metadata.len());
    if args.json {
        let summary = serde_json::json!({ "file": path, "flows": flows, "bytes": bytes, "damaged": damaged });
        say(summary)
    } else {
        say(format_args!("{flows} flows in {} ({})", path.display(), crate::output::Bytes(bytes)))
    }
}
