//! What clients used, from a ledger.

use std::net::IpAddr;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use unmasq_flow::{Bound, Period, Timestamp};
use unmasq_ledger::run::Filter;
use unmasq_plan::ClientNetwork;
use unmasq_plan::capacity::{Measured, Usage};
use unmasq_trace::time;

use super::Args;
use crate::cmd::DEFAULT_LEDGER;
use crate::cmd::ledger::{self, progress};
use crate::failure::Failure;

/// Flows between two moves of the progress bar.
const FLOWS_PER_TICK: u64 = 16 * 1024;

/// What clients used, and where that was read.
pub(super) struct Used {
    pub(super) ledger: PathBuf,
    /// What was asked for; open at the start if nothing was.
    pub(super) period: Period,
    pub(super) measured: Measured,
    /// What could not be read.
    pub(super) damage: Vec<String>,
}

/// Counts in the ledger that was named, or in the usual one if there is one.
///
/// Only clients of these networks are counted, or all if there are none: a gateway masks others too, such as containers.
pub(super) fn measure(args: &Args, networks: &[ClientNetwork]) -> Result<Option<Used>, Failure> {
    let now = Timestamp::now();
    let period = period(args, now)?;
    let directory = match &args.ledger {
        Some(directory) => directory.clone(),
        None if Path::new(DEFAULT_LEDGER).exists() => DEFAULT_LEDGER.into(),
        None if args.since.is_some() || args.until.is_some() => {
            return Err(anyhow::anyhow!(
                "--since and --until are for a ledger, and there is none at {DEFAULT_LEDGER}; name one with --ledger"
            )
            .into());
        }
        None => return Ok(None),
    };
    let ledger = ledger::open(&directory)?;
    let bar = progress::count("counted");
    let mut usage = Usage::new(period);
    let mut flows = 0_u64;
    let damage = ledger
        .flows(&Filter { period, ..Filter::default() }, &mut |mut hit| {
            // A log that was imported says nothing of what came after it; only a recorder can say that a flow is still open.
            if hit.is_import && hit.flow.end == Bound::Open {
                hit.flow.end = Bound::Unknown;
            }
            let client = hit.flow.client.address;
            if networks.is_empty() || networks.iter().any(|network| contains(network, client)) {
                usage.add(&hit.flow);
            }
            flows += 1;
            if flows.is_multiple_of(FLOWS_PER_TICK) {
                bar.set_position(flows);
            }
            ControlFlow::Continue(())
        })
        .map_err(|error| Failure::with_exit(5, error))?;
    let measured = usage.measure();
    bar.finish_and_clear();
    Ok(Some(Used { ledger: directory, period, measured, damage }))
}

fn contains(network: &ClientNetwork, client: IpAddr) -> bool {
    matches!(client, IpAddr::V4(client) if network.net().contains(&client))
}

fn period(args: &Args, now: Timestamp) -> anyhow::Result<Period> {
    let context = time::Context {
        now: jiff::Timestamp::from_nanosecond(now.as_nanos().into())?,
        zone: args.tz.clone(),
    };
    let read = |flag: &str, text: &Option<String>| -> anyhow::Result<Option<Period>> {
        let Some(text) = text else { return Ok(None) };
        let asked = time::parse(text, &context).with_context(|| flag.to_owned())?;
        // A local time that occurred twice means both: rather too much is counted than too little.
        let ends = asked.windows.iter().copied();
        Ok(ends.reduce(|a, b| Period { from: a.from.min(b.from), to: a.to.max(b.to) }))
    };
    let from = read("--since", &args.since)?.map_or(Timestamp::MIN, |period| period.from);
    // Nothing is known of what is to come, and a flow that is open lives until now.
    let to = read("--until", &args.until)?.map_or(now, |period| period.to.min(now));
    if from > to {
        bail!("--since is later than --until, or than now");
    }
    Ok(Period { from, to })
}
