//! `unmasq plan verify`: does the kernel do what the plan in force says?

use std::io::Write;
use std::process::ExitCode;

use serde_json::json;
use unmasq_plan::history::{DriftReason, HistoryError, HistoryWriter};
use unmasq_plan::rules::{Iptables, PRIORITY};

use super::spec::{PlaceArgs, current};
use crate::failure::Outcome;
use crate::plan::check;
use crate::plan::guard::LastCheck;
use crate::plan::kernel::Kernel;
use crate::plan::lingering::Lingering;
use crate::plan::moment;

/// Check that the kernel does what the plan in force says
///
/// Our rules are loaded and unchanged, no other source NAT (NetworkManager, Docker, libvirt, firewalld) is asked before them, and no
/// live connection leaves by a port that is not its client's. `unmasq daemon` does it all the time and writes down when it was not so.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Exit status: 0 all is as the plan says; 1 something is not; 2 wrong usage, or there is no plan.

Examples:
  unmasq plan verify
  unmasq plan verify --json")]
pub(crate) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: PlaceArgs,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Outcome {
    let history = args.place.open()?;
    let (newest, plan) = current(&history)?;
    let kernel = Kernel::of(&history, newest)?;
    let began = moment::now();
    let mut checked = check::rules(&kernel, &plan);
    let lingering = Lingering::of(&history)?;
    let survey = check::flows(&mut checked, &plan, &lingering.plans, newest.since().wall);
    if rustix::process::geteuid().is_root() {
        let written = HistoryWriter::open(history.directory()).and_then(|mut writer| {
            LastCheck::write(history.directory(), newest.number, &checked, began);
            if lingering.is_over(&survey) { lingering.settle(&mut writer) } else { Ok(()) }
        });
        match written {
            // Somebody else writes just now, and looks or will be looked after.
            Ok(()) | Err(HistoryError::Locked { .. }) => {}
            Err(error) => checked.warnings.push(error.to_string()),
        }
    }
    let is_good = checked.differences.is_empty();
    let mut out = anstream::stdout();
    if args.json {
        let report = json!({
            "revision": newest.number,
            "good": is_good,
            "differences": checked.differences.iter()
                .map(|d| json!({ "reason": d.reason.word(), "what": d.what })).collect::<Vec<_>>(),
            "warnings": checked.warnings,
            "clients_with_flows": survey.fills.len(),
        });
        serde_json::to_writer_pretty(&mut out, &report)?;
        writeln!(out)?;
    } else {
        writeln!(
            out,
            "revision {} ({}, {} clients, in force since {}): {}",
            newest.number,
            newest.format.word(),
            newest.clients,
            newest.since().wall,
            if is_good { "the kernel does what it says" } else { "the kernel does not do what it says" }
        )?;
        for difference in &checked.differences {
            writeln!(out, "  {}", difference.what)?;
        }
        for warning in &checked.warnings {
            writeln!(out, "  note: {warning}")?;
        }
        for reason in checked.reasons() {
            writeln!(out, "{}", remedy(reason))?;
        }
    }
    if is_good { Ok(ExitCode::SUCCESS) } else { Ok(ExitCode::from(1)) }
}

/// What to do about it.
fn remedy(reason: DriftReason) -> String {
    match reason {
        DriftReason::RulesMissing | DriftReason::RulesChanged => {
            "`unmasq plan apply` loads rules again that are missing or changed".to_owned()
        }
        DriftReason::Shadowed => format!(
            "take the other rule away, or let it be asked after the plan's (nft: a priority above {PRIORITY}; iptables: behind \
             the jump to {}, which `unmasq plan apply` puts first)",
            Iptables::CHAIN
        ),
        DriftReason::FlowsOutside => {
            "they go on until they end; `conntrack -D` ends one, and its client begins it anew from its own ports".to_owned()
        }
        DriftReason::NotChecked => "run it as root, with nft or iptables installed".to_owned(),
    }
}
