//! `unmasq plan rules`: the rules, to standard output.

use std::io::Write;
use std::process::ExitCode;

use unmasq_plan::Layout;
use unmasq_plan::history::Format;
use unmasq_plan::rules::{Header, Iptables};

use super::spec::{SpecArgs, in_force, warn};
use crate::failure::Outcome;

/// Print the rules, for nft -f or iptables-restore; nothing is touched
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
With --layout eduvpn --format iptables, the output is that of eduVPN's vpn-generate-natfw to the letter. To load it flushes the \
tables nat and filter, as that program does; `unmasq plan apply` disturbs nobody.

Exit status: 0 printed; 2 wrong usage or configuration, or the plan does not fit.

Examples:
  unmasq plan rules --network 192.168.101.0/24 --public 203.0.113.1 --format nft | nft -c -f -
  unmasq plan rules --network 192.168.101.0/24 --public 203.0.113.1 --ports 1280-65535 --layout eduvpn --format iptables")]
pub(crate) struct Args {
    /// As if nobody had ports yet
    #[arg(long)]
    renumber: bool,
    #[command(flatten)]
    spec: SpecArgs,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Outcome {
    let wanted = args.spec.wanted()?;
    let (spec, warnings) = wanted.resolve()?;
    warn(&warnings);
    let former = in_force(&wanted)?.filter(|_| !args.renumber);
    let plan = wanted.make(&spec, former.as_ref())?;
    let text = if plan.layout == Layout::Eduvpn && wanted.0.format == Format::Iptables {
        let printer = Iptables { plan: &plan, out_interface: wanted.0.out_interface.as_deref() };
        printer.file(&Header::Script(php_date()))
    } else {
        let kernel = wanted.kernel();
        kernel.rules(&plan, &jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
    };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// The time as PHP's `date('D M d H:i:s Y')`, in the zone of the system.
pub(crate) fn php_date() -> String {
    jiff::Zoned::now().strftime("%a %b %d %H:%M:%S %Y").to_string()
}
