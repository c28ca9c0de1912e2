//! `unmasq rules zones`: the whole ruleset of a gateway, from a file that names its security zones.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use unmasq_rules::zones::{EXAMPLE, Zones};

use super::print::PrintArgs;
use crate::failure::{Failure, Outcome};

/// Print the ruleset of a gateway between security zones, from a file that names them
///
/// The file says which interfaces and networks each zone has, what may reach the gateway from it, which services are
/// proxied, and what is forwarded. All else is dropped. Nothing is touched.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
With nft it is a table of its own, inet unmasq_zones; iptables and ip6tables get the tables filter and mangle whole. A \
transparent proxy needs the policy routing besides, which --routing prints as commands of ip.

Exit status: 0 printed; 1 the file has errors, each shown with its line; 2 wrong usage, or the file cannot be read.

Examples:
  unmasq rules zones --example > zones.toml
  unmasq rules zones zones.toml | nft -c -f -
  unmasq rules zones zones.toml --format iptables -o iptables.conf.new
  unmasq rules zones zones.toml --routing

docs/zones.md explains the file and the rules.")]
pub(crate) struct Args {
    /// The file; - for standard input
    #[arg(required_unless_present = "example")]
    file: Option<PathBuf>,
    /// Print a commented file with every key
    #[arg(long, conflicts_with_all = ["file", "routing", "format"])]
    example: bool,
    /// Print the policy routing that a transparent proxy needs, as commands of ip, and no rules
    #[arg(long, conflicts_with = "format")]
    routing: bool,
    #[command(flatten)]
    print: PrintArgs,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Outcome {
    let Some(file) = &args.file else {
        args.print.print(EXAMPLE)?;
        return Ok(ExitCode::SUCCESS);
    };
    let (name, text) = read(file)?;
    let zones = Zones::parse(&name, &text).map_err(|invalid| {
        let count = invalid.problems().count();
        // If standard error is gone, the exit status still tells.
        let _ = write!(anstream::stderr(), "{invalid}");
        let noun = if count == 1 { "error" } else { "errors" };
        Failure::with_exit(1, anyhow!("{}: {count} {noun}", name.display()))
    })?;
    if args.routing {
        let commands = zones.policy_routing();
        if commands.is_empty() {
            eprintln!("unmasq: no zone has a transparent proxy; no policy routing is needed");
        }
        let lines: Vec<_> = commands.iter().flat_map(|line| [line, "\n"]).collect();
        args.print.print(&lines.concat())?;
    } else {
        args.print.print(&zones.ruleset(args.print.form()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The text, and the name that messages call it.
fn read(file: &Path) -> anyhow::Result<(PathBuf, String)> {
    if file == Path::new("-") {
        let mut text = String::new();
        io::stdin().lock().read_to_string(&mut text).context("cannot read the zones from standard input")?;
        return Ok((PathBuf::from("<stdin>"), text));
    }
    let text =
        fs::read_to_string(file).with_context(|| format!("cannot read the zones {}", file.display()))?;
    Ok((file.to_owned(), text))
}
