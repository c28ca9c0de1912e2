//! `unmasq watch diff`: which actions a changed configuration adds or removes.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::input::Input;
use crate::failure::Outcome;
use crate::watch::build::Plan;
use crate::watch::trial;

/// Show which actions a changed configuration would add to or take from those of the old one, on a log
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Exit status: 0 the same actions; 1 they differ; 2 wrong usage, configuration or input.

An action is the same if it does the same for the same line, whatever the chain and the step that do it are called.

Examples:
  unmasq watch diff --old /etc/unmasq/watch.toml --new watch.toml --input /var/log/auth.log")]
pub(super) struct Args {
    /// The configuration in force
    #[arg(long, value_name = "FILE")]
    old: PathBuf,
    /// The one to come
    #[arg(long, value_name = "FILE")]
    new: PathBuf,
    #[command(flatten)]
    input: Input,
    /// Print one JSON object a line, with `change` added or removed
    #[arg(long)]
    json: bool,
}

/// What an action does, and how often; with the first that did it, for show, and its place in the order.
type Acts = BTreeMap<String, (u64, Value, usize)>;

pub(super) fn run(args: &Args) -> Outcome {
    let (old, new) = (Plan::load(&args.old)?, Plan::load(&args.new)?);
    if args.input.once().path.as_os_str() == "-" {
        return Err(
            anyhow::anyhow!("the log is read twice, so it cannot be standard input; name a file").into()
        );
    }
    let (before, after) = (acts(&old, &args.input)?, acts(&new, &args.input)?);
    let mut out = anstream::stdout();
    let (mut added, mut removed) = (0, 0);
    let keys: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let mut changes: Vec<(&Value, bool, u64, usize)> = Vec::new();
    for key in keys {
        let (had, has) = (before.get(key), after.get(key));
        let (times_before, times_after) = (had.map_or(0, |h| h.0), has.map_or(0, |h| h.0));
        let Some((_, shown, place)) = has.or(had) else { continue };
        if times_after > times_before {
            changes.push((shown, true, times_after - times_before, *place));
            added += times_after - times_before;
        } else if times_before > times_after {
            changes.push((shown, false, times_before - times_after, *place));
            removed += times_before - times_after;
        }
    }
    changes.sort_by_key(|(shown, is_added, _, place)| {
        (shown["line"].as_u64(), shown["cursor"].to_string(), *is_added, *place)
    });
    for (shown, is_added, times, _) in &changes {
        if args.json {
            let mut told = (*shown).clone();
            told["change"] = json!(if *is_added { "added" } else { "removed" });
            told["times"] = json!(times);
            serde_json::to_writer(&mut out, &told)?;
            writeln!(out)?;
        } else {
            let style =
                if *is_added { anstyle::AnsiColor::Green } else { anstyle::AnsiColor::Red }.on_default();
            let sign = if *is_added { '+' } else { '-' };
            let times = if *times > 1 { format!(" ({times} times)") } else { String::new() };
            writeln!(out, "{style}{sign} {}{times}{style:#}", line(shown))?;
        }
    }
    if !args.json {
        writeln!(out, "{added} actions added, {removed} removed")?;
    }
    Ok(ExitCode::from(u8::from(added + removed > 0)))
}

fn acts(plan: &Plan, input: &Input) -> anyhow::Result<Acts> {
    let mut acts = Acts::new();
    let mut number = 0;
    let each = |told: Value| {
        let mut key = told.clone();
        if let Value::Object(key) = &mut key {
            key.remove("chain");
            key.remove("step");
        }
        number += 1;
        acts.entry(key.to_string()).or_insert((0, told, number)).0 += 1;
        Ok(())
    };
    trial::run(plan, &input.once(), false, each, |_, _, _| {})?;
    Ok(acts)
}

/// An action in one line: `line 17: sshd[4] action_nftBan address=192.0.2.7 …`.
fn line(told: &Value) -> String {
    let place = match (&told["line"], &told["cursor"]) {
        (Value::Number(line), _) => format!("line {line}: "),
        (_, Value::String(cursor)) => format!("{cursor}: "),
        _ => String::new(),
    };
    let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), |text| format!("{text:?}"));
    let name = |key| told[key].as_str().unwrap_or_default();
    let rest: Vec<String> = told
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(key, value)| {
            !["chain", "step", "action", "line", "cursor"].contains(&key.as_str()) && !value.is_null()
        })
        .map(|(key, value)| format!("{key}={}", word(value)))
        .collect();
    format!("{place}{}[{}] {} {}", name("chain"), told["step"], name("action"), rest.join(" "))
}
