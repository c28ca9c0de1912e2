//! The commands. Each owns its flags (`Args`), its help and its `run`.

use clap::{Parser, Subcommand};

use crate::failure::Outcome;

mod compat;
mod config;
mod daemon;
mod doctor;
mod generate;
mod honeypot;
mod ledger;
mod plan;
mod record;
mod rules;
mod status;
mod trace;
mod watch;
mod watchdog;

/// Where the ledger is unless told otherwise.
pub(crate) const DEFAULT_LEDGER: &str = "/var/lib/unmasq/ledger";

/// Finds the real client behind every NAT and proxy on a Linux gateway.
#[derive(Debug, Parser)]
#[command(name = "unmasq", version, propagate_version = true, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Trace(trace::Args),
    Status(status::Args),
    Daemon(daemon::Args),
    #[command(hide = true)]
    Generate(generate::Args),
    Record(record::Args),
    Watch(watch::Args),
    Honeypot(Box<honeypot::Args>),
    #[command(hide = true)]
    Watchdog(watchdog::Args),
    Ledger(ledger::Args),
    Plan(plan::Args),
    Rules(rules::Args),
    Compat(compat::Args),
    Doctor(doctor::Args),
    Config(config::Args),
}

/// Runs the command that was asked for.
pub(crate) fn run(cli: Cli) -> Outcome {
    match cli.command {
        Command::Status(args) => status::run(&args),
        Command::Daemon(args) => daemon::run(&args),
        Command::Generate(args) => generate::run(&args),
        Command::Trace(args) => trace::run(&args),
        Command::Watchdog(args) => watchdog::run(&args),
        Command::Record(args) => record::run(&args),
        Command::Watch(args) => watch::run(&args),
        Command::Honeypot(args) => honeypot::run(&args),
        Command::Plan(args) => plan::run(&args),
        Command::Rules(args) => rules::run(&args),
        Command::Ledger(args) => ledger::run(&args),
        Command::Compat(args) => compat::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Config(args) => config::run(&args),
    }
}
