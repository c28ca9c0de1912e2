//! `unmasq record`: the recorder in the foreground.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{ArgAction, ValueEnum};
use unmasq_control::DEFAULT_SOCKET;
use unmasq_flow::{DestinationPolicy, ScopeKind};

use super::DEFAULT_LEDGER;
use crate::config::{Config, Netns, Reliable, units};
use crate::control::server;
use crate::failure::{Failure, Outcome};
use crate::privileges;
use crate::recorder::{Namespaces, Options, Recorder};
use crate::wishes::Wishes;

/// Record every translation that the kernel makes
///
/// Listens to the kernel's connection tracking and writes each flow (who was translated into what, toward whom, from
/// when to when) to the ledger, where `unmasq trace` finds it: a new one within a second, old ones as long as they are
/// kept. Runs in the foreground until SIGTERM or Ctrl-C; SIGHUP looks at namespaces and settings anew.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Exit status: 0 stopped as asked; 1 recording failed; 2 wrong usage, or it could not start.

Examples:
  unmasq record
      Record this machine's translations into /var/lib/unmasq/ledger.
  unmasq record --netns vpn0 --netns vpn1 --keep 180d --max-size 200GiB
      Record two network namespaces, and keep half a year, but at most 200 GiB.
  unmasq record --destinations drop
      Record without the far side, as RFC 6888 (REQ-12) advises where no law asks for it.

`unmasq doctor` shows which kernel settings make the record exact, and sets them.")]
pub(crate) struct Args {
    /// Take everything from the sections `record` and `control` of this configuration file
    #[arg(long, value_name = "FILE", exclusive = true)]
    config: Option<PathBuf>,
    /// Folder of the ledger
    #[arg(long, value_name = "DIR", default_value = DEFAULT_LEDGER)]
    ledger: PathBuf,
    /// Name of this recorder's stream in the ledger, such as gw1 [default: the host's name]
    #[arg(long, value_name = "NAME")]
    stream: Option<String>,
    /// Network namespace to record, as `ip netns list` names it; repeatable. `all`: every one, those that come later
    /// included. Without it, the one that the program runs in
    #[arg(long, value_name = "NAME", action = ArgAction::Append)]
    netns: Vec<String>,
    /// Which flows: translated ones and the gateway's own, translated ones only, or all
    #[arg(long, value_enum, default_value_t = ScopeArg::TranslatedLocal)]
    scope: ScopeArg,
    /// What to store of destinations: everything, 16 keyed bits (enough to check a given one), or nothing
    #[arg(long, value_enum, default_value_t = DestinationsArg::Keep)]
    destinations: DestinationsArg,
    /// How long to keep flows, such as 180d; hours older than that are deleted
    #[arg(long, value_name = "TIME", value_parser = units::parse_duration)]
    keep: Option<Duration>,
    /// Most disk space for this stream, such as 200GiB; the oldest hours are deleted first
    #[arg(long, value_name = "SIZE", value_parser = units::parse_size)]
    max_size: Option<u64>,
    /// Size of the kernel's receive buffer for events, in each namespace
    #[arg(long, value_name = "SIZE", value_parser = units::parse_size, default_value = "64MiB")]
    receive_buffer: u64,
    /// Have the kernel keep the ends of flows until they were read (a watchdog switches it off before that costs
    /// connections), or not
    #[arg(long, value_enum, default_value_t = ReliableArg::Auto)]
    reliable: ReliableArg,
    /// Most memory for the flows that are alive
    #[arg(long, value_name = "SIZE", value_parser = units::parse_size, default_value = "1GiB")]
    book: u64,
    /// How long a flow that has ended stays in memory, where `trace` and others ask about the present
    #[arg(long, value_name = "TIME", value_parser = units::parse_duration, default_value = "5s")]
    keep_ended: Duration,
    /// Control socket, through which `trace` and `status` ask; `none` for no socket
    #[arg(long, value_name = "SOCKET", default_value = DEFAULT_SOCKET)]
    control: PathBuf,
    /// Account to become once the sockets are open [default: unmasq, if there is such an account]
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// No status line each minute
    #[arg(long, short)]
    quiet: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ScopeArg {
    #[value(name = "translated+local")]
    TranslatedLocal,
    Translated,
    All,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum DestinationsArg {
    Keep,
    Hash,
    Drop,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ReliableArg {
    Auto,
    Off,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Outcome {
    let options = match &args.config {
        Some(file) => configured(&Config::load(file)?)?,
        None => options(args)?,
    };
    let wishes = Wishes::of_signals()?;
    let recorder = Recorder::start(options)?;
    recorder.run(&wishes).map_err(|error| Failure::with_exit(1, error))?;
    Ok(ExitCode::SUCCESS)
}

/// The stream's name: the one given, or the host's as far as it can name a folder.
fn stream(name: Option<&str>) -> String {
    let host = rustix::system::uname();
    let host = host.nodename().to_string_lossy();
    let usable = |c: &char| c.is_ascii_alphanumeric() || "-_.".contains(*c);
    let host: String = host.chars().filter(usable).skip_while(|c| *c == '.').take(64).collect();
    let fallback = if host.is_empty() { "gateway" } else { &host };
    name.unwrap_or(fallback).to_owned()
}

fn configured(config: &Config) -> anyhow::Result<Options> {
    let Config { record, control, plan: _, rules: _, honeypot: _ } = config;
    Ok(Options {
        ledger: record.ledger.clone(),
        stream: stream(record.stream.as_deref()),
        namespaces: match &record.netns {
            Netns::Own => Namespaces::Own,
            Netns::Named(names) => Namespaces::Named(names.clone()),
            Netns::All => Namespaces::All,
        },
        scope: record.scope,
        destinations: record.destinations,
        keep: record.keep,
        max_size: record.max_size,
        receive_buffer: usize::try_from(record.receive_buffer).context("receive_buffer is too large")?,
        reliable: record.reliable == Reliable::Auto,
        book_bytes: usize::try_from(record.book).context("book is too large")?,
        keep_ended: record.keep_ended,
        tls: control.tls.clone(),
        control: Some(server::Place {
            path: control.socket.clone(),
            mode: control.mode,
            group: control.group.as_deref().map(privileges::group).transpose()?,
        }),
        account: privileges::account(record.user.as_deref())?,
        quiet: false,
    })
}

fn options(args: &Args) -> anyhow::Result<Options> {
    let namespaces = match args.netns.as_slice() {
        [] => Namespaces::Own,
        names if names.iter().any(|n| n == "all") => {
            if names.len() > 1 {
                bail!("--netns all already means every namespace; leave the others out");
            }
            Namespaces::All
        }
        names => Namespaces::Named(names.to_vec()),
    };
    Ok(Options {
        ledger: args.ledger.clone(),
        stream: stream(args.stream.as_deref()),
        namespaces,
        scope: match args.scope {
            ScopeArg::TranslatedLocal => ScopeKind::TranslatedLocal,
            ScopeArg::Translated => ScopeKind::Translated,
            ScopeArg::All => ScopeKind::All,
        },
        destinations: match args.destinations {
            DestinationsArg::Keep => DestinationPolicy::Keep,
            DestinationsArg::Hash => DestinationPolicy::Hash,
            DestinationsArg::Drop => DestinationPolicy::Drop,
        },
        keep: args.keep,
        max_size: args.max_size,
        receive_buffer: usize::try_from(args.receive_buffer).context("--receive-buffer is too large")?,
        reliable: args.reliable == ReliableArg::Auto,
        book_bytes: usize::try_from(args.book).context("--book is too large")?,
        keep_ended: args.keep_ended,
        tls: None,
        control: (args.control.as_os_str() != "none").then(|| server::Place {
            path: args.control.clone(),
            mode: 0o660,
            group: None,
        }),
        account: privileges::account(args.user.as_deref())?,
        quiet: args.quiet,
    })
}
