//! `unmasq rules piece`: ready rulesets for one purpose each.

mod flags;

use std::io::Write;
use std::process::ExitCode;

use clap::Subcommand;
use serde_json::json;
use unmasq_rules::piece::ABOUT;

use crate::cmd::plan;
use crate::failure::Outcome;

/// Print a ready ruleset for one purpose; without a name, list them
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_long_help = "\
A piece for nft is a table of its own at a stated priority, and can be loaded again; one for iptables has a chain of its own. \
Each begins with what it needs and how to see that it works. Nothing is touched.

Exit status: 0 printed; 2 wrong usage, or the piece has nothing to say in that format.

Examples:
  unmasq rules piece
  unmasq rules piece masquerade --out wan --network 192.168.0.0/24 | nft -f -
  unmasq rules piece ips --queues 0-3 --format iptables | iptables-restore --noflush
  unmasq rules piece log-nflog --help

docs/ruleset-pieces.md has them all."
)]
pub(crate) struct Args {
    /// List them as JSON
    #[arg(long)]
    json: bool,
    #[command(subcommand)]
    piece: Option<Piece>,
}

#[derive(Debug, Subcommand)]
#[command(subcommand_value_name = "NAME", subcommand_help_heading = "Pieces")]
enum Piece {
    LogDnat(flags::LogDnat),
    LogNflog(flags::LogNflog),
    LogSshBanner(flags::LogSshBanner),
    DivertSsh(flags::DivertSsh),
    Ips(flags::Ips),
    Masquerade(flags::Masquerade),
    Traceable(flags::Traceable),
    Tproxy(flags::Tproxy),
    Box(flags::Box),
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Outcome {
    let (piece, print) = match &args.piece {
        None => return list(args.json),
        Some(Piece::Traceable(flags)) => return plan::print_rules(&flags.rules),
        Some(Piece::LogDnat(flags)) => (flags.piece(), &flags.print),
        Some(Piece::LogNflog(flags)) => (flags.piece(), &flags.print),
        Some(Piece::LogSshBanner(flags)) => (flags.piece(), &flags.print),
        Some(Piece::DivertSsh(flags)) => (flags.piece(), &flags.print),
        Some(Piece::Ips(flags)) => (flags.piece(), &flags.print),
        Some(Piece::Masquerade(flags)) => (flags.piece(), &flags.print),
        Some(Piece::Tproxy(flags)) => (flags.piece(), &flags.print),
        Some(Piece::Box(flags)) => (flags.piece(), &flags.print),
    };
    print.print(&piece.ruleset(print.form())?)?;
    Ok(ExitCode::SUCCESS)
}

fn list(is_json: bool) -> Outcome {
    let mut out = anstream::stdout().lock();
    if is_json {
        let pieces: Vec<_> = ABOUT
            .iter()
            .map(|about| {
                json!({
                    "name": about.name,
                    "sentence": about.sentence,
                    "needs": about.needs,
                    "look": about.look,
                })
            })
            .collect();
        serde_json::to_writer_pretty(&mut out, &pieces)?;
        writeln!(out)?;
        return Ok(ExitCode::SUCCESS);
    }
    let width = ABOUT.iter().map(|about| about.name.len()).max().unwrap_or_default();
    for about in ABOUT {
        writeln!(out, "{:<width$}  {}", about.name, about.sentence)?;
    }
    writeln!(out, "\n`unmasq rules piece NAME --help` says what it needs and what can be chosen.")?;
    Ok(ExitCode::SUCCESS)
}
