//! `unmasq config`: checks a configuration file, and shows what one may say.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use serde_json::json;

use crate::config::{self, Config, ConfigError, DEFAULT_FILE};
use crate::failure::{Failure, Outcome};

/// Checks a configuration file, or shows what one may say.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    Check(CheckArgs),
    Example(ExampleArgs),
}

/// Checks a configuration file and shows everything that is wrong with it.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
EXAMPLES
  unmasq config check
  unmasq config check /tmp/new.toml && mv /tmp/new.toml /etc/unmasq/unmasq.toml
  unmasq config example | unmasq config check -

EXIT STATUS
  0  the file is valid
  1  the file has errors; each is shown with its line, column and remedy
  2  usage, or the file cannot be read")]
struct CheckArgs {
    /// The file; - for standard input.
    #[arg(default_value = DEFAULT_FILE)]
    file: PathBuf,
    /// Print {"file", "valid", "problems": [{"line", "column", "message"}]} instead.
    #[arg(long)]
    json: bool,
}

/// Prints a commented configuration file with every key and its default.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
EXAMPLES
  unmasq config example > /etc/unmasq/unmasq.toml
  unmasq config example --json | jq '.[].keys[].name'

EXIT STATUS
  0  printed
  2  usage")]
struct ExampleArgs {
    /// Print the definition instead: a list of sections with their keys, defaults and explanations.
    #[arg(long)]
    json: bool,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Outcome {
    match &args.action {
        Action::Check(args) => check(args),
        Action::Example(args) => example(args),
    }
}

fn check(args: &CheckArgs) -> Outcome {
    let is_stdin = args.file == Path::new("-");
    let file = if is_stdin { Path::new("<stdin>") } else { &args.file };
    let result = if is_stdin {
        let mut bytes = Vec::new();
        io::stdin()
            .lock()
            .read_to_end(&mut bytes)
            .context("cannot read the configuration from standard input")?;
        Config::parse_bytes(file, &bytes)
    } else {
        Config::load(file)
    };
    let invalid = match result {
        Ok(_) => None,
        Err(ConfigError::Invalid(invalid)) => Some(invalid),
        Err(error @ ConfigError::Read { .. }) => return Err(error.into()),
    };
    let mut out = anstream::stdout().lock();
    if args.json {
        let problems: Vec<_> = invalid
            .iter()
            .flat_map(config::Invalid::problems)
            .map(
                |(line, column, problem)| json!({"line": line, "column": column, "message": problem.message}),
            )
            .collect();
        let answer = json!({"file": file, "valid": invalid.is_none(), "problems": problems});
        writeln!(out, "{answer}")?;
        return Ok(ExitCode::from(u8::from(invalid.is_some())));
    }
    match invalid {
        None => {
            writeln!(out, "{}: valid", file.display())?;
            Ok(ExitCode::SUCCESS)
        }
        Some(invalid) => {
            let count = invalid.problems().count();
            write!(anstream::stderr(), "{invalid}")?;
            let noun = if count == 1 { "error" } else { "errors" };
            Err(Failure::with_exit(1, anyhow::anyhow!("{}: {count} {noun}", file.display())))
        }
    }
}

fn example(args: &ExampleArgs) -> Outcome {
    let mut out = anstream::stdout().lock();
    if args.json {
        serde_json::to_writer(&mut out, &Config::about()).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        write!(out, "{}", config::example())?;
    }
    Ok(ExitCode::SUCCESS)
}
