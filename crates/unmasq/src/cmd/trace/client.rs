//! `--client`: all that a client did, row by row as it is found.

use std::io::{self, Write};
use std::net::IpAddr;
use std::ops::ControlFlow;

use unmasq_flow::{Period, Timestamp};
use unmasq_trace::report::{HistoryReport, StepReport};
use unmasq_trace::{ClientQuestion, Hit, history};

use super::page::{self, Clock};
use super::{Args, When, status, witnesses};
use crate::failure::Outcome;

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
    let mut failure = None;
    let end = history(&question, now, &mut witnesses, &mut |hit| match row(&mut out, &hit, args.json) {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => {
            failure = Some(error);
            ControlFlow::Break(())
        }
    });
    if let Some(error) = failure {
        return Err(error.into());
    }
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

fn row(out: &mut impl Write, hit: &Hit, is_json: bool) -> io::Result<()> {
    if is_json {
        serde_json::to_writer(&mut *out, &StepReport::from(hit))?;
        return writeln!(out);
    }
    writeln!(out, "{}", page::flow_row(&hit.flow))
}
