//! `unmasq plan watch`: look after the plan in force, all the time.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Context;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use super::spec::PlaceArgs;
use crate::failure::Outcome;
use crate::plan::guard::Guard;

/// Look after the plan in force: write down when the kernel does not do what it says, and tell of ranges that fill up
///
/// `unmasq daemon` runs it when the configuration has a plan. What it sees goes into the history, so that a trace of that time is
/// called incomplete.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Exit status: 0 stopped as asked; 2 wrong usage, or it could not start.")]
pub(crate) struct Args {
    #[command(flatten)]
    place: PlaceArgs,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Outcome {
    let plan = args.place.plan()?;
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        flag::register(signal, Arc::clone(&stop)).context("cannot handle signals")?;
    }
    // Without a supervisor nobody hears it.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    Guard::start(&plan.history, plan.check_every)?.run(&stop);
    Ok(ExitCode::SUCCESS)
}
