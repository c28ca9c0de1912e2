//! `unmasq watch check`: is a configuration right, and what does it do?

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;
use unmasq_diagnostic::{ConfigError, Invalid};

use super::load;
use crate::failure::Outcome;
use crate::watch::build::Plan;

/// Check a configuration, with line and column of all that is wrong, and draw its chains
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Exit status: 0 it can be used (there may be warnings); 2 it cannot.

Examples:
  unmasq watch check /etc/pyruse/pyruse.json
  unmasq watch check watch.toml --dot | dot -Tsvg > chains.svg
      A picture of the chains: which step leads where.")]
pub(super) struct Args {
    /// The configuration [default: the one that `unmasq watch` would take]
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Print the chains as a graph in Graphviz's language
    #[arg(long, conflicts_with = "json")]
    dot: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Outcome {
    let file = load::file(args.file.as_deref())?;
    let (plan, shown) = match Plan::load(&file) {
        Ok(plan) => {
            let shown = plan.loaded.show(plan.warnings.clone());
            (Some(plan), shown)
        }
        Err(ConfigError::Invalid(invalid)) => (None, invalid),
        Err(error @ ConfigError::Read { .. }) => return Err(error.into()),
    };
    let mut out = anstream::stdout();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &problems(&shown, plan.is_some()))?;
        writeln!(out)?;
    } else if let Some(plan) = plan.as_ref().filter(|_| args.dot) {
        eprint!("{shown}");
        write!(out, "{}", plan.program.dot())?;
    } else {
        write!(anstream::stderr(), "{shown}")?;
        if let Some(plan) = &plan {
            let steps = plan.program.steps().len();
            let chains = plan.config().chains.len();
            let warnings = match plan.warnings.len() {
                0 => "no warnings".to_owned(),
                1 => "1 warning".to_owned(),
                n => format!("{n} warnings"),
            };
            writeln!(out, "{}: {chains} chains, {steps} steps, {warnings}", file.display())?;
        }
    }
    Ok(ExitCode::from(if plan.is_some() { 0 } else { 2 }))
}

fn problems(shown: &Invalid, is_usable: bool) -> serde_json::Value {
    let problems: Vec<_> = shown
        .problems()
        .map(|(line, column, problem)| {
            let severity = if problem.is_error() { "error" } else { "warning" };
            json!({ "line": line, "column": column, "severity": severity, "message": problem.message })
        })
        .collect();
    json!({ "usable": is_usable, "problems": problems })
}
