//! `--client`: all that a client did, row by row as it is found.

use std::io::{self, BufWriter, Write};
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use unmasq_flow::{Period, Timestamp};
use unmasq_trace::report::{HistoryReport, StepReport};
use unmasq_trace::{ClientQuestion, Hit, history};

use super::page::{self, Clock};
use super::{Args, When, status, witnesses};
use crate::failure::Outcome;

/// Rows are written in pieces of this many bytes,
const BUFFER: usize = 64 * 1024;
/// or when the last piece was written this long ago: who watches sees them as they are found.
const LONGEST_HELD: Duration = Duration::from_millis(50);

/// Answers it.
pub(super) fn run(args: &Args, client: IpAddr, when: &When, now: Timestamp) -> Outcome {
    let windows = &when.asked.windows;
    let (from, to) = (windows.iter().map(|w| w.from).min(), windows.iter().map(|w| w.to).max());
    let window = Period { from: from.unwrap_or(now), to: to.unwrap_or(now) };
    let mut witnesses = witnesses::assemble(args, now)?;
    let question =
        ClientQuestion { client: client.to_canonical(), protocol: args.proto, server: args.to, window };
    let mut out = anstream::stdout();
    let clock = Clock(&when.asked.zone);
    if !args.json {
        page::head(&mut out, &format!("all of {client}"), args.proto.map(|p| p.to_string()), when)?;
        page::windows(&mut out, &[window], clock)?;
        writeln!(
            out,
            "\n{:<25}  {:<25}  {:<6}  {:<22}  {:<22}  server",
            "from (UTC)", "to (UTC)", "proto", "client", "masked"
        )?;
    }
    out.flush()?;
    let mut rows = Rows::new(io::stdout().lock(), args.json);
    let mut written = Ok(());
    let end = history(&question, now, &mut witnesses, &mut |hit| {
        written = rows.row(&hit);
        if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    written.and_then(|()| rows.out.flush())?;
    drop(rows);
    if args.json {
        serde_json::to_writer(&mut out, &HistoryReport::new(&end, &when.asked.notes))?;
        writeln!(out)?;
    } else {
        let flows = if end.flows == 1 { "flow" } else { "flows" };
        let extent = if end.is_complete() {
            "the record is complete for its scope"
        } else {
            "the record is incomplete (see below)"
        };
        writeln!(out, "\n{} {flows}; {extent}", end.flows)?;
        page::missing(&mut out, &end.shortfalls, &end.damage)?;
        page::notes_of(&mut out, when.asked.notes.iter().cloned().chain(end.silent.iter().cloned()))?;
    }
    Ok(status(end.verdict()))
}

/// The rows, straight to standard output: they hold nothing to strip (JSON escapes what a terminal would obey), and to look
/// for it takes longer than to find them.
struct Rows<W: Write> {
    out: BufWriter<W>,
    is_json: bool,
    flushed: Option<Instant>,
}

impl<W: Write> Rows<W> {
    fn new(out: W, is_json: bool) -> Self {
        Self { out: BufWriter::with_capacity(BUFFER, out), is_json, flushed: None }
    }

    fn row(&mut self, hit: &Hit) -> io::Result<()> {
        if self.is_json {
            serde_json::to_writer(&mut self.out, &StepReport::from(hit))?;
            self.out.write_all(b"\n")?;
        } else {
            page::flow_row(&mut self.out, &hit.flow)?;
        }
        if self.flushed.is_none_or(|at| at.elapsed() >= LONGEST_HELD) {
            self.out.flush()?;
            self.flushed = Some(Instant::now());
        }
        Ok(())
    }
}
