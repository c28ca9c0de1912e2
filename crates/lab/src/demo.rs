//! What the demonstrations (`unmasq-lab-demo`, `unmasq-lab-demo-honeypot`) share: flags, and how they tell what they do.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::Lab;

/// Flags of a demonstration.
#[derive(Debug, clap::Args)]
pub struct Flags {
    /// The unmasq program to show
    #[arg(long, default_value = "target/release/unmasq")]
    unmasq: PathBuf,
    /// Only removes what a killed run left
    #[arg(long)]
    clean: bool,
}

/// Runs a demonstration, with the program and a lab for it; or only removes what a killed one left.
pub fn run(flags: &Flags, show: impl FnOnce(&Path, Lab) -> Result<(), Box<dyn Error>>) -> ExitCode {
    match try_run(flags, show) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: {error}");
            ExitCode::FAILURE
        }
    }
}

fn try_run(
    flags: &Flags,
    show: impl FnOnce(&Path, Lab) -> Result<(), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    if flags.clean {
        return Ok(Lab::clean()?);
    }
    let program = &flags.unmasq;
    let program = program.canonicalize().map_err(|error| format!("{}: {error}", program.display()))?;
    let lab = Lab::new()?;
    lab.remove_when_interrupted()?;
    show(&program, lab)
}

/// Tells of the next step.
pub fn step(title: &str) {
    println!("\n── {title}");
}
