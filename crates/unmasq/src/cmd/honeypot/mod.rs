//! `unmasq honeypot`: an SSH server that lets nobody in, and what it learnt.

mod capture;
mod report;
mod run;

use clap::Subcommand;

use crate::failure::Outcome;

pub(crate) use run::serve;

/// Let SSH attackers try, and write down their passwords
///
/// An SSH server that looks like a real OpenSSH and lets nobody in. It writes down user names, passwords, keys and software of
/// whoever tries; there is no shell, no forwarding and nothing to break into. Runs in the foreground until SIGTERM or Ctrl-C;
/// SIGHUP opens its files anew.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_help_heading = "Commands",
    after_long_help = "\
Exit status: 0 stopped as asked, or done; 1 it failed; 2 wrong usage or configuration.

Examples:
  unmasq honeypot --listen '[::]:2222' --json /var/log/unmasq/honeypot.json
      Serve, and write each attempt down.
  unmasq honeypot --listen 127.0.0.1:2222 --transparent --json honeypot.json
      One socket for a whole dark network that TPROXY brings here.
  unmasq honeypot report /var/log/unmasq/honeypot.json
      The most used passwords, user names, software, networks, hours.
  unmasq honeypot capture server.example.net:22 --output server.toml
      What does that server look like? Then: --profile server.toml"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: run::RunArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    Report(report::Args),
    Capture(capture::Args),
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Outcome {
    match &args.command {
        None => run::run(&args.run),
        Some(Command::Report(args)) => report::run(args),
        Some(Command::Capture(args)) => capture::run(args),
    }
}
