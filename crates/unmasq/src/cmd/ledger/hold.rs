//! `unmasq ledger hold`: periods that retention must not remove.

use std::net::IpAddr;
use std::process::ExitCode;

use anyhow::{Context as _, anyhow, bail};
use clap::Subcommand;
use comfy_table::{Table, presets};
use unmasq_flow::{Period, Timestamp};
use unmasq_ledger::{Hold, LedgerError, StreamInfo};
use unmasq_trace::time;

use super::say;
use crate::failure::{Failure, Outcome};

/// Legal holds: hours that retention must not remove.
///
/// A hold keeps every hour that its period touches, of one stream or of all that are there. It is a small file in the stream that a
/// running recorder reads before it prunes; nothing has to be restarted.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  unmasq ledger hold add case-2026-17 --from 2026-11-21T00:00:00Z --to 2026-11-22T00:00:00Z --reason 'court order 17/26'
  unmasq ledger hold list
  unmasq ledger hold remove case-2026-17

Exit status:
  0  done
  2  usage, or there is no such hold or no ledger
  5  a part of the ledger is damaged or unreadable")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Enter a hold, or replace the one of this name.
    Add(AddArgs),
    /// List the holds.
    List(ListArgs),
    /// Remove a hold.
    Remove(RemoveArgs),
}

#[derive(Debug, clap::Args)]
struct AddArgs {
    /// A name for it: letters, digits, dots, dashes and underscores.
    name: String,

    /// Beginning of the period.
    #[arg(long, value_name = "TIME")]
    from: String,

    /// End of the period.
    #[arg(long, value_name = "TIME")]
    to: String,

    /// Zone of times that name none: an IANA name, UTC, or an offset such as +01:00.
    #[arg(long, value_name = "ZONE")]
    tz: Option<String>,

    /// Why: a case number, an order.
    #[arg(long, value_name = "TEXT")]
    reason: String,

    /// Who asked for it. Your user name if it is not given.
    #[arg(long, value_name = "NAME")]
    who: Option<String>,

    /// The masked address that it is about. For people: whole hours are held.
    #[arg(long, value_name = "ADDRESS")]
    masked: Option<IpAddr>,

    /// The client address that it is about, likewise.
    #[arg(long, value_name = "ADDRESS")]
    client: Option<IpAddr>,

    #[command(flatten)]
    place: Place,
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    #[command(flatten)]
    place: Place,

    /// Print JSON, one object a line.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct RemoveArgs {
    /// The name of the hold.
    name: String,

    #[command(flatten)]
    place: Place,
}

#[derive(Debug, clap::Args)]
struct Place {
    #[command(flatten)]
    ledger: super::LedgerArg,

    /// This stream only. May be repeated; otherwise all.
    #[arg(long, value_name = "NAME")]
    stream: Vec<String>,
}

impl Place {
    fn streams(&self) -> Result<Vec<StreamInfo>, Failure> {
        let ledger = self.ledger.open()?;
        if self.stream.is_empty() {
            return Ok(ledger.streams().to_vec());
        }
        let named = |name: &String| {
            ledger
                .stream(name)
                .cloned()
                .ok_or_else(|| anyhow!("--stream {name}: the ledger has no such stream"))
        };
        Ok(self.stream.iter().map(named).collect::<anyhow::Result<_>>()?)
    }
}

fn damaged(error: LedgerError) -> Failure {
    let exit = if matches!(error, LedgerError::StreamName(_)) { 2 } else { 5 };
    Failure::with_exit(exit, error)
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Outcome {
    match &args.command {
        Command::Add(args) => add(args),
        Command::List(args) => list(args),
        Command::Remove(args) => remove(args),
    }
}

fn add(args: &AddArgs) -> Outcome {
    let hold = Hold {
        name: args.name.clone(),
        period: period(args)?,
        masked: args.masked,
        client: args.client,
        reason: args.reason.clone(),
        who: args
            .who
            .clone()
            .or_else(|| std::env::var("SUDO_USER").ok())
            .or_else(|| std::env::var("USER").ok())
            .context("nobody is named; say who asked for it with --who NAME")?,
        since: Timestamp::now(),
    };
    let streams = args.place.streams()?;
    if streams.is_empty() {
        return Err(anyhow!("the ledger has no stream to hold").into());
    }
    for stream in &streams {
        stream.hold(&hold).map_err(damaged)?;
        say(format_args!("{} is held in {}", hold.name, stream.name()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn period(args: &AddArgs) -> anyhow::Result<Period> {
    let zone = args.tz.as_deref().map(time::zone).transpose().context("--tz")?;
    let context = time::Context { now: jiff::Timestamp::now(), zone };
    let read = |flag: &'static str, text: &str| -> anyhow::Result<Vec<Period>> {
        Ok(time::parse(text, &context).context(flag)?.windows)
    };
    // A local time that occurred twice means both: a hold rather keeps too much than too little.
    let from = read("--from", &args.from)?.iter().map(|period| period.from).min();
    let to = read("--to", &args.to)?.iter().map(|period| period.to).max();
    match (from, to) {
        (Some(from), Some(to)) if from <= to => Ok(Period { from, to }),
        _ => bail!("--from is later than --to"),
    }
}

fn list(args: &ListArgs) -> Outcome {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_header(["NAME", "STREAM", "FROM", "TO", "WHO", "ENTERED", "REASON"]);
    for stream in args.place.streams()? {
        for hold in stream.holds().map_err(damaged)? {
            let Hold { name, period, masked, client, reason, who, since } = hold;
            if args.json {
                let line = serde_json::json!({
                    "name": name, "stream": stream.name(), "from": period.from.to_string(), "to": period.to.to_string(),
                    "masked": masked, "client": client, "who": who, "since": since.to_string(), "reason": reason,
                });
                say(line)?;
            } else {
                let times = [period.from, period.to, since].map(|time| time.to_string());
                let [from, to, since] = times;
                table.add_row([name, stream.name().to_owned(), from, to, who, since, reason]);
            }
        }
    }
    if !args.json {
        if table.is_empty() {
            say("nothing is held")?;
        } else {
            say(&table)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn remove(args: &RemoveArgs) -> Outcome {
    let mut is_found = false;
    for stream in args.place.streams()? {
        if stream.release(&args.name).map_err(damaged)? {
            is_found = true;
            say(format_args!("{} is no longer held in {}", args.name, stream.name()))?;
        }
    }
    if !is_found {
        return Err(anyhow!("there is no hold {:?}; see unmasq ledger hold list", args.name).into());
    }
    Ok(ExitCode::SUCCESS)
}
