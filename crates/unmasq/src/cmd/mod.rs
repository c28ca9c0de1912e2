//! The commands. Each owns its flags (`Args`), its help and its `run`.

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};

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

impl Cli {
    /// What was asked for on the command line. Ends the process with a message if it is wrong, or if help was asked for.
    pub(crate) fn read() -> Self {
        Self::try_parse().unwrap_or_else(|error| {
            let is_help = error.kind() == ErrorKind::DisplayHelp;
            // Asked once more, of the command line whose help is whole: no other start pays for that.
            let help = is_help.then(|| command_line().try_get_matches().err()).flatten();
            help.unwrap_or(error).exit()
        })
    }
}

/// The command line: its flags, and its help with paragraphs that fit any width.
fn command_line() -> clap::Command {
    with_whole_paragraphs(Cli::command())
}

/// Joins the lines of each paragraph of the closing help, which are broken for whoever reads the code: clap breaks them anew
/// for the terminal, and would keep the breaks that are there.
fn with_whole_paragraphs(command: clap::Command) -> clap::Command {
    let help = command.get_after_long_help().map(|help| whole_paragraphs(&help.to_string()));
    let command = match help {
        Some(help) => command.after_long_help(help),
        None => command,
    };
    command.mut_subcommands(with_whole_paragraphs)
}

/// A line that is indented, or follows one that is, stands for itself.
fn whole_paragraphs(text: &str) -> String {
    let mut whole = String::with_capacity(text.len());
    let mut is_open = false;
    for line in text.lines() {
        let is_prose = !line.is_empty() && !line.starts_with(' ');
        if !whole.is_empty() {
            whole.push(if is_open && is_prose { ' ' } else { '\n' });
        }
        whole.push_str(line);
        is_open = is_prose;
    }
    whole
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_is_joined_and_lists_and_examples_are_kept() {
        let text =
            "Exit status: 0 fine; 1 the rules\nbefore are back.\n\nExamples:\n  one\n  two\nWith it:\nmore";
        let whole =
            "Exit status: 0 fine; 1 the rules before are back.\n\nExamples:\n  one\n  two\nWith it: more";
        assert_eq!(whole_paragraphs(text), whole);
        command_line().debug_assert();
    }
}
