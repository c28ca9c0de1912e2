//! The binary: command line, configuration, wiring. Each command is a module of [`cmd`] that owns its flags.

mod clocks;
mod cmd;
mod config;
mod control;
mod daemon;
mod detach;
mod failure;
mod honeypot;
mod output;
mod plan;
mod privileges;
mod recorder;
mod rules;
mod watch;
mod wishes;
mod witness;

use std::process::ExitCode;

fn main() -> ExitCode {
    match cmd::run(cmd::Cli::read()) {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}
