//! `unmasq watch import`: what Pyruse saved, taken over.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use jiff::tz::TimeZone;
use unmasq_flow::Timestamp;
use unmasq_source::Position;
use unmasq_watch::import;
use unmasq_watch::state::State;

use super::load;
use crate::failure::Outcome;
use crate::watch::build::Plan;

/// Take over the bans and the report that Pyruse saved
///
/// The watch must not be running. Pyruse writes the ends of bans off by the zone's offset; that is set right.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Exit status: 0 all was taken over; 1 some lines could not be, and are named; 2 wrong usage or configuration.

Examples:
  unmasq watch import /var/lib/pyruse
  unmasq watch import /mnt/old/pyruse --zone Europe/Paris")]
pub(super) struct Args {
    /// Pyruse's storage folder
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// The configuration [default: the one that `unmasq watch` would take]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The time zone that Pyruse ran in [default: this machine's]
    #[arg(long, value_name = "ZONE")]
    zone: Option<String>,
}

pub(super) fn run(args: &Args) -> Outcome {
    let plan = Plan::load(&load::file(args.config.as_deref())?)?;
    let zone = match &args.zone {
        Some(name) => TimeZone::get(name).with_context(|| format!("there is no time zone {name:?}"))?,
        None => TimeZone::system(),
    };
    let now = Timestamp::now();
    let imported = import::pyruse(&args.folder, &zone, now);
    if imported.files.is_empty() {
        return Err(
            anyhow::anyhow!("{} has none of the files that Pyruse saves", args.folder.display()).into()
        );
    }
    let (mut state, recovered) = State::open(&plan.config().storage, plan.limits())?;
    for note in &recovered.notes {
        eprintln!("unmasq: {note}");
    }
    imported.apply(&mut state, now)?;
    state.commit::<Position>(&[], recovered.captures.iter())?;
    for problem in &imported.problems {
        eprintln!("unmasq: {problem}");
    }
    let (bans, expired, events) = (imported.bans.len(), imported.expired, imported.events.len());
    writeln!(
        anstream::stdout(),
        "{bans} bans taken over ({expired} were over), and {events} events of the report"
    )?;
    Ok(ExitCode::from(u8::from(!imported.problems.is_empty())))
}
