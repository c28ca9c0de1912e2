//! `unmasq plan`: every client has ports of its own, so that a port names its client with nothing logged.

mod adopt;
mod apply;
mod capacity;
mod diff;
mod history;
mod rules;
mod show;
mod spec;
mod table;
mod terms;
mod verify;
mod watch;

use clap::Subcommand;

pub(crate) use self::rules::{Args as RulesArgs, php_date, run as print_rules};
use crate::failure::Outcome;

/// Give every client ports of its own, so that a port names its client without a log
///
/// A plan gives each client network's addresses a range of ports of the public addresses (RFC 7422, "deterministic
/// NAT"). It is made from flags or from the configuration file, loaded into nftables or iptables, and kept: so
/// `unmasq trace` knows who had a port at any time.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  unmasq plan show --network 192.168.101.0/24 --public 203.0.113.1
      Who would get which ports.
  unmasq plan apply --network 192.168.101.0/24 --public 203.0.113.1
      Load it and keep it. Done again without a change, it does nothing.
  unmasq plan verify
      Does the kernel do what the plan in force says?
  unmasq plan adopt /etc/iptables
      Take over what eduVPN's vpn-generate-natfw has left, so that `unmasq trace` can ask it.

docs/trace-without-a-log.md is the whole story.")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Show(show::Args),
    Rules(rules::Args),
    Apply(apply::Args),
    Verify(verify::Args),
    History(history::Args),
    Diff(diff::Args),
    Adopt(adopt::Args),
    Capacity(capacity::Args),
    Watch(watch::Args),
}

/// Runs the command that was asked for.
pub(crate) fn run(args: &Args) -> Outcome {
    match &args.command {
        Command::Show(args) => show::run(args),
        Command::Rules(args) => rules::run(args),
        Command::Apply(args) => apply::run(args),
        Command::Verify(args) => verify::run(args),
        Command::History(args) => history::run(args),
        Command::Diff(args) => diff::run(args),
        Command::Adopt(args) => adopt::run(args),
        Command::Capacity(args) => capacity::run(args),
        Command::Watch(args) => watch::run(args),
    }
}
