//! The binary: command line, configuration, wiring. Each command is a module of [`cmd`] that owns its flags.

mod cmd;
mod config;
mod control;
mod daemon;
mod failure;
mod output;
mod recorder;
mod watch;

mod witness;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match cmd::run(cmd::Cli::parse()) {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}
