//! `unmasq rules`: rulesets that are generated, checked, tested with a way back, committed and kept.

mod blame;
mod brake;
mod check;
mod commit;
mod confirm;
mod diff;
mod generate;
mod history;
mod keeper;
mod load;
mod mend;
mod piece;
mod print;
mod revision;
mod rollback;
mod set;
mod show;
mod status;
mod test;
mod zones;

use clap::Subcommand;

use crate::failure::Outcome;

/// Rulesets of nftables and iptables: generate, check, test with a way back, commit
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  unmasq rules gen iptables.conf.in -o iptables.conf.new
      Write the rules from a template and its macros, iptables.conf.var.
  unmasq rules check iptables.conf.new
      Would the kernel take it, and would it do what you mean?
  unmasq rules test iptables.conf.new
      Load it for 30 s. Unless you confirm from a new connection, the rules before come back.
  unmasq rules commit iptables.conf -m 'SSH from the office'
      iptables.conf.new becomes iptables.conf, is loaded, and kept as a revision.
  unmasq rules history
  unmasq rules rollback 12

docs/change-rules-safely.md is the whole story.")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Gen(generate::Args),
    Zones(zones::Args),
    Piece(Box<piece::Args>),
    Check(check::Args),
    Test(test::Args),
    Confirm(confirm::Args),
    Commit(commit::Args),
    Rollback(rollback::Args),
    Status(status::Args),
    History(history::Args),
    Show(show::Args),
    Diff(diff::Args),
    Blame(blame::Args),
    Load(load::Args),
    Mend(mend::Args),
    Set(set::Args),
    #[command(hide = true)]
    Keeper(keeper::Args),
}

/// Runs the command that was asked for.
pub(crate) fn run(args: &Args) -> Outcome {
    match &args.command {
        Command::Test(args) => test::run(args),
        Command::Confirm(args) => confirm::run(args),
        Command::Commit(args) => commit::run(args),
        Command::Rollback(args) => rollback::run(args),
        Command::Status(args) => status::run(args),
        Command::History(args) => history::run(args),
        Command::Show(args) => show::run(args),
        Command::Diff(args) => diff::run(args),
        Command::Blame(args) => blame::run(args),
        Command::Load(args) => load::run(args),
        Command::Mend(args) => mend::run(args),
        Command::Keeper(args) => keeper::run(args),
        Command::Gen(args) => generate::run(args),
        Command::Zones(args) => zones::run(args),
        Command::Piece(args) => piece::run(args),
        Command::Check(args) => check::run(args),
        Command::Set(args) => set::run(args),
    }
}
