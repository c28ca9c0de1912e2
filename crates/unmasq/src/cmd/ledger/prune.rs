//! `unmasq ledger prune`: remove old hours of a stream that no recorder is writing.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::anyhow;
use rustix::time::{ClockId, clock_gettime};
use unmasq_flow::{ClockReading, Timestamp};
use unmasq_ledger::{CoverageEvent, LedgerError, Retention, Writer, WriterOptions};
use unmasq_netfilter::settings::Clock;

use super::say;
use crate::config::units::{parse_duration, parse_size};
use crate::failure::{Failure, Outcome};

/// Remove old hours, the oldest first.
///
/// For streams that no recorder writes, such as imports: a recorder prunes its own stream (`unmasq record --keep 180d --max-size 50GB`).
/// Whole hours go, never one that is held (`unmasq ledger hold`), and the chain notes each, so that `unmasq ledger verify`
/// tells pruning from damage.
#[derive(Debug, clap::Args)]
#[command(
    group = clap::ArgGroup::new("limit").required(true).multiple(true).args(["keep", "max_size"]),
    after_long_help = "\
Examples:
  unmasq ledger prune --stream import-7c742f35253c --keep 365d

Exit status:
  0  done, also if nothing was due
  2  usage, no such ledger or stream, or it is being written
  5  the ledger is damaged or cannot be written"
)]
pub(crate) struct Args {
    /// The stream.
    #[arg(long, value_name = "NAME")]
    stream: String,

    /// Remove hours that ended longer ago: 24h, 180d.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    keep: Option<Duration>,

    /// Remove the oldest hours until the runs take no more: 500MB, 20GiB.
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    max_size: Option<u64>,

    #[command(flatten)]
    ledger: super::LedgerArg,

    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Outcome {
    let failed = |error: LedgerError| {
        let exit = if matches!(error, LedgerError::Locked { .. }) { 2 } else { 5 };
        Failure::with_exit(exit, error)
    };
    let ledger = args.ledger.open()?;
    let stream = ledger
        .stream(&args.stream)
        .ok_or_else(|| anyhow!("the ledger has no stream {}; see unmasq ledger info", args.stream))?;
    let kind = stream.kind();
    let options = WriterOptions {
        is_import: kind.is_import,
        destinations: kind.destinations,
        retention: Retention { keep: args.keep, max_size: args.max_size },
        ..WriterOptions::default()
    };
    let (mut writer, _) = Writer::open(ledger.directory(), &args.stream, options).map_err(failed)?;
    // What is due depends on the time, which the writer does not ask for itself. No scope is started, so nothing is covered by it.
    writer.cover(CoverageEvent::Alive { clock: clock() });
    let stats = writer.finish_sealed().map_err(failed)?;
    if args.json {
        let line = serde_json::json!({
            "stream": args.stream, "pruned_hours": stats.pruned_hours, "run_bytes": stats.run_bytes,
        });
        say(line)?;
    } else {
        let size = crate::output::Bytes(stats.run_bytes);
        say(format_args!("{}: {} hours removed, {size} left", args.stream, stats.pruned_hours))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn clock() -> ClockReading {
    let boot = clock_gettime(ClockId::Boottime);
    ClockReading {
        wall: Timestamp::now(),
        boot: Duration::new(boot.tv_sec.unsigned_abs(), boot.tv_nsec as u32),
        is_synchronised: Clock::read().is_ok_and(|clock| clock.is_synchronised),
    }
}
