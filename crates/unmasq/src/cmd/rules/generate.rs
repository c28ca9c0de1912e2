//! `unmasq rules gen`: a ruleset from a template and macros.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, anyhow, bail};
use serde_json::json;
use unmasq_rules::macros::{Generated, MOST_LINES, Problems, Source, generate};
use unmasq_rules::{Form, whole_file};

use crate::failure::{Failure, Outcome};

/// Generate a ruleset from a template and macros
///
/// In VAR, `#define NAME word word …` defines a macro: a line goes on behind a backslash at its end, words in double quotes stay
/// together, macros can use macros, and other lines with # are comments. In IN, each rule of iptables that names macros is copied for
/// every combination of their words; in a ruleset of nft, a macro becomes a set, and the rule stays one. Only whole words are
/// replaced, never in quotes and comments. Everything else passes through as it is.
#[derive(Debug, clap::Args)]
#[command(
    visible_alias = "generate",
    after_long_help = "\
Without -o, the ruleset goes to standard output. Warnings go to standard error, as do errors, with file, line and column.

Exit status: 0 generated; 1 a file has errors, and nothing is written; 2 wrong usage, or a file cannot be read or written.

Examples:
  unmasq rules gen iptables.conf.in -o iptables.conf.new
      With the macros of iptables.conf.var.
  unmasq rules gen iptables.conf.in --vars iptables.conf.var | iptables-restore --test
  unmasq rules gen /etc/nftables.nft.in --vars office.var -o /etc/nftables.nft.new

docs/generate-rulesets.md is the whole story."
)]
pub(crate) struct Args {
    /// The ruleset in which macros are used; - for standard input
    #[arg(value_name = "IN")]
    input: PathBuf,
    /// The file of macros; if IN is x.in and x.var is there, that one
    #[arg(long, value_name = "VAR")]
    vars: Option<PathBuf>,
    /// Write to this file, whole or not at all; a new one can be read by its owner only
    #[arg(short, long, value_name = "NEW")]
    output: Option<PathBuf>,
    /// What IN is written for; told from its name or text otherwise
    #[arg(long = "format", value_name = "FORMAT", value_parser = Form::ALL.map(Form::word))]
    form: Option<String>,
    /// Refuse a ruleset of more lines than this
    #[arg(long, value_name = "N", default_value_t = MOST_LINES)]
    max_lines: u64,
    /// Print {"file", "form", "generated", "lines", "macros", "problems": [{"file", "line", "column", "error", "message"}]}
    #[arg(long, requires = "output")]
    json: bool,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Outcome {
    let vars = args.vars()?;
    let output = args.output.as_deref().filter(|path| *path != Path::new("-"));
    if args.json && output.is_none() {
        return Err(anyhow!("--json needs a file to write the ruleset to: give one with -o").into());
    }
    for read in [&args.input, &vars] {
        if output.is_some_and(|output| whole_file::is_same(output, read)) {
            let file = read.display();
            return Err(anyhow!(
                "the ruleset would be written over {file}, of which it is made: give another -o"
            )
            .into());
        }
    }
    let (input_text, vars_text) = (text_of(&args.input)?, text_of(&vars)?);
    let input = Source { file: name_of(&args.input), text: &input_text };
    let form = args.form(&input);
    let generated = generate(form, input, Source { file: name_of(&vars), text: &vars_text }, args.max_lines);
    if let (Ok(generated), Some(output)) = (&generated, output) {
        whole_file::write(output, generated.text.as_bytes())
            .with_context(|| format!("cannot write {}", output.display()))?;
    }
    match (generated, output) {
        (generated, Some(output)) if args.json => report_json(output, form, &generated),
        (Ok(generated), output) => report(output, &generated),
        (Err(problems), _) => {
            write!(anstream::stderr(), "{problems}")?;
            let count = problems.places().filter(|place| place.is_error).count();
            let noun = if count == 1 { "error" } else { "errors" };
            Err(Failure::with_exit(1, anyhow!("nothing is generated, because of {count} {noun}")))
        }
    }
}

impl Args {
    /// The file of macros.
    fn vars(&self) -> anyhow::Result<PathBuf> {
        if let Some(vars) = &self.vars {
            return Ok(vars.clone());
        }
        let is_template = self.input.extension().is_some_and(|extension| extension == "in");
        if !is_template {
            bail!(
                "which macros? Give their file with --vars (without it, IN must be called x.in, and x.var is taken)"
            );
        }
        let beside = self.input.with_extension("var");
        if !beside.exists() {
            bail!("{} is not there: give the file of macros with --vars", beside.display());
        }
        Ok(beside)
    }

    fn form(&self, input: &Source<'_>) -> Form {
        let named = self.form.as_deref().and_then(Form::named);
        named.unwrap_or_else(|| Form::of(input.file, input.text))
    }
}

/// For messages.
fn name_of(path: &Path) -> &Path {
    if path == Path::new("-") { Path::new("<stdin>") } else { path }
}

fn text_of(path: &Path) -> anyhow::Result<String> {
    let context = || format!("cannot read {}", name_of(path).display());
    let bytes = if path == Path::new("-") {
        let mut bytes = Vec::new();
        io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        fs::read(path)
    };
    String::from_utf8(bytes.with_context(context)?).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = valid.split(|byte| *byte == b'\n').count();
        anyhow!(
            "{}:{line} is not UTF-8: convert the file, or take the character out",
            name_of(path).display()
        )
    })
}

fn report(output: Option<&Path>, generated: &Generated) -> Outcome {
    write!(anstream::stderr(), "{}", generated.warnings)?;
    // Not anstream's: it would take a terminal's sequences out of a ruleset that has them in a comment.
    let mut out = io::stdout().lock();
    match output {
        None => out.write_all(generated.text.as_bytes())?,
        Some(file) => {
            let (lines, macros) = (lines(generated), generated.macros);
            let (of_lines, of_macros) =
                (if lines == 1 { "" } else { "s" }, if macros == 1 { "" } else { "s" });
            writeln!(out, "{}: {lines} line{of_lines}, with {macros} macro{of_macros}", file.display())?;
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn report_json(output: &Path, form: Form, generated: &Result<Generated, Problems>) -> Outcome {
    let (good, problems) = match generated {
        Ok(good) => (Some(good), &good.warnings),
        Err(problems) => (None, problems),
    };
    let problems: Vec<_> = problems
        .places()
        .map(|place| {
            json!({
                "file": place.file,
                "line": place.line,
                "column": place.column,
                "error": place.is_error,
                "message": place.message,
            })
        })
        .collect();
    let report = json!({
        "file": output,
        "form": form.word(),
        "generated": good.is_some(),
        "lines": good.map(lines),
        "macros": good.map(|good| good.macros),
        "problems": problems,
    });
    let mut out = anstream::stdout().lock();
    serde_json::to_writer_pretty(&mut out, &report)?;
    writeln!(out)?;
    Ok(ExitCode::from(u8::from(good.is_none())))
}

fn lines(generated: &Generated) -> usize {
    generated.text.lines().count()
}
