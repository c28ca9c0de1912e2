//! `unmasq status`: how a running recorder is.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use unmasq_control::{Ask, DEFAULT_SOCKET, Reply, Status};

use crate::control::client::ask;
use crate::failure::{Failure, Outcome};
use crate::output::Bytes;
use crate::recorder::status::a_flow;

/// Show how the running recorder is: flows, events, losses, disk use
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Exit status: 0 all is recorded; 1 something is lost or in trouble; 2 no recorder answers.

Examples:
  unmasq status
  unmasq status --json | jq .events_lost")]
pub(crate) struct Args {
    /// The recorder's control socket
    #[arg(long, value_name = "SOCKET", default_value = DEFAULT_SOCKET)]
    control: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Outcome {
    let mut status = None;
    ask(&args.control, Ask::Status, |reply| {
        if let Reply::Status(s) = reply {
            status = Some(s);
        }
    })?;
    let status = status.ok_or_else(|| {
        Failure::with_exit(2, anyhow::anyhow!("the recorder gave no status; is it another version?"))
    })?;
    let mut out = anstream::stdout();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &status)?;
        writeln!(out)?;
    } else {
        print(&mut out, &status)?;
    }
    Ok(ExitCode::from(u8::from(status.trouble.is_some() || status.events_lost > 0)))
}

fn print(out: &mut impl Write, s: &Status) -> std::io::Result<()> {
    writeln!(out, "recorder   unmasq {}, process {}, stream {} in {}", s.version, s.pid, s.stream, s.ledger)?;
    for n in &s.namespaces {
        let name = if n.name.is_empty() { "(own)" } else { &n.name };
        let since =
            n.covered_since.as_ref().map_or("not covered".to_owned(), |t| format!("covered since {t}"));
        let mode = if n.reliable { "reliable" } else { "best effort" };
        writeln!(out, "namespace  {name}: {since}, {mode}, {} overruns", n.overruns)?;
    }
    writeln!(out, "flows      {} alive, {} recorded", s.live_flows, s.flows_recorded)?;
    writeln!(out, "events     {}, {} a second, {} lost", s.events, s.events_per_second, s.events_lost)?;
    writeln!(out, "disk       {}, {}", Bytes(s.disk_bytes), a_flow(s.bytes_per_row))?;
    writeln!(out, "memory     {} for the book of live flows", Bytes(s.book_bytes))?;
    writeln!(out, "uncovered  {} s of this run", s.uncovered_seconds)?;
    match &s.trouble {
        Some(trouble) => writeln!(out, "trouble    {trouble}"),
        None => Ok(()),
    }
}
