//! `unmasq watch`: log entries in, the real client written into them, reports, mails and bans out.

mod bans;
mod check;
mod diff;
pub(crate) mod divert;
mod import;
mod input;
mod load;
mod report;
pub(crate) mod run;
mod sense;
mod test;

use std::path::Path;

use clap::Subcommand;
use unmasq_control::watch::{WatchAsk, WatchReply};
use unmasq_control::{Ask, Reply};

use crate::control::client::{ControlError, ask};
use crate::failure::{Failure, Outcome};

/// Watch the logs: correct the client's address, then filter, count, report, mail and ban
///
/// Reads log entries as they appear (systemd's journal, files, syslog), writes the real client into those that name a
/// proxy or a gateway, and runs them through chains of filters and actions. Reads Pyruse's configuration as it is, and
/// the same in TOML or YAML. Runs in the foreground until SIGTERM or Ctrl-C; SIGHUP reads the configuration anew and
/// keeps counters, bans and report.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_help_heading = "Commands",
    after_long_help = "\
Exit status: 0 stopped as asked, or all was read; 1 it failed, or with --once a ban is not in force; 2 wrong usage or configuration.

Examples:
  unmasq watch check /etc/unmasq/watch.toml
      Is the configuration right? What does it do?
  unmasq watch test --config watch.toml --input /var/log/auth.log
      What would it do to yesterday's log? Touches nothing.
  unmasq watch --config watch.toml
      Do it.
  unmasq watch bans list
      Who is banned, until when, and why?"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: run::RunArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    Check(check::Args),
    Test(test::Args),
    Diff(diff::Args),
    Bans(bans::Args),
    Report(report::Args),
    Import(import::Args),
    Divert(Box<divert::Args>),
    Sense(sense::Args),
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Outcome {
    match &args.command {
        None => run::run(&args.run),
        Some(Command::Check(args)) => check::run(args),
        Some(Command::Test(args)) => test::run(args),
        Some(Command::Diff(args)) => diff::run(args),
        Some(Command::Bans(args)) => bans::run(args),
        Some(Command::Report(args)) => report::run(args),
        Some(Command::Import(args)) => import::run(args),
        Some(Command::Divert(args)) => divert::run(args),
        Some(Command::Sense(args)) => sense::run(args),
    }
}

/// Asks a running watch, and gives each line of the reply.
fn asked(socket: &Path, question: WatchAsk, mut each: impl FnMut(WatchReply)) -> Result<(), Failure> {
    let asked = ask(socket, Ask::Watch(question), |reply| {
        if let Reply::Watch(reply) = reply {
            each(reply);
        }
    });
    asked.map_err(|error| match error {
        ControlError::Refused { message, .. } => Failure::with_exit(1, anyhow::anyhow!(message)),
        ControlError::Connect { path, source } => {
            let path = path.display();
            let told = format!(
                "cannot reach a watch at {path}: {source}; is `unmasq watch` running, and is this its \
                                [control] socket? (--control)"
            );
            Failure::with_exit(2, anyhow::anyhow!(told))
        }
        other => Failure::with_exit(2, other),
    })
}
