//! `unmasq compat natfw`: eduVPN's `vpn-generate-natfw`, with its flags, messages, files and exit statuses.
//!
//! ```text
//!  config.php ──► portal ──► networks ──► Plan (layout eduvpn) ──► the file's text ──► FILE.<time>, FILE ──► COMMAND
//! ```
//!
//! Everything up to the text is done before anything is touched, as in the script: an error leaves all as it was. What
//! the script does that can do harm is done otherwise; `--help` lists it.

mod command_line;
mod rules_link;

use std::fmt::Display;
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::ArgAction;
use unmasq_eduvpn::NodeConfig;
use unmasq_plan::history::Format;
use unmasq_plan::rules::{Header, Iptables};
use unmasq_plan::{ClientNetwork, Layout, PortRange, SpecError};

use self::command_line::CommandLine;
use self::rules_link::{Put, put};
use crate::cmd::plan::php_date;
use crate::config::{self, Config};
use crate::failure::{Outcome, told};
use crate::plan::choice::PublicChoice;
use crate::plan::moment;
use crate::plan::wanted::Wanted;

/// The script's exit status for whatever it calls an error.
const ERROR: u8 = 1;

/// Write iptables rules for an eduVPN 2 node, as vpn-generate-natfw does
///
/// Asks the portal for the node's networks, gives each client ports of its own, and writes the rules to FILE.TIME (a Unix time), to which FILE
/// is a symbolic link. Then COMMAND loads them. If the rules are as before, nothing is done. All files stay: `unmasq trace --plan DIR`
/// asks them who had a port, `unmasq plan adopt DIR` takes them over.
#[derive(Debug, clap::Args)]
#[command(
    args_override_self = true,
    after_long_help = concat!("\
Where the script's variables were edited: $publicIp is --public, $minPort and $maxPort are --ports. Without --public, the script takes \
the address of the last interface that is up; unmasq takes the first one of the default route's interface.

Otherwise than the script:
  No shell is called. COMMAND is split into words as a shell does it, quotes and backslashes included, and run; one that wants more \
of a shell (&&, |, >, $, *) is refused. Write a script for it, or: -c \"sh -c 'first && second'\".
  FILE is whole at any moment, and never missing. A second run in the same second writes FILE.<unix time>.1.
  Too many clients for the ports, or no public address, is an error; the script writes rules that iptables refuses.
  Unknown arguments are refused, and -n together with -w: the script then writes.
  The client of a network such as 10.8.0.12/30 gets its ports; the script writes 0.0.0.0 in its place.

Exit status: 0 done, or nothing to do; 1 an error, and nothing was touched; 2 wrong usage; else that of COMMAND (126 it cannot be run, \
127 it is not there, 128 and more: ended by a signal).

Examples:
  unmasq compat natfw -n | diff /etc/iptables/rules.v4 -
  unmasq compat natfw
  unmasq compat natfw -w /etc/iptables/rules.v4 -c 'iptables-restore /etc/iptables/rules.v4'
  unmasq compat natfw -n --network 192.168.101.0/24 --public 203.0.113.1

docs/move-from-natfw.md says how to move.")
)]
pub(crate) struct Args {
    /// Dry run (output file to stdout)
    #[arg(short = 'n', conflicts_with = "file")]
    dry_run: bool,
    /// Force overwriting existing file (not needed if existing file is a symlink)
    #[arg(short = 'f')]
    force: bool,
    /// Verbose (also output if nothing changed)
    #[arg(short = 'v')]
    verbose: bool,
    /// Write to filename
    #[arg(short = 'w', value_name = "FILE", default_value = "/etc/iptables/rules.v4")]
    file: PathBuf,
    /// Command to run if a new file was written
    #[arg(short = 'c', value_name = "COMMAND", default_value = CommandLine::DEFAULT)]
    command: CommandLine,
    /// The public address [default: the first one of the default route's interface]
    #[arg(long, value_name = "ADDR", help_heading = "What the script has not")]
    public: Option<Ipv4Addr>,
    /// The ports to give out [default: 1280-65535]
    #[arg(long, value_name = "LO-HI", help_heading = "What the script has not")]
    ports: Option<PortRange>,
    /// The node's configuration, which names its portal
    #[arg(long, value_name = "FILE", default_value = NodeConfig::DEFAULT_FILE, help_heading = "What the script has not")]
    config: PathBuf,
    /// Client networks, in place of the portal's
    #[arg(long, value_name = "NET", num_args = 1.., action = ArgAction::Append, conflicts_with = "config")]
    #[arg(help_heading = "What the script has not")]
    network: Vec<ClientNetwork>,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Outcome {
    let (rules, warnings) = match args.rules() {
        Ok(made) => made,
        Err(error) => return Ok(failed(told(&error))),
    };
    let warn = || warnings.iter().for_each(|warning| say("Warning", warning));
    if args.dry_run {
        warn();
        std::io::stdout().write_all(rules.as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    let written = match put(&args.file, &rules, args.force, || moment::now().wall.as_seconds()) {
        Ok(Put::Written(written)) => written,
        Ok(Put::Unchanged) => {
            if args.verbose {
                warn();
                say("Success", format_args!("file is unchanged: {}", args.file.display()));
            }
            return Ok(ExitCode::SUCCESS);
        }
        Err(error) => return Ok(failed(error)),
    };
    warn();
    say("Success", format_args!("Wrote new ruleset to {}", written.display()));
    say("Success", format_args!("Updated symlink {}", args.file.display()));
    let status = args.command.run();
    if status == 0 {
        say("Success", &args.command);
    } else {
        say("Failure", &args.command);
        say(
            "Hint",
            "The new rules may not be in force. The next run finds them written, so run the command again by hand",
        );
    }
    Ok(ExitCode::from(status))
}

impl Args {
    /// The file's text, and what is to be known besides.
    fn rules(&self) -> anyhow::Result<(String, Vec<String>)> {
        let wanted = Wanted(config::Plan {
            networks: self.network.clone(),
            portal: self.network.is_empty().then(|| self.config.clone()),
            public: self.public.into_iter().map(|address| PublicChoice::Range(address.into())).collect(),
            ports: self.ports,
            layout: Layout::Eduvpn,
            format: Format::Iptables,
            ..Config::default().plan
        });
        let (spec, warnings) = wanted.resolve()?;
        let plan = spec.make(None).map_err(|error| match error {
            SpecError::NoPrivate(networks) => anyhow::anyhow!("There are no private networks in {networks}"),
            SpecError::NoNetwork => anyhow::anyhow!(
                "There are no private networks in the portal's answer; does profileList in {} name profiles of this node?",
                self.config.display()
            ),
            other => other.into(),
        })?;
        let text = Iptables { plan: &plan, out_interface: None }.file(&Header::Script(php_date()));
        Ok((text, warnings))
    }
}

fn failed(error: impl Display) -> ExitCode {
    say("Error", error);
    ExitCode::from(ERROR)
}

/// A line for people, as the script writes it. Nothing is left to tell if standard error is gone.
fn say(kind: &str, what: impl Display) {
    let _ = writeln!(std::io::stderr(), "{kind}: {what}");
}
