//! `unmasq watch test`: what a configuration would do to a log.

use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::ValueEnum;
use comfy_table::{CellAlignment, Table, presets};
use serde_json::json;
use unmasq_entry::Entry;
use unmasq_watch::machine::{Outcome as Went, Visit};
use unmasq_watch::program::StepId;

use super::input::Input;
use super::load;
use crate::failure::Outcome;
use crate::watch::build::Plan;
use crate::watch::trial;

/// Longest part of a line that is shown as an example, in characters.
const SHOWN: usize = 160;

/// Try a configuration on a log: what each step would match and do; nothing is sent, written or banned
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Exit status: 0 the log was read; 2 wrong usage, configuration or input.

Counters, waits and bans go by the times of the entries, so that last month's log gives what it would have given then.

Examples:
  unmasq watch test --config watch.toml --input /var/log/auth.log
      Each step: how often it was reached and passed, with examples; and the lines that no step handled.
  journalctl -o export --since yesterday | unmasq watch test --config watch.toml --input -
  unmasq watch test --config watch.toml --input auth.log --actions json | jq 'select(.action == \"action_nftBan\")'
      Each action that would run, one JSON object a line.")]
pub(super) struct Args {
    /// The configuration [default: the one that `unmasq watch` would take]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    input: Input,
    /// Print the actions that would run, in place of the summary
    #[arg(long, value_enum, value_name = "FORM")]
    actions: Option<Form>,
    /// Examples shown for each step
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    examples: usize,
    /// Print the summary as JSON
    #[arg(long, conflicts_with = "actions")]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Form {
    /// One JSON object a line.
    Json,
}

/// What was seen of a step.
#[derive(Clone, Debug, Default)]
struct Seen {
    examples: Vec<String>,
}

pub(super) fn run(args: &Args) -> Outcome {
    let plan = Plan::load(&load::file(args.config.as_deref())?)?;
    if args.actions.is_some() { tell_actions(args, &plan) } else { summarise(args, &plan) }
}

fn tell_actions(args: &Args, plan: &Plan) -> Outcome {
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut broken = None;
    let each = |told: serde_json::Value| {
        if broken.is_none() {
            let written = serde_json::to_writer(&mut out, &told).map_err(std::io::Error::from);
            broken = written.and_then(|()| out.write_all(b"\n")).err();
        }
        Ok(())
    };
    let (engine, _) = trial::run(plan, &args.input.once(), false, each, |_, _, _| {})?;
    let refused: u64 = engine.world.hands.refused.values().sum();
    drop(engine);
    if let Some(error) = broken {
        return Err(anyhow::Error::from(error).context("cannot print the actions").into());
    }
    out.flush().context("cannot print the actions")?;
    if refused > 0 {
        eprintln!("unmasq: the guard would refuse {refused} bans; the summary (without --actions) says why");
    }
    Ok(ExitCode::SUCCESS)
}

fn summarise(args: &Args, plan: &Plan) -> Outcome {
    let steps = plan.program.steps().len();
    let mut seen = vec![Seen::default(); steps];
    let mut unhandled = Seen::default();
    let mut unhandled_count = 0u64;
    let mut actions = 0u64;
    let message = plan.program.fields().find("MESSAGE");
    let each = |_| {
        actions += 1;
        Ok(())
    };
    let ran = |entry: &Entry, path: &[Visit], is_resumed: bool| {
        let is_handled = path.iter().any(|visit| {
            matches!(visit.outcome, Went::Waits | Went::Failed)
                || visit.outcome == Went::Yes && !plan.program.step(visit.step).is_filter
        });
        let shown = || {
            let text = message.and_then(|slot| entry.text(slot));
            text.map_or_else(String::new, |text| {
                text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).take(SHOWN).collect()
            })
        };
        let wanting = |seen: &Seen| seen.examples.len() < args.examples;
        let passed = path.iter().filter(|visit| visit.outcome == Went::Yes);
        for visit in passed {
            let seen = &mut seen[visit.step.index()];
            let example = shown();
            // An entry that waits is not there any more.
            if wanting(seen) && !example.is_empty() {
                seen.examples.push(example);
            }
        }
        if !is_handled && !is_resumed {
            unhandled_count += 1;
            if unhandled.examples.len() < args.examples.max(1) * 5 {
                unhandled.examples.push(shown());
            }
        }
    };
    let (engine, entries) = trial::run(plan, &args.input.once(), true, each, ran)?;
    let troubles = &engine.world.hands.troubles;
    let refused = &engine.world.hands.refused;
    let ended = engine.waits_ended;
    let mut out = anstream::stdout();
    if args.json {
        let steps: Vec<_> = plan
            .program
            .steps()
            .zip(engine.machine.stats())
            .zip(&seen)
            .map(|(((id, info), stats), seen)| {
                json!({
                    "chain": info.chain, "step": info.index, "name": info.name, "line": info.line,
                    "seen": stats.seen, "matched": stats.matched, "errors": stats.errors,
                    "nanoseconds": stats.nanos, "examples": seen.examples,
                    "troubles": messages(troubles, id),
                })
            })
            .collect();
        let summary = json!({
            "entries": entries, "actions": actions, "steps": steps,
            "unhandled": { "count": unhandled_count, "examples": unhandled.examples },
            "refused": refused,
            "waits": {
                "corrected": ended.corrected, "passed": ended.passed, "skipped": ended.skipped,
                "crowded": ended.crowded,
            },
        });
        serde_json::to_writer_pretty(&mut out, &summary)?;
        writeln!(out)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["CHAIN", "STEP", "WHAT", "SEEN", "MATCHED", "ERRORS", "TIME EACH"]);
    for column in [1, 3, 4, 5, 6] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let mut last = "";
    for ((_, info), stats) in plan.program.steps().zip(engine.machine.stats()) {
        let chain = if last == &*info.chain { "" } else { &*info.chain };
        last = &info.chain;
        let each = stats.nanos.checked_div(stats.seen).map(Duration::from_nanos);
        table.add_row([
            chain.to_owned(),
            info.index.to_string(),
            info.name.to_string(),
            stats.seen.to_string(),
            stats.matched.to_string(),
            stats.errors.to_string(),
            each.map_or_else(String::new, |each| format!("{each:.1?}")),
        ]);
    }
    writeln!(out, "{table}\n")?;
    for ((id, info), seen) in plan.program.steps().zip(&seen) {
        for example in seen.examples.iter().filter(|_| args.examples > 0) {
            writeln!(out, "{info} {}: {example}", info.name)?;
        }
        for (message, count) in messages(troubles, id) {
            writeln!(out, "{info} {}: {count} errors: {message}", info.name)?;
        }
    }
    writeln!(out, "\n{entries} entries, {actions} actions, {unhandled_count} entries that no step handled")?;
    for example in &unhandled.examples {
        writeln!(out, "  unhandled: {example}")?;
    }
    for (reason, count) in refused {
        writeln!(out, "{count} bans would be refused: {reason}")?;
    }
    if ended != crate::watch::engine::WaitsEnded::default() {
        writeln!(
            out,
            "waits: {} corrected, {} went on as they were, {} let go, {} crowded out",
            ended.corrected, ended.passed, ended.skipped, ended.crowded
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The errors of a step, most frequent first, at most three.
fn messages(troubles: &std::collections::BTreeMap<(usize, String), u64>, step: StepId) -> Vec<(&str, u64)> {
    let mut messages: Vec<_> = troubles
        .range((step.index(), String::new())..(step.index() + 1, String::new()))
        .map(|((_, message), count)| (message.as_str(), *count))
        .collect();
    messages.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    messages.truncate(3);
    messages
}
