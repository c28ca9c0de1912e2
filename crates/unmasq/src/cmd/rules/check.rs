//! `unmasq rules check`: would the kernel take it, and what would it do that nobody wants?

mod complaint;
mod judge;

use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::json;
use unmasq_rules::Form;
use unmasq_rules::lint::{CODES, Session, Warning};

use self::judge::{Judge, Judged};
use crate::failure::Outcome;
use crate::rules::read::Source;

/// Check rulesets: the kernel's dry run, and warnings of what it would load without a word
///
/// Nothing is changed. The dry run is `nft -c -f` or `iptables-restore --test`, in the network namespace that this runs in. For the
/// warnings the ruleset is loaded in an empty namespace of its own, where it touches nobody, and read back.
#[derive(Debug, clap::Args)]
#[command(after_long_help = after_help())]
pub(super) struct Args {
    /// Rulesets of nft or for iptables-restore; - for standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The language of the files, where their names and texts do not tell
    #[arg(long = "format", value_name = "FORMAT", value_parser = form)]
    form: Option<Form>,
    /// The TCP connection that must not be cut: client's and own end [default: the SSH session that this runs in]
    #[arg(long, value_name = "ADDR:PORT,ADDR:PORT")]
    session: Option<Session>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn after_help() -> String {
    let codes: Vec<String> = CODES.iter().map(|(code, meaning)| format!("  {code:<21} {meaning}")).collect();
    format!(
        "\
Exit status: 0 nothing to say; 1 there are warnings; 2 wrong usage, a file that cannot be read, or one that the kernel refuses.

Warnings:
{}

What becomes of the session is told from the rules of each file alone: dropped for certain, accepted for certain, or unknown, of \
which no warning is made. --json says which.

Examples:
  unmasq rules check /etc/nftables.conf
  unmasq rules check --session 192.0.2.7:50022,198.51.100.1:22 iptables.conf.new
  unmasq rules gen iptables.conf.in --vars iptables.conf.var | unmasq rules check --format iptables -",
        codes.join("\n")
    )
}

fn form(word: &str) -> Result<Form, String> {
    Form::named(word).ok_or_else(|| format!("it is one of {}", Form::ALL.map(Form::word).join(", ")))
}

/// Runs it.
pub(super) fn run(args: &Args) -> Outcome {
    let judge = Judge::new(args.form, args.session.clone());
    let mut judged = Vec::with_capacity(args.files.len());
    for file in &args.files {
        judged.push(judge.file(file)?);
    }
    let mut out = anstream::stdout();
    if args.json {
        let files: Vec<_> = judged.iter().map(as_json).collect();
        serde_json::to_writer_pretty(&mut out, &json!({ "files": files }))?;
        writeln!(out)?;
    } else {
        for one in &judged {
            show(&mut out, one)?;
        }
    }
    let status = if judged.iter().any(|one| one.refused.is_some()) {
        2
    } else {
        u8::from(judged.iter().any(|one| !one.warnings.is_empty()))
    };
    Ok(ExitCode::from(status))
}

/// Warns of a ruleset that is going to be loaded. True if it would cut the session that this runs in.
pub(super) fn warn(source: &Source) -> anyhow::Result<bool> {
    let judged = Judge::new(Some(source.form), None).text(&source.file, &source.text)?;
    for warning in &judged.warnings {
        writeln!(anstream::stderr(), "{}", Shown(&judged.file, warning))?;
    }
    Ok(judged.warnings.iter().any(|warning| warning.code == "cuts-session"))
}

/// A warning as a line.
struct Shown<'a>(&'a Path, &'a Warning);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(file, Warning { code, line, place, message, remedy }) = self;
        let line = line.map_or(String::new(), |line| format!("{line}:"));
        let place = if place.is_empty() { String::new() } else { format!("{place}: ") };
        write!(f, "{}:{line} [{code}] {place}{message}; {remedy}", file.display())
    }
}

fn show(out: &mut impl Write, judged: &Judged) -> std::io::Result<()> {
    let file = judged.file.display();
    if let Some(refused) = &judged.refused {
        write!(out, "{refused}")?;
    }
    for warning in &judged.warnings {
        writeln!(out, "{}", Shown(&judged.file, warning))?;
    }
    if let Some(reason) = &judged.as_written {
        writeln!(out, "{file}: note: some warnings need the ruleset as the kernel has it, and {reason}")?;
    }
    if judged.refused.is_none() && judged.warnings.is_empty() {
        writeln!(out, "{file}: nothing to say of {} rules ({})", judged.rules, judged.form.word())?;
    }
    Ok(())
}

fn as_json(judged: &Judged) -> serde_json::Value {
    let refused = judged.refused.as_ref().map(|refused| {
        let problems = refused.problems();
        problems
            .map(|(line, column, message)| json!({ "line": line, "column": column, "message": message }))
            .collect::<Vec<_>>()
    });
    let session = judged
        .prospects
        .map(|prospects| json!({ "established": prospects.established.word(), "new": prospects.new.word() }));
    json!({
        "file": judged.file.to_string_lossy(),
        "form": judged.form.word(),
        "rules": judged.rules,
        "refused": refused,
        "warnings": judged.warnings,
        "judged_as_written": judged.as_written,
        "session": session,
    })
}
