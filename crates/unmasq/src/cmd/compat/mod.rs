//! `unmasq compat`: other programs' command lines, translated to ours.

mod dom;
mod natfw;
mod pshitt;

use clap::Subcommand;

use crate::failure::Outcome;

/// Do what another program does, by its own command line
///
/// For scripts and timers that run the other program today: put `unmasq compat NAME` in its place and leave its flags as they are. They
/// are translated to what unmasq does; messages, files and exit statuses stay that program's. What its flags cannot say is said by
/// unmasq's own commands.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Dom(dom::Args),
    Natfw(natfw::Args),
    Pshitt(pshitt::Args),
}

/// Runs the command that was asked for.
pub(crate) fn run(args: &Args) -> Outcome {
    match &args.command {
        Command::Dom(args) => dom::run(args),
        Command::Natfw(args) => natfw::run(args),
        Command::Pshitt(args) => pshitt::run(args),
    }
}
