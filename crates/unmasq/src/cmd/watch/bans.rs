//! `unmasq watch bans`: who is banned; ban and unban by hand.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;
use comfy_table::{Table, presets};
use unmasq_control::watch::{BanRecord, DEFAULT_SOCKET, WatchAsk, WatchReply};

use crate::config::units;
use crate::failure::Outcome;

/// Show who is banned, ban and unban by hand
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Exit status: 0 done; 1 not banned, or refused by the guard; 2 wrong usage, or no watch answers.

Examples:
  unmasq watch bans list
  unmasq watch bans add 192.0.2.7 --set 'inet filter bans4' --for 1h
  unmasq watch bans remove 192.0.2.7")]
pub(super) struct Args {
    /// The watch's control socket
    #[arg(long, value_name = "SOCKET", default_value = DEFAULT_SOCKET, global = true)]
    control: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the bans in force
    List {
        /// Print one JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Ban an address or a network; the guard judges it like any other
    Add {
        /// Address or network
        target: String,
        /// The set: `inet filter bans4`, or an ipset's name with --ipset
        #[arg(long, value_name = "SET")]
        set: String,
        /// The set is an ipset
        #[arg(long)]
        ipset: bool,
        /// For how long, such as 1h or 7d; for ever without
        #[arg(long = "for", value_name = "TIME", value_parser = units::parse_duration)]
        duration: Option<Duration>,
    },
    /// Unban an address or a network
    Remove {
        /// Address or network; a ban of a network around the address ends too
        target: String,
        /// Only in this set
        #[arg(long, value_name = "SET")]
        set: Option<String>,
    },
}

pub(super) fn run(args: &Args) -> Outcome {
    let question = match &args.command {
        Command::List { .. } => WatchAsk::Bans,
        Command::Add { target, set, ipset, duration } => WatchAsk::Ban {
            set: set.clone(),
            is_ipset: *ipset,
            target: target.clone(),
            seconds: duration.map(|duration| duration.as_secs()),
        },
        Command::Remove { target, set } => WatchAsk::Unban { set: set.clone(), target: target.clone() },
    };
    let mut bans = Vec::new();
    let mut done = None;
    super::asked(&args.control, question, |reply| match reply {
        WatchReply::Ban(ban) => bans.push(ban),
        WatchReply::Done(text) => done = Some(text),
        WatchReply::Status(_) => {}
    })?;
    let mut out = anstream::stdout();
    match &args.command {
        Command::List { json } => list(&mut out, &bans, *json)?,
        Command::Add { .. } | Command::Remove { .. } => writeln!(out, "{}", done.unwrap_or_default())?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list(out: &mut impl Write, bans: &[BanRecord], is_json: bool) -> anyhow::Result<()> {
    if is_json {
        for ban in bans {
            serde_json::to_writer(&mut *out, ban)?;
            writeln!(out)?;
        }
        return Ok(());
    }
    if bans.is_empty() {
        writeln!(out, "nobody is banned")?;
        return Ok(());
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["TARGET", "SET", "SINCE", "UNTIL", "BY"]);
    for ban in bans {
        let until = ban.until.as_deref().unwrap_or("for ever");
        table.add_row([&ban.target, &ban.set, &ban.since, until, &ban.by]);
    }
    writeln!(out, "{table}")?;
    Ok(())
}
