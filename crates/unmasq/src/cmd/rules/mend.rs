//! `unmasq rules mend`: what a kill has left half done is brought to its end.

use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

use unmasq_rules::git::Mirror;

use crate::failure::{Failure, Outcome};
use crate::rules::place::{Kept, PlaceArgs};

/// How often it is looked whether a test is still under way: one that was killed is put back within the second.
const EACH: Duration = Duration::from_millis(200);

/// Bring back the rules before a test that was killed, and complete a commit that was
///
/// Every command that changes rules does so first; this one does nothing else. With --wait it stays until no test is under way, for a
/// supervisor that starts it with each test and again if it is killed: then the rules come back even if the test's command and
/// its keeper are both killed. unmasq-rules-mend.path and .service do that.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Exit status: 0 nothing is half done; 2 wrong usage, or another command is at work (without --wait); 4 something could not be
brought to its end, see the message.

Examples:
  unmasq rules mend
  unmasq rules mend --wait")]
pub(crate) struct Args {
    /// Wait until no test is under way
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    place: PlaceArgs,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Outcome {
    let kept = args.place.open()?;
    if args.wait {
        wait(&kept)?;
    } else {
        let lock = kept.run.lock()?;
        kept.mend(&lock, kept.git.as_deref().map(Mirror::new).as_ref()).map_err(not_mended)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn wait(kept: &Kept) -> Result<(), Failure> {
    let mirror = kept.git.as_deref().map(Mirror::new);
    loop {
        if let Some(lock) = kept.run.try_lock()? {
            kept.mend(&lock, mirror.as_ref()).map_err(not_mended)?;
            if !kept.run.has_trial() {
                return Ok(());
            }
        }
        sleep(EACH);
    }
}

fn not_mended(error: anyhow::Error) -> Failure {
    Failure::with_exit(4, error)
}
