//! How full each client's range is, at this moment.

use std::io::Write;
use std::process::ExitCode;

use serde_json::json;
use unmasq_netfilter::settings;
use unmasq_plan::history::History;

use super::super::spec::current;
use super::super::table::MOST_SHOWN;
use crate::failure::Outcome;
use crate::plan::flows::{Fill, survey};
use crate::plan::guard::ALERT;

/// Shows it, for the plan in force.
pub(super) fn run(history: &History, all: bool, is_json: bool) -> Outcome {
    let (newest, plan) = current(history)?;
    let survey = survey(&plan, &[], None)?;
    let refused = settings::refusals().ok();
    let mut out = anstream::stdout();
    if is_json {
        let report = json!({
            "revision": newest.number,
            "clients_with_flows": survey.fills.len(),
            "insert_failed": refused.map(|r| r.insert_failed),
            "clients": survey.fills.iter().map(|fill| json!({
                "client": fill.client.to_string(),
                "range": fill.block.to_string(),
                "ports_in_use": fill.ports,
                "percent": fill.percent(),
                "busiest_server": fill.server.map(|s| s.to_string()),
                "flows_to_it": fill.busiest,
                "busiest_percent": fill.busiest_percent(),
                "alert": fullness(fill) >= ALERT,
            })).collect::<Vec<_>>(),
        });
        serde_json::to_writer_pretty(&mut out, &report)?;
        writeln!(out)?;
        return Ok(ExitCode::SUCCESS);
    }
    let full = survey.fills.iter().filter(|fill| fullness(fill) >= ALERT).count();
    writeln!(
        out,
        "revision {}: {} of {} clients have connections; {full} use {ALERT} % of their range or more",
        newest.number,
        survey.fills.len(),
        newest.clients
    )?;
    if let Some(refused) = refused.filter(|refused| refused.insert_failed > 0) {
        writeln!(
            out,
            "{} packets were refused since boot, for want of a port most likely",
            refused.insert_failed
        )?;
    }
    if survey.fills.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(
        out,
        "\n  {:<15}  {:<27}  {:>6}  {:>5}  {:>20}  server",
        "client", "range", "in use", "full", "most toward a server"
    )?;
    let most = if all { usize::MAX } else { MOST_SHOWN };
    for fill in survey.fills.iter().take(most) {
        let toward = format!("{} ({} %)", fill.busiest, fill.busiest_percent());
        writeln!(
            out,
            "  {:<15}  {:<27}  {:>6}  {:>3} %  {toward:>20}  {}",
            fill.client.to_string(),
            fill.block.to_string(),
            fill.ports,
            fill.percent(),
            fill.server.map(|s| s.to_string()).unwrap_or_default()
        )?;
    }
    if let Some(more) = survey.fills.len().checked_sub(most).filter(|more| *more > 0) {
        writeln!(out, "    and {more} more; --all lists them")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What runs out first: the ports, or those toward one server.
fn fullness(fill: &Fill) -> u32 {
    fill.percent().max(fill.busiest_percent())
}
