//! An address without a port: its clients, with how much each did.

use std::io::{self, Write};

use unmasq_trace::report::OverviewReport;
use unmasq_trace::{Inquiry, Overview, Verdict, Witness, overview};

use super::page::{self, Clock};
use super::{Args, When, status};
use crate::failure::Outcome;

/// Answers it.
pub(super) fn run(
    args: &Args,
    inquiry: &Inquiry,
    when: &When,
    witnesses: &mut [Box<dyn Witness>],
) -> Outcome {
    let overview = overview(inquiry, witnesses);
    let mut out = anstream::stdout();
    if args.json {
        let report = OverviewReport::new(
            &overview,
            when.is_written.then_some(when.asked.text.as_str()),
            &when.asked.notes,
        );
        serde_json::to_writer_pretty(&mut out, &report)?;
        writeln!(out)?;
    } else {
        print(&mut out, &overview, when)?;
    }
    Ok(status(overview.verdict()))
}

fn print(out: &mut impl Write, overview: &Overview, when: &When) -> io::Result<()> {
    let clock = Clock(&when.asked.zone);
    let inquiry = &overview.inquiry;
    page::head(out, &inquiry.masked.to_string(), inquiry.protocol.map(|p| p.to_string()), when)?;
    page::windows(out, &inquiry.windows, clock)?;
    let (count, flows) = (overview.client_count(), overview.clients.iter().map(|c| c.flows).sum::<u64>());
    let extent = match overview.verdict() {
        Verdict::Damaged => "the record is damaged there (see below)",
        Verdict::Incomplete => "the record is incomplete there (see below)",
        Verdict::Several if !overview.is_complete() => "the record is incomplete there (see below)",
        Verdict::One | Verdict::Nobody | Verdict::Several => "the record is complete",
    };
    let clients = if count == 1 { "client" } else { "clients" };
    writeln!(out, "\n{count} {clients}, {flows} flows; {extent}")?;
    if !overview.clients.is_empty() {
        writeln!(
            out,
            "\n  {:<39}  {:>9}  {:<23}  {:<23}  {:<12}  place",
            "client", "flows", "first (UTC)", "last (UTC)", "protocols"
        )?;
    }
    for client in &overview.clients {
        let time = |t: Option<unmasq_flow::Timestamp>| t.map_or_else(|| "not known".to_owned(), page::utc);
        let last = if client.open > 0 { format!("{} open", client.open) } else { time(client.last) };
        let protocols: Vec<String> = client.protocols.iter().map(ToString::to_string).collect();
        let address = client.client.to_string();
        writeln!(
            out,
            "  {address:<39}  {:>9}  {:<23}  {last:<23}  {:<12}  {}",
            client.flows,
            time(client.first),
            protocols.join(","),
            client.origin
        )?;
    }
    page::missing(out, &overview.shortfalls, &overview.damage)?;
    page::notes_of(out, when.asked.notes.iter().cloned().chain(overview.silent.iter().cloned()))
}
