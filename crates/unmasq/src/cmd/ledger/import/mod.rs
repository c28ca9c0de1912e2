//! `unmasq ledger import`: other programs' logs into a stream of their own.

mod known;
mod run;
mod source;
mod store;
mod summary;
mod year;

use std::path::PathBuf;
use std::process::ExitCode;

use unmasq_import::Format;

use crate::failure::{Failure, Outcome};

/// Import the log of another program into a stream of its own.
///
/// Reads what conntrack, ulogd2 or natlog wrote, joins the lines about one connection, and adds the flows to the ledger, where
/// `unmasq trace` finds them like those that were recorded (as evidence that could have been forged, and never as a complete
/// record).
///
/// Several FILEs are one log, in the order given, the oldest first: a connection can begin in one and end in the next. They may
/// be compressed with gzip or zstd.
///
/// The stream is called import- and a hash of the format and the log's first line, so importing the same log again adds
/// nothing, and importing it after it has grown adds the rest. Nothing is guessed: a local time without --tz is refused.
///
/// A line that cannot be read is refused and counted, with the reason and the first line numbers; it does not stop the rest.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  unmasq ledger import --format conntrack conntrack.log
      A log of `conntrack -E -o timestamp,id`, with or without ktimestamp.
  unmasq ledger import --format ulogd-emu --tz Europe/Berlin --year 2025 /var/log/ulog/nat.log.2.gz /var/log/ulog/nat.log.1
      Syslog lines have neither year nor zone: give the year of the first line and the zone of the host that wrote them.
  unmasq ledger import --format natlog --stream old-gateway natlog.csv
  conntrack -L -o id > now.txt; unmasq ledger import --format conntrack --seen-at 2026-11-21T09:30:00Z now.txt

Exit status:
  0  imported, or nothing new in it
  1  imported, but some lines were refused
  2  usage: a file that cannot be read, another format, no zone; nothing was imported
  5  the ledger is damaged or cannot be written")]
pub(crate) struct Args {
    /// The log's format: conntrack (-E or -L), ulogd-json, ulogd-emu (PRINTFLOW lines) or natlog (lines or table).
    #[arg(long, value_name = "FORMAT")]
    format: Format,

    /// The log, the oldest file first.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Time zone of the host that wrote the log, for local times: an IANA name, UTC, or an offset such as +01:00.
    #[arg(long, value_name = "ZONE")]
    tz: Option<String>,

    /// Year of the log's first line, for dates without a year; later years follow by themselves.
    #[arg(long, value_name = "YEAR", value_parser = clap::value_parser!(i16).range(1970..=2262))]
    year: Option<i16>,

    /// When `conntrack -L` was run, for its lines, which have no time.
    #[arg(long, value_name = "TIME")]
    seen_at: Option<String>,

    /// Import into this stream instead of `import-HASH`
    #[arg(long, value_name = "NAME")]
    stream: Option<String>,

    #[command(flatten)]
    ledger: super::LedgerArg,

    /// Print the summary as JSON.
    #[arg(long)]
    json: bool,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Outcome {
    let summary = run::import(args)?;
    summary.print(args.json).map_err(|error| Failure::with_exit(5, error))?;
    Ok(if summary.refused_lines() > 0 { ExitCode::from(1) } else { ExitCode::SUCCESS })
}
