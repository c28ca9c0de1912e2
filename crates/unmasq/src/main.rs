//! The binary: command line, configuration, wiring. Each command is a module of [`cmd`] that owns its flags.

mod cmd;
mod control;
mod daemon;
mod witness;
mod config;
mod failure;
mod recorder;
mod output;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match cmd::run(cmd::Cli::parse()) {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}
