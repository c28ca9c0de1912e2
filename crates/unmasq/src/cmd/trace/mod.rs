//! `unmasq trace`: who was it?

mod address;
mod ask;
mod batch;
mod client;
mod page;
mod witnesses;

use std::io::Write;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use jiff::tz::TimeZone;
use unmasq_flow::{Endpoint, Period, Protocol, Selector, Timestamp};
use unmasq_trace::report::Report;
use unmasq_trace::time::{self, Asked, Context};
use unmasq_trace::{Inquiry, Verdict};

use crate::config::units::parse_duration;
use crate::failure::{Failure, Outcome};

/// Find the client behind a masked address and port
#[derive(Debug, clap::Args)]
#[command(
    long_about = "\
Find the client behind a masked address and port, now or at any recorded time.

ENDPOINT is the client as the far side saw it: 203.0.113.1:53500, [2001:db8::1]:53500, 203.0.113.1#45643 for an ICMP id, \
or an address alone, which gives a summary by client. Without --at, the present moment is meant.

TIME is RFC 3339 with an offset (2026-11-21T08:57:28Z), a Unix time (seconds or milliseconds), or a form that abuse reports \
use: \"2020/12/26 13:37:42\", \"Feb 22 12:27:04 2014\", \"22/Feb/2014:12:27:04 +0100\", \"14:32 yesterday\". A time that names no zone \
needs --tz. The window is as long as the time is precise, and --window longer on both sides.",
    after_long_help = "\
Exit status:
  0  exactly one client, and the record is complete
  1  no client, and the record is complete for that address and kind of flow
  2  wrong usage or configuration
  3  several clients; the answer says what would decide
  4  at most one client, but the record is incomplete (or leaves such flows out by setting)
  5  a file that the answer needs is damaged or unreadable
With --batch: 0 if the rows were answered (each row has its own status in a column), 2 if the file is no table of questions.

Examples:
  unmasq trace 203.0.113.1:61002
  unmasq trace 203.0.113.1:61002 --at 2026-11-21T08:57:28Z --to 198.51.100.7:80
  unmasq trace 203.0.113.1:61002 --at \"Feb 22 12:27:04 2014\" --tz Europe/Berlin --proto tcp
  unmasq trace 203.0.113.1 --since \"08:00 today\" --until \"09:00 today\" --tz Europe/Berlin
  unmasq trace --client 192.168.101.2 --since 2026-11-21T00:00Z --until 2026-11-22T00:00Z
  unmasq trace 192.0.2.1:65300 --at 2020-12-26T13:37:42Z --plan /etc/iptables
  unmasq trace --batch reports.csv --tz UTC > answers.csv"
)]
#[command(group = clap::ArgGroup::new("subject").required(true).args(["endpoint", "client", "batch"]))]
pub(crate) struct Args {
    /// The client as the far side saw it, such as 203.0.113.1:53500
    #[arg(value_name = "ENDPOINT")]
    endpoint: Option<Endpoint>,
    /// When; without it, now
    #[arg(long, value_name = "TIME", conflicts_with_all = ["since", "until"])]
    at: Option<String>,
    /// From when on, in place of --at
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Until when, in place of --at; without it, now
    #[arg(long, value_name = "TIME", requires = "since")]
    until: Option<String>,
    /// The zone of times that name none, and the zone to show: an IANA name, UTC, or an offset
    #[arg(long, value_name = "ZONE", value_parser = time::zone)]
    tz: Option<TimeZone>,
    /// How far off the time can be, on both sides [default: 5s with --at]
    #[arg(long, value_name = "SPAN", value_parser = parse_duration)]
    window: Option<Duration>,
    /// The protocol: tcp, udp, icmp, or a number
    #[arg(long, value_name = "PROTOCOL")]
    proto: Option<Protocol>,
    /// The far side's own endpoint (or address), which tells clients apart that share a port
    #[arg(long, value_name = "ENDPOINT")]
    to: Option<Endpoint>,
    /// Ask the other way round: all that this client did
    #[arg(long, value_name = "ADDRESS")]
    client: Option<IpAddr>,
    /// Answer each row of a table (CSV with named columns, or JSON lines); - reads standard input
    #[arg(long, value_name = "FILE")]
    batch: Option<PathBuf>,
    /// A folder of recorded flows; can be given more than once [default: /var/lib/unmasq/ledger]
    #[arg(long, value_name = "DIR")]
    ledger: Vec<PathBuf>,
    /// A folder of port plans that were applied, or of eduVPN's files rules.v4.TIME; can be given more than once
    /// [default: /var/lib/unmasq/plan]
    #[arg(long, value_name = "DIR")]
    plan: Vec<PathBuf>,
    /// The control socket of the recorder to ask about the present [default: /run/unmasq/control.sock]
    #[arg(long, value_name = "SOCKET")]
    control: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// How far off a time is taken to be on both sides, unless told otherwise.
const DEFAULT_WINDOW: Duration = Duration::from_secs(5);

/// Runs it.
pub(crate) fn run(args: &Args) -> Outcome {
    let now = Timestamp::now();
    if let Some(path) = &args.batch {
        return batch::run(args, path, now);
    }
    let mut when = when(args, now)?;
    if let Some(client) = args.client {
        return client::run(args, client, &when, now);
    }
    // The group of arguments asks for one of the three.
    let Some(masked) = args.endpoint else {
        return Err(Failure::from(anyhow::anyhow!("name an endpoint, such as 203.0.113.1:53500")));
    };
    let inquiry =
        Inquiry { masked, protocol: args.proto, server: args.to, windows: when.asked.windows.clone(), now };
    let mut witnesses = witnesses::assemble(args, now)?;
    if masked.selector == Selector::None && !args.proto.is_some_and(|p| !p.has_ports() && !p.has_ids()) {
        if witnesses.iter().any(|witness| witness.needs_port()) {
            let note = format!("a port plan names a client by its port: ask for {masked}:PORT");
            when.asked.notes.push(note);
        }
        return address::run(args, &inquiry, &when, &mut witnesses);
    }
    let answer = ask::until_settled(&inquiry, &mut witnesses);
    let mut out = anstream::stdout();
    if args.json {
        let report =
            Report::new(&answer, when.is_written.then_some(when.asked.text.as_str()), &when.asked.notes);
        serde_json::to_writer_pretty(&mut out, &report)?;
        writeln!(out)?;
    } else {
        page::answer(&mut out, &answer, &when)?;
    }
    Ok(status(answer.verdict()))
}

fn status(verdict: Verdict) -> ExitCode {
    ExitCode::from(verdict.code())
}

/// The time that is asked about.
#[derive(Clone, Debug)]
struct When {
    /// The stretches of time, the zone to show, and what was inferred.
    asked: Asked,
    /// Was a time written, or is it the present moment?
    is_written: bool,
}

fn when(args: &Args, now: Timestamp) -> Result<When, Failure> {
    let context = context(args, now)?;
    let widen = |asked: Asked| asked.widened(args.window.unwrap_or(DEFAULT_WINDOW));
    if let Some(at) = &args.at {
        return Ok(When { asked: widen(time::parse(at, &context)?), is_written: true });
    }
    if let Some(since) = &args.since {
        let first = time::parse(since, &context)?;
        let mut last = args.until.as_ref().map(|until| time::parse(until, &context)).transpose()?;
        let to = last.as_ref().and_then(|l| l.windows.last()).map_or(now, |w| w.to);
        let from = first.windows.first().map_or(now, |w| w.from);
        if to < from {
            return Err(anyhow::anyhow!("--until {to} is before --since {from}").into());
        }
        let mut notes = first.notes;
        notes.append(last.as_mut().map_or(&mut Vec::new(), |l| &mut l.notes));
        let text = match &args.until {
            Some(until) => format!("{since} to {until}"),
            None => format!("{since} to now"),
        };
        let asked = Asked { text, windows: vec![Period { from, to }], zone: first.zone, notes };
        let asked = if let Some(window) = args.window { asked.widened(window) } else { asked };
        return Ok(When { asked, is_written: true });
    }
    let present = Period { from: now - args.window.unwrap_or_default(), to: now };
    let zone = args.tz.clone().unwrap_or(TimeZone::UTC);
    let asked = Asked { text: "now".to_owned(), windows: vec![present], zone, notes: Vec::new() };
    Ok(When { asked, is_written: false })
}

fn context(args: &Args, now: Timestamp) -> Result<Context, Failure> {
    let now = jiff::Timestamp::from_nanosecond(i128::from(now.as_nanos()))?;
    Ok(Context { now, zone: args.tz.clone() })
}
